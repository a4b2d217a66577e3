"""Everything that can be written is explained: what a word means is found, and every example holds."""

from __future__ import annotations

import json

import pytest

from labctl.cli.explaining import explain
from labctl.describe import describe
from labctl.description.actions import ACTION, ACTIONS
from labctl.description.checks import CheckSpec
from labctl.description.drills import FAULT, FAULTS, ChangeSpec, DrillSpec
from labctl.description.head import LabSpec
from labctl.description.outcomes import EXPECT
from labctl.description.record import OneOf, RecordOf, about, fields
from labctl.description.sources import read_tree
from labctl.description.types import Reading, Type
from labctl.errors import UsageError
from labctl.kinds.registry import ALIASES, KINDS, PROVIDERS
from labctl.report.explain import Found, Unknown, find, lines, overview
from labctl.report.reference import reference
from labctl.report.topics import GROUPS, Topic, every_topic, inside, whole

TOPICS = every_topic()


# -- what a kind says of itself


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_what_it_is_and_what_it_becomes(kind: str) -> None:
    each = KINDS[kind]
    assert about(each).endswith(".")
    assert each.becomes.endswith(".")
    assert each.group in GROUPS
    assert all(cite == cite.strip() for cite in each.cites)
    assert len(TOPICS[kind].line) < 110


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_kind_is_a_lab_with_one(kind: str) -> None:
    described = describe(whole(KINDS[kind].example).encode(), kind)
    assert kind in described.kinds.values()
    assert TOPICS[kind].names, "it brings names"


@pytest.mark.parametrize(("part", "of"), [("checks", CheckSpec), ("drills", DrillSpec), ("changes", ChangeSpec)])
def test_the_example_of_a_claim_holds_for_the_example_of_a_lab(part: str, of: type) -> None:
    """A drill and a change stand on the check of the lab's own example."""
    lab = LabSpec.example
    lab = lab[: lab.index("checks:")] if part == "checks" else lab
    described = describe(f"{lab}{part}:\n{of.example}".encode(), part)  # type: ignore[attr-defined]
    assert getattr(described, part)


ONE_LINE: list[tuple[Type[object], str, type]] = [
    *((ACTION, name, of) for name, of in ACTIONS.items()),
    *((FAULT, name, of) for name, of in FAULTS.items()),
    *((EXPECT, name, of) for name, of in (EXPECT.records.items() if isinstance(EXPECT, OneOf) else ())),
]


@pytest.mark.parametrize(("kind", "name", "of"), ONE_LINE, ids=[name for _, name, _ in ONE_LINE])
def test_the_example_of_a_word_reads_as_that_word(kind: Type[object], name: str, of: type) -> None:
    tree = read_tree(f"k: {of.example}".encode(), name)  # type: ignore[attr-defined]
    reading = Reading(tree)
    assert type(kind.read(tree.root.entries["k"], ("k",), reading)) is of
    assert reading.faults == []


EXAMPLES = [topic for topic in TOPICS.values() if topic.word in ("checks.see", "checks.with", "drills.bounds")]


@pytest.mark.parametrize("topic", EXAMPLES, ids=lambda topic: topic.word)
def test_the_example_of_a_part_has_fields_of_that_part(topic: Topic) -> None:
    written = read_tree(f"k: {topic.example}".encode(), "x").root.entries["k"]
    assert {each.path for each in topic.fields} >= written.entries.keys() != set()  # type: ignore[union-attr]


# -- what can be asked


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
def test_every_topic_and_every_field_of_it_is_found_by_its_path(topic: Topic) -> None:
    found = find(topic.word, TOPICS)
    assert isinstance(found, Found)
    assert (found.topic, found.entry) == (topic, None)
    for entry in topic.fields:
        plain = ".".join(part for part in entry.path.split(".") if not part.isupper())
        for path in (entry.path, plain):
            meant = find(f"{topic.word}.{path}", TOPICS)
            assert isinstance(meant, Found)
            if f"{topic.word}.{path}" not in TOPICS:
                assert (meant.topic, meant.entry) == (topic, entry)


@pytest.mark.parametrize(
    ("word", "topic", "field"),
    [
        ("vsi", "instance", ""),
        ("resources.vpc", "vpc", ""),
        ("vswitch", "vpc", "subnets"),
        ("subnet.prefix", "vpc", "subnets.NAME.prefix"),
        ("vnet.subnets.zone", "vpc", "subnets.NAME.zone"),
        ("tcp", "checks.do.tcp", ""),
        ("tcp.send", "checks.do.tcp", "send"),
        ("expect", "checks.expect", ""),
        ("kill.program", "drills.fault.kill", "program"),
        ("checks.silent", "checks", "silent"),
        ("checks.silent.proto", "checks.see", "proto"),
        ("drills.then.control", "checks", "control"),
        ("bounds.restore", "drills.bounds", "restore"),
        ("rate", "rate", ""),
        ("duration", "duration", ""),
        ("lab.include", "lab", "include"),
    ],
)
def test_a_word_is_found_as_people_say_it(word: str, topic: str, field: str) -> None:
    found = find(word, TOPICS)
    assert isinstance(found, Found)
    assert (found.topic.word, found.entry.path if found.entry else "") == (topic, field)


