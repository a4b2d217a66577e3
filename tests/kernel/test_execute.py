"""Steps are carried out in their order, changes in place where the kernel can, and failures name their object."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from kernel_lab import Lab, address, route

from labctl.errors import KernelError, LabError
from labctl.kernel import netns
from labctl.kernel.execute import execute
from labctl.model.services import Listen, Server
from labctl.plan.objects import (
    Bridge,
    Create,
    Delete,
    Gre,
    Namespace,
    Process,
    Ruleset,
    Step,
    Sysctl,
    XfrmInterface,
    XfrmPolicy,
)

ENDS = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")


def index(lab: Lab, node: str, device: str) -> int:
    return int(lab.device(node, device)["ifindex"])


def test_every_step_is_told_in_order(lab: Lab) -> None:
    link = lab.veth("a", "eth0", "b", "eth0")
    steps: list[Step] = [
        Create(Namespace("a")),
        Create(Namespace("b")),
        Create(link),
        Create(address("a", "eth0", "10.0.0.1/24")),
        Delete(link),
        Create(Namespace("c")),
        Delete(Namespace("a")),
    ]
    lab.steps(*steps)
    assert lab.told == steps
    assert [netns.exists(lab.paths, node) for node in "abc"] == [False, True, True]


def test_no_steps_are_fine(lab: Lab) -> None:
    lab.steps()
    assert not lab.paths.root.exists()


def test_after_a_failure_nothing_more_is_done(lab: Lab) -> None:
    lab.nodes("a")
    with pytest.raises(KernelError):
        lab.make(Sysctl("a", "net.ipv4.no_such_thing", "1"), Namespace("b"))
    assert not netns.exists(lab.paths, "b")


def test_an_mtu_changes_in_place(pair: Lab) -> None:
    old = pair.veth("left", "eth1", "right", "eth1")
    pair.make(old, Bridge("left", "br0"))
    before = index(pair, "left", "eth1"), index(pair, "left", "br0")
    pair.change(old, replace(old, mtu=1300))
    pair.change(Bridge("left", "br0"), Bridge("left", "br0", 1200))
    assert [pair.device(node, "eth1")["mtu"] for node in ("left", "right")] == [1300, 1300]
    assert pair.device("left", "br0")["mtu"] == 1200
    assert before == (index(pair, "left", "eth1"), index(pair, "left", "br0"))


def test_a_link_with_another_end_is_made_anew(pair: Lab) -> None:
    old = pair.veth("left", "eth1", "right", "eth1")
    pair.make(old, Bridge("right", "br0"))
    new = replace(old, b=replace(old.b, master="br0"))
    pair.change(old, new)
    assert pair.device("right", "eth1")["master"] == "br0"


@pytest.mark.needs("gre")
def test_a_gre_device_goes_up_and_down_and_changes_its_mtu_in_place(lab: Lab) -> None:
    lab.nodes("a")
    old = Gre("a", "gre1", *ENDS, 1400)
    lab.make(old)
    before = index(lab, "a", "gre1")
    for new in (replace(old, up=False), replace(old, mtu=1300)):
        lab.change(old, new)
        found = lab.device("a", "gre1")
        assert (found["mtu"], "UP" in found["flags"], found["ifindex"]) == (new.mtu, new.up, before)


@pytest.mark.needs("gre")
def test_a_gre_device_with_another_key_is_made_anew(lab: Lab) -> None:
    lab.nodes("a")
    old = Gre("a", "gre1", *ENDS, 1400, 1)
    lab.make(old)
    lab.change(old, replace(old, key=2))
    assert lab.device("a", "gre1")["linkinfo"]["info_data"]["ikey"] == "0.0.0.2"


@pytest.mark.needs("xfrm-interface")
def test_an_xfrm_interface_goes_down_and_up_in_place(pair: Lab) -> None:
    old = XfrmInterface("left", "ipsec1", 7, "eth0", 1400)
    pair.make(old)
    before = index(pair, "left", "ipsec1")
    pair.change(old, replace(old, up=False))
    assert "UP" not in pair.device("left", "ipsec1")["flags"]
    pair.change(replace(old, up=False), old)
    assert "UP" in pair.device("left", "ipsec1")["flags"]
    assert index(pair, "left", "ipsec1") == before


def test_a_route_is_replaced_without_a_gap(pair: Lab) -> None:
    old = route("left", "192.0.2.0/24", via="10.0.0.2")
    pair.make(old)
    pair.change(old, route("left", "192.0.2.0/24", type="unreachable"))
    assert pair.run("left", "ip", "route", "show", "192.0.2.0/24").split()[0] == "unreachable"
    with netns.enter(pair.paths.namespace("left")):
        monitor = subprocess.Popen(["ip", "-o", "monitor", "route"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    pair.change(route("left", "192.0.2.0/24", type="unreachable"), route("left", "192.0.2.0/24", device="eth0"))
    time.sleep(0.3)
    monitor.terminate()
    events = monitor.communicate()[0].splitlines()
    assert [event.split()[0] for event in events if "192.0.2.0/24" in event] == ["192.0.2.0/24"], events
    shown = pair.run("left", "ip", "route", "show", "192.0.2.0/24")
    assert shown.split() == ["192.0.2.0/24", "dev", "eth0", "proto", "static", "scope", "link"]


def test_a_setting_is_changed(lab: Lab) -> None:
    lab.nodes("a")
    old = Sysctl("a", "net.ipv4.ip_default_ttl", "33")
    lab.make(old)
    lab.change(old, replace(old, value="44"))
    assert lab.run("a", "cat", "/proc/sys/net/ipv4/ip_default_ttl") == "44\n"
    lab.unmake(replace(old, value="44"))


def test_a_process_is_the_keepers(lab: Lab) -> None:
    old = Process("a", "server", Server("a", (Listen("tcp", 80),)))
    new = replace(old, program=Server("a", (Listen("tcp", 81),)))
    lab.make(old)
    lab.change(old, new)
    lab.unmake(new)
    assert lab.keeper.told == [("start", old), ("from", old), ("to", new), ("stop", new)]


@pytest.mark.needs("xfrm-interface")
def test_a_policy_is_replaced_in_place(lab: Lab) -> None:
    lab.nodes("a")
    net = IPv4Network("10.9.0.0/16")
    old = XfrmPolicy("a", "out", net, net, "protect", 7, ENDS)
    lab.make(old)
    lab.change(old, replace(old, outer=(ENDS[1], ENDS[0])))
    shown = lab.run("a", "ip", "xfrm", "policy")
    assert shown.count("10.9.0.0/16") == 2  # once as a source, once as a destination
    assert "tmpl src 192.0.2.2 dst 192.0.2.1" in shown


def test_a_change_of_rules_leaves_connections_and_no_instant_without_a_rule(pair: Lab) -> None:
    """A flood of pings that a rule lets through only by state: one instant without it, or without the state, shows."""
    block = (":INPUT DROP [0:0]", "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT")
    opening = (*block, "-A INPUT -p icmp --icmp-type 8 -j ACCEPT")
    pair.make(old := Ruleset("left", (("filter", block),)))
    with netns.enter(pair.paths.namespace("left")):
        ping = subprocess.Popen(
            ["ping", "-n", "-q", "-i0.002", "-c700", "-W1", "10.0.0.2"], stdout=subprocess.PIPE, text=True
        )
    while ping.poll() is None:
        new = replace(old, tables=(("filter", opening if old.tables[0][1] == block else block),))
        pair.change(old, new)
        old = new
    assert " 0% packet loss" in ping.communicate()[0]


def test_neighbours_ask_anew_for_an_address_that_moves(lab: Lab) -> None:
    lab.nodes("s", "near", "old", "new")
    lab.make(Bridge("s", "br0"))
    for number, node in enumerate(("near", "old", "new"), 1):
        lab.make(lab.veth(node, "eth0", "s", node, b_master="br0"), address(node, "eth0", f"10.0.0.{number}/24"))
    moving = "10.0.0.9/24"
    lab.make(address("old", "eth0", moving))
    assert lab.ping("near", "10.0.0.9") == 3
    lab.steps(Delete(address("old", "eth0", moving)), Create(address("new", "eth0", moving)))
    assert lab.ping("near", "10.0.0.9") == 3


def test_what_goes_after_something_came_waits_for_what_is_under_way(lab: Lab) -> None:
    lab.nodes("a")
    steps: list[Step] = [Create(Bridge("a", "br1")), Delete(Bridge("a", "br1")), Delete(Namespace("a"))]
    told: list[float] = []
    execute(steps, lab.paths, {}, lab.keeper, lambda step: told.append(time.monotonic()), drain_ms=300.0)
    assert told[2] - told[1] >= 0.3
    assert told[1] - told[0] < 0.3


def test_everything_can_be_deleted_where_the_namespace_is_gone(pair: Lab) -> None:
    netns.remove(pair.paths, ["left"])
    pair.unmake(route("left", "192.0.2.0/24", via="10.0.0.2"), address("left", "eth0", "10.0.0.1/24"))
    pair.unmake(Sysctl("left", "net.ipv4.ip_forward", "1"), Bridge("left", "br0"), Namespace("left"))


def test_whatever_goes_wrong_is_an_error_of_labctl(lab: Lab) -> None:
    lab.nodes("a")
    for item in (
        Bridge("b", "br0"),
        address("a", "eth0", "10.0.0.1/24"),
        Bridge("a", "a-name-of-many-letters"),
        Bridge("a", "br0", mtu=10_000_000),
        lab.veth("a", "x", "a", "x"),
    ):
        with pytest.raises(LabError):
            lab.make(item)
