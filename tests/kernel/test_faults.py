"""Faults: what the neighbours notice is what the fault's name says, and repair leaves no trace of it."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from kernel_lab import Lab, address, route

from labctl.errors import KernelError, StateError
from labctl.kernel.faults import inject, repair
from labctl.plan.faults import Blackhole, LinkDown, Port
from labctl.plan.objects import Bridge, Gre

EVERYTHING = Blackhole((Port("right", "eth0"),))
DOWN = LinkDown((Port("right", "eth0"),))


def test_a_link_down_takes_the_carrier_of_both_ends(pair: Lab) -> None:
    inject(pair.paths, DOWN)
    assert "NO-CARRIER" in pair.device("left", "eth0")["flags"]
    assert "UP" not in pair.device("right", "eth0")["flags"]
    repair(pair.paths, DOWN)
    assert pair.device("left", "eth0")["operstate"] == "UP"
    assert pair.ping("left", "10.0.0.2") == 3


def test_a_ports_fall_leaves_the_routes_of_the_far_end(lab: Lab) -> None:
    lab.nodes("a", "sw")
    lab.make(
        Bridge("sw", "br0"), lab.veth("a", "eth0", "sw", "p1", b_master="br0"), address("a", "eth0", "10.0.0.1/24")
    )
    lab.route("a", "0.0.0.0/0", via="10.0.0.2")
    before = lab.run("a", "ip", "route")
    fault = LinkDown((Port("sw", "p1"),))
    inject(lab.paths, fault)
    assert "linkdown" in lab.run("a", "ip", "route")
    repair(lab.paths, fault)
    assert lab.run("a", "ip", "route") == before


def test_repair_restores_the_routes_that_the_kernel_flushed(pair: Lab) -> None:
    pair.make(
        address("right", "eth0", "10.0.0.9/32"),
        # The order matters: the second gateway is reached by the first route.
        route("right", "203.0.113.0/24", device="eth0", source="10.0.0.9", metric=7),
        route("right", "192.0.2.0/24", via="203.0.113.1", device="eth0"),
        route("right", "0.0.0.0/0", via="10.0.0.1"),
        route("right", "198.51.100.0/24", type="unreachable"),
    )
    before = sorted(pair.run("right", "ip", "route").splitlines())
    inject(pair.paths, DOWN)
    assert pair.run("right", "ip", "route").split() == ["unreachable", "198.51.100.0/24", "proto", "static"]
    repair(pair.paths, DOWN)
    assert sorted(pair.run("right", "ip", "route").splitlines()) == before


def test_a_second_injection_does_not_forget_the_routes(pair: Lab) -> None:
    pair.make(route("right", "0.0.0.0/0", via="10.0.0.1"))
    before = pair.run("right", "ip", "route")
    inject(pair.paths, DOWN)
    inject(pair.paths, DOWN)
    repair(pair.paths, DOWN)
    repair(pair.paths, DOWN)
    assert pair.run("right", "ip", "route") == before


def test_routes_are_restored_although_their_carrier_was_lost_before(pair: Lab) -> None:
    pair.make(route("right", "0.0.0.0/0", via="10.0.0.1"))
    before = pair.run("right", "ip", "route")
    far = LinkDown((Port("left", "eth0"),))
    inject(pair.paths, far)
    deadline = time.monotonic() + 5
    while "linkdown" not in pair.run("right", "ip", "route"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    inject(pair.paths, DOWN)
    for fault in (far, DOWN):
        repair(pair.paths, fault)
    assert pair.run("right", "ip", "route") == before


def test_repair_leaves_no_file_behind(pair: Lab) -> None:
    before = sorted(pair.paths.root.iterdir())
    inject(pair.paths, DOWN)
    repair(pair.paths, DOWN)
    assert sorted(pair.paths.root.iterdir()) == before


@pytest.mark.needs("drop")
def test_a_blackhole_loses_what_arrives_while_the_carrier_stays(pair: Lab) -> None:
    assert pair.ping("left", "10.0.0.2") == 3
    tap = pair.tap("right", "eth0")
    inject(pair.paths, EVERYTHING)
    assert pair.ping("left", "10.0.0.2") == 0
    assert pair.device("left", "eth0")["operstate"] == "UP"
    assert len(tap.packets()) == 3, "a capture sees what is lost, and no answer to it"
    repair(pair.paths, EVERYTHING)
    assert pair.ping("left", "10.0.0.2") == 3
    tap.close()


@pytest.mark.needs("drop")
def test_a_blackhole_of_everything_loses_arp_too(pair: Lab) -> None:
    inject(pair.paths, EVERYTHING)
    pair.ping("left", "10.0.0.2", count=1)
    assert pair.json("left", "ip", "neigh")[0]["state"] != ["REACHABLE"]


@pytest.mark.needs("drop")
def test_what_leaves_the_port_still_goes(pair: Lab) -> None:
    tap = pair.tap("left", "eth0")
    pair.ping("right", "10.0.0.1", count=1)
    inject(pair.paths, EVERYTHING)
    tap.packets()
    assert pair.ping("right", "10.0.0.1", count=1) == 0
    assert len(tap.packets()) == 2, "the request arrived and was answered"
    tap.close()


@pytest.mark.needs("drop")
def test_a_blackhole_of_one_protocol_spares_the_others(pair: Lab) -> None:
    fault = replace(EVERYTHING, proto="icmp")
    inject(pair.paths, fault)
    assert pair.ping("left", "10.0.0.2") == 0
    pair.run("left", "bash", "-c", "echo x > /dev/udp/10.0.0.2/9; sleep 0.1")
    received = pair.run("right", "awk", '/^Udp:/ {print $2 " " $3}', "/proc/net/snmp").splitlines()[-1]
    assert received.split()[1] == "1", "NoPorts counts the datagram"
    repair(pair.paths, fault)
    assert pair.ping("left", "10.0.0.2") == 3


@pytest.mark.needs("drop")
@pytest.mark.parametrize(("proto", "number"), [("esp", 50), ("gre", 47), ("icmp", 1), ("udp", 17), ("tcp", 6)])
def test_the_filter_of_a_protocol_matches_its_number(pair: Lab, proto: str, number: int) -> None:
    inject(pair.paths, replace(EVERYTHING, proto=proto))  # type: ignore[arg-type]
    words = pair.run("right", "tc", "filter", "show", "dev", "eth0", "ingress")
    assert f"match {number << 16:08x}/00ff0000 at 8" in words
    assert "gact action drop" in words


@pytest.mark.needs("drop")
def test_two_blackholes_on_a_port_end_one_by_one(pair: Lab) -> None:
    icmp, esp = replace(EVERYTHING, proto="icmp"), replace(EVERYTHING, proto="esp")
    inject(pair.paths, icmp)
    inject(pair.paths, esp)
    repair(pair.paths, esp)
    assert pair.ping("left", "10.0.0.2") == 0
    repair(pair.paths, icmp)
    assert pair.ping("left", "10.0.0.2") == 3


@pytest.mark.needs("drop")
@pytest.mark.parametrize("fault", [EVERYTHING, DOWN], ids=["blackhole", "link_down"])
def test_injecting_and_repairing_twice_is_fine(pair: Lab, fault: Blackhole | LinkDown) -> None:
    repair(pair.paths, fault)
    inject(pair.paths, fault)
    inject(pair.paths, fault)
    assert pair.ping("left", "10.0.0.2", count=1) == 0
    repair(pair.paths, fault)
    repair(pair.paths, fault)
    # Longer than a second: the neighbour that could not be found is asked for again once a second.
    assert pair.ping("left", "10.0.0.2", "-W3", count=1) == 1


@pytest.mark.needs("drop")
@pytest.mark.parametrize("fault", [EVERYTHING, DOWN], ids=["blackhole", "link_down"])
def test_the_instants_enclose_the_change(pair: Lab, fault: Blackhole | LinkDown) -> None:
    for change in (inject, repair):
        start = time.monotonic() * 1000
        instant = change(pair.paths, fault)
        assert start <= instant.before_ms <= instant.after_ms <= time.monotonic() * 1000


@pytest.mark.needs("drop")
def test_a_fault_may_concern_ports_of_several_nodes(wan: Lab) -> None:
    wan.route("wan", "10.1.0.0/24", via="198.51.100.2")
    fault = Blackhole((Port("wan", "wa"), Port("wan", "wb"), Port("gwa", "lan")))
    assert wan.ping("a", "203.0.113.1") == 3
    inject(wan.paths, fault)
    assert wan.ping("a", "10.1.0.1", count=1) == 0
    repair(wan.paths, fault)
    assert wan.ping("a", "203.0.113.1") == 3


def test_a_port_that_is_not_there_is_named(pair: Lab) -> None:
    port = Port("right", "eth9")
    for fault in (LinkDown((port,)), Blackhole((port,))):
        with pytest.raises(KernelError, match="eth9 in right") as caught:
            inject(pair.paths, fault)
        assert caught.value.subject == port
    with pytest.raises(StateError, match="there is no namespace"):
        inject(pair.paths, LinkDown((Port("nowhere", "eth0"),)))


@pytest.mark.needs("gre", "drop")
def test_a_blackhole_of_gre_cuts_the_tunnel_only(wan: Lab) -> None:
    a, b = IPv4Address("198.51.100.2"), IPv4Address("203.0.113.2")
    wan.make(Gre("gwa", "gre1", a, b, 1400), Gre("gwb", "gre1", b, a, 1400))
    wan.make(address("gwa", "gre1", "169.254.0.1/30"), address("gwb", "gre1", "169.254.0.2/30"))
    assert wan.ping("gwa", "169.254.0.2") == 3
    fault = Blackhole((Port("wan", "wa"),), "gre")
    inject(wan.paths, fault)
    assert wan.ping("gwa", "169.254.0.2", count=1) == 0
    assert wan.ping("gwa", "203.0.113.2", count=1) == 1
    repair(wan.paths, fault)
    assert wan.ping("gwa", "169.254.0.2") == 3
