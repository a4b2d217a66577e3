"""An NSX-T network and the VPC's routes to it, in the model; and what keepalived is told of its edges."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from core_lab import VPE, VPN, document_of, network_of, plan_of, routes, text_of

from labctl.kinds.resolve import resolve
from labctl.model.network import Network, device_name
from labctl.model.services import Vrrp
from labctl.plan.needs import needs
from labctl.services.vrrptext import configuration

LAB = """
bb: {kind: backbone, provider: ibm}
vmw:
  kind: vpc
  on: bb
  subnets:
    z1: {zone: z1, prefix: 10.240.0.0/24}
    z2: {zone: z2, prefix: 10.240.64.0/24}
    tep: {zone: z1, prefix: 10.240.2.0/24}
    uplink: {zone: z1, prefix: 192.168.0.0/24}
    public: {zone: z1, prefix: 192.168.1.0/24}
nsx:
  kind: nsx
  hosts: {esxi1: 10.240.2.11, esxi2: 10.240.2.12}
  tier0:
    edges: {edge1: 192.168.0.11, edge2: 192.168.0.12}
    uplinks: {private: vmw.uplink, public: vmw.public}
    vip: 192.168.0.10
  tier1s: {t1: {advertise: [connected]}, t2: {}}
  segments:
    seg-a: {tier1: t1, prefix: 192.168.4.0/24, vms: {wl-a: {host: esxi1, address: 192.168.4.10}}}
    seg-b: {tier1: t1, prefix: 192.168.5.0/24, vms: {wl-b: {host: esxi2, address: 192.168.5.10}}}
    seg-c: {tier1: t2, prefix: 192.168.6.0/24, vms: {wl-c: {host: esxi2, address: 192.168.6.10}}}
to-overlay: {kind: route, vpc: vmw, zone: z1, to: 192.168.4.0/22, via: 192.168.0.10}
"""


def changed(rows: str, old: str, new: str) -> str:
    assert rows.count(old) == 1
    return rows.replace(old, new)


def tables(net: Network, node: str) -> dict[int, set[str]]:
    """The destinations in each of a node's routing tables."""
    found: dict[int, set[str]] = {}
    for path in net.paths:
        if path.node == node:
            found.setdefault(path.table, set()).add(str(path.to))
    return found


def asked(net: Network, node: str, table: int) -> set[str | None]:
    """What comes in by which devices asks a table."""
    return {each.device for each in net.choices if (each.node, each.table) == (node, table)}


def virtual(net: Network, edge: str) -> dict[str, str]:
    return {device: str(address.ip) for device, address in net.vrrp_routers[edge].addresses}


# ---- routes of a VPC


def test_a_route_of_a_zone_is_asked_by_what_comes_from_that_zone_and_by_the_router_itself() -> None:
    net = network_of(LAB)
    [table] = [number for number, found in tables(net, "vmw").items() if "192.168.4.0/22" in found]
    assert table
    zone = {device_name(f"vmw.{name}") for name in ("z1", "tep", "uplink", "public")}
    assert asked(net, "vmw", table) == {*zone, "lo"}


def test_a_route_of_a_zone_hides_neither_the_subnets_nor_the_services_of_the_provider() -> None:
    net = network_of(changed(LAB, "to: 192.168.4.0/22", "to: 0.0.0.0/0"))
    [near] = [found for number, found in tables(net, "vmw").items() if number]
    assert near >= {"10.240.0.0/24", "10.240.64.0/24", "192.168.0.0/24", "161.26.0.0/16", "166.8.0.0/14"}


LINKED = """
vpc1: {kind: vpc, subnets: {app: {zone: z1, prefix: 10.240.0.0/24}, db: {zone: z2, prefix: 10.240.64.0/24}}}
fw: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}
wide: {kind: route, vpc: vpc1, zone: z1, to: 192.168.0.0/16, via: 10.240.0.4}
dc: {kind: site, prefix: 192.168.4.0/22, router: cpe}
dl: {kind: direct_link, from: dc, to: vpc1, peering: 169.254.10.0/30}
"""


@pytest.mark.parametrize(
    ("to", "copied"), [("192.168.0.0/16", ["192.168.4.0/22"]), ("192.168.4.0/22", []), ("10.9.0.0/16", [])]
)
def test_a_route_of_a_zone_hides_nothing_that_the_router_knows_more_specifically(to: str, copied: list[str]) -> None:
    net = network_of(changed(LINKED, "192.168.0.0/16", to))
    [zone] = [
        path.table for path in net.paths if (path.node, str(path.to), str(path.via)) == ("vpc1", to, "10.240.0.4")
    ]
    link = [path for path in net.paths if str(path.via) == "169.254.10.1"]
    assert [str(path.to) for path in link if path.table == zone] == copied
    assert [str(path.to) for path in link if not path.table] == ["192.168.4.0/22"]


