"""Included files, and variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from labctl.cli import files
from labctl.describe import Described, describe
from labctl.description.faults import Fault
from labctl.description.reader import MAX_BYTES
from labctl.description.sources import MAX_FILES, MAX_INCLUDES, packed, read_tree
from labctl.description.tree import Tree
from labctl.description.types import Refused
from labctl.errors import DescriptionError, UsageError
from labctl.probes.wire import Tcp

BASE = """
variables: {zone: a, port: 8080}
resources:
  vpc1: {kind: vpc, subnets: {app: {zone: "${zone}", prefix: "${net:-10.0.1}.0/24"}}}
  web: {kind: instance, subnet: vpc1.app, address: 10.0.1.10}
  db: {kind: instance, subnet: vpc1.app, address: 10.0.1.11, serves: ["tcp/${port}"]}
checks:
  - {id: P1, about: base, from: web, do: {tcp: {to: db, port: "${port}"}}, expect: ok}
  - {id: P2, about: base, from: web, do: {ping: {to: db}}, expect: ok}
"""
MAIN = """lab: x
include: base.yaml
variables: {port: 9090}
resources:
  web: {address: 10.0.1.20}
checks:
  - {id: P2, about: mine, from: db, do: {ping: {to: web}}, expect: ok}
"""


def fetch_of(others: Mapping[str, str | bytes]) -> Callable[[str], bytes]:
    """Files by their names without `.yaml`, `_` in place of `/`."""

    def fetch(name: str) -> bytes:
        found = others.get(name.removesuffix(".yaml").replace("/", "_"))
        if found is None:
            raise Refused("there is no such file")
        return found if isinstance(found, bytes) else found.encode()

    return fetch


def tree(main: str, variables: dict[str, str] | None = None, **others: str | bytes) -> Tree:
    return read_tree(main.encode(), "labs/x.yaml", fetch_of(others), variables)


def faults(main: str, variables: dict[str, str] | None = None, **others: str | bytes) -> list[str]:
    with pytest.raises(DescriptionError) as refused:
        describe(main.encode(), "labs/x.yaml", 1, fetch_of(others), variables)
    return [str(each) for each in refused.value.faults]


def lab(variables: dict[str, str] | None = None) -> Described:
    return describe(MAIN.encode(), "labs/x.yaml", 1, fetch_of({"base": BASE}), variables)


# ---- what wins


def test_a_resource_in_both_is_merged_field_by_field_and_the_including_file_wins() -> None:
    found = tree(MAIN, base=BASE)
    assert found.text_at(("resources", "web", "address")) == "10.0.1.20"
    assert found.text_at(("resources", "web", "kind")) == "instance"
    assert found.text_at(("resources", "db", "address")) == "10.0.1.11"


def test_a_resource_of_another_kind_is_another_resource() -> None:
    found = tree("include: a.yaml\nresources: {b: {kind: host, x: 1}}", a="resources: {b: {kind: router, y: 2}}")
    assert (found.text_at(("resources", "b", "x")), found.text_at(("resources", "b", "y"))) == ("1", "")


def test_a_claim_of_the_same_id_takes_the_others_place_and_own_ones_come_first() -> None:
    assert [(check.id, check.about) for check in lab().checks] == [("P2", "mine"), ("P1", "base")]


def test_of_several_files_the_last_wins_and_deeper_ones_lie_below() -> None:
    found = tree("include: [a.yaml, b.yaml]", a="{x: a, y: a, z: a}", b="{include: c.yaml, x: b}", c="{x: c, y: c}")
    assert [found.text_at((key,)) for key in "xyz"] == ["b", "c", "a"]


def test_a_file_may_be_included_by_two() -> None:
    found = tree("include: [a.yaml, b.yaml]", a="include: c.yaml", b="include: c.yaml", c="x: 1")
    assert found.text_at(("x",)) == "1"


def test_a_name_is_relative_to_the_file_that_it_stands_in() -> None:
    found = tree("include: parts/a.yaml", parts_a="include: [b.yaml, ../c.yaml]", parts_b="b: 1", c="c: 1")
    assert (found.text_at(("b",)), found.text_at(("c",))) == ("1", "1")
    assert set(found.texts) == {"labs/x.yaml", "labs/parts/a.yaml", "labs/parts/b.yaml", "labs/c.yaml"}


# ---- faults


def test_a_fault_in_an_included_file_names_that_file_and_its_place() -> None:
    assert faults(MAIN, base=BASE.replace("10.0.1.11", "10.0.2.11")) == [
        "labs/base.yaml:6:51: resources.db.address `10.0.2.11`: lies outside its subnet vpc1.app 10.0.1.0/24"
        " (hosts there have 10.0.1.2 to 10.0.1.254)"
    ]


def test_the_key_path_of_a_claim_counts_in_its_own_file() -> None:
    told = faults(MAIN.replace("to: web", "to: wep"), base=BASE.replace("to: db, port", "to: bd, port"))
    assert [each.split(": ")[1] for each in told] == ["checks[0].do.ping.to `wep`", "checks[0].do.tcp.to `bd`"]


def test_two_places_in_two_files_name_both() -> None:
    main = MAIN.replace("10.0.1.20", "10.0.1.11")
    with pytest.raises(DescriptionError) as refused:
        describe(main.encode(), "labs/x.yaml", 1, fetch_of({"base": BASE}))
    [fault] = refused.value.faults
    assert isinstance(fault, Fault)
    assert fault.other
    assert (fault.source, fault.other.source) == ("labs/base.yaml", "labs/x.yaml")
    assert "is taken in vpc1.app by web.address at line 5" in fault.rule


def test_the_faults_of_the_own_file_come_before_those_of_included_ones() -> None:
    told = faults(MAIN + "nonsense: 1\n", base=BASE + "more: 1\n")
    assert [each.split(":")[0] for each in told] == ["labs/x.yaml", "labs/base.yaml"]


@pytest.mark.parametrize(
    ("include", "told"),
    [
        ("x.yaml", "labs/x.yaml:1:10: include `x.yaml`: includes itself: labs/x.yaml -> labs/x.yaml"),
        ("nothing.yaml", "labs/x.yaml:1:10: include `nothing.yaml`: cannot be included: there is no such file"),
        ("/etc/passwd", "labs/x.yaml:1:10: include `/etc/passwd`: leads out of the folder of the lab"),
        ("../a.yaml", "labs/x.yaml:1:10: include `../a.yaml`: leads out of the folder of the lab"),
        ("d/../../a.yaml", "labs/x.yaml:1:10: include `d/../../a.yaml`: leads out of the folder of the lab"),
        ("./", "labs/x.yaml:1:10: include `./`: leads out of the folder of the lab"),
        ("{a: b}", "labs/x.yaml:1:10: include: expected the name of a file, or a list of such names"),
        ("[a.yaml, [b]]", "labs/x.yaml:1:19: include: expected the name of a file, or a list of such names"),
        ("a.yaml", "labs/a.yaml:1:1: not YAML: the mapping opened here is never closed"),
        ("big.yaml", "labs/x.yaml:1:10: include `big.yaml`: is too large"),
        ("list.yaml", "labs/list.yaml:1:1: a lab is a mapping"),
        ("latin.yaml", "labs/latin.yaml:1:1: `byte 0xe9`: a description is UTF-8 text"),
    ],
)
def test_what_cannot_be_included_is_a_fault_where_that_is_written(include: str, told: str) -> None:
    big = "#" * MAX_BYTES
    assert faults(f"include: {include}", a="{", big=big, list="[]", latin=b"\xe9")[0].startswith(told)


def test_a_circle_of_files_names_all_of_them() -> None:
    [told] = faults("include: a.yaml", a="include: b.yaml", b="include: a.yaml")
    assert told.startswith("labs/b.yaml:1:10: include `a.yaml`: includes itself: labs/a.yaml -> labs/b.yaml -> labs/a")


def test_files_are_not_included_without_end() -> None:
    deep: dict[str, str | bytes] = {f"a{i}": f"include: a{i + 1}.yaml" for i in range(MAX_INCLUDES + 1)}
    assert f"at most {MAX_INCLUDES} deep" in faults("include: a0.yaml", **deep)[0]  # type: ignore[arg-type]
    wide: dict[str, str | bytes] = {f"a{i}": "include: [{0}, {0}, {0}]".format(f"a{i + 1}.yaml") for i in range(6)}
    assert f"at most {MAX_FILES} files" in faults("include: a0.yaml", **wide, a6="x: 1")[0]  # type: ignore[arg-type]


def test_every_include_that_fails_is_told_at_once() -> None:
    assert len(faults("include: [a.yaml, b.yaml, c.yaml]", b="[", c="{c: 1, c: 2}")) == 3


def test_a_description_in_memory_includes_nothing() -> None:
    with pytest.raises(DescriptionError) as refused:
        describe(b"include: a.yaml", "x.yaml")
    assert "nothing beside this text" in str(refused.value.faults[0])


def test_included_files_are_plain_files_of_the_labs_folder(tmp_path: Path) -> None:
    (tmp_path / "labs").mkdir()
    (tmp_path / "secret.yaml").write_text("x: 1\n")
    (tmp_path / "labs" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (tmp_path / "labs" / "folder.yaml").mkdir()
    main = tmp_path / "labs" / "x.yaml"
    main.write_text("include: [link.yaml, folder.yaml, none.yaml]\n")
    with pytest.raises(DescriptionError) as refused:
        files.read(str(main))
    told = [str(each).partition("cannot be included: ")[2] for each in refused.value.faults]
    assert told == ["is a link that leads out of the folder of the lab", "is no plain file", "there is no such file"]


# ---- variables


def test_the_command_line_goes_before_the_file_and_that_before_what_it_includes() -> None:
    [action] = [each.action for each in lab().checks if each.id == "P1"]
    assert isinstance(action, Tcp)
    assert action.port == 9090
    found = tree(MAIN, {"port": "7070", "zone": "b", "net": "10.0.9"}, base=BASE)
    assert found.text_at(("checks", 1, "do", "tcp", "port")) == "7070"
    assert found.text_at(("resources", "vpc1", "subnets", "app", "zone")) == "b"
    assert found.text_at(("resources", "vpc1", "subnets", "app", "prefix")) == "10.0.9.0/24"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${a:-1}", "1"),
        ("${b}", "2"),
        ("${b:-1}", "2"),
        ("x${b}y${a:-}z", "x2yz"),
        ("$${b}", "${b}"),
        ("$$${b}", "$${b}"),
        ("$b $", "$b $"),
        ("${c:-a:-b}", "a:-b"),
    ],
)
def test_a_variable_is_put_in_before_anything_is_read(text: str, value: str) -> None:
    found = tree(f"k: '{text}'\nuse: ${{b}}\n'${{b}}': key", {"b": "2"})
    assert (found.text_at(("k",)), found.text_at(("2",))) == (value, "key")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("k: ${a}", "x.yaml:1:4: k `${a}`: the variable `a` has no value (--var a=VALUE, or ${a:-default})"),
        ("k: ${A:-1}", "x.yaml:1:4: k `${A:-1}`: a variable's name is of small letters, digits and underscores"),
        ("k: ${}", "x.yaml:1:4: k `${}`: a variable's name is of small letters"),
        ("k: ${a", "x.yaml:1:4: k `${a`: `${` begins a variable that does not end"),
        ("k: [1, 'ab${port}']\nvariables: {prt: 1}", "x.yaml:1:8: k[1] `ab${port}`: the variable `port` has no value"),
        ("variables: {a: 1}", "x.yaml:1:13: variables.a: nothing uses ${a}"),
        ("variables: {a: '${b}'}", "x.yaml:1:16: variables.a `${b}`: a variable's value holds no other variable"),
        ("variables: {a: {b: c}}", "x.yaml:1:13: variables.a: a variable's value is one word or number"),
        ("variables: [a]", "x.yaml:1:12: variables: expected a mapping of names to values"),
        ("{1: x, '${a:-1}': y}", "x.yaml:1:8: 1: this key is given twice, by way of a variable"),
    ],
)
def test_a_variable_that_does_not_fit_is_a_fault_at_its_place(text: str, told: str) -> None:
    assert any(each.startswith(f"labs/{told}") for each in faults(text))


def test_every_file_has_its_own_words_put_in() -> None:
    more = {f"a{i}": f"{{k{i}: '${{v}}-{i}', n{i}: {{m: ['${{v}}', x{i}]}}}}" for i in range(20)}
    found = tree(f"include: [{', '.join(f'{each}.yaml' for each in more)}]", {"v": "w"}, **more)
    assert [found.text_at((f"k{i}",)) for i in range(20)] == [f"w-{i}" for i in range(20)]
    assert [found.text_at((f"n{i}", "m", 1)) for i in range(20)] == [f"x{i}" for i in range(20)]


def test_a_value_that_nothing_uses_is_a_fault() -> None:
    told = faults(MAIN, {"prot": "1"}, base=BASE)
    assert told == ["labs/x.yaml:1:1: --var prot: nothing uses ${prot} (did you mean `port`?)"]


def test_a_variable_without_a_value_hides_no_other_fault_and_causes_none() -> None:
    rows = ["{kind: instance, subnet: '${net}', address: 10.0.1.1}", "{kind: '${kind}', x: 1}", "{kind: vpcc}"]
    text = "lab: x\nresources:\n" + "".join(f"  r{i}: {row}\n" for i, row in enumerate(rows))
    text += "checks: [{id: P1, from: r0, do: {ping: {to: nobody}}, expect: '${what}'}]\n"
    assert [each.split(": ")[1].split(" ")[0] for each in faults(text)] == [
        "resources.r0.subnet", "resources.r1.kind", "resources.r2.kind", "checks[0].expect",
    ]  # fmt: skip


def test_variables_cannot_multiply_a_description() -> None:
    text = "variables: {a: " + "x" * 1000 + "}\nk: [" + "'${a}${a}${a}${a}', " * 1000 + "]"
    assert "variables make the description longer" in faults(text)[0]


def test_a_word_that_a_variable_became_is_checked_as_if_it_were_written() -> None:
    told = faults(MAIN, {"net": "10.0.300"}, base=BASE)
    assert told[0].startswith(
        "labs/base.yaml:4:62: resources.vpc1.subnets.app.prefix `10.0.300.0/24`: expected an IPv4"
    )


@pytest.mark.parametrize("words", [["a"], ["=b"], ["a=1", "a=2"]])
def test_what_is_no_name_and_value_is_refused(words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("lab: x\nresources: {}\n")
    with pytest.raises(UsageError):
        files.read(str(file), 1, words)


# ---- one text


def test_a_lab_is_read_again_from_its_text_alone() -> None:
    first = lab({"net": "10.0.1", "zone": "b"})
    again = describe(first.text, "labs/x.yaml")
    assert again == first
    assert describe(first.text, "/elsewhere/y.yaml").plan == first.plan
    assert first.files == ("labs/base.yaml",)


def test_a_packed_text_tells_places_in_its_files() -> None:
    text = lab().text.replace(b"10.0.1.11", b"10.0.2.11")
    with pytest.raises(DescriptionError) as refused:
        describe(text, "labs/x.yaml")
    assert [str(each)[:20] for each in refused.value.faults] == ["labs/base.yaml:6:51:"]


def test_a_description_of_one_file_without_values_is_its_own_text() -> None:
    text = b"\xef\xbb\xbflab: x\r\nresources: {}\r\n"
    assert describe(text, "x.yaml").text == text
    assert packed(text, read_tree(text, "x.yaml"), {}) == text


@pytest.mark.parametrize("cut", [20, 60, 90, 200, 500])
def test_a_packed_text_that_is_damaged_is_refused(cut: int) -> None:
    with pytest.raises(DescriptionError):
        describe(lab({"net": "10.0.1"}).text[:cut], "labs/x.yaml")


@pytest.mark.parametrize("head", [b"{}", b"[]", b"{", b'{"files": [["a", -5]], "variables": {}}', b"[" * 100_000])
def test_what_only_looks_packed_is_refused(head: bytes) -> None:
    with pytest.raises(DescriptionError):
        describe(b"# labctl: several files in one: " + head + b"\nlab: x", "x.yaml")