@pytest.mark.parametrize(
    ("word", "rule", "hint"),
    [
        ("endpoint_gatway", "there is nothing called `endpoint_gatway`", "did you mean `endpoint_gateway`?"),
        ("vpc.subnet", "`vpc` has no `subnet`", "did you mean `subnets`?"),
        ("checks.do.tpc", "`checks.do` has no `tpc`", "did you mean `tcp`?"),
        ("bounds", "`bounds` means several things", "one of drills.bounds, changes.bounds"),
        ("during", "`during` is no topic of its own", "a field: drills.during, changes.during"),
        ("qqq", "there is nothing called `qqq`", "`labctl explain` lists everything"),
        ("", "there is nothing called ``", "`labctl explain` lists everything"),
        (".", "there is nothing called `.`", "`labctl explain` lists everything"),
    ],
)
def test_a_word_that_means_nothing_is_guessed(word: str, rule: str, hint: str) -> None:
    assert find(word, TOPICS) == Unknown(rule, hint)


def records(of: type, seen: set[type]) -> set[type]:
    """Every record that stands in a record, at any depth; they are put into `seen`."""
    for each in fields(of):
        found = inside(each.kind)[1]
        below = [found.of] if isinstance(found, RecordOf) else []
        below += list(found.records.values()) if isinstance(found, OneOf) else []
        for one in set(below) - seen:
            seen.add(one)
            records(one, seen)
    return seen


def test_every_part_of_a_claim_has_its_topic() -> None:
    told = [topic.about for topic in TOPICS.values()]
    found = [about(of) for of in records(LabSpec, set())]
    assert len(found) > 30
    assert set(found) <= set(told)


# -- what is printed


def test_everything_is_listed_with_the_providers_words() -> None:
    text = "\n".join(overview(TOPICS))
    assert all(f"  {word} " in text for word in (*KINDS, "checks", "drills", "changes", "units", "lab"))
    assert all(word in text for word in ALIASES)
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_kind_is_explained_with_all_that_it_is() -> None:
    text = "\n".join(lines(Found(TOPICS["vpc"])))
    for part in (
        "vpc (Azure: vnet)",
        "  subnets: a mapping from a name to a mapping (required)",
        "      zone: a name of small letters, digits and single hyphens, such as vpc1 (required)",
        "  on: the name of a backbone (optional)",
        "  vpc1.app: subnet, link",
        "What it becomes",
        "  IBM Cloud Docs, VPC: About subnets in VPC",
        "    vsi1: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}",
    ):
        assert part in text


def test_defaults_are_told_as_they_are_written() -> None:
    shown = {f"{topic.word}.{each.path}": each.default for topic in TOPICS.values() for each in topic.fields}
    assert shown["ipsec_connection.check.interval"] == "200ms"
    assert shown["drills.for"] == "2s"
    assert shown["checks.do.tcp.send"] == "64B"
    assert shown["checks.expect.ok.tolerance"] == "10%"
    assert shown["gre_tunnel.enabled"] == "true"
    assert shown["link.mtu"] == "1500"
    assert shown["checks.see.port"] == "", "0 is no port: it stands for any"


def test_the_reference_has_a_place_for_every_link_in_it() -> None:
    text = reference(TOPICS)
    headings = {line.removeprefix("### ").replace(".", "") for line in text.splitlines() if line.startswith("### ")}
    assert headings == {word.replace(".", "") for word in TOPICS}
    links = {part.split(")")[0] for part in text.split("](#")[1:]}
    assert links <= headings


def test_a_provider_has_one_word_for_one_kind() -> None:
    assert sum(map(len, PROVIDERS.values())) == len(ALIASES)


def test_a_program_gets_the_same_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    explain("vpc", as_json=True, markdown=False)
    explain("vpc.on", as_json=True, markdown=False)
    explain("", as_json=True, markdown=False)
    kind, field, everything = map(json.loads, capsys.readouterr().out.splitlines())
    assert (kind["word"], field["path"], len(everything)) == ("vpc", "on", len(TOPICS))
    assert kind in everything
    assert field in kind["fields"]


def test_an_unknown_word_is_a_fault_of_the_command_line() -> None:
    with pytest.raises(UsageError) as refused:
        explain("vpcs", as_json=False, markdown=False)
    assert (refused.value.exit_code, refused.value.hint) == (2, "did you mean `vpc`?")


# -- words that are no topic of their own


@pytest.mark.parametrize(
    ("word", "topic", "path"),
    [
        ("include", "lab", "include"),
        ("variables", "lab", "variables"),
        ("reach", "changes.bounds", "reach"),
        ("byoip", "power_workspace", "subnets.NAME.byoip"),
    ],
)
def test_a_word_that_is_the_name_of_one_field_alone_is_that_field(word: str, topic: str, path: str) -> None:
    found = find(word, TOPICS)
    assert isinstance(found, Found)
    assert found.entry is not None
    assert (found.topic.word, found.entry.path) == (topic, path)


def test_a_side_is_explained_and_a_node_without_any_says_so() -> None:
    found = find("side", TOPICS)
    assert isinstance(found, Found)
    sides = {"cloud_service", "customer_gateway", "endpoint_gateway", "gateway_appliance", "nsx", "vpn_gateway"}
    assert set(found.topic.choices) == sides
    assert "bb has no sides" in "\n".join(lines(Found(TOPICS["backbone"])))
    assert "no sides" not in "\n".join(lines(Found(TOPICS["vpn_gateway"])))
    assert "no sides" not in "\n".join(lines(Found(TOPICS["gre_tunnel"]))), "it is no node"
