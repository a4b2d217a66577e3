"""Overlays and tables of routes, from the verbs of the model to what must exist, and from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import permutations

import pytest
from kernel_model import Kernel, table

from labctl.claims.resolve_faults import Faults
from labctl.description.drills import BlackholeSpec, DegradeSpec, KillSpec, LinkDownSpec, OneWaySpec
from labctl.model.network import Network, Spot
from labctl.model.services import Vrrp
from labctl.plan.commands import Means, script
from labctl.plan.compile import compile_plan
from labctl.plan.diff import diff
from labctl.plan.faults import Blackhole, Degrade, Kill, LinkDown, Port
from labctl.plan.held import held_by_programs, without_held
from labctl.plan.objects import (
    Address,
    Bridge,
    Change,
    Create,
    Delete,
    Geneve,
    Namespace,
    Plan,
    Process,
    Route,
    RouteRule,
    Shaper,
    Veth,
)
from labctl.plan.reasons import differences
from labctl.plan.render import describe
from labctl.report.graph import graph_of

TEPS = {f"h{number}": IPv4Address(f"192.0.2.{number}") for number in (1, 2, 3)}
ANYWHERE, SEG = IPv4Network("0.0.0.0/0"), IPv4Network("10.0.0.0/24")
VIP = IPv4Interface("192.0.2.100/24")


def network(
    hosts: tuple[str, ...] = ("h1", "h2", "h3"), vni: int = 5001, mtu: int = 1450, moved: int = 0, name: str = "seg"
) -> Network:
    """Hosts joined by a segment, an overlay between them, in each part of it a machine."""
    net = Network()
    net.segment("under")
    for host, address in TEPS.items():
        net.node(host)
        net.plug(host, "under", IPv4Interface(f"{address + moved}/24"))
    net.overlay(name, vni, {host: TEPS[host] + moved for host in hosts}, mtu=mtu)
    for number, host in enumerate(hosts, 1):
        net.node(f"v{number}")
        net.plug(f"v{number}", name, IPv4Interface(f"10.0.0.{number}/24"), host=host, rate_bit=1000)
    return net


def choosing(*tables: int, source: IPv4Network | None = SEG) -> Network:
    """`h1` with a table for what comes from the overlay, or with some."""
    net = network()
    for number in tables:
        net.route("h1", ANYWHERE, via=TEPS["h2"], table=number)
        net.choose("h1", number, source=source)
    return net


def plan(net: Network) -> Plan:
    return compile_plan("t", net)


def of(net: Network, kind: type) -> list[object]:
    return [each for each in plan(net).objects if isinstance(each, kind)]


def test_every_member_has_a_bridge_and_a_tunnel_to_every_other() -> None:
    found = plan(network()).objects
    bridges = [(each.namespace, each.name, each.mtu) for each in found if isinstance(each, Bridge)]
    assert bridges == [("under", "br0", 1500), *((host, "seg", 1450) for host in TEPS)]
    tunnels = [each for each in found if isinstance(each, Geneve)]
    ends = {(each.namespace, each.name): (each.local, each.remote) for each in tunnels}
    assert ends == {(one, f"seg-{other}"): (TEPS[one], TEPS[other]) for one, other in permutations(TEPS, 2)}
    assert {(each.vni, each.mtu, each.master, each.isolated, each.up) for each in tunnels} == {
        *[(5001, 1450, "seg", True, True)],
    }
    assert len({each.mac for each in tunnels}) == len(tunnels)


def test_a_machine_is_plugged_into_the_part_of_its_host_and_shaped_there() -> None:
    net = network()
    ports = [(each.b.namespace, each.b.name, each.b.master) for each in of(net, Veth) if isinstance(each, Veth)]
    assert ports[-3:] == [("h1", "v1-seg", "seg"), ("h2", "v2-seg", "seg"), ("h3", "v3-seg", "seg")]
    shaped = [(each.namespace, each.device, each.mtu) for each in of(net, Shaper) if isinstance(each, Shaper)]
    assert shaped == [("h1", "v1-seg", 1450), ("h2", "v2-seg", 1450), ("h3", "v3-seg", 1450)]


def test_an_overlay_is_captured_where_frames_enter_it_and_a_member_at_its_tunnels_too() -> None:
    net = network()
    assert net.spots["seg"] == [Spot(f"h{number}", f"v{number}-seg", "in") for number in (1, 2, 3)]
    assert net.devices("h1") == ("under", "seg-h2", "seg-h3")
    assert net.devices("v1") == ("seg",)
    assert net.every_device()["h2"] == ["under", "seg-h1", "seg-h3"]
    assert {("h1", "seg"), ("h1", "v1-seg"), ("h1", "seg-h2"), ("v1", "seg")} <= set(net.ends())


def test_rules_follow_each_other_in_the_order_written_node_by_node() -> None:
    net = network()
    net.choose("h1", 7, source=SEG)
    net.choose("h2", 8, device="under")
    net.choose("h1", 9)
    net.choose("h1", 7, source=SEG)
    assert of(net, RouteRule) == [
        *(RouteRule("h1", 1000, 7, SEG), RouteRule("h2", 1000, 8, device="under"), RouteRule("h1", 1001, 9)),
    ]


def test_a_table_is_part_of_what_a_route_is() -> None:
    one, other = Route("h1", ANYWHERE, TEPS["h2"]), Route("h1", ANYWHERE, TEPS["h2"], table=7)
    assert one.identity != other.identity
    assert set(of(choosing(7), Route)) == {other}


def test_all_of_it_is_told_in_a_line_each() -> None:
    [first, *_] = of(network(), Geneve)
    assert isinstance(first, Geneve)
    assert describe(first) == f"geneve seg-h2 192.0.2.1 to 192.0.2.2 vni 5001 ({first.mac}) port of seg mtu 1450"
    assert describe(replace(first, isolated=False, up=False)).endswith("port of seg not isolated mtu 1450 down")
    assert describe(Route("h1", SEG, TEPS["h2"], table=7)) == "route 10.0.0.0/24 via 192.0.2.2 table 7"
    assert describe(RouteRule("h1", 1000, 7, SEG, "eth0")) == "rule 1000 from 10.0.0.0/24 iif eth0 table 7"


def test_the_script_says_the_same() -> None:
    text = script(plan(choosing(7)), Means({}, ("serve",)))
    [first, *_] = of(network(), Geneve)
    assert isinstance(first, Geneve)
    for line in (
        f"mtu 1450 address {first.mac} type geneve id 5001 remote 192.0.2.2 df set udpcsum",
        "ip -n t-h1 link set seg-h2 master seg",
        "ip -n t-h1 link set seg-h2 type bridge_slave isolated on",
        "ip -n t-h1 link set seg-h2 up",
        "ip -n t-h1 route add 0.0.0.0/0 via 192.0.2.2 table 7 proto static",
        "ip -n t-h1 rule add priority 1000 from 10.0.0.0/24 lookup 7 protocol static",
    ):
        assert line in text
    assert text.index("isolated on") < text.index("link set seg-h2 up"), "never forwards from tunnel to tunnel"


WAYS: dict[str, Callable[[], Network]] = {
    "usual": network,
    "fewer members": lambda: network(("h1", "h2")),
    "other members": lambda: network(("h2", "h3")),
    "another VNI": lambda: network(vni=6001),
    "another MTU": lambda: network(mtu=1400),
    "moved": lambda: network(moved=50),
    "renamed": lambda: network(name="other"),
    "renamed, of another VNI": lambda: network(name="other", vni=6001),
    "a table": lambda: choosing(7),
    "two tables": lambda: choosing(8, 7),
    "a table for all": lambda: choosing(7, source=None),
    "another table": lambda: choosing(4000),
}


@pytest.mark.parametrize("ways", list(permutations(WAYS, 2)), ids=" to ".join)
def test_from_any_overlay_there_is_a_way_to_any_other(ways: tuple[str, str]) -> None:
    present, wanted = (plan(WAYS[way]()) for way in ways)
    kernel = Kernel(present)
    replugged = {each.a.namespace for each in {*present.objects} ^ {*wanted.objects} if isinstance(each, Veth)}
    stays = {each for each in {*present.objects} & {*wanted.objects} if getattr(each, "namespace", "") not in replugged}
    for step in diff(present, wanted):
        kernel.take(step)
        assert not isinstance(step, Delete) or step.old not in stays
    there = {key: replace(each, device=None) if isinstance(each, Route) else each for key, each in kernel.there.items()}
    assert there == table(wanted)


def test_a_tunnel_changes_in_place_but_for_its_vni() -> None:
    present = plan(network())
    for other, kind in ((network(moved=50), Change), (network(mtu=1400), Change), (network(vni=6001), Create)):
        steps = [each for each in diff(present, plan(other)) if not isinstance(each, Delete)]
        assert {type(each) for each in steps if isinstance(each.new, Geneve)} == {kind}


def test_a_table_is_filled_before_it_is_asked_and_asked_no_more_before_it_is_emptied() -> None:
    usual, more = plan(network()), plan(choosing(7))
    assert [(type(each), type(each.new)) for each in diff(usual, more) if isinstance(each, Create)] == [
        *((Create, Route), (Create, RouteRule)),
    ]
    assert [type(each.old) for each in diff(more, usual) if isinstance(each, Delete)] == [RouteRule, Route]


def test_reasons_are_told() -> None:
    wanted = plan(choosing(7))
    [first, *_] = [each for each in wanted.objects if isinstance(each, Geneve)]
    odd = replace(first, isolated=False)
    extra = RouteRule("h1", 5, 9)
    present = Plan("t", (*(odd if each == first else each for each in wanted.objects), extra))
    told = [each.reason for each in differences(wanted, present, wanted)]
    assert told == ["the kernel has it not isolated from other tunnels", "made by hand"]


def test_an_address_of_a_virtual_router_is_nobodys_fault_wherever_it_is() -> None:
    net = network()
    for host, priority in (("h1", 200), ("h2", 100)):
        net.vrrp(host, Vrrp(7, priority, 100, (("under", VIP),)))
    found = plan(net)
    assert held_by_programs(found.objects) == {("h1", "under", VIP), ("h2", "under", VIP)}
    held = Address("h1", "under", VIP)
    assert held not in found.objects
    assert held_by_programs((*found.objects, held)) == {("h2", "under", VIP)}
    assert net.holder(VIP.ip) == "h1"
    foreign = Address("h3", "under", VIP)
    present = Plan("t", (*found.objects, held, foreign))
    assert without_held(present, (found,)).objects == (*found.objects, foreign)
    before = Plan("t", tuple(each for each in found.objects if not isinstance(each, Process)))
    assert without_held(present, (before,)).objects == (*found.objects, foreign), "as long as the program runs"
    assert without_held(Plan("t", (*before.objects, held)), (before,)).objects == (*before.objects, held)
    [first, _] = [each for each in found.objects if isinstance(each, Process)]
    assert first == Process("h1", "vrrp", Vrrp(7, 200, 100, (("under", VIP),)))
    scaled = compile_plan("t", net, 3).objects
    assert [each.program.interval_ms for each in scaled if isinstance(each, Process)] == [300, 300]  # type: ignore[union-attr]


def test_faults_of_an_overlay_are_at_the_ports_in_its_members() -> None:
    net = network()
    faults = Faults(net, plan(net))
    ports = tuple(Port(f"h{number}", f"v{number}-seg") for number in (1, 2, 3))
    assert faults.resolve(LinkDownSpec(link="seg")) == LinkDown(ports)
    assert faults.resolve(BlackholeSpec(link="seg")) == Blackhole(ports)
    assert faults.resolve(OneWaySpec(link="seg", source="v2")) == Blackhole(ports[1:2])
    assert faults.resolve(KillSpec(node="h1")) == Kill((), (Port("h1", "under"), ports[0]))
    assert faults.resolve(KillSpec(node="v1")) == Kill((), (Port("v1", "seg"),))
    worse = faults.resolve(DegradeSpec(link="seg", delay=5, jitter=0, loss=0))
    assert isinstance(worse, Degrade)
    assert [(each.namespace, each.device, each.mtu) for each in worse.worse] == [
        (port.namespace, port.device, 1450) for port in ports
    ]


def test_an_overlay_is_drawn_between_its_members_and_its_machines() -> None:
    graph = graph_of(network(), {}, "v1")
    joined = {route.parts for route in graph.routes}
    assert {("v1", "seg"), ("h1", "seg"), ("h1", "under")} <= joined
    assert graph.routes[graph.places["h1", "seg-h2"]].tip == "h1: Geneve, VNI 5001, at 192.0.2.1"
    assert graph.routes[graph.places["h1", "v1-seg"]].parts == ("v1", "seg")


def test_a_virtual_router_begins_anew_where_its_device_does() -> None:
    net = network()
    net.vrrp("h1", Vrrp(7, 200, 100, (("under", VIP),)))
    wanted = plan(net)
    [link] = [each for each in wanted.objects if isinstance(each, Veth) and each.a.namespace == "h1"]
    present = Plan(
        "t", tuple(each for each in wanted.objects if each != link and isinstance(each, (Namespace, Process)))
    )
    [process] = [each for each in wanted.objects if isinstance(each, Process)]
    steps = diff(present, wanted)
    assert Delete(process) in steps and Create(process) in steps
