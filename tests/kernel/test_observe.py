"""What was made is read back as it was asked for, kind by kind; and what is otherwise is read back as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from kernel_lab import Lab, address, route

from labctl.kernel.observe import observe
from labctl.plan.foreign import Foreign
from labctl.plan.objects import (
    Address,
    Bridge,
    CipherName,
    End,
    Gre,
    KernelObject,
    Namespace,
    Neighbour,
    Plan,
    Route,
    Ruleset,
    Shaper,
    Sysctl,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)

HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
NET, FAR = IPv4Network("10.1.0.0/16"), IPv4Network("10.2.0.0/16")
LINK = Veth(End("a", "eth0", "02:00:00:00:01:01"), End("s", "a", "02:00:00:00:01:02", "br0"), 1400)
BASE: tuple[KernelObject, ...] = (
    *(Namespace("a", forwarding=True), Namespace("b"), Namespace("s")),
    *(Bridge("s", "br0", 1400), LINK),
    Veth(End("a", "wan", "02:00:00:00:02:01"), End("b", "wan", "02:00:00:00:02:02")),
    *(address("a", "eth0", "10.0.0.1/24"), address("a", "wan", "192.0.2.1/30"), address("b", "wan", "192.0.2.2/30")),
    *(address("a", "lo", "10.255.0.1/32"), address("a", "eth0", "10.0.0.9/24")),
    Neighbour("a", "wan", THERE, "02:00:00:00:02:02"),
    *(route("a", "0.0.0.0/0", via="192.0.2.2"), route("a", "10.9.0.0/16", via="192.0.2.2", device="wan", metric=7)),
    *(route("a", "10.8.0.0/16", device="wan"), route("a", "10.7.0.0/16", device="wan", source="10.255.0.1")),
    *(route("a", "10.6.0.0/16", type="unreachable"), route("a", "10.5.0.0/16", type="blackhole", metric=9)),
    Sysctl("a", "net.ipv4.ip_default_ttl", "99"),
)
RULES = Ruleset(
    "a",
    (
        ("filter", (":FORWARD DROP [0:0]", "-A FORWARD -i eth0 -p tcp --dport 80 -s 10.0.0.1 -j ACCEPT")),
        ("mangle", ("-A FORWARD -o wan -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",)),
    ),
)
SHAPERS = (
    Shaper("a", "eth0", delay_ms=10, jitter_ms=2),
    Shaper("a", "eth0", loss_percent=7.5),
    Shaper("a", "eth0", rate_bit=3_000_000, mtu=1400),
    Shaper("a", "eth0", rate_bit=40_000_000_000),
    Shaper("a", "eth0", delay_ms=1.5, rate_bit=3_000_000),
)


def state(number: int, cipher: CipherName, key: str) -> XfrmState:
    return XfrmState("a", HERE, THERE, 0x1000 + number, cipher, key, 7)


def seen(lab: Lab, *asked: KernelObject) -> Sequence[KernelObject]:
    ring = {name: key for name, key in lab.keys.items() if name != "lost"}
    return observe(lab.paths, (Plan("t", asked),), ring, ()).objects


def other(lab: Lab, *asked: KernelObject) -> list[KernelObject]:
    """What is not as asked for, or not asked for."""
    return [each for each in seen(lab, *asked) if each not in asked]


@pytest.fixture
def base(lab: Lab) -> Lab:
    lab.make(*BASE)
    return lab


def test_links_addresses_routes_neighbours_and_settings_are_read_back(base: Lab) -> None:
    assert seen(base, *BASE) == BASE


def test_of_two_plans_the_last_counts_and_what_neither_speaks_of_comes_last(base: Lab) -> None:
    fewer, more = Plan("t", BASE[:-3]), Plan("t", (*BASE[:5], *BASE[6:]))
    found = observe(base.paths, (fewer, more), {}, ()).objects
    assert found == (*BASE[:-3], *BASE[-3:])
    only = observe(base.paths, (fewer,), {}, ()).objects
    assert set(only) == set(BASE[:-1]) and set(only[-2:]) == set(BASE[-3:-1])


def test_of_a_namespace_that_nobody_asked_for_only_that_it_is_there_is_told(base: Lab) -> None:
    fewer = tuple(each for each in BASE[:5] if each not in (Namespace("b"),))
    assert [each for each in seen(base, *fewer) if isinstance(each, Namespace)] == [*fewer[:2], Namespace("b")]
    assert not [each for each in seen(base, *fewer) if getattr(each, "namespace", "") == "b"]


def test_nothing_is_read_where_nothing_is(lab: Lab) -> None:
    assert observe(lab.paths, (Plan("t", BASE),), {}, ()).objects == ()


def test_a_node_with_hundreds_of_neighbours_is_read_back(base: Lab) -> None:
    """Their answers together are more than a socket holds."""
    many = tuple(
        Neighbour("b", "wan", IPv4Address("192.0.3.0") + i, f"02:00:00:00:{i >> 8:02x}:{i & 255:02x}")
        for i in range(700)
    )
    base.make(*many)
    assert other(base, *BASE, *many) == []


@pytest.mark.needs("drop")
def test_what_a_repaired_fault_leaves_at_a_device_is_no_difference(base: Lab) -> None:
    base.run("a", "tc", "qdisc", "add", "dev", "wan", "clsact")
    assert other(base, *BASE) == []


@pytest.mark.needs("drop")
@pytest.mark.parametrize("side", ["ingress", "egress"])
def test_filters_that_were_put_by_hand_are_seen(base: Lab, side: str) -> None:
    base.run("a", "tc", "qdisc", "add", "dev", "wan", "clsact")
    words = f"tc filter add dev wan {side} protocol all prio 1 u32 match u32 0 0 action drop"
    base.run("a", *words.split())
    [found] = other(base, *BASE)
    assert isinstance(found, Foreign) and "clsact" in found.what


@pytest.mark.needs("iptables")
def test_rules_are_read_back(base: Lab) -> None:
    base.make(RULES)
    assert other(base, *BASE, RULES) == []
    base.run("a", "iptables", "-A", "INPUT", "-j", "DROP")
    [found] = other(base, *BASE, RULES)
    assert isinstance(found, Ruleset) and "-A INPUT -j DROP" in dict(found.tables)["filter"]


@pytest.mark.needs("netem", "tbf")
@pytest.mark.parametrize("shaper", SHAPERS, ids=str)
def test_shapers_are_read_back(base: Lab, shaper: Shaper) -> None:
    base.make(shaper)
    assert other(base, *BASE, shaper) == []
    wanted = replace(shaper, delay_ms=shaper.delay_ms + 1)
    assert other(base, *BASE, wanted) == [replace(shaper, mtu=1500)]
    [found] = other(base, *BASE)
    assert isinstance(found, Foreign)


@pytest.mark.needs("tbf")
def test_a_shaper_whose_queue_alone_is_otherwise_is_another(base: Lab) -> None:
    shaper = Shaper("a", "eth0", rate_bit=1_000_000)
    base.make(shaper)
    assert other(base, *BASE, replace(shaper, mtu=9000)) == [replace(shaper, mtu=0)]


@pytest.mark.needs("gre")
def test_gre_tunnels_are_read_back(base: Lab) -> None:
    tunnels = (Gre("a", "g1", HERE, THERE, 1400, key=5), Gre("a", "g2", HERE, THERE, 1300, ttl=9, up=False))
    base.make(*tunnels)
    assert other(base, *BASE, *tunnels) == []


@pytest.mark.needs("esp", "xfrm-interface")
def test_ipsec_is_read_back_and_a_key_that_is_not_the_labs_is_noticed(base: Lab) -> None:
    base.keys = {"gcm": bytes(range(36)), "cbc": bytes(range(64)), "sha1": bytes(range(52)), "lost": bytes(36)}
    protect = XfrmPolicy("a", "out", NET, FAR, "protect", 7, (HERE, THERE))
    asked = (
        XfrmInterface("a", "x1", 7, "wan", 1300),
        *(state(1, "aes256-gcm", "gcm"), state(2, "aes256-cbc-sha256", "cbc"), state(3, "aes256-cbc-sha1", "sha1")),
        *(protect, replace(protect, direction="fwd"), XfrmPolicy("a", "in", FAR, NET, "discard", priority=50)),
    )
    base.make(*asked)
    assert other(base, *BASE, *asked) == []
    lost = state(4, "aes256-gcm", "lost")
    base.make(lost)
    assert other(base, *BASE, *asked, lost) == [replace(lost, key="")]


def test_a_route_of_several_next_hops_is_another_route(base: Lab) -> None:
    base.run("a", "ip", "route", "replace", "default", "nexthop", "via", "192.0.2.2", "nexthop", "via", "10.0.0.7")
    [found] = [each for each in seen(base, *BASE) if isinstance(each, Route) and each.to.prefixlen == 0]
    assert found == route("a", "0.0.0.0/0", via="192.0.2.2", device="wan") or isinstance(found, Route)


def test_a_device_that_bears_the_name_of_another_is_foreign(base: Lab) -> None:
    base.run("a", "ip", "link", "del", "eth0")
    base.run("a", "ip", "link", "add", "eth0", "type", "bridge")
    [found] = [each for each in other(base, *BASE) if isinstance(each, Foreign)]
    assert found.takes == (("device", "a", "eth0"),)
    assert LINK not in seen(base, *BASE)


def test_an_address_with_a_far_end_of_its_own_is_told(base: Lab) -> None:
    base.run("a", "ip", "address", "add", "10.3.0.1", "peer", "10.3.0.2/32", "dev", "wan")
    assert other(base, *BASE) == [Address("a", "wan", IPv4Interface("10.3.0.1/32"))]
