"""Permanent neighbours are what the plan says and stay so, and what was learnt makes way for them."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from kernel_lab import Lab

from labctl.errors import KernelError
from labctl.kernel import neighbours, netns
from labctl.kernel.nodes import Nodes
from labctl.plan.objects import Neighbour

ETH_P_ARP = 0x0806
WRONG = "02:00:00:00:99:99"


def known(lab: Lab, node: str) -> list[tuple[str, str, list[str]]]:
    return [(each["dst"], each["lladdr"], each["state"]) for each in lab.json(node, "ip", "-4", "neigh", "show")]


def right_of(lab: Lab, mac: str = "02:00:00:00:01:02") -> Neighbour:
    return Neighbour("left", "eth0", IPv4Address("10.0.0.2"), mac)


def test_a_neighbour_is_known_without_asking(pair: Lab) -> None:
    pair.make(right_of(pair))
    pair.make(Neighbour("right", "eth0", IPv4Address("10.0.0.1"), "02:00:00:00:01:01"))
    assert known(pair, "left") == [("10.0.0.2", "02:00:00:00:01:02", ["PERMANENT"])]
    with netns.enter(pair.paths.namespace("left")), socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as asked:
        asked.bind(("eth0", ETH_P_ARP))
        asked.setblocking(False)
        assert pair.ping("left", "10.0.0.2") == 3
        with pytest.raises(BlockingIOError):
            asked.recv(100)


def test_what_was_learnt_makes_way(pair: Lab) -> None:
    assert pair.ping("left", "10.0.0.2") == 3
    pair.make(right_of(pair, WRONG))
    assert known(pair, "left") == [("10.0.0.2", WRONG, ["PERMANENT"])]


def test_a_neighbour_changes_in_place_and_goes(pair: Lab) -> None:
    old = right_of(pair, WRONG)
    pair.make(old)
    pair.change(old, new := replace(old, mac="02:00:00:00:01:02"))
    assert known(pair, "left") == [("10.0.0.2", new.mac, ["PERMANENT"])]
    pair.unmake(new)
    pair.unmake(new)
    assert [each for each in known(pair, "left") if each[2] == ["PERMANENT"]] == []


def test_what_a_plan_asks_for_is_not_forgotten_with_what_was_learnt(pair: Lab) -> None:
    pair.make(right_of(pair))
    assert pair.ping("right", "10.0.0.1") == 3
    with Nodes(pair.paths) as nodes:
        neighbours.forget(pair.paths, nodes, [IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")])
    assert [each[2] for each in known(pair, "left")] == [["PERMANENT"]]
    assert known(pair, "right") == []


def test_a_neighbour_behind_no_device_is_named(pair: Lab) -> None:
    wrong = replace(right_of(pair), device="eth7")
    with pytest.raises(KernelError, match=r"neighbour 10.0.0.2 .* there is no device eth7") as caught:
        pair.make(wrong)
    assert caught.value.subject == wrong