def test_next_hops_are_found_in_the_table_of_a_zone_that_has_a_default_route() -> None:
    paths = network_of(changed(LINKED, "192.168.0.0/16", "0.0.0.0/0")).paths
    [peering] = [path for path in paths if str(path.to) == "169.254.10.0/30"]
    assert (peering.node, peering.device) == ("vpc1", "dl")
    assert peering.table
    first = next(path for path in paths if str(path.via) == "169.254.10.1")
    assert paths.index(peering) < paths.index(first)


def test_a_vpn_is_known_to_the_router_although_a_route_of_a_zone_leads_to_the_same_prefix() -> None:
    first = "own: {kind: route, vpc: vpc1, zone: a, to: 172.16.10.0/24, via: 10.0.1.10}\n"
    net = network_of(first + VPN.lstrip())
    ways = {path.table: str(path.via) for path in net.paths if (path.node, str(path.to)) == ("vpc1", "172.16.10.0/24")}
    assert ways.pop(0) == "10.0.1.2"
    assert list(ways.values()) == ["10.0.1.10"]


def test_each_zone_has_a_table_of_its_own() -> None:
    fw = "\nfw: {kind: instance, subnet: vmw.z2, address: 10.240.64.4}\n"
    more = "far: {kind: route, vpc: vmw, zone: z2, to: 172.16.0.0/16, via: 10.240.64.4}\n"
    net = network_of(LAB + fw + more)
    found = tables(net, "vmw")
    [mine] = [number for number in found if "172.16.0.0/16" in found[number]]
    [other] = [number for number in found if "192.168.4.0/22" in found[number]]
    assert mine != other
    assert asked(net, "vmw", mine) == {device_name("vmw.z2"), "lo"}


def test_a_vpc_of_one_zone_needs_no_zone_in_its_routes() -> None:
    rows = """
vpc1: {kind: vpc, subnets: {app: {zone: z1, prefix: 10.240.0.0/24}}}
fw: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}
out: {kind: route, vpc: vpc1, to: 172.17.0.0/16, via: 10.240.0.4, priority: 0}
"""
    net = network_of(rows)
    assert "172.17.0.0/16 via 10.240.0.4" in routes(net, "vpc1")
    assert set(tables(net, "vpc1")) == {0}


def test_the_priority_of_a_route_is_its_metric() -> None:
    net = network_of(changed(LAB, "via: 192.168.0.10}", "via: 192.168.0.10, priority: 4}"))
    assert [path.metric for path in net.paths if str(path.to) == "192.168.4.0/22"] == [4]


# ---- the overlay


def test_a_segment_is_in_every_host_and_in_its_tier1_gateway() -> None:
    net = network_of(LAB)
    assert {name for name, _ in net.overlays["nsx.seg-a"].members} == {"esxi1", "esxi2", "t1"}
    assert {name for name, _ in net.overlays["nsx.seg-c"].members} == {"esxi1", "esxi2", "t2"}
    assert {name for name, _ in net.overlays["nsx.transit"].members} == {"t1", "t2", "edge1", "edge2"}


def test_a_machine_is_plugged_in_on_its_host_and_goes_by_the_gateway_of_its_segment() -> None:
    net = network_of(LAB)
    [plug] = [each for each in net.plugs if each.node == "wl-b"]
    assert (plug.segment, plug.host, str(plug.address)) == ("nsx.seg-b", "esxi2", "192.168.5.10/24")
    assert routes(net, "wl-b") == {"0.0.0.0/0 via 192.168.5.1"}


def test_tunnels_end_at_distinct_addresses_counted_down_where_none_is_written() -> None:
    net = network_of(changed(LAB, "  tier1s:", "  teps: {edge1: 10.240.2.31}\n  tier1s:"))
    ends = dict(net.overlays["nsx.transit"].members)
    assert ends == {
        "t1": IPv4Address("10.240.2.254"),
        "t2": IPv4Address("10.240.2.253"),
        "edge1": IPv4Address("10.240.2.31"),
        "edge2": IPv4Address("10.240.2.252"),
    }
    held = {(plug.node, plug.address.ip) for plug in net.plugs if plug.segment == "vmw.tep"}
    assert held >= set(ends.items())


def test_tunnels_reach_a_host_in_another_zone_by_the_router_of_their_own_subnet() -> None:
    net = network_of(changed(LAB, "esxi2: 10.240.2.12", "esxi2: 10.240.64.12"))
    for node in ("t1", "edge1"):
        assert "10.240.64.0/24 via 10.240.2.1" in routes(net, node)
    assert routes(net, "esxi2") == {"0.0.0.0/0 via 10.240.64.1"}


def test_a_segment_that_goes_leaves_the_network_identifiers_of_the_others_alone() -> None:
    row = next(line for line in LAB.splitlines() if line.startswith("    seg-a"))
    before, after = network_of(LAB), network_of(changed(LAB, f"{row}\n", ""))
    for name in ("nsx.seg-b", "nsx.seg-c", "nsx.transit"):
        assert after.overlays[name].vni == before.overlays[name].vni
    assert len({each.vni for each in before.overlays.values()}) == len(before.overlays)


