"""Between two nodes lie those on the shortest ways, by links alone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from labctl.plan.between import between
from labctl.plan.objects import Address, End, Namespace, Plan, Veth

LINKS = ("a-left", "a-right", "left-z", "right-z", "a-far", "far-farther", "farther-z", "z-behind", "b-c")
HELD = IPv4Address("10.0.0.1")


def plan(*holders: str) -> Plan:
    ends = [link.split("-") for link in LINKS]
    nodes = [Namespace(name) for name in sorted({name for pair in ends for name in pair})]
    links = [Veth(End(a, f"to-{b}", ""), End(b, f"to-{a}", "")) for a, b in ends]
    return Plan("t", (*nodes, *links, *(Address(name, "lo", IPv4Interface(f"{HELD}/32")) for name in holders)))


def test_all_shortest_ways_count_and_no_longer_one() -> None:
    assert between(plan("z"), "a", HELD) == ("a", "left", "right", "z")


def test_every_holder_of_the_address_counts() -> None:
    assert between(plan("left", "behind"), "a", HELD) == ("a", "left", "right", "z", "behind")


def test_what_cannot_be_reached_or_is_held_by_nobody_has_no_way() -> None:
    assert between(plan("c"), "a", HELD) == ()
    assert between(plan(), "a", HELD) == ()


def test_a_node_may_ask_itself() -> None:
    assert between(plan("a"), "a", HELD) == ("a",)
