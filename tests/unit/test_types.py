from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from labctl.description.faults import Mark, did_you_mean, nearest, written
from labctl.description.sources import read_tree
from labctl.description.tree import Mapping
from labctl.description.types import Choice, ListOf, MapOf, Raw, Reading, Ref, Refused, Type, shown
from labctl.description.units import DURATION, PERCENT, RATE, SIZE
from labctl.description.words import (
    ADDRESS,
    ASN,
    BOOLEAN,
    DOMAIN,
    IDENTIFIER,
    INTERFACE,
    NAME,
    PORT,
    PREFIX,
    TEXT,
    Servers,
    integer,
)

HERE = ("k",)


def read(kind: Type[Any], text: str) -> tuple[Any, list[str]]:
    """The value of `text` under the key `k`, and the faults told on the way."""
    tree = read_tree(f"k: {text}".encode(), "x.yaml")
    reading = Reading(tree)
    try:
        value = kind.read(tree.root.entries["k"], HERE, reading)
    except Refused as refusal:
        reading.fault(refusal.path or HERE, refusal.rule, refusal.hint)
        value = None
    return value, [str(fault).removeprefix("x.yaml:1:1: ") for fault in reading.faults]


GOOD: list[tuple[Type[Any], str, object]] = [
    (NAME, "a", "a"),
    (NAME, "vpc-1-app", "vpc-1-app"),
    (NAME, "a" * 32, "a" * 32),
    (IDENTIFIER, "P1-second", "P1-second"),
    (TEXT, "1.5", "1.5"),
    (BOOLEAN, "true", True),
    (BOOLEAN, "false", False),
    (ADDRESS, "10.0.0.1", IPv4Address("10.0.0.1")),
    (PREFIX, "10.0.0.0/8", IPv4Network("10.0.0.0/8")),
    (PREFIX, "10.0.0.1/32", IPv4Network("10.0.0.1/32")),
    (INTERFACE, "10.0.0.1/8", IPv4Interface("10.0.0.1/8")),
    (DURATION, "200ms", 200),
    (DURATION, "2s", 2000),
    (DURATION, "1min", 60_000),
    (DURATION, "1h", 3_600_000),
    (DURATION, "0s", 0),
    (SIZE, "64B", 64),
    (SIZE, "1MB", 1_000_000),
    (SIZE, "1MiB", 1 << 20),
    (SIZE, "2KiB", 2048),
    (PORT, "tcp/443", ("tcp", 443)),
    (PORT, "udp/65535", ("udp", 65535)),
    (PORT, "http/80", ("http", 80)),
    (Servers(), "[tcp/80, udp/80, http/8080]", (("tcp", 80), ("udp", 80), ("http", 8080))),
    (Servers(), "http/80", (("http", 80),)),
    (DOMAIN, "kms-a.private.example.com", "kms-a.private.example.com"),
    (ASN, "64496", 64496),
    (ASN, "4294967295", 4294967295),
    (integer(-1, 3), "-1", -1),
    (integer(0, 3), "3", 3),
    (Choice(("a", "b")), "b", "b"),
    (ListOf(TEXT), "[a, b]", ("a", "b")),
    (ListOf(TEXT), "a", ("a",)),
    (ListOf(TEXT), "[]", ()),
    (MapOf(NAME, ADDRESS), "{pc: 10.0.0.1}", {"pc": IPv4Address("10.0.0.1")}),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD, ids=lambda each: each if isinstance(each, str) else "")
def test_a_good_word_is_read(kind: Type[Any], text: str, value: object) -> None:
    assert read(kind, text) == (value, [])