def test_a_machine_asks_the_custom_resolver_of_the_vpc_or_whom_its_segment_says() -> None:
    resolver = "cr: {kind: custom_resolver, vpc: vmw, locations: [{subnet: vmw.z1, address: 10.240.0.5}]}\n"
    pdns = "pdns: {kind: private_dns, on: bb, addresses: [161.26.0.7]}\n"
    assert network_of(LAB + pdns).nodes["wl-a"].stub == ()
    net = network_of(
        changed(LAB, "prefix: 192.168.5.0/24,", "prefix: 192.168.5.0/24, dns: [10.9.9.9],") + pdns + resolver
    )
    assert net.nodes["wl-a"].stub == (IPv4Address("10.240.0.5"),)
    assert net.nodes["wl-b"].stub == (IPv4Address("10.9.9.9"),)


# ---- tier-1 and tier-0


def test_the_edges_know_what_is_advertised_and_nothing_else_of_the_segments() -> None:
    net = network_of(LAB)
    [t1] = [plug.address.ip for plug in net.plugs if (plug.node, plug.segment) == ("t1", "nsx.transit")]
    for edge in ("edge1", "edge2"):
        assert {each for each in routes(net, edge) if each.startswith("192.168.")} == {
            f"192.168.4.0/24 via {t1}",
            f"192.168.5.0/24 via {t1}",
        }


def test_without_static_routes_the_tier0_has_the_vpc_and_its_services_and_no_default_route() -> None:
    net = network_of(LAB)
    by_vpc = {each.split()[0] for each in routes(net, "edge1") if each.endswith("via 192.168.0.1")}
    assert by_vpc == {"10.240.0.0/24", "10.240.64.0/24", "161.26.0.0/16", "166.8.0.0/14"}
    own = changed(LAB, "    vip: 192.168.0.10", "    vip: 192.168.0.10\n    static_routes: {0.0.0.0/0: 192.168.1.1}")
    assert {each for each in routes(network_of(own), "edge2") if "100.64." not in each} == {"0.0.0.0/0 via 192.168.1.1"}


def test_the_virtual_addresses_are_on_devices_of_the_edge_and_the_tier1_gateways_send_to_one() -> None:
    net = network_of(LAB)
    for edge in ("edge1", "edge2"):
        at = {plug.segment: plug.device for plug in net.plugs if plug.node == edge}
        held = virtual(net, edge)
        assert held[at["vmw.uplink"]] == "192.168.0.10"
        assert held[at["vmw.public"]] == "192.168.1.10"
        assert set(held) < set(at.values())
        assert routes(net, "t1") == {f"0.0.0.0/0 via {held[at['nsx.transit']]}"}


def test_the_first_edge_is_preferred_and_both_are_of_one_virtual_router() -> None:
    first, second = (network_of(LAB).vrrp_routers[edge] for edge in ("edge1", "edge2"))
    assert first.priority > second.priority
    assert (first.number, first.interval_ms, first.preempt) == (second.number, 200, False)
    again = network_of(changed(LAB, "    vip:", "    failover: preemptive\n    hello: 50ms\n    vip:"))
    assert (again.vrrp_routers["edge2"].interval_ms, again.vrrp_routers["edge2"].preempt) == (50, True)


def test_with_the_providers_timers_an_edge_tells_of_itself_once_a_second() -> None:
    document = document_of(text_of(LAB, "profile: provider\n"))
    assert resolve(document).vrrp_routers["edge1"].interval_ms == 1000


@pytest.mark.parametrize("allowed", [True, False])
def test_overlay_addresses_leave_an_edge_only_where_the_vpc_takes_them(allowed: bool) -> None:
    rows = changed(LAB, "    vip:", f"    allow_ip_spoofing: {str(allowed).lower()}\n    vip:")
    rules = {" ".join(each.words) for each in network_of(rows).rules if each.node == "edge1"}
    uplink = device_name("vmw.uplink")
    assert (f"-o {uplink} ! -s 192.168.0.0/24 -j DROP" in rules) is not allowed


def test_only_a_lab_with_a_virtual_router_needs_keepalived() -> None:
    assert set(needs(plan_of(LAB))) >= {"geneve", "policy-routing", "program:keepalived"}
    assert "program:keepalived" not in needs(plan_of(VPE))


# ---- what keepalived is told


def test_the_addresses_of_all_devices_move_together() -> None:
    config: Vrrp = network_of(LAB).vrrp_routers["edge1"]
    text = configuration(config, "edge1", "/x/states")
    group = text[text.index("vrrp_sync_group") :].split("}")[0].split()
    for device, address in config.addresses:
        assert device in group
        assert f"vrrp_instance {device} {{" in text
        assert f"{address} dev {device}" in text
    assert text.count("nopreempt") == text.count("vrrp_instance ") == 3
    assert "advert_int 0.2\n" in text
