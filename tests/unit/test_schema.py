"""The JSON Schema accepts what labctl accepts, and refuses what is seen to be wrong without the rest of the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schema_lab import VALIDATOR, as_editors_read, refused_at

from labctl.describe import describe
from labctl.description.faults import Fault
from labctl.description.schema import Definitions, Schema
from labctl.description.types import Choice, ListOf, MapOf, Ref, Type, Word
from labctl.description.units import UNITS
from labctl.description.words import ASN, BOOLEAN, TEXT, WORDS, integer
from labctl.errors import DescriptionError
from labctl.kinds.registry import ALIASES, KINDS
from labctl.kinds.schema import lab_schema
from labctl.report.topics import whole
from labctl.shapes import describe_shape, shape

TOP = Path(__file__).resolve().parents[2]
BAD = sorted((TOP / "tests" / "errors").glob("*.yaml"))
GOOD = sorted([*(TOP / "topologies").glob("*.yaml"), *(TOP / "tests" / "errors" / "accepted").glob("*.yaml")])

STRUCTURAL = re.compile(r"unknown field|unknown kind|field `\w+` is missing|expected |has no value")
"""How the rules begin that a schema can hold: they are about one place and the form of what stands there."""

OUT_OF_REACH = {
    "host-without-place": "whether `address` is needed depends on whether `net` is there: a rule of the kind",
    "ipsec-standby-without-check": "whether `check` is needed depends on the other connections",
}
"""Descriptions whose faults look as if they were structural, and why no schema tells them."""


def test_it_is_a_schema_of_the_draft_that_it_names() -> None:
    Draft202012Validator.check_schema(lab_schema())
    assert lab_schema()["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_what_labctl_accepts_the_schema_accepts(file: Path) -> None:
    assert refused_at(as_editors_read(file.read_bytes())) == []


@pytest.mark.parametrize("name", ["chain", "ring", "star", "leaf-spine"])
def test_a_plain_shape_is_accepted(name: str) -> None:
    assert refused_at(as_editors_read(describe_shape(name, shape(name, 7), "x"))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_kind_is_accepted(kind: str) -> None:
    assert refused_at(as_editors_read(whole(KINDS[kind].example))) == []


def structural_faults(file: Path) -> list[str]:
    """Where they stand. Bits of an address are arithmetic, and what a variable holds an editor does not know."""
    with pytest.raises(DescriptionError) as refused:
        describe(file.read_bytes(), file.name)
    found = [each for each in refused.value.faults if isinstance(each, Fault) and STRUCTURAL.match(each.rule)]
    return [each.path for each in found if "host bits" not in each.hint and "${" not in each.line]


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_structural_fault_is_refused_where_it_stands(file: Path) -> None:
    """An editor may mark a list or a mapping where labctl marks what is wrong in it."""
    try:
        data = as_editors_read(file.read_bytes())
    except yaml.YAMLError:
        return  # an editor says so without a schema
    marked = refused_at(data)
    missed = [path for path in structural_faults(file) if not any(path.startswith(place) for place in marked)]
    assert bool(missed) == (file.stem in OUT_OF_REACH), (missed, marked)


def test_every_exception_is_a_description() -> None:
    assert set(OUT_OF_REACH) <= {file.stem for file in BAD}


# -- words


FORMS: dict[str, Word[Any]] = {
    **UNITS,
    **WORDS,
    "text": TEXT,
    "boolean": BOOLEAN,
    "asn": ASN,
    "integer": integer(68, 9216),
}


PLAIN = re.compile(r"-?[A-Za-z0-9][A-Za-z0-9./%-]*|\.[0-9]+")
"""Texts that are one word of YAML without quotes."""


def accepts(kind: Type[Any], data: Any) -> bool:
    return bool(Draft202012Validator(kind.schema(Definitions())).is_valid(data))


def takes(kind: Word[Any], text: str) -> bool:
    try:
        kind.parse(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", FORMS)
@given(data=st.data())
def test_whatever_text_a_word_takes_its_schema_accepts_as_text_and_as_what_yaml_makes_of_it(
    name: str, data: st.DataObject
) -> None:
    kind = FORMS[name]
    loose = re.sub(r"\(\?=[^)]*\)", "", kind.pattern)  # without the length that it demands
    like = st.from_regex(loose or "[ -~]{1,9}", fullmatch=True)
    text = data.draw(like | st.text("0123456789./-aAkmsMB%", max_size=12))
    made = as_editors_read(text) if PLAIN.fullmatch(text) else text
    if takes(kind, text) and made is not None:
        assert accepts(kind, text)
        assert accepts(kind, made)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("duration", "200"),
        ("duration", "1.5s"),
        ("size", "5mbit"),
        ("rate", "5MB"),
        ("percentage", "101%"),
        ("address", "10.0.0"),
        ("address", "10.0.0.256"),
        ("prefix", "10.0.0.0"),
        ("prefix", "10.0.0.0/33"),
        ("interface", "10.0.0.1"),
        ("port", "443"),
        ("port", "tcp/0"),
        ("port", "tcp/65536"),
        ("name", "VPC1"),
        ("name", "a" * 33),
        ("domain", "com"),
        ("integer", "67"),
        ("boolean", "yes"),
    ],
)
def test_a_word_of_another_form_is_refused(name: str, text: str) -> None:
    assert not takes(FORMS[name], text)
    assert not accepts(FORMS[name], as_editors_read(text))


@pytest.mark.parametrize("kind", [*FORMS.values(), Choice(("a", "b")), Ref(("vpc",)), ListOf(ASN), MapOf(TEXT, ASN)])
def test_a_variable_may_stand_for_any_word(kind: Type[Any]) -> None:
    assert accepts(kind, {"x": "${var}"} if isinstance(kind, MapOf) else "${var:-default}")


def test_nothing_is_no_word() -> None:
    assert not any(accepts(kind, None) for kind in FORMS.values())


# -- shapes


LAB: dict[str, Any] = {"lab": "x", "resources": {}}
CHECK: dict[str, Any] = {"id": "P1", "from": "a", "do": {"ping": {"to": "b"}}, "expect": "ok"}


def check(**fields: Any) -> dict[str, Any]:
    return {**LAB, "checks": [{**CHECK, **fields}]}


@pytest.mark.parametrize(
    "data",
    [
        check(expect="filtered"),
        check(expect={"ok": {}}),
        check(expect={"too_big": 1300}),
        check(expect={"too_big": {"mtu": "1300", "by": "a"}}),
        check(control="P2"),
        check(control=["P2"]),
        check(do={"tcp": {"to": "b", "port": "80"}}),
        check(see={"on": "a"}),
        {**LAB, "checks": CHECK},
        {**LAB, "version": "1"},
    ],
)
def test_a_short_form_is_accepted(data: Any) -> None:
    assert refused_at(data) == []


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (check(expect="too_big"), "checks[0].expect"),
        (check(expect={"ok": {}, "refused": {}}), "checks[0].expect"),
        (check(do={"telnet": {}}), "checks[0].do"),
        (check(do="ping"), "checks[0].do"),
        (check(do={"tcp": {"to": "b", "port": 65536}}), "checks[0].do.tcp.port"),
        (check(colour="red"), "checks[0]"),
        ({**LAB, "version": 2}, "version"),
        ({"resources": {}}, ""),
    ],
)
def test_another_shape_is_refused(data: Any, where: str) -> None:
    assert any(place.startswith(where) or where.startswith(place) for place in refused_at(data))


def resource(**fields: Any) -> dict[str, Any]:
    return {"lab": "x", "resources": {"a": fields}}


def test_the_kind_says_which_fields_there_are() -> None:
    subnets = {"app": {"zone": "a", "prefix": "10.0.0.0/24"}}
    assert refused_at(resource(kind="vpc", subnets=subnets)) == []
    assert refused_at(resource(kind="site", subnets=subnets)) == ["resources.a", "resources.a"]
    assert refused_at(resource(kind="vpx", subnets=subnets)) == ["resources.a.kind"]
    assert refused_at(resource(subnets=subnets)) == ["resources.a"]


@pytest.mark.parametrize("word", ALIASES)
def test_a_providers_word_has_the_fields_of_its_kind(word: str) -> None:
    assert refused_at(resource(kind=word, colour="red")) == refused_at(resource(kind=ALIASES[word], colour="red")) != []


def test_a_file_that_includes_others_may_leave_to_them_what_a_lab_needs() -> None:
    assert refused_at({"include": "base.yaml", "resources": {"vpc1": {"on": "bb"}}}) == []
    assert refused_at({"include": "base.yaml", "colour": "red"}) == [""]


def every(schema: Any) -> list[Schema]:
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return [*([schema] if isinstance(schema, dict) else []), *(each for one in inner for each in every(one))]


def test_an_editor_can_show_what_every_field_means() -> None:
    records = [each for each in every(VALIDATOR.schema) if each.get("additionalProperties") is False]
    fields = [field for each in records for field in each["properties"].values()]
    assert len(fields) > 200
    assert all(field["description"].strip() for field in fields)