BAD: list[tuple[Type[Any], str]] = [
    *((NAME, text) for text in ("A", "1a", "a_b", "a--b", "-a", "a-", "a.b", "../a", "a b", "$a", "a" * 33, "é", "''")),
    *((IDENTIFIER, text) for text in ("1P", "P_1", "P 1", "P-", "P" * 33)),
    *((BOOLEAN, text) for text in ("yes", "True", "1", "on")),
    *(
        (ADDRESS, text)
        for text in ("10.0.0", "10.0.0.256", "10.0.0.01", "10.0.0.1/8", "a", "::1", "'10.0.0.1 '", "0x0a.0.0.1")
    ),
    *(
        (PREFIX, text)
        for text in ("10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "/8", "'::/0'", "a/8")
    ),
    *((INTERFACE, text) for text in ("10.0.0.1", "10.0.0.1/33", "'::1/64'")),
    *((DURATION, text) for text in ("200", "1.5s", "-1s", "1 s", "1S", "ms", "1sec", "9999999999999s", "²s")),
    *((SIZE, text) for text in ("64", "1mb", "1GB", "5mbit")),
    *((PORT, text) for text in ("443", "tcp/0", "tcp/65536", "icmp/1", "tcp/", "TCP/80", "tcp/443/x", "tcp/²")),
    *(
        (DOMAIN, text)
        for text in ("com", "A.com", "a..b", "-a.b", "a.b.", "a_b.c", f"{'a' * 64}.b", ".".join(["a"] * 128))
    ),
    *((ASN, text) for text in ("0", "23456", "4294967296", "-1", "65536.1")),
    *((integer(0, 3), text) for text in ("4", "-1", "1.0", "x", "1e0", "٣", "9" * 13, "")),
    (Choice(("a", "b")), "c"),
    (ListOf(TEXT, least=1), "[]"),
    (Servers(least=1), "[]"),
    (Servers(), "[tcp/80, http/80]"),
    (Servers(), "[udp/53, tcp/53, udp/53]"),
    (TEXT, "[a]"),
    (TEXT, "{a: b}"),
    (MapOf(NAME, TEXT), "[a]"),
    (MapOf(NAME, TEXT), "a"),
]


@pytest.mark.parametrize(("kind", "text"), BAD, ids=lambda each: each if isinstance(each, str) else "")
def test_a_bad_word_is_one_fault(kind: Type[Any], text: str) -> None:
    value, faults = read(kind, text)
    assert value is None
    assert len(faults) == 1


def test_every_bad_item_of_a_list_is_told_with_its_index() -> None:
    _, faults = read(ListOf(PORT), "[tcp/1, x, udp/2, y]")
    assert [fault.split(": ")[1].split(" ")[0] for fault in faults] == ["k[1]", "k[3]"]


def test_a_bad_key_of_a_map_is_shown_and_the_others_are_kept() -> None:
    value, faults = read(MapOf(NAME, ADDRESS), "{pc: 10.0.0.1, P C: 10.0.0.2, web: x}")
    assert value == {"pc": IPv4Address("10.0.0.1")}
    assert [fault.split(": ")[1] for fault in faults] == ["k.P C `P C`", "k.web `x`"]


def test_a_reference_is_remembered_with_what_it_accepts() -> None:
    tree = read_tree(b"k: vpc1", "x")
    reading = Reading(tree)
    assert Ref(("vpc",), {"site": "why"}).read(tree.root.entries["k"], HERE, reading) == "vpc1"
    [reference] = reading.references
    assert (reference.path, reference.name, reference.accepts) == (HERE, "vpc1", ("vpc",))
    assert reference.why_not == {"site": "why"}


def test_raw_keeps_what_was_written() -> None:
    value, faults = read(Raw(), "{a: [1]}")
    assert isinstance(value, Mapping)
    assert faults == []


def test_a_hint_names_the_nearest_word() -> None:
    assert did_you_mean("instanc", ["instance", "internet"]) == "did you mean `instance`?"
    assert did_you_mean("zzz", ["a", "b"]) == "one of a, b"
    assert did_you_mean("zzz", [str(i) for i in range(17)]) == did_you_mean("zzz", []) == nearest("zzz", ["a"]) == ""


def test_a_key_path_is_written_as_people_do() -> None:
    assert written(("checks", 0, "see", 1, "on")) == "checks[0].see[1].on"
    assert written(()) == ""


def test_a_fault_shows_what_stands_there_unless_told_otherwise() -> None:
    reading = Reading(read_tree(b"k: 5", "x.yaml"))
    reading.fault(HERE, "is wrong")
    reading.fault(HERE, "is wrong", value="")
    assert [fault.value for fault in reading.faults] == ["5", ""]
    assert [fault.mark for fault in reading.faults] == [Mark(1, 4), Mark(1, 1)]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (DURATION, 0, "0ms"),
        (DURATION, 200, "200ms"),
        (DURATION, 1500, "1500ms"),
        (DURATION, 2000, "2s"),
        (DURATION, 90_000, "90s"),
        (DURATION, 7_200_000, "2h"),
        (SIZE, 64, "64B"),
        (SIZE, 1024, "1KiB"),
        (SIZE, 3_000_000, "3MB"),
        (RATE, 10_000_000, "10mbit"),
        (PERCENT, 10, "10%"),
        (BOOLEAN, True, "true"),
        (PORT, ("tcp", 443), "tcp/443"),
        (ADDRESS, IPv4Address("10.0.0.1"), "10.0.0.1"),
        (Choice(("a", "b")), "a", "a"),
        (ListOf(PORT), (("tcp", 1), ("udp", 2)), "[tcp/1, udp/2]"),
        (ListOf(PORT), (), ""),
        (integer(1, 65535), 0, ""),
        (integer(0, 65535), 0, "0"),
        (TEXT, None, ""),
        (MapOf(TEXT, TEXT), {}, ""),
    ],
)
def test_a_value_is_written_as_people_write_it(kind: Type[Any], value: object, text: str) -> None:
    assert shown(kind, value) == text
    assert not text or read(kind, text)[0] == value
