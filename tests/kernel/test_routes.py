"""Addresses and routes are what the plan says, and packets follow them."""

from __future__ import annotations

import errno

import pytest
from kernel_lab import Lab, address, route

from labctl.errors import KernelError


def shown(lab: Lab, node: str) -> list[str]:
    lines = lab.run(node, "ip", "route", "show", "proto", "static").splitlines()
    return [line.strip() for line in lines]


def test_packets_follow_a_chain_of_routers(lab: Lab) -> None:
    lab.nodes("a", "b")
    lab.nodes("r1", "r2", forwarding=True)
    lab.wire("a", "eth0", "10.0.1.2/24", "r1", "eth0", "10.0.1.1/24")
    lab.wire("r1", "eth1", "10.0.2.1/30", "r2", "eth1", "10.0.2.2/30")
    lab.wire("r2", "eth0", "10.0.3.1/24", "b", "eth0", "10.0.3.2/24")
    lab.route("a", "0.0.0.0/0", via="10.0.1.1")
    lab.route("b", "10.0.0.0/8", via="10.0.3.1", device="eth0")
    lab.route("r1", "10.0.3.0/24", via="10.0.2.2")
    assert lab.ping("a", "10.0.3.2") == 0
    lab.route("r2", "10.0.1.0/24", via="10.0.2.1")
    assert lab.ping("a", "10.0.3.2") == 3


def test_a_node_that_does_not_forward_does_not(lab: Lab) -> None:
    lab.nodes("a", "r", "b")
    lab.wire("a", "eth0", "10.0.1.2/24", "r", "eth0", "10.0.1.1/24")
    lab.wire("r", "eth1", "10.0.2.1/24", "b", "eth0", "10.0.2.2/24")
    lab.route("a", "0.0.0.0/0", via="10.0.1.1")
    lab.route("b", "0.0.0.0/0", via="10.0.2.1")
    assert lab.ping("a", "10.0.2.2") == 0
    assert lab.ping("a", "10.0.2.1") == 3


def test_routes_are_as_written(pair: Lab) -> None:
    pair.make(
        address("left", "eth0", "10.0.0.7/32"),
        route("left", "192.0.2.0/25", via="10.0.0.2"),
        route("left", "192.0.2.0/25", device="eth0", metric=20),
        route("left", "0.0.0.0/0", via="10.0.0.2", device="eth0", source="10.0.0.7"),
        route("left", "198.51.100.0/24", type="unreachable"),
        route("left", "203.0.113.9/32", type="blackhole", metric=5),
    )
    assert shown(pair, "left") == [
        "default via 10.0.0.2 dev eth0 src 10.0.0.7",
        "192.0.2.0/25 via 10.0.0.2 dev eth0",
        "192.0.2.0/25 dev eth0 scope link metric 20",
        "unreachable 198.51.100.0/24",
        "blackhole 203.0.113.9 metric 5",
    ]


def test_an_unreachable_route_answers_and_a_blackhole_does_not(pair: Lab) -> None:
    pair.make(route("left", "0.0.0.0/0", via="10.0.0.2"))
    pair.run("right", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    pair.make(route("right", "192.0.2.0/24", type="unreachable"), route("right", "198.51.100.0/24", type="blackhole"))
    words = pair.run("left", "ping", "-n", "-c2", "-i0.05", "-W1", "192.0.2.1", check=False)
    assert words.count("Destination Host Unreachable") == 2, words
    words = pair.run("left", "ping", "-n", "-c2", "-i0.05", "-W1", "198.51.100.1", check=False)
    assert "Unreachable" not in words


def test_five_unreachable_answers_come_at_once(pair: Lab) -> None:
    """The kernel's limits of ICMP errors would make a refusal look like a lost packet; five is its host-wide burst."""
    pair.make(route("left", "0.0.0.0/0", via="10.0.0.2"), route("right", "192.0.2.0/24", type="unreachable"))
    pair.run("right", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    words = pair.run("left", "ping", "-n", "-c5", "-i0.02", "-W1", "192.0.2.1", check=False)
    assert words.count("Destination Host Unreachable") == 5, words


def test_a_deletion_takes_the_route_with_its_metric(pair: Lab) -> None:
    cheap, dear = route("left", "192.0.2.0/24", via="10.0.0.2"), route("left", "192.0.2.0/24", device="eth0", metric=9)
    pair.make(cheap, dear)
    pair.unmake(cheap)
    assert shown(pair, "left") == ["192.0.2.0/24 dev eth0 scope link metric 9"]
    pair.unmake(cheap)
    assert shown(pair, "left") == ["192.0.2.0/24 dev eth0 scope link metric 9"]
    pair.unmake(dear, dear)
    assert shown(pair, "left") == []


def test_a_default_route_and_an_unreachable_one_can_be_deleted(pair: Lab) -> None:
    made = route("left", "0.0.0.0/0", via="10.0.0.2"), route("left", "192.0.2.0/24", type="unreachable")
    pair.make(*made)
    pair.unmake(*made)
    assert shown(pair, "left") == []


def test_deleting_an_address_leaves_the_others_of_its_subnet(pair: Lab) -> None:
    more = address("left", "eth0", "10.0.0.5/24")
    pair.make(more)
    pair.unmake(address("left", "eth0", "10.0.0.1/24"), address("left", "eth0", "10.0.0.1/24"))
    assert pair.run("left", "ip", "-br", "-4", "addr", "show", "dev", "eth0").split()[2:] == ["10.0.0.5/24"]


def test_a_route_through_a_gateway_out_of_reach_is_named_with_the_kernels_words(pair: Lab) -> None:
    good, bad = route("left", "192.0.2.0/24", via="10.0.0.2"), route("left", "198.51.100.0/24", via="10.9.9.9")
    with pytest.raises(KernelError) as caught:
        pair.make(good, bad, route("left", "203.0.113.0/24", via="10.0.0.2"))
    error = caught.value
    assert error.subject == bad
    assert error.errno == errno.ENETUNREACH
    assert error.message == (
        "cannot create route 198.51.100.0/24 via 10.9.9.9 in left: Nexthop has invalid gateway (Network is unreachable)"
    )


def test_a_route_through_a_device_that_is_not_there_is_named(pair: Lab) -> None:
    bad = route("left", "192.0.2.0/24", device="eth9")
    with pytest.raises(KernelError, match=r"route 192.0.2.0/24 dev eth9 in left: there is no device eth9") as caught:
        pair.make(bad)
    assert caught.value.subject == bad


def test_an_address_that_exists_is_refused(pair: Lab) -> None:
    again = address("left", "eth0", "10.0.0.1/24")
    with pytest.raises(KernelError, match=r"address 10.0.0.1/24 on eth0 in left") as caught:
        pair.make(again)
    assert caught.value.subject == again


def test_a_thousand_routes_go_in_batches_and_the_wrong_one_is_named(pair: Lab) -> None:
    many = [route("left", f"172.16.{i // 250}.{i % 250}/32", via="10.0.0.2") for i in range(1000)]
    wrong = route("left", "192.0.2.0/24", via="10.9.9.9")
    with pytest.raises(KernelError) as caught:
        pair.make(*many[:500], wrong, *many[500:])
    assert caught.value.subject == wrong
    pair.unmake(*many)
    pair.make(*many)
    assert len(shown(pair, "left")) == 1000
