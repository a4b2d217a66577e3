from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from labctl.description.record import OneOf, RecordOf, fields, option
from labctl.description.sources import read_tree
from labctl.description.types import Incomplete, ListOf, MapOf, Reading, Refused, Type
from labctl.description.words import NAME, TEXT, integer

HERE = ("k",)


def read(kind: Type[Any], text: str) -> tuple[Any, list[str]]:
    """The value of `text` under the key `k`, and the faults told on the way."""
    tree = read_tree(f"k: {text}".encode(), "x.yaml")
    reading = Reading(tree)
    try:
        return kind.read(tree.root.entries["k"], HERE, reading), [str(fault) for fault in reading.faults]
    except Incomplete:
        return None, [str(fault) for fault in reading.faults]
    except Refused as refusal:
        reading.fault(refusal.path or HERE, refusal.rule, refusal.hint)
        return None, [str(fault) for fault in reading.faults]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    port: int = option(integer(1, 9), "a port")
    name: str = option(TEXT, "a name", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    from_: str = option(TEXT, "where from")
    many: tuple[Inside, ...] = option(ListOf(RecordOf(Inside)), "several", ())
    table: dict[str, str] = option(MapOf(NAME, TEXT), "a table", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    name: str = option(TEXT, "a name", "none")


def test_a_record_is_read_with_its_defaults() -> None:
    value, faults = read(RecordOf(Outside), "{from: a, many: [{port: 1}]}")
    assert (value, faults) == (Outside(from_="a", many=(Inside(port=1, name="none"),), table={}), [])


def test_two_records_do_not_share_a_default_table() -> None:
    one, _ = read(RecordOf(Outside), "{from: a}")
    two, _ = read(RecordOf(Outside), "{from: a}")
    assert one.table is not two.table


def test_every_fault_of_a_record_is_told() -> None:
    value, faults = read(RecordOf(Outside), "{form: a, many: [{port: 0}, {prot: 1}], table: {A: b}}")
    assert value is None
    assert [fault.split(": ", 1)[1] for fault in faults] == [
        "k.form: unknown field (did you mean `from`?)",
        "k.many[0].port `0`: expected a whole number from 1 to 9 (the nearest is 1)",
        "k.many[1].prot: unknown field (did you mean `port`?)",
        "k.table.A `A`: expected a name of small letters, digits and single hyphens "
        "(did you mean `a`? Names become those of files and devices)",
    ]


def test_a_reserved_word_is_written_without_its_underscore() -> None:
    assert RecordOf(Outside).keys() == ["from", "many", "table"]
    assert read(RecordOf(Outside), "{from_: a}")[0] is None


def test_a_key_that_is_read_elsewhere_may_stand_there() -> None:
    assert read(RecordOf(Bare, also=("kind",)), "{kind: x}") == (Bare(), [])


def test_a_lenient_record_keeps_what_could_be_read() -> None:
    value, faults = read(RecordOf(Outside, lenient=True), "{from: a, many: [{port: 0}, {port: 2}], x: 1}")
    assert value == Outside(from_="a", many=(Inside(port=2),))
    assert len(faults) == 2


def test_a_lenient_record_without_what_it_needs_has_no_value() -> None:
    value, faults = read(RecordOf(Outside, lenient=True), "{table: {}}")
    assert (value, len(faults)) == (None, 1)


def test_a_record_is_no_list() -> None:
    assert read(RecordOf(Bare), "[a]") == (None, ["x.yaml:1:1: k: expected a mapping with name"])


EITHER: OneOf[Any] = OneOf({"inside": Inside, "bare": Bare}, short={"inside": "port"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{inside: {port: 3}}", Inside(port=3)),
        ("{inside: 3}", Inside(port=3)),
        ("bare", Bare()),
        ("{bare: {name: x}}", Bare(name="x")),
        ("{bare: {}}", Bare()),
    ],
)
def test_one_of_several_records_is_read_in_all_its_forms(text: str, value: object) -> None:
    assert read(EITHER, text) == (value, [])


@pytest.mark.parametrize(
    "text", ["inside", "{inside: 0}", "{insid: 3}", "{inside: 3, bare: {}}", "{}", "[inside]", "''", "", "{bare: x}"]
)
def test_anything_else_is_a_fault(text: str) -> None:
    value, faults = read(EITHER, text)
    assert value is None
    assert len(faults) == 1


def test_a_field_of_another_providers_name_is_told_its_name_here() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Net:
        prefix: str = option(TEXT, "a prefix")

    [unknown] = read(RecordOf(Net), "{cidr: a}")[1]
    assert "here it is called `prefix`" in unknown


def test_a_word_that_may_stand_alone_is_told_to_where_its_mapping_is_empty() -> None:
    [fault] = read(OneOf({"bare": Bare, "inside": Inside}), "{bare}")[1]
    assert "has no value" in fault
    assert "the word may stand alone: bare" in fault


def test_a_field_tells_its_default_and_whether_it_must_be_given() -> None:
    told = {each.key: (each.must, each.default) for each in fields(Outside)}
    assert told == {"from": (True, ""), "many": (False, ""), "table": (False, "")}
    assert [each.default for each in fields(Inside)] == ["", "none"]
