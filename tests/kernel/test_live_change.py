"""Live changes of shipped topologies: what the provider promises not to notice is not noticed, not by one packet."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

import pytest
from kernel_lab import Lab
from live_lab import Live, traffic

from labctl.errors import KernelError
from labctl.kernel import keys
from labctl.kernel.apply import apply, longest_way_ms
from labctl.kernel.paths import Paths
from labctl.plan.objects import Namespace, Plan, Route, Shaper, XfrmState

IPSEC = pytest.mark.needs("esp", "xfrm-interface", "iptables", "netem")


@pytest.fixture
def live(paths: Paths, request: pytest.FixtureRequest) -> Iterator[Live]:
    lab = Live(paths, request.param)
    yield lab
    lab.end()


def topology(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("live", [name], indirect=True, ids=[""])


# ---- two IPsec connections


STANDBY = (("gw", "t2"), ("cgw", "t2"))
"""The ends of the connection that the swap lets carry, and their devices."""


@IPSEC
@topology("vpn-dc-failover")
def test_swapped_weights_lose_nothing_in_either_direction(live: Live) -> None:
    said = [each.detail for each in live.keeper.status() if each.paths]
    with traffic(live, "dc-host", "ecs1", ("dc-host", "10.0.1.10", 8080)):
        before = [live.received(node, device) for node, device in STANDBY]
        with live.under("set: {t1.weight: 0, t2.weight: 100}"):
            carried = [live.received(node, device) for node, device in (("gw", "t1"), ("cgw", "t1"))]
            assert [each.detail for each in live.keeper.status() if each.paths] == said
            deadline = time.monotonic() + 5
            while not all(live.received(*end) > early for end, early in zip(STANDBY, before, strict=True)):
                assert time.monotonic() < deadline, "the second connection never carried"
                time.sleep(0.01)
    assert all(carried)
    assert [each.detail for each in live.keeper.status() if each.paths] == said


@IPSEC
@topology("vpn-dc-failover")
@pytest.mark.parametrize(
    "edit",
    [
        "remove: [t1]",
        "remove: [t2]",
        "set: {t1.check.interval: 100ms, t1.check.count: 5, t2.check.interval: 400ms}",
        "add: {vpc1.subnets.far: {zone: b, prefix: 10.1.0.0/24}, t1.selectors.local: 10.1.0.0/24,"
        " t2.selectors.local: 10.1.0.0/24}",
        "add: {t0: {kind: ipsec_connection, local: gw.isp2, remote: cgw.isp2, weight: 50, selectors:"
        " {local: 10.0.0.0/16, remote: 172.16.10.0/24}, check: {from: 10.0.1.2, to: 172.16.10.1}}}",
        "set: {isp1.delay: 25ms, t1.inbound_clear: bypass, t2.inbound_clear: bypass}",
    ],
    ids=["carrier-removed", "standby-removed", "intervals", "selectors", "third-connection", "policies"],
)
def test_what_changes_beside_the_traffic_or_under_it_loses_nothing(live: Live, edit: str) -> None:
    with traffic(live, "dc-host", "ecs1", ("dc-host", "10.0.1.10", 8080)), live.under(edit):
        assert live.connects("dc-host", "10.0.1.10", 8080)


@IPSEC
@topology("vpn-dc-failover")
def test_what_is_under_way_on_a_slow_path_arrives_though_the_path_is_removed(live: Live) -> None:
    slow, gone = live.plan("set: {isp1.delay: 80ms}"), live.plan("set: {isp1.delay: 80ms}\nremove: [t1]")
    apply(live.usual, slow, live.paths, live.keeper)
    live.settle()
    with traffic(live, "dc-host", "ecs1"):
        apply(slow, gone, live.paths, live.keeper)


# ---- a tunnel in a tunnel


@pytest.mark.needs("gre")
@IPSEC
@topology("pvs-ipsec-gre-byoip")
def test_another_prefix_of_the_customers_own_loses_nothing_of_the_first(live: Live) -> None:
    edit = (
        "add: {power.subnets.own2: {prefix: 192.168.51.0/24, byoip: true, lpars: {lpar2: 192.168.51.10}},"
        " byoip.carries.a: 192.168.51.0/24, vpn.selectors.local: 192.168.51.0/24}"
    )
    with traffic(live, "ent-pc", "lpar-byoip", ("ent-pc", "192.168.50.10", 22)):
        assert not live.connects("ent-pc", "192.168.51.10", 22)
        with live.under(edit):
            assert live.connects("ent-pc", "192.168.51.10", 22)
        assert not live.connects("ent-pc", "192.168.51.10", 22)


# ---- endpoint gateways


SECOND = (
    "add: {kms-c: {kind: cloud_service, on: bb, fqdn: kms-c.private.us-south.example.com, address: 166.9.20.12,"
    " ports: [tcp/443]}}\nset: {vpegw-b.target: kms-c}"
)


@pytest.mark.needs("iptables")
@topology("vpe-subnet")
def test_a_gateway_that_is_bound_to_another_service_leaves_the_traffic_through_others_alone(live: Live) -> None:
    with traffic(live, "vsi1", "vpc1", ("vsi1", "10.240.0.9", 443)):
        assert served(live, "10.240.0.10") == "kms-b"
        with live.under(SECOND):
            assert served(live, "10.240.0.10") == "kms-c"
        assert served(live, "10.240.0.10") == "kms-b"


@pytest.mark.needs("iptables")
@topology("vpe-subnet")
def test_addresses_that_change_places_are_found_at_their_new_places(live: Live) -> None:
    assert [served(live, f"10.240.0.{last}") for last in (9, 10)] == ["kms-a", "kms-b"]
    with live.under("set: {vpegw-a.ips.z1: 10.240.0.10, vpegw-b.ips.z1: 10.240.0.9}"):
        assert [served(live, f"10.240.0.{last}") for last in (9, 10)] == ["kms-b", "kms-a"]
    assert [served(live, f"10.240.0.{last}") for last in (9, 10)] == ["kms-a", "kms-b"]


def served(live: Live, address: str) -> str:
    """The server behind an endpoint gateway."""
    with live.socket("vsi1", socket.SOCK_STREAM) as client:
        client.settimeout(3.0)
        client.connect((address, 443))
        return client.recv(100).split()[1].decode()


# ---- what goes wrong


def objects(live: Live) -> list[str]:
    """What a few nodes look like to other tools."""
    nodes = ("vpc1", "vpegw-a", "vpegw-b", "bb")
    commands = (("ip", "-o", "address"), ("ip", "route"), ("iptables-save",))
    lab = Lab(live.paths)
    return [
        line
        for node in nodes
        for command in commands
        for line in lab.run(node, *command).splitlines()
        if not line.startswith(("#", ":"))
    ]


@pytest.mark.needs("iptables")
@topology("vpe-subnet")
def test_a_change_that_fails_half_way_is_taken_back(live: Live) -> None:
    usual, wanted = objects(live), live.plan(SECOND)
    impossible = Route("kms-c", IPv4Network("192.0.2.0/24"), device="nowhere")
    with pytest.raises(KernelError, match="nowhere"):
        apply(live.usual, Plan("t", (*wanted.objects, impossible)), live.paths, live.keeper)
    assert objects(live) == usual
    assert served(live, "10.240.0.10") == "kms-b"
    apply(live.usual, wanted, live.paths, live.keeper)
    assert served(live, "10.240.0.10") == "kms-c"


@pytest.mark.needs("iptables")
@topology("vpe-subnet")
def test_a_program_that_died_beforehand_runs_again_after_a_change(live: Live) -> None:
    with live.under("set: {kms-b.ports: [tcp/443, tcp/444]}"):
        [pid] = [each.pid for each in live.keeper.status() if each.namespace == "kms-b"]
        os.kill(pid, signal.SIGKILL)
        while [each for each in live.keeper.status() if (each.pid, each.state) == (pid, "running")]:
            time.sleep(0.01)
    assert served(live, "10.240.0.10") == "kms-b"


@pytest.mark.needs("esp")
def test_new_connections_get_keys_and_those_of_the_others_stay(lab: Lab) -> None:
    def state(number: int, cipher: Literal["aes128-gcm", "aes256-gcm"]) -> XfrmState:
        ends = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
        return XfrmState("a", *ends, 0x1000 + number, cipher, f"t{number}", 1)

    lab.nodes("a")
    node = Namespace("a")
    keys.save(lab.paths, {"t1": bytes(20), "t2": bytes(20)})
    old, new = (
        Plan("t", (node,)),
        Plan("t", (node, state(1, "aes128-gcm"), state(2, "aes256-gcm"), state(3, "aes128-gcm"))),
    )
    apply(old, new, lab.paths, lab.keeper)
    ring = keys.load(lab.paths)
    assert ring["t1"] == bytes(20)
    assert [len(ring[name]) for name in ("t2", "t3")] == [36, 20]
    assert lab.run("a", "ip", "xfrm", "state").count("proto esp") == 3


def test_the_longest_way_is_that_through_every_shaper_and_never_endless() -> None:
    shapers = [Shaper("s", device, 10.0, 2.0) for device in "abc"]
    assert longest_way_ms(Plan("t", ())) == 50.0
    assert longest_way_ms(Plan("t", tuple(shapers))) == 86.0
    assert longest_way_ms(Plan("t", (Shaper("s", "a", 5000.0),))) == 1000.0
