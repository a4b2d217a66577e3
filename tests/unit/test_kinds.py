"""What each kind becomes in the model, above all what would break a lab, or let it pass when it should not."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from core_lab import POWER, VPE, VPN, document_of, network_of, routes, text_of

from labctl.kinds.registry import ALIASES, KINDS, OTHER_WORDS, PARTS
from labctl.kinds.resolve import resolve
from labctl.model.network import GUARD_METRIC, Network, device_name
from labctl.model.services import Listen

DEFAULT = "0.0.0.0/0"


def rules(net: Network, node: str, table: str) -> list[str]:
    return [" ".join((rule.chain, *rule.words)) for rule in net.rules if (rule.node, rule.table) == (node, table)]


def verdicts(net: Network, node: str) -> dict[str, str]:
    return {each.chain: each.verdict for each in net.defaults if each.node == node}


def reach(net: Network, node: str) -> set[IPv4Network]:
    """What a node has a route or a link to."""
    linked = {plug.address.network for plug in net.plugs if plug.node == node}
    return linked | {path.to for path in net.paths if path.node == node and (path.via or path.device)}


def changed(rows: str, old: str, new: str) -> str:
    assert rows.count(old) == 1
    return rows.replace(old, new)


# ---- VPC


def test_a_vpc_has_no_default_route() -> None:
    for rows, vpc in ((VPE, "vpc1"), (VPN, "vpc1")):
        assert not [way for way in routes(network_of(rows), vpc) if way.startswith(DEFAULT)]


def test_a_vpc_off_every_backbone_knows_its_own_subnets_only() -> None:
    assert routes(network_of("vpc1: {kind: vpc, subnets: {app: {zone: a, prefix: 10.0.1.0/24}}}"), "vpc1") == set()


def test_a_vpc_and_its_backbone_have_routes_both_ways() -> None:
    net = network_of(VPE)
    [wire] = [each for each in net.wires if each.a == "vpc1"]
    assert routes(net, "vpc1") == {f"161.26.0.0/16 via {wire.b_address.ip}", f"166.8.0.0/14 via {wire.b_address.ip}"}
    assert {
        f"10.240.0.0/24 via {wire.a_address.ip}",
        f"10.240.64.0/24 via {wire.a_address.ip}",
    } <= routes(net, "bb")


def test_the_router_of_a_subnet_has_its_first_address() -> None:
    net = network_of(VPE)
    assert {str(plug.address) for plug in net.plugs if plug.node == "vpc1"} == {"10.240.0.1/24", "10.240.64.1/24"}
    assert net.nodes["vpc1"].forwards


def test_an_instance_asks_the_private_dns_of_its_vpc_and_goes_by_its_router() -> None:
    net = network_of(VPE)
    assert net.nodes["vsi1"].stub == (IPv4Address("161.26.0.7"), IPv4Address("161.26.0.8"))
    assert routes(net, "vsi1") == {f"{DEFAULT} via 10.240.0.1"}
    assert not net.nodes["vsi1"].forwards


def test_an_instance_off_every_backbone_has_no_resolver() -> None:
    assert network_of(VPN).nodes["ecs1"].stub == ()


def test_an_instance_serves_what_it_is_told_to() -> None:
    assert network_of(VPN).listens["ecs1"] == [Listen("tcp", 8080)]


# ---- backbone, services, private DNS


def test_the_backbone_has_a_host_route_to_each_service_and_resolver_address() -> None:
    ways = {way.split(" ")[0] for way in routes(network_of(VPE), "bb")}
    assert {"166.9.20.10/32", "161.26.0.7/32", "161.26.0.8/32", "10.240.0.9/32", "10.240.64.9/32"} <= ways


def test_the_backbone_has_no_route_out() -> None:
    assert not [way for way in routes(network_of(VPE), "bb") if way.startswith(DEFAULT)]


def test_a_service_with_a_public_address_answers_the_internet_by_the_internet() -> None:
    rows = changed(VPE, "ports: [tcp/443]}", "ports: [tcp/443], public: {inet: 198.51.100.80}}")
    net = network_of(rows + "inet: {kind: internet, prefixes: [198.51.100.0/24, 203.0.113.0/24]}\n")
    assert "203.0.113.0/24 via 198.51.100.1" in routes(net, "kms")
    assert net.addresses["kms"] == IPv4Address("166.9.20.10")
    assert "kms.inet" in net.spots


def test_without_accepts_a_backbone_filters_nothing() -> None:
    net = network_of(VPE)
    assert rules(net, "bb", "filter") == []
    assert verdicts(net, "bb") == {}


def test_with_accepts_a_backbone_drops_what_is_not_accepted_on_both_sides() -> None:
    net = network_of(POWER)
    assert verdicts(net, "classic") == {"FORWARD": "DROP"}
    assert set(rules(net, "classic", "filter")) == {
        f"FORWARD -s {one} -d {two} -j ACCEPT"
        for one in ("10.0.0.0/8", "172.16.3.1/32")
        for two in ("10.0.0.0/8", "172.16.3.1/32")
    }


SECOND = """
power2: {kind: power_workspace, subnets: {plain: {prefix: 10.151.0.0/24}}}
dl2: {kind: direct_link, from: classic, to: power2, peering: 169.254.253.0/30}
"""


def test_a_backbone_denies_circuit_to_circuit_before_it_accepts() -> None:
    filtered = rules(network_of(POWER + SECOND), "classic", "filter")
    assert filtered[:2] == ["FORWARD -i dl -o dl2 -j DROP", "FORWARD -i dl2 -o dl -j DROP"]
    assert all("ACCEPT" in rule for rule in filtered[2:])


def test_a_backbone_may_allow_circuit_to_circuit() -> None:
    rows = changed(POWER + SECOND, "provider: ibm,", "provider: ibm, external_to_external: allow,")
    assert not [rule for rule in rules(network_of(rows), "classic", "filter") if "DROP" in rule]


def test_a_private_zone_is_seen_by_its_vpc_alone() -> None:
    rows = VPE + "vpc2: {kind: vpc, on: bb, subnets: {app: {zone: z1, prefix: 10.241.0.0/24}}}\n"
    [zone] = network_of(rows).zones["pdns"]
    assert zone.permitted == (IPv4Network("10.240.0.0/24"), IPv4Network("10.240.64.0/24"))
    assert {record.value for record in zone.records} == {"10.240.0.9", "10.240.64.9"}
    assert {record.name for record in zone.records} == {zone.name} == {"kms.example.com"}


def test_a_zone_of_the_private_dns_itself_is_permitted_to_the_named_vpcs() -> None:
    zones = "zones: {corp.example: {records: {www: 10.240.0.4}, permitted: [vpc1]}}"
    net = network_of(changed(VPE, "161.26.0.8]}", f"161.26.0.8], {zones}}}"))
    [zone] = [each for each in net.zones["pdns"] if each.name == "corp.example"]
    assert [(record.name, record.value) for record in zone.records] == [("www.corp.example", "10.240.0.4")]
    assert zone.permitted == (IPv4Network("10.240.0.0/24"), IPv4Network("10.240.64.0/24"))


# ---- Internet


def test_the_internet_knows_its_own_prefixes_only() -> None:
    net = network_of(VPN)
    assert routes(net, "isp1") == set()
    assert not net.wires


def test_only_customers_are_delayed_so_that_a_way_across_counts_once() -> None:
    delays = {(plug.node, plug.segment): plug.delay_ms for plug in network_of(VPN).plugs if plug.segment == "isp1.0"}
    assert delays == {("isp1", "isp1.0"): 0, ("gw", "isp1.0"): 10, ("cgw", "isp1.0"): 10}


def test_a_gateways_side_is_captured_alone_and_the_internet_as_a_whole() -> None:
    net = network_of(VPN)
    assert [(spot.namespace, spot.device, spot.direction) for spot in net.spots["gw.isp1"]] == [
        ("isp1.0", "gw", "both")
    ]
    assert {(spot.device, spot.direction) for spot in net.spots["isp1"]} == {
        ("isp1", "in"),
        ("gw", "in"),
        ("cgw", "in"),
    }


def test_an_internet_of_two_prefixes_is_captured_on_both() -> None:
    rows = "inet: {kind: internet, prefixes: [198.51.100.0/24, 203.0.113.0/24]}\n"
    rows += "a: {kind: host, net: inet, address: 198.51.100.4}\nb: {kind: host, net: inet, address: 203.0.113.4}"
    net = network_of(rows)
    assert {spot.namespace for spot in net.spots["inet"]} == {"inet.0", "inet.1"}
    assert routes(net, "b") == {f"{DEFAULT} via 203.0.113.1"}


# ---- hosts and sites


def test_a_site_goes_out_by_its_customer_gateway() -> None:
    net = network_of(VPN)
    assert routes(net, "pc") == {f"{DEFAULT} via 172.16.10.1"}
    assert net.holder(IPv4Address("172.16.10.1")) == "cgw"
    assert f"{DEFAULT} via 198.51.100.1" in routes(net, "cgw")


@pytest.mark.parametrize(
    ("net", "address", "router"), [("dc", "172.16.10.7", "172.16.10.1"), ("vpc1.app", "10.0.1.7", "10.0.1.1")]
)
def test_a_plain_host_lives_in_a_site_or_a_subnet_too(net: str, address: str, router: str) -> None:
    assert routes(network_of(VPN + f"h: {{kind: host, net: {net}, address: {address}}}"), "h") == {
        f"{DEFAULT} via {router}"
    }


def test_a_jump_server_routes_nothing() -> None:
    net = network_of(POWER + "jump: {kind: jump_server, subnet: cnet.app, address: 10.148.252.70}")
    assert not net.nodes["jump"].forwards
    assert net.listens["jump"] == [Listen("tcp", 22)]
    assert routes(net, "jump") == {f"{DEFAULT} via 10.148.252.65"}


# ---- IPsec


def test_a_vpn_gateway_has_no_default_route_and_publishes_what_is_beyond() -> None:
    net = network_of(VPN)
    assert not [way for way in routes(net, "gw") if way.startswith(DEFAULT)]
    assert routes(net, "vpc1") == {"172.16.10.0/24 via 10.0.1.2"}


def test_beyond_a_tunnel_stands_a_guard_route_on_both_sides() -> None:
    net = network_of(VPN)
    guards = {(path.node, str(path.to)) for path in net.paths if path.metric == GUARD_METRIC and not path.via}
    assert guards == {("gw", "172.16.10.0/24"), ("cgw", "10.0.0.0/16")}


def test_a_watched_tunnel_has_no_route_of_its_own_and_an_unwatched_one_has() -> None:
    net = network_of(VPN)
    assert not [path for path in net.paths if path.device in ("t1", "t2")]
    single = VPN.split("t2:")[0].replace("  check: {from: 10.0.1.2, to: 172.16.10.1}\n", "")
    ways = {(path.node, str(path.to), str(path.source)) for path in network_of(single).paths if path.device == "t1"}
    assert ways == {("gw", "172.16.10.0/24", "10.0.1.2"), ("cgw", "10.0.0.0/16", "172.16.10.1")}


def test_each_end_watches_from_its_own_address_and_the_heavier_path_ranks_first() -> None:
    net = network_of(VPN)
    for node, local, remote in (("gw", "10.0.1.2", "172.16.10.1"), ("cgw", "172.16.10.1", "10.0.1.2")):
        one, two = net.watched[node]
        assert (str(one.local), str(one.remote), str(one.source)) == (local, remote, local)
        assert (one.device, one.carrier, two.device, two.carrier) == ("t1", "isp1-0", "t2", "isp2-0")
        assert one.metric < two.metric < GUARD_METRIC


def test_a_tunnel_has_ends_and_selectors_that_mirror_each_other() -> None:
    one, two = network_of(VPN).esps
    assert (str(one.a.address), str(one.b.address)) == ("198.51.100.10", "198.51.100.20")
    assert (one.a.behind, one.b.behind) == ((IPv4Network("10.0.0.0/16"),), (IPv4Network("172.16.10.0/24"),))
    assert one.number != two.number
    assert one.inbound_clear == two.inbound_clear == "discard"


def test_a_tunnels_clear_inbound_policy_can_be_a_mistake_on_purpose() -> None:
    one, two = network_of(VPN.replace("weight: 100", "weight: 100\n  inbound_clear: bypass")).esps
    assert (one.inbound_clear, two.inbound_clear) == ("bypass", "discard")


def test_tcp_through_a_tunnel_is_clamped_on_both_sides() -> None:
    net = network_of(VPN)
    for node in ("gw", "cgw"):
        assert [rule.split(" ")[2] for rule in rules(net, node, "mangle")] == ["t1", "t2"]


def test_the_way_to_a_peer_behind_another_prefix_is_by_the_provider() -> None:
    rows = VPN.replace("prefixes: [198.51.100.0/24], delay: 10ms", "prefixes: [198.51.100.0/28, 198.51.100.16/28]")
    net = network_of(rows)
    assert "198.51.100.20/32 via 198.51.100.1" in routes(net, "gw")
    assert "198.51.100.10/32 via 198.51.100.17" in routes(net, "cgw")


# ---- Power


def test_an_appliance_goes_out_by_its_public_side_and_in_by_its_private_one() -> None:
    ways = routes(network_of(POWER), "vra")
    assert {
        f"{DEFAULT} via 198.51.100.1",
        "10.0.0.0/8 via 10.148.252.65",
        "172.16.3.1/32 via 10.148.252.65",
    } <= ways


def test_a_static_route_may_lead_out_by_the_public_side() -> None:
    net = network_of(changed(POWER, "via: private}]", "via: public}]"))
    assert "172.16.3.1/32 via 198.51.100.1" in routes(net, "vra")


def test_the_backbone_routes_power_subnets_but_none_that_were_brought_along() -> None:
    net = network_of(POWER)
    assert routes(net, "classic") == {"10.150.0.0/24 via 169.254.254.2", "172.16.3.1/32 via 169.254.254.2"}
    assert IPv4Network("192.168.50.0/24") not in reach(net, "classic")


def test_a_workspace_knows_the_way_back_to_classic_and_no_default_route() -> None:
    ways = routes(network_of(POWER), "power")
    assert "10.148.252.64/26 via 169.254.254.1" in ways
    assert not [way for way in ways if way.startswith(DEFAULT)]


def test_a_tunnel_routes_what_it_carries_both_ways_with_guards_behind() -> None:
    net = network_of(POWER)
    assert {"192.168.50.0/24 via 172.16.3.5 dev byoip", "192.168.50.0/24 unreachable"} <= routes(net, "vra")
    assert {"172.20.10.0/24 via 172.16.3.6 dev byoip", "172.20.10.0/24 unreachable"} <= routes(net, "power")


def test_a_tunnel_that_is_shut_down_has_guards_and_no_routes() -> None:
    net = network_of(POWER + "  enabled: false\n")
    assert not [path for path in net.paths if path.device == "byoip"]
    assert "192.168.50.0/24 unreachable" in routes(net, "vra")
    assert [end.up for end in net.gre_ends] == [False, False]


def test_without_guards_what_a_dead_tunnel_carried_follows_the_default_route() -> None:
    net = network_of(POWER + "  enabled: false\n  when_down: follow_default\n")
    assert not [way for way in routes(net, "vra") if way.startswith("192.168.50.0")]


def test_the_two_ends_of_a_tunnel_mirror_each_other() -> None:
    one, two = network_of(POWER).gre_ends
    assert (one.local, one.remote) == (two.remote, two.local)
    assert (one.node, two.node, one.mtu, two.mtu) == ("power", "vra", 1476, 1476)
    assert one.inner.network == two.inner.network


def test_the_far_end_of_a_tunnel_is_an_address_of_the_workspace() -> None:
    net = network_of(POWER)
    assert net.holder(IPv4Address("172.16.3.1")) == "power"
    assert net.addresses["power"] == IPv4Address("10.150.0.1")


# ---- the whole


@pytest.mark.parametrize("rows", [POWER, VPN, VPE], ids=["power", "vpn", "vpe"])
def test_every_router_reaches_every_next_hop_directly(rows: str) -> None:
    net = network_of(rows)
    for path in net.paths:
        on_link = [plug.address.network for plug in net.plugs if plug.node == path.node]
        on_link += [wire.a_address.network for wire in net.wires if wire.a == path.node]
        on_link += [wire.b_address.network for wire in net.wires if wire.b == path.node]
        on_link += [end.inner.network for end in net.gre_ends if end.node == path.node]
        assert path.via is None or any(path.via in network for network in on_link), path


@pytest.mark.parametrize("rows", [POWER, VPN, VPE], ids=["power", "vpn", "vpe"])
def test_the_order_in_which_resources_are_written_changes_no_route(rows: str) -> None:
    document = document_of(text_of(rows))
    parts = document.parts
    turned = replace(
        parts, values=dict(reversed(parts.values.items())), mentions=dict(reversed(parts.mentions.items()))
    )
    backwards = replace(document, parts=turned)
    one, two = resolve(document), resolve(backwards)
    for node in one.nodes:
        mine = {path.to for path in one.paths if path.node == node}
        assert mine == {path.to for path in two.paths if path.node == node}


def test_a_circle_of_references_is_refused() -> None:
    document = document_of(text_of("a: {kind: site, prefix: 172.16.0.0/24}\nb: {kind: site, prefix: 172.17.0.0/24}"))
    document.references.update({"a": ("b",), "b": ("a",)})
    assert resolve(document) == Network()
    assert [fault.rule for fault in document.reading.faults] == ["mentions itself in a circle: a -> b -> a"]


def test_two_routes_of_one_rank_are_refused() -> None:
    rows = POWER.replace("via: private}]", "via: private}, {to: 172.16.3.1/32, via: public}]")
    document = document_of(text_of(rows))
    resolve(document)
    assert [str(fault).split(": ", 1)[1] for fault in document.reading.faults] == [
        "resources.vra: two routes of the same rank to 172.16.3.1/32, by 10.148.252.65 and 198.51.100.1 "
        "(let one of them go)"
    ]


def test_two_links_of_a_node_with_one_device_name_are_refused() -> None:
    rows = VPN.replace("t1:", "isp1-0:")
    document = document_of(text_of(rows))
    resolve(document)
    assert {fault.rule for fault in document.reading.faults} == {"2 of its links would be the device isp1-0"}


def test_a_long_device_name_is_hashed_and_not_cut() -> None:
    one, two = device_name("power-workspace-one"), device_name("power-workspace-two")
    assert one != two
    assert len(one) == len(two) == 15
    assert device_name("vpc1.app") == "vpc1-app"
    assert device_name("a" * 15) == "a" * 15


def test_every_alias_leads_to_a_kind_and_hides_none() -> None:
    assert set(ALIASES.values()) <= set(KINDS)
    assert {part.partition(".")[0] for part in PARTS.values()} <= set(KINDS)
    assert not set(OTHER_WORDS) & set(KINDS)
    assert len(OTHER_WORDS) == len(ALIASES) + len(PARTS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.kind)
def test_every_kind_says_what_it_is(kind: type) -> None:
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
