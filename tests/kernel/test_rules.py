"""Packets take the table that is chosen for them, by where they come from and by the device that they come in by."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from kernel_lab import Lab, address, route

from labctl.kernel.observe import observe
from labctl.plan.objects import Change, Create, Foreign, KernelObject, Namespace, Plan, Route, RouteRule

BIG = 4000
"""A table whose number has no room in the head of a message."""


def table(item: Route, number: int) -> Route:
    return Route(item.namespace, item.to, item.via, item.device, item.type, item.metric, item.source, number)


@pytest.fixture
def forked(lab: Lab) -> Lab:
    """`a` and `b`, behind one router `r`, which reaches 192.0.2.1 by `left` and by `right`: both hold it."""
    lab.nodes("a", "b", "left", "right")
    lab.nodes("r", forwarding=True)
    for number, (node, device) in enumerate((("a", "to-a"), ("b", "to-b"), ("left", "to-l"), ("right", "to-r"))):
        lab.wire(node, "eth0", f"10.0.{number}.2/24", "r", device, f"10.0.{number}.1/24")
        lab.route(node, "0.0.0.0/0", via=f"10.0.{number}.1")
    lab.make(address("left", "lo", "192.0.2.1/32"), address("right", "lo", "192.0.2.1/32"))
    lab.route("r", "192.0.2.1/32", via="10.0.2.2")
    return lab


def way(lab: Lab, node: str) -> str:
    """By which of the two a packet of `node` to 192.0.2.1 goes."""
    taps = {side: lab.tap(side, "eth0") for side in ("left", "right")}
    assert lab.ping(node, "192.0.2.1", count=1) == 1
    seen = [side for side, tap in taps.items() if tap.protocols()]
    for tap in taps.values():
        tap.close()
    [one] = seen
    return one


def asked(lab: Lab) -> Plan:
    """All that was made by labctl."""
    return Plan("t", tuple(step.new for step in lab.told if isinstance(step, Create)))


def other(lab: Lab) -> list[KernelObject]:
    """What is not as labctl made it, or was not made by it."""
    return [each for each in observe(lab.paths, (asked(lab),), {}, ()).objects if each not in asked(lab).objects]


@pytest.mark.parametrize("number", [7, BIG])
def test_what_comes_from_a_network_takes_its_own_table_and_the_rest_the_main_one(forked: Lab, number: int) -> None:
    assert (way(forked, "a"), way(forked, "b")) == ("left", "left")
    other = table(route("r", "192.0.2.1/32", via="10.0.3.2"), number)
    rule = RouteRule("r", 1000, number, IPv4Network("10.0.1.0/24"))
    forked.make(other, rule)
    assert (way(forked, "a"), way(forked, "b")) == ("left", "right")
    forked.unmake(rule, other)
    assert (way(forked, "a"), way(forked, "b")) == ("left", "left")
    assert forked.run("r", "ip", "route", "show", "table", str(number), check=False).strip() in (
        "",
        "Error: ipv4: FIB table does not exist.\nDump terminated",
    )


def test_what_comes_in_by_a_device_takes_its_own_table(forked: Lab) -> None:
    other = table(route("r", "192.0.2.1/32", via="10.0.3.2"), 7)
    forked.make(other, RouteRule("r", 1000, 7, device="to-a"), RouteRule("r", 1001, 7, device="nowhere"))
    assert (way(forked, "a"), way(forked, "b")) == ("right", "left")


def test_a_table_that_says_nothing_leaves_it_to_the_main_one_and_one_that_refuses_does_not(forked: Lab) -> None:
    refused = table(route("r", "192.0.2.0/24", type="unreachable"), 8)
    forked.make(RouteRule("r", 1000, 8, IPv4Network("10.0.0.0/24")))
    assert way(forked, "a") == "left"
    forked.make(refused)
    assert forked.ping("a", "192.0.2.1", count=1) == 0
    assert way(forked, "b") == "left"


def test_of_two_rules_the_first_counts(forked: Lab) -> None:
    other = table(route("r", "192.0.2.1/32", via="10.0.3.2"), 7)
    same = table(route("r", "192.0.2.1/32", via="10.0.2.2"), 8)
    everything = IPv4Network("10.0.0.0/16")
    forked.make(other, same, RouteRule("r", 1001, 7, everything), RouteRule("r", 1000, 8, everything))
    assert way(forked, "a") == "left"
    forked.unmake(RouteRule("r", 1000, 8, everything))
    assert way(forked, "a") == "right"


def test_a_route_of_a_table_changes_in_place_and_leaves_that_of_the_main_table_alone(forked: Lab) -> None:
    old, new = (table(route("r", "192.0.2.1/32", via=f"10.0.{net}.2"), 7) for net in (2, 3))
    forked.make(old)
    forked.steps(Change(old, new))
    assert forked.run("r", "ip", "route", "show", "table", "7").split()[:3] == ["192.0.2.1", "via", "10.0.3.2"]
    assert "192.0.2.1 via 10.0.2.2" in forked.run("r", "ip", "route", "show", "proto", "static")


def test_rules_and_routes_of_other_tables_are_read_back(forked: Lab) -> None:
    forked.make(
        *(table(route("r", "192.0.2.1/32", via="10.0.3.2"), number) for number in (7, BIG)),
        table(route("r", "0.0.0.0/0", type="unreachable", metric=9), 7),
        RouteRule("r", 1000, 7, IPv4Network("10.0.1.0/24"), "to-b"),
        RouteRule("r", 1001, BIG, device="nowhere"),
        RouteRule("r", 1002, 7),
    )
    assert set(observe(forked.paths, (asked(forked),), {}, ()).objects) == set(asked(forked).objects)


def test_rules_and_routes_of_other_tables_that_were_made_by_hand_are_told_and_can_be_taken_away(forked: Lab) -> None:
    before = forked.run("r", "ip", "rule", "show") + forked.run("r", "ip", "-4", "route", "show", "table", "all")
    for line in (
        "rule add from 10.0.1.0/24 lookup 7 priority 1000",
        "rule add iif to-a lookup 7 priority 1001",
        "rule add to 192.0.2.0/24 lookup 7 priority 1002",
        "rule add fwmark 5 lookup 7 priority 1003",
        "rule add from 10.0.9.0/24 prohibit priority 1004",
        "route add 192.0.2.1 via 10.0.3.2 table 7",
        "route add local 203.0.113.0/24 dev lo",
        "route add prohibit default table 9000",
    ):
        forked.run("r", "ip", *line.split())
    found = other(forked)
    assert {type(each) for each in found} == {Route, RouteRule, Foreign}
    assert len(found) == 8
    assert {each.priority for each in found if isinstance(each, RouteRule)} == {1000, 1001}
    forked.unmake(*found)
    assert other(forked) == []
    after = forked.run("r", "ip", "rule", "show") + forked.run("r", "ip", "-4", "route", "show", "table", "all")
    assert after == before


def test_rules_of_the_kernels_own_that_were_taken_away_are_missed_and_given_back(forked: Lab) -> None:
    usual = forked.run("r", "ip", "-d", "rule", "show")
    for line in ("rule del priority 0", "rule del priority 32766"):
        forked.run("r", "ip", *line.split())
    [found] = other(forked)
    assert isinstance(found, Namespace)
    assert found.altered == ("it lacks routing rule 0 to table 255", "it lacks routing rule 32766 to table 254")
    forked.steps(Change(found, Namespace("r", True)))
    assert forked.run("r", "ip", "-d", "rule", "show") == usual


def test_rules_are_as_iproute2_makes_them(forked: Lab) -> None:
    forked.make(RouteRule("r", 1000, 7, IPv4Network("10.0.1.0/24"), "to-b"), RouteRule("r", 1001, BIG))
    ours = forked.json("r", "ip", "-d", "rule", "show")
    forked.unmake(RouteRule("r", 1000, 7, IPv4Network("10.0.1.0/24"), "to-b"), RouteRule("r", 1001, BIG))
    for words in ("from 10.0.1.0/24 iif to-b lookup 7 priority 1000", f"lookup {BIG} priority 1001"):
        forked.run("r", "ip", "rule", "add", *words.split(), "protocol", "static")
    assert forked.json("r", "ip", "-d", "rule", "show") == ours
