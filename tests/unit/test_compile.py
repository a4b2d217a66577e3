from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import assert_never

import pytest
from core_lab import PLAIN, POWER, VPE, VPN, network_of, plan_of

from labctl.describe import describe
from labctl.model.network import TRANSIT, Network
from labctl.model.services import PathWatcher, Resolver, Server
from labctl.plan.compile import compile_plan
from labctl.plan.objects import (
    Address,
    Bridge,
    Foreign,
    Geneve,
    Gre,
    KernelObject,
    Namespace,
    Neighbour,
    Plan,
    Process,
    Route,
    RouteRule,
    Ruleset,
    Shaper,
    Sysctl,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)
from labctl.plan.render import describe as line
from labctl.plan.render import render_plan

TOPOLOGIES = sorted((Path(__file__).resolve().parents[2] / "topologies").glob("*.yaml"))
SHIPPED = [describe(path.read_bytes(), path.name) for path in TOPOLOGIES]
PLANS = [plan for each in SHIPPED for plan in (each.plan, *each.changed.values())] + [
    plan_of(r) for r in (POWER, VPN, VPE, PLAIN)
]


class Kernel:
    """What exists so far, as far as the next object needs it."""

    def __init__(self) -> None:
        self.namespaces: set[str] = set()
        self.devices: set[tuple[str, str]] = set()
        self.networks: list[tuple[str, str, IPv4Network]] = []
        self.addresses: set[tuple[str, IPv4Address]] = set()

    def has(self, each: KernelObject) -> bool:
        """Whether all that `each` needs is there."""
        match each:
            case Namespace():
                return each.name not in self.namespaces
            case Veth(a=a, b=b):
                homes = {a.namespace, b.namespace} <= self.namespaces
                return homes and (b.master is None or (b.namespace, b.master) in self.devices)
            case Address() | Neighbour() | Shaper() | XfrmInterface():
                return (each.namespace, each.device) in self.devices | {(name, "lo") for name in self.namespaces}
            case Route():
                return self._leads(each)
            case Geneve(master=str() as master):
                return (each.namespace, master) in self.devices and (each.namespace, each.name) not in self.devices
            case Gre() | Geneve():
                return (each.namespace, each.name) not in self.devices and each.namespace in self.namespaces
            case Bridge() | Sysctl() | XfrmState() | XfrmPolicy() | Ruleset() | RouteRule() | Process() | Foreign():
                return each.namespace in self.namespaces
            case _:
                assert_never(each)

    def _leads(self, route: Route) -> bool:
        source = route.source is None or (route.namespace, route.source) in self.addresses
        device = route.device is None or (route.namespace, route.device) in self.devices
        on_link = route.via is None or any(
            namespace == route.namespace and route.via in network and route.device in (None, name)
            for namespace, name, network in self.networks
        )
        return source and device and on_link

    def add(self, each: KernelObject) -> None:
        match each:
            case Namespace():
                self.namespaces.add(each.name)
            case Bridge() | Gre() | Geneve() | XfrmInterface():
                self.devices.add((each.namespace, each.name))
            case Veth(a=a, b=b):
                self.devices |= {(a.namespace, a.name), (b.namespace, b.name)}
            case Address():
                self.networks.append((each.namespace, each.device, each.address.network))
                self.addresses.add((each.namespace, each.address.ip))
            case _:
                pass


def unmet(objects: tuple[KernelObject, ...]) -> list[str]:
    """The objects whose needs are not met by those before them."""
    kernel, missing = Kernel(), []
    for each in objects:
        if not kernel.has(each):
            missing.append(line(each))
        kernel.add(each)
    return missing


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.lab)
def test_each_object_comes_after_all_that_it_needs(plan: Plan) -> None:
    assert unmet(plan.objects) == []


def test_an_object_before_its_needs_would_be_found() -> None:
    plan = plan_of(VPN)
    for wrong in (Address, Route, Shaper, XfrmInterface, Veth):
        moved = sorted(plan.objects, key=lambda each, kind=wrong: not isinstance(each, (kind, Namespace)))
        assert unmet(tuple(moved)) or wrong is Veth
        assert unmet(tuple(reversed(moved)))


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.lab)
def test_no_two_objects_of_a_plan_are_the_same_thing(plan: Plan) -> None:
    keys = [(type(each), each.identity) for each in plan.objects]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.lab)
def test_device_names_and_mac_addresses_are_unique_where_they_must_be(plan: Plan) -> None:
    ends = [end for each in plan.objects if isinstance(each, Veth) for end in (each.a, each.b)]
    assert len({(end.namespace, end.name) for end in ends}) == len(ends)
    assert len({end.mac for end in ends}) == len(ends)
    assert all(len(end.name) <= 15 and end.name not in ("lo", "br0") for end in ends)
    assert all(int(end.mac[:2], 16) & 3 == 2 for end in ends)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.lab)
