"""Routers, hosts, links and bridges without any cloud around them: what each becomes in the model and in the plan."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest
from core_lab import PLAIN, document_of, network_of, plan_of, routes, text_of

from labctl.claims.resolve_faults import Faults
from labctl.describe import describe
from labctl.description.drills import BlackholeSpec, DegradeSpec, LinkDownSpec, OneWaySpec
from labctl.errors import DescriptionError
from labctl.kinds.resolve import resolve
from labctl.model.network import Network, Spot
from labctl.model.services import Listen
from labctl.plan.compile import ARP_WIRES
from labctl.plan.faults import Blackhole, Degrade, LinkDown, Port
from labctl.plan.objects import Address, Bridge, Namespace, Neighbour, Plan, Shaper, Veth
from labctl.plan.render import describe as line


def veths(plan: Plan) -> dict[str, Veth]:
    """The links of a plan by the name of the device at their first end."""
    return {each.a.name: each for each in plan.objects if isinstance(each, Veth)}


def told(net: Network, node: str) -> str:
    return str(net.addresses[node])


def test_a_router_forwards_and_a_host_does_not() -> None:
    net = network_of(PLAIN)
    assert {node.name: node.forwards for node in net.nodes.values()} == {
        "h1": False,
        "h2": False,
        "r1": True,
        "r2": True,
    }


def test_a_router_has_exactly_the_routes_that_are_written() -> None:
    net = network_of(PLAIN)
    assert routes(net, "r1") == {"0.0.0.0/0 via 10.0.0.2"}
    assert routes(net, "r2") == {"10.1.0.0/24 via 10.0.0.1", "10.255.0.1/32 via 10.0.1.1"}
    assert routes(net, "h1") == {"0.0.0.0/0 via 10.1.0.1"}


def test_a_router_is_called_by_its_loopback_and_without_one_by_its_first_link() -> None:
    net = network_of(PLAIN)
    assert (told(net, "r1"), told(net, "r2"), told(net, "h1")) == ("10.255.0.1", "10.0.0.2", "10.1.0.2")
    assert Address("r1", "lo", IPv4Interface("10.255.0.1/32")) in plan_of(PLAIN).objects


def test_a_link_is_one_veth_between_its_nodes_without_a_segment() -> None:
    plan = plan_of(PLAIN)
    link = veths(plan)["r1-r2"]
    assert (link.a.namespace, link.b.namespace, link.a.master, link.b.master, link.mtu) == (
        "r1",
        "r2",
        None,
        None,
        1400,
    )
    assert Namespace("r1-r2") not in plan.objects


def test_parallel_links_have_devices_of_their_own() -> None:
    ends = {(end.namespace, end.name) for each in veths(plan_of(PLAIN)).values() for end in (each.a, each.b)}
    assert {("r1", "r1-r2"), ("r2", "r1-r2"), ("r1", "r1-r2-too"), ("r2", "r1-r2-too")} <= ends


def test_a_link_of_a_long_name_has_a_device_that_the_kernel_takes() -> None:
    rows = PLAIN.replace("r1-r2-too", "the-second-link-between-the-two")
    names = [end.name for each in veths(plan_of(rows)).values() for end in (each.a, each.b)]
    assert max(map(len, names)) <= 15 and "the-secon" in {name[:9] for name in names}


def test_what_delays_and_limits_a_link_does_so_in_each_direction_once() -> None:
    shapers = {each for each in plan_of(PLAIN).objects if isinstance(each, Shaper)}
    assert shapers == {Shaper(node, "r1-r2", 5, rate_bit=10_000_000, mtu=1400) for node in ("r1", "r2")}


def test_a_link_is_captured_at_one_end_where_both_directions_pass() -> None:
    assert network_of(PLAIN).spots["r1-r2"] == [Spot("r1", "r1-r2", "both")]


def test_a_bridge_is_a_segment_with_a_port_for_each_node() -> None:
    plan = plan_of(PLAIN)
    assert Bridge("lan", "br0", 9000) in plan.objects
    ports = {(each.a.namespace, each.b.namespace, each.b.name) for each in plan.objects if isinstance(each, Veth)}
    assert {("r2", "lan", "r2"), ("h2", "lan", "h2")} <= ports


def test_a_bridge_may_be_slow_and_late() -> None:
    net = network_of(PLAIN.replace("mtu: 9000", "delay: 3ms, speed: 1mbit"))
    assert {(plug.delay_ms, plug.rate_bit, plug.send_bit) for plug in net.plugs} == {(3, 1_000_000, 1_000_000)}


def test_routers_and_hosts_serve_what_they_are_told_to() -> None:
    net = network_of(PLAIN.replace("kind: router, loopback", "kind: router, serves: [tcp/179], loopback"))
    assert (net.listens["h2"], net.listens["r1"]) == ([Listen("tcp", 80)], [Listen("tcp", 179)])


def test_a_host_of_a_site_may_have_a_link_besides() -> None:
    rows = "dc: {kind: site, prefix: 172.16.0.0/24, hosts: {pc: 172.16.0.4}}\nr: {kind: router}\n"
    net = network_of(rows + "pc-r: {kind: link, ends: {pc: 10.0.0.1/31, r: 10.0.0.0/31}}")
    assert net.devices("pc") == ("dc", "pc-r")
    assert told(net, "pc") == "172.16.0.4"


def test_a_host_in_a_network_goes_by_its_router_and_by_what_is_written() -> None:
    rows = "dc: {kind: site, prefix: 172.16.0.0/24}\n"
    net = network_of(rows + "pc: {kind: host, net: dc, address: 172.16.0.4, routes: {10.0.0.0/8: 172.16.0.9}}")
    assert routes(net, "pc") == {"0.0.0.0/0 via 172.16.0.1", "10.0.0.0/8 via 172.16.0.9"}


def test_the_address_of_every_end_of_a_link_is_held_by_its_node() -> None:
    net = network_of(PLAIN)
    assert {str(address): net.holder(IPv4Address(address)) for address in ("10.0.0.1", "10.0.0.2", "10.9.9.9")} == {
        "10.0.0.1": "r1",
        "10.0.0.2": "r2",
        "10.9.9.9": None,
    }


def test_the_order_in_which_a_plain_network_is_written_changes_nothing() -> None:
    backwards = "\n".join(reversed(PLAIN.strip().split("\n")))
    lines, other = ({line(each) for each in plan_of(rows).objects} for rows in (PLAIN, backwards))
    assert {each.split(" to ")[0] for each in lines} ^ {each.split(" to ")[0] for each in other} == set()


def test_a_link_that_cannot_be_read_is_no_reason_to_refuse_a_next_hop() -> None:
    document = document_of(text_of(PLAIN.replace("10.0.0.2/30", "10.0.0/30")))
    resolve(document)
    assert [fault.path for fault in document.reading.faults] == ["resources.r1-r2.ends.r2"]


def test_a_check_may_name_the_nodes_and_links_of_a_plain_network() -> None:
    tail = """checks:
  - {id: P1, about: a, from: h1, do: {ping: {to: h2}}, expect: ok, path: [h1, r1, r2], see: [{on: lan}]}
  - {id: P2, about: a, from: h1, do: {trace: {to: 10.2.0.2}}, expect: {ok: {hops: [r1, r2, h2]}}}
  - {id: P3, about: a, from: h2, do: {ping: {to: 10.0.0.2}}, expect: ok, silent: [{on: r1-r2}]}
