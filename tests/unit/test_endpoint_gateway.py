"""What an endpoint gateway becomes: legs that live without each other, and translation of just what it is there for."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from core_lab import VPE, network_of, plan_of

from labctl.model.network import Network, Rule
from labctl.plan.diff import diff
from labctl.plan.objects import Create, RouteRule, Sysctl

BOUND = "ips: {z1: 10.240.0.9, z2: 10.240.64.9}"


def vpe(ips: str = BOUND, more: str = "") -> str:
    """The lab with the gateway `egw` bound so."""
    assert VPE.count(BOUND) == 1
    return VPE.replace(BOUND, ips) + more


def rules(net: Network, table: str, node: str = "egw") -> list[str]:
    return [text(each) for each in net.rules if (each.node, each.table) == (node, table)]


def text(rule: Rule) -> str:
    return " ".join((rule.chain, *rule.words))


def table(net: Network, number: int) -> set[str]:
    """The routes of one routing table of the gateway."""
    ways = [each for each in net.paths if (each.node, each.table) == ("egw", number)]
    return {f"{each.to} via {each.via} dev {each.device}" for each in ways}


def records(net: Network) -> list[str]:
    [zone] = net.zones["pdns"]
    return [each.value for each in zone.records]


def test_tcp_is_translated_from_its_first_packet_on_and_udp_from_the_vpc_alone() -> None:
    called = "PREROUTING -i vpc1-app -d 10.240.0.9"
    rows = vpe().replace("ports: [tcp/443]", "ports: [tcp/443, udp/443]")
    assert [each for each in rules(network_of(rows), "nat") if "10.240.0.9" in each] == [
        f"{called} -p tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DNAT --to-destination 166.9.20.10",
        f"{called} -s 10.240.0.0/24 -p udp -j DNAT --to-destination 166.9.20.10",
        f"{called} -s 10.240.64.0/24 -p udp -j DNAT --to-destination 166.9.20.10",
        "POSTROUTING -o bb-z1 -m conntrack --ctorigdst 10.240.0.9 -j SNAT --to-source 10.240.0.9",
    ]


def test_no_datagram_passes_where_the_service_takes_none() -> None:
    assert not [each for each in rules(network_of(vpe()), "nat") if "udp" in each]


def test_only_what_is_translated_passes_and_nothing_is_answered() -> None:
    net = network_of(vpe())
    assert rules(net, "filter") == ["FORWARD -m conntrack --ctstate DNAT -j ACCEPT"]
    assert {each.chain: each.verdict for each in net.defaults} == {"FORWARD": "DROP", "INPUT": "DROP"}


def test_a_leg_has_its_own_link_to_the_backbone_and_its_own_routes() -> None:
    net = network_of(vpe())
    [wire] = [each for each in net.wires if each.a_device == "bb-z2"]
    assert (wire.a, wire.b, wire.b_device) == ("egw", "bb", "egw-z2")
    assert table(net, 2) == {
        f"166.9.20.10/32 via {wire.b_address.ip} dev bb-z2",
        "10.240.64.0/24 via None dev vpc1-db",
        "0.0.0.0/0 via 10.240.64.1 dev vpc1-db",
    }
    assert {(each.device, each.table) for each in net.choices} == {
        ("vpc1-app", 1),
        ("bb-z1", 1),
        ("vpc1-db", 2),
        ("bb-z2", 2),
    }
    backwards = [each for each in net.paths if each.node == "bb" and each.to == IPv4Network("10.240.64.9/32")]
    assert [each.via for each in backwards] == [wire.a_address.ip]


def test_a_leg_can_be_named_once_it_is_bound() -> None:
    net = network_of(vpe("ips: {z1: 10.240.0.9, z2: 0.0.0.0}"))
    assert [spot.device for spot in net.spots["egw.z1"]] == ["egw"]
    assert "egw.z2" not in net.spots


@pytest.mark.parametrize("ips", ["ips: {}", "ips: {z1: 0.0.0.0, z2: 0.0.0.0}"])
def test_a_gateway_without_a_bound_address_has_a_zone_without_records(ips: str) -> None:
    net = network_of(vpe(ips))
    assert records(net) == []
    assert "egw" not in net.every_device() or net.every_device()["egw"] == []
    assert rules(net, "nat") == []


def test_an_address_that_is_pending_has_no_record() -> None:
    assert records(network_of(vpe("ips: {z1: 0.0.0.0, z2: 10.240.64.9}"))) == ["10.240.64.9"]


@pytest.mark.parametrize(("written", "order"), [("given", "given"), ("zone_first", "near"), ("rotate", "rotate")])
def test_the_order_of_answers_is_that_of_the_zone(written: str, order: str) -> None:
    [zone] = network_of(vpe(f"{BOUND}, answer_order: {written}")).zones["pdns"]
    assert zone.order == order
    assert {each.value: each.near for each in zone.records} == {
        "10.240.0.9": (IPv4Network("10.240.0.0/24"),),
        "10.240.64.9": (IPv4Network("10.240.64.0/24"),),
    }


def test_few_ports_are_those_of_each_address_and_free_again_soon() -> None:
    rows = vpe(f"{BOUND}, snat_ports: 40000-40015")
    [tcp, udp] = [each for each in rules(network_of(rows), "nat") if "SNAT" in each and "10.240.0.9" in each]
    assert tcp.endswith("-p tcp -j SNAT --to-source 10.240.0.9:40000-40015")
    assert udp.endswith("-p udp -j SNAT --to-source 10.240.0.9:40000-40015")
    [setting] = [each for each in plan_of(rows).objects if isinstance(each, Sysctl)]
    assert (setting.namespace, setting.name, setting.value) == (
        "egw",
        "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
        "1",
    )


def test_without_an_address_of_an_earlier_zone_the_others_keep_their_tables() -> None:
    [one, two] = (network_of(vpe(ips)) for ips in (BOUND, "ips: {z2: 10.240.64.9}"))
    assert table(one, 2) == table(two, 2) != set()


def test_a_leg_that_goes_takes_no_rule_of_another_before_its_successor_is_there() -> None:
    steps = diff(plan_of(vpe()), plan_of(vpe("ips: {z2: 10.240.64.9}")))
    about = [step for step in steps if isinstance(getattr(step, "new", getattr(step, "old", None)), RouteRule)]
    kinds = [isinstance(step, Create) for step in about]
    assert kinds == sorted(kinds, reverse=True)
    assert True in kinds


def test_nobody_else_can_have_an_address_that_is_reserved_and_not_bound() -> None:
    net = network_of(vpe("ips: {z1: 10.240.0.9}, unbound: 10.240.64.9"))
    assert net.holder(IPv4Address("10.240.64.9")) is None
    assert records(net) == ["10.240.0.9"]


GROUP = """
web: {kind: security_group, targets: [vsi1], rules: [{dir: outbound, proto: tcp, port: 443, peer: db}]}
db: {kind: security_group, targets: [egw], rules: [{dir: inbound, proto: tcp, port: 400-443, peer: web}]}
"""


def test_the_groups_of_a_gateway_say_who_may_begin_a_connection() -> None:
    assert rules(network_of(vpe(more=GROUP)), "filter") == [
        "FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "FORWARD -m conntrack --ctstate DNAT -s 10.240.0.4/32 -p tcp --dport 400:443 -j ACCEPT",
    ]


def test_the_groups_of_an_instance_are_its_own_filter_and_a_group_as_a_peer_is_every_target_of_it() -> None:
    net = network_of(vpe(more=GROUP))
    assert rules(net, "filter", "vsi1") == [
        "INPUT -i lo -j ACCEPT",
        "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "OUTPUT -o lo -j ACCEPT",
        "OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "OUTPUT -d 10.240.0.9/32 -p tcp --dport 443 -j ACCEPT",
        "OUTPUT -d 10.240.64.9/32 -p tcp --dport 443 -j ACCEPT",
    ]
    assert {each.chain for each in net.defaults if each.node == "vsi1"} == {"INPUT", "OUTPUT"}


def test_rules_of_several_groups_add_up_and_are_written_once() -> None:
    more = GROUP + "ping: {kind: security_group, targets: [vsi1], rules: [{dir: inbound, proto: icmp}]}\n"
    found = rules(network_of(vpe(more=more)), "filter", "vsi1")
    assert "INPUT -p icmp -j ACCEPT" in found
    assert len(found) == len(set(found))


def test_a_network_acl_stands_at_the_router_and_knows_both_directions_and_no_connections() -> None:
    acl = (
        "acl1: {kind: network_acl, targets: [vpc1.app], rules: [{dir: inbound, action: deny, proto: tcp, port: 443},"
        " {dir: inbound, action: allow, peer: 10.240.64.0/24},"
        " {dir: outbound, action: allow, proto: tcp, source_port: 8080, peer: 10.240.64.4}]}\n"
    )
    assert rules(network_of(vpe(more=acl)), "mangle", "vpc1") == [
        "PREROUTING -i vpc1-app -d 10.240.64.4/32 -p tcp --sport 8080 -j ACCEPT",
        "PREROUTING -i vpc1-app -j DROP",
        "POSTROUTING -o vpc1-app -p tcp --dport 443 -j DROP",
        "POSTROUTING -o vpc1-app -s 10.240.64.0/24 -j ACCEPT",
        "POSTROUTING -o vpc1-app -j DROP",
    ]