def test_both_ends_of_a_tunnel_hold_the_same_associations(plan: Plan) -> None:
    states = [each for each in plan.objects if isinstance(each, XfrmState)]
    for state in states:
        twins = [each for each in states if replace(each, namespace=state.namespace) == state]
        assert len({twin.namespace for twin in twins}) == 2
    spis = {(each.namespace, each.destination, each.spi) for each in states}
    assert len(spis) == len(states)
    assert len({each.key for each in states}) * 2 == len(states)


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_the_same_description_gives_the_same_plan_in_another_process(topology: Path) -> None:
    script = (
        "import sys, pathlib; from labctl.describe import describe; from labctl.plan.render import render_plan;"
        "p = pathlib.Path(sys.argv[1]); sys.stdout.write(render_plan(describe(p.read_bytes(), p.name).plan))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script, topology],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert texts == {render_plan(describe(topology.read_bytes(), topology.name).plan)}


def test_an_empty_network_is_an_empty_plan() -> None:
    assert compile_plan("x", Network()) == Plan("x", ())
    assert render_plan(Plan("x", ())) == "lab x: 0 namespaces, 0 objects\n"


def test_segments_are_namespaces_that_do_not_forward() -> None:
    kinds = {each.name: each.forwarding for each in plan_of(VPN).objects if isinstance(each, Namespace)}
    assert (kinds["vpc1.app"], kinds["vpc1"], kinds["ecs1"]) == (False, True, False)


def policies(rows: str, node: str) -> set[str]:
    return {line(each) for each in plan_of(rows).objects if isinstance(each, XfrmPolicy) and each.namespace == node}


def test_a_gateway_discards_what_arrives_in_clear_and_never_what_leaves() -> None:
    discards = {each for each in policies(VPN, "gw") if "discard" in each}
    assert discards == {
        "policy in 172.16.10.0/24 to 10.0.0.0/16 discard",
        "policy fwd 172.16.10.0/24 to 10.0.0.0/16 discard",
    }


def test_where_both_connections_let_clear_packets_in_nothing_is_discarded() -> None:
    both = VPN.replace("weight: 100", "weight: 100\n  inbound_clear: bypass")
    both = both.replace("weight: 0", "weight: 0\n  inbound_clear: bypass")
    assert not [each for each in policies(both, "gw") if "discard" in each]


def test_where_one_connection_insists_clear_packets_are_discarded() -> None:
    one = VPN.replace("weight: 100", "weight: 100\n  inbound_clear: bypass")
    assert [each for each in policies(one, "gw") if "discard" in each]


def test_each_connection_has_a_policy_for_each_direction_on_both_sides() -> None:
    number = next(each.if_id for each in plan_of(VPN).objects if isinstance(each, XfrmInterface) and each.name == "t1")
    protect = {each.replace(f"if_id {number}", "if_id 1") for each in policies(VPN, "cgw") if f"if_id {number}" in each}
    assert protect == {
        "policy out 172.16.10.0/24 to 10.0.0.0/16 protect in 198.51.100.20 to 198.51.100.10 if_id 1",
        "policy in 10.0.0.0/16 to 172.16.10.0/24 protect in 198.51.100.10 to 198.51.100.20 if_id 1",
        "policy fwd 10.0.0.0/16 to 172.16.10.0/24 protect in 198.51.100.10 to 198.51.100.20 if_id 1",
    }


def test_a_delay_is_put_where_the_segment_sends_to_the_customer() -> None:
    shapers = {
        (each.namespace, each.device, each.delay_ms) for each in plan_of(VPN).objects if isinstance(each, Shaper)
    }
    assert shapers == {("isp1.0", "gw", 10), ("isp1.0", "cgw", 10)}


def test_programs_are_compiled_with_their_whole_configuration() -> None:
    programs = {(each.namespace, each.name): each.program for each in plan_of(VPE).objects if isinstance(each, Process)}
    assert set(programs) == {("kms", "server"), ("pdns", "resolver")}
    resolver = programs["pdns", "resolver"]
    assert isinstance(resolver, Resolver)
    assert [zone.name for zone in resolver.zones] == ["kms.example.com"]
    assert isinstance(programs["kms", "server"], Server)


def test_time_is_stretched_in_the_watchers_and_nowhere_else() -> None:
    net = network_of(VPN)
    plain, slow = compile_plan("x", net), compile_plan("x", net, time_scale=5)
    changed = [each for each in slow.objects if each not in plain.objects]
    assert {(each.namespace, each.name) for each in changed if isinstance(each, Process)} == {
        ("gw", "watcher"),
        ("cgw", "watcher"),
    }
    assert len(changed) == 2
    for each in changed:
        assert isinstance(each, Process)
        assert isinstance(each.program, PathWatcher)
        assert [path.interval_ms for path in each.program.paths] == [1000, 1000]


def test_a_guard_route_is_unreachable_and_ranks_last() -> None:
    guards = [each for each in plan_of(VPN).objects if isinstance(each, Route) and each.type == "unreachable"]
    assert guards
    assert all(each.via is None and each.device is None and each.metric == 4_000_000 for each in guards)


def test_chain_policies_come_before_the_rules_of_a_table() -> None:
    for each in plan_of(POWER).objects:
        if isinstance(each, Ruleset):
            for _, lines in each.tables:
                assert list(lines) == sorted(lines, key=lambda words: not words.startswith(":"))


def test_an_address_on_a_wire_is_one_of_a_pair() -> None:
    wired = [
        each.address
        for each in plan_of(VPE).objects
        if isinstance(each, Address) and each.address.network.prefixlen == 31
    ]
    assert len(wired) == len(set(wired)) == 2 * len({each.network for each in wired})
    assert all(each.ip in TRANSIT for each in wired)


def test_what_is_added_or_taken_away_leaves_the_numbers_of_the_others_alone() -> None:
    def numbered(rows: str) -> set[str]:
        kinds = (Address, XfrmInterface, XfrmState)
        return {f"{each.namespace}: {line(each)}" for each in plan_of(rows).objects if isinstance(each, kinds)}

    more = VPE.replace(
        "egw:",
        "kms2: {kind: cloud_service, on: bb, fqdn: kms2.example.com, address: 166.9.20.11, ports: [tcp/443]}\n"
        "egw0: {kind: endpoint_gateway, vpc: vpc1, target: kms2, ips: {z1: 10.240.0.8}}\negw:",
    )
    assert numbered(VPE) < numbered(more)
    rest, _, second = VPN.partition("t2:")
    others, _, _ = rest.partition("t1:")
    assert numbered(rest) < numbered(VPN)
    assert numbered(f"{others}t2:{second}") < numbered(VPN)