"""
    described = describe(text_of(PLAIN, tail), "x.yaml")
    hops = described.checks[1].expected.hops
    assert {str(each) for each in hops[0].addresses} == {"10.1.0.1", "10.0.0.1", "10.0.1.1", "10.255.0.1"}


@pytest.mark.parametrize("word", ["10.0.0.9", "nobody"])
def test_a_check_of_what_nobody_has_is_refused(word: str) -> None:
    tail = f"checks:\n  - {{id: P1, about: a, from: h1, do: {{ping: {{to: {word}}}}}, expect: ok}}\n"
    with pytest.raises(DescriptionError):
        describe(text_of(PLAIN, tail), "x.yaml")


# -- faults of a link

R1, R2 = Port("r1", "r1-r2"), Port("r2", "r1-r2")


def test_a_link_breaks_at_both_of_its_ends() -> None:
    faults = Faults(network_of(PLAIN), plan_of(PLAIN))
    assert faults.resolve(LinkDownSpec(link="r1-r2")) == LinkDown((R2, R1))
    assert faults.resolve(BlackholeSpec(link="r1-r2")) == Blackhole((R2, R1), "")


def test_what_one_node_sends_is_lost_at_the_other_end() -> None:
    faults = Faults(network_of(PLAIN), plan_of(PLAIN))
    assert faults.resolve(OneWaySpec(link="r1-r2", source="r1")) == Blackhole((R2,), "")


def test_a_link_gets_worse_beside_what_it_is_already() -> None:
    found = Faults(network_of(PLAIN), plan_of(PLAIN)).resolve(DegradeSpec(link="r1-r2", delay=7, loss=10))
    assert isinstance(found, Degrade)
    assert {(each.namespace, each.delay_ms, each.loss_percent, each.rate_bit) for each in found.worse} == {
        ("r1", 12, 10, 10_000_000),
        ("r2", 12, 10, 10_000_000),
    }
    assert {each.delay_ms for each in found.usual} == {5}


# -- neighbours


def row_of(links: int) -> str:
    """So many links between two routers."""
    rows = ["a: {kind: router}", "b: {kind: router}"]
    for i in range(links):
        net = f"10.{i >> 8}.{i & 255}"
        rows.append(f"l{i}: {{kind: link, ends: {{a: {net}.1/30, b: {net}.2/30}}}}")
    return "\n".join(rows)


def test_a_lab_of_few_links_leaves_neighbours_to_arp() -> None:
    assert not [each for each in plan_of(row_of(ARP_WIRES)).objects if isinstance(each, Neighbour)]


def test_in_a_lab_of_many_links_each_end_is_told_the_address_of_the_other() -> None:
    plan = plan_of(row_of(ARP_WIRES + 1))
    macs = {(end.namespace, end.name): end.mac for each in veths(plan).values() for end in (each.a, each.b)}
    told = [each for each in plan.objects if isinstance(each, Neighbour)]
    assert len(told) == 2 * (ARP_WIRES + 1)
    for each in told:
        assert each.mac == macs["b" if each.namespace == "a" else "a", each.device]
        assert str(each.address)[-1] == ("2" if each.namespace == "a" else "1")
    assert line(told[0]) == f"neighbour 10.0.0.2 at {macs['b', 'l0']} on l0"
