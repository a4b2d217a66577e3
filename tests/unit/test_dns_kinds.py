"""What the kinds of DNS become in the model: who answers whom, from what, and whom it asks."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from core_lab import VPE, document_of, network_of, routes, text_of

from labctl.description.document import Document
from labctl.kinds.resolve import resolve
from labctl.model import stubs
from labctl.model.network import Network
from labctl.model.services import Forward, Resolver, Secondary
from labctl.plan.compile import compile_plan
from labctl.plan.dnswords import resolver_words
from labctl.plan.objects import Process

SHARED = "shared: {kind: shared_dns, on: bb, addresses: [161.26.0.10, 161.26.0.11]}\n"
CUSTOM = """\
cr:
  kind: custom_resolver
  vpc: vpc1
  locations: [{subnet: vpc1.app, address: 10.240.0.5}, {subnet: vpc1.db, address: 10.240.64.5}]
  rules: [{zone: onprem.example.com, to: [192.168.5.2, 192.168.5.3]}]
  secondary_zones: [{zone: branch.example.com, from: [192.168.5.2]}]
"""
ONPREM = """\
dc: {kind: site, prefix: 192.168.4.0/22, router: cpe, hosts: {pc: 192.168.4.20}}
odns:
  kind: dns_server
  site: dc
  address: 192.168.5.2
  zones: {onprem.example.com: {w3: 192.168.4.10, pool: 192.168.7.0/30}, branch.example.com: {till: 192.168.6.10}}
  forward: {example.com: [10.240.0.5, 10.240.64.5]}
  transfer_to: [10.240.0.5, 10.240.64.5]
dl: {kind: direct_link, from: dc, to: vpc1, peering: 169.254.10.0/30, static_routes: [161.26.0.0/16]}
"""
PRIVATE, PUBLIC = ("161.26.0.7", "161.26.0.8"), ("161.26.0.10", "161.26.0.11")
LOCATIONS = ("10.240.0.5", "10.240.64.5")


def asked(net: Network, node: str) -> tuple[str, ...]:
    return tuple(map(str, net.nodes[node].stub))


def resolver(net: Network, node: str) -> Resolver:
    return Resolver(net.resolvers[node], tuple(net.zones.get(node, ())), **net.resolver_options[node])


def under(profile: str, resources: str) -> Network:
    return resolve(replace(document_of(text_of(resources)), profile=profile))


def faults(resources: str) -> list[str]:
    document: Document = document_of(text_of(resources))
    resolve(document)
    return [f"{each.path} {each.rule}" for each in document.reading.faults]


# ---- whom an instance asks


def without_names(rows: str) -> str:
    return "".join(f"{line}\n" for line in rows.splitlines() if not line.startswith("egw:"))


def test_an_instance_asks_the_shared_resolvers_until_its_vpc_has_a_private_name() -> None:
    assert asked(network_of(without_names(VPE) + SHARED), "vsi1") == PUBLIC
    assert asked(network_of(VPE + SHARED), "vsi1") == PRIVATE


def test_a_private_zone_that_permits_the_vpc_is_a_private_name_and_one_that_does_not_is_none() -> None:
    zone = "161.26.0.8], zones: {in.example.com: {records: {}, permitted: [vpc1]}}"
    other = "vpc2: {kind: vpc, on: bb, subnets: {app: {zone: z1, prefix: 10.241.0.0/24}}}\n"
    rows = without_names(VPE).replace("161.26.0.8]", zone) + SHARED + other
    assert asked(network_of(rows), "vsi1") == PRIVATE
    assert asked(network_of(rows.replace("permitted: [vpc1]", "permitted: [vpc2]")), "vsi1") == PUBLIC


def test_without_shared_resolvers_an_instance_asks_the_private_dns() -> None:
    assert asked(network_of(without_names(VPE)), "vsi1") == PRIVATE


def test_an_instance_asks_the_enabled_locations_of_a_custom_resolver_in_their_order() -> None:
    assert asked(network_of(VPE + CUSTOM), "vsi1") == LOCATIONS
    first_off = CUSTOM.replace("10.240.0.5}", "10.240.0.5, enabled: false}")
    assert asked(network_of(VPE + first_off), "vsi1") == LOCATIONS[1:]


def test_with_no_location_enabled_an_instance_asks_the_private_dns_still() -> None:
    off = CUSTOM.replace("10.240.0.5}", "10.240.0.5, enabled: false}").replace("64.5}", "64.5, enabled: false}")
    net = network_of(VPE + off)
    assert asked(net, "vsi1") == PRIVATE
    assert "cr.app" in net.nodes
    assert "cr.app" not in net.resolvers


def test_a_stale_lease_has_the_shared_resolvers_and_what_is_set_by_hand_stays() -> None:
    rows = VPE.replace("address: 10.240.0.4}", "address: 10.240.0.4, dns: stale}") + SHARED + CUSTOM
    assert asked(network_of(rows), "vsi1") == PUBLIC
    assert asked(network_of(rows.replace("dns: stale", "dns: [192.0.2.1]")), "vsi1") == ("192.0.2.1",)


def test_the_hosts_of_a_site_ask_its_dns_servers() -> None:
    net = network_of(VPE + CUSTOM + ONPREM)
    assert asked(net, "pc") == asked(net, "odns") == ("192.168.5.2",)


@pytest.mark.parametrize(
    ("profile", "options"), [("fast", "timeout:1 attempts:1"), ("provider", "timeout:5 attempts:2")]
)
def test_programs_have_a_resolv_conf_with_the_patience_of_the_profile(profile: str, options: str) -> None:
    servers = "".join(f"nameserver {each}\n" for each in PRIVATE)
    net = under(profile, VPE)
    assert stubs.resolv_conf(net, "vsi1") == f"{servers}options {options}\n"
    assert "hosts: files dns\n" in stubs.files(net, "vsi1")["/etc/nsswitch.conf"]


def test_a_node_that_asks_nobody_keeps_the_files_of_the_host() -> None:
    assert stubs.files(network_of(VPE), "bb") == {}


# ---- private and shared DNS


def test_the_private_dns_answers_vpcs_of_its_backbone_alone_and_is_silent_to_others() -> None:
    found = resolver(network_of(VPE + "vpc9: {kind: vpc, subnets: {a: {zone: z1, prefix: 10.9.0.0/24}}}\n"), "pdns")
    assert found.clients == (IPv4Network("10.240.0.0/24"), IPv4Network("10.240.64.0/24"))
    assert found.strangers == "silence"


def test_the_private_dns_asks_the_shared_resolvers_for_what_it_does_not_know() -> None:
    assert resolver(network_of(VPE), "pdns").forwards == ()
    found = resolver(network_of(VPE + SHARED), "pdns")
    assert found.forwards == (Forward("", tuple(map(IPv4Address, PUBLIC))),)
    assert found.upstream_source == IPv4Address("161.26.0.7")


def test_the_shared_resolvers_know_services_by_their_own_address_and_no_reserved_one() -> None:
    found = resolver(network_of(VPE + SHARED), "shared")
    assert [(each.name, each.value) for zone in found.zones for each in zone.records] == [
        ("kms.example.com", "166.9.20.10")
    ]
    assert found.clients == ()


# ---- custom resolver


def test_every_location_asks_by_the_same_rules_from_its_own_address() -> None:
    net = network_of(VPE + CUSTOM + ONPREM)
    for node, address in (("cr.app", "10.240.0.5"), ("cr.db", "10.240.64.5")):
        found = resolver(net, node)
        assert found.listen == (IPv4Address(address),)
        assert found.upstream_source == IPv4Address(address)
        assert found.forwards == (
            Forward("onprem.example.com", (IPv4Address("192.168.5.2"), IPv4Address("192.168.5.3"))),
            Forward("", tuple(map(IPv4Address, PRIVATE))),
        )
        assert found.secondaries == (Secondary("branch.example.com", (IPv4Address("192.168.5.2"),)),)
        assert found.clients == ()


def test_the_default_rule_can_be_edited() -> None:
    rows = VPE + CUSTOM + "  default: [192.0.2.53]\n  allow: [default_elsewhere]\n"
    assert resolver(network_of(rows), "cr.app").forwards[-1] == Forward("", (IPv4Address("192.0.2.53"),))


def test_a_default_rule_elsewhere_needs_no_leave_where_no_private_name_is_lost() -> None:
    assert faults(without_names(VPE) + CUSTOM + "  default: [192.0.2.53]\n") == []


def test_the_health_of_a_resolver_is_that_of_all_its_locations() -> None:
    off = CUSTOM.replace("10.240.0.5}", "10.240.0.5, enabled: false}")
    assert network_of(VPE + off).locations == {"cr": tuple(map(IPv4Address, LOCATIONS))}


def test_two_locations_in_a_subnet_have_names_of_their_own() -> None:
    both = CUSTOM.replace("vpc1.db, address: 10.240.64.5", "vpc1.app, address: 10.240.0.6")
    net = network_of(VPE + both)
    assert [net.addresses[node] for node in ("cr.app", "cr.app-2")] == [
        IPv4Address("10.240.0.5"),
        IPv4Address("10.240.0.6"),
    ]


@pytest.mark.parametrize(("profile", "negative_s"), [("fast", 8), ("provider", 1800)])
def test_how_long_a_denial_is_kept_depends_on_the_profile(profile: str, negative_s: int) -> None:
    assert resolver(under(profile, VPE + CUSTOM), "cr.app").negative_s == negative_s


def test_the_rules_of_a_large_resolver_are_counted_by_its_profile() -> None:
    rules = ", ".join(f"{{zone: z{i}.example.com, to: [192.168.5.2]}}" for i in range(51))
    large = CUSTOM.replace("rules: [", f"rules: [{rules}, ")
    for profile, most in (("essential", 10), ("advanced", 50)):
        assert faults(VPE + large + f"  profile: {profile}\n") == [
            f"resources.cr.rules 52 rules, and {profile} allows {most}"
        ]
    assert faults(VPE + large + "  profile: premier\n") == []


# ---- what goes round in a circle


def looped(rows: str) -> list[str]:
    return [each for each in faults(VPE + rows) if "circle" in each]


def test_a_zone_that_the_server_has_itself_goes_round_nowhere() -> None:
    assert looped(CUSTOM + ONPREM) == []


def test_a_zone_that_the_server_asks_the_resolver_about_goes_round() -> None:
    assert looped(CUSTOM + ONPREM.replace("onprem.example.com: {w3: 192.168.4.10, pool: 192.168.7.0/30}, ", "")) == [
        "resources.cr.rules[0].zone goes round in a circle: 192.168.5.2 -> 10.240.0.5 leads back to this resolver"
    ]


def test_the_longest_zone_of_the_server_decides_whether_it_goes_round() -> None:
    rows = ONPREM.replace("onprem.example.com: {w3: 192.168.4.10, pool: 192.168.7.0/30}, ", "")
    rows = rows.replace("forward: {", "forward: {onprem.example.com: [192.0.2.53], ")
    assert looped(CUSTOM + rows) == []


def test_a_circle_that_is_meant_to_be_seen_is_allowed() -> None:
    rows = ONPREM.replace("onprem.example.com: {w3: 192.168.4.10, pool: 192.168.7.0/30}, ", "")
    assert looped(CUSTOM + "  allow: [loop]\n" + rows) == []


@pytest.mark.parametrize("known", ["", "[161.26.0.7], in.example.com: "])
def test_a_default_rule_goes_round_where_its_server_asks_the_resolver_about_some_names(known: str) -> None:
    """Also where the server knows the longer of two zones otherwise."""
    rows = ONPREM.replace("forward: {example.com: ", "forward: {example.com: " + known)
    default = "  default: [192.168.5.2]\n  allow: [default_elsewhere, rule_elsewhere]\n"
    name = "in.example.com" if known else "example.com"
    assert looped(CUSTOM + default + rows) == [
        f"resources.cr.default a question for {name} goes round in a circle: 192.168.5.2 -> 10.240.0.5 leads back to "
        "this resolver"
    ]
    assert looped(CUSTOM + default.replace("allow: [", "allow: [loop, ") + rows) == []


def test_a_circle_below_the_zone_of_a_rule_is_one_too() -> None:
    rows = ONPREM.replace("forward: {example.com: ", "forward: {in.onprem.example.com: ")
    assert [each.partition(" goes")[0] for each in looped(CUSTOM + rows)] == [
        "resources.cr.rules[0].zone a question for in.onprem.example.com"
    ]


def test_a_circle_that_passes_a_resolver_is_told_there_alone() -> None:
    second = ONPREM.replace("onprem.example.com: {w3: 192.168.4.10, pool: 192.168.7.0/30}, ", "")
    assert [each.split()[0] for each in looped(CUSTOM + second)] == ["resources.cr.rules[0].zone"]


# ---- a rule that takes a private name away


def taken(rows: str) -> list[str]:
    return [each for each in faults(VPE + rows) if "takes" in each]


def test_a_rule_that_takes_the_name_of_a_gateway_away_must_be_meant() -> None:
    rows = CUSTOM.replace("zone: onprem.example.com", "zone: example.com") + ONPREM
    assert taken(rows) == [
        "resources.cr.rules[0].zone takes kms.example.com, a private name of vpc1, away from the private DNS"
    ]
    assert taken(rows.replace("  rules:", "  allow: [rule_elsewhere]\n  rules:")) == []


def test_a_longer_rule_gives_the_name_back_to_the_private_dns() -> None:
    rows = CUSTOM.replace("zone: onprem.example.com", "zone: example.com") + ONPREM
    assert taken(rows.replace("  rules: [", "  rules: [{zone: kms.example.com, to: [161.26.0.8]}, ")) == []


# ---- on-premises


def test_a_server_on_premises_gives_its_zones_to_those_it_names_and_refuses_what_it_does_not_know() -> None:
    found = resolver(network_of(VPE + CUSTOM + ONPREM), "odns")
    assert {zone.transfer_to for zone in found.zones} == {tuple(map(IPv4Address, LOCATIONS))}
    assert found.forwards == (Forward("example.com", tuple(map(IPv4Address, LOCATIONS))),)
    assert found.otherwise == "refused"


def test_a_prefix_is_a_record_for_each_of_its_hosts() -> None:
    [zone, _] = resolver(network_of(VPE + CUSTOM + ONPREM), "odns").zones
    pool = [each.value for each in zone.records if each.name == "pool.onprem.example.com"]
    assert pool == ["192.168.7.1", "192.168.7.2"]


def test_a_site_and_a_vpc_know_the_way_to_each_other_over_a_direct_link() -> None:
    net = network_of(VPE + CUSTOM + ONPREM)
    assert routes(net, "cpe") == {
        "10.240.0.0/24 via 169.254.10.2",
        "10.240.64.0/24 via 169.254.10.2",
        "161.26.0.0/16 via 169.254.10.2",
    }
    assert "192.168.4.0/22 via 169.254.10.1" in routes(net, "vpc1")
    assert not [way for way in routes(net, "bb") if way.startswith("192.168")]
    assert net.nodes["cpe"].forwards
    assert net.holder(IPv4Address("192.168.4.1")) == "cpe"


def test_the_router_of_a_site_may_be_its_customer_gateway() -> None:
    rows = ONPREM.replace(", router: cpe", "") + "inet: {kind: internet, prefixes: [198.51.100.0/24]}\n"
    net = network_of(VPE + CUSTOM + rows + "cgw: {kind: customer_gateway, site: dc, addresses: {inet: 198.51.100.2}}\n")
    assert "10.240.0.0/24 via 169.254.10.2" in routes(net, "cgw")
    assert net.addresses["cgw"] == IPv4Address("192.168.4.1")


# ---- plan


def test_a_slow_kernel_gives_resolvers_more_time() -> None:
    plan = compile_plan("x", network_of(VPE + CUSTOM), time_scale=3)
    [program] = [each.program for each in plan.objects if isinstance(each, Process) and each.namespace == "cr.app"]
    assert isinstance(program, Resolver)
    assert (program.attempt_ms, program.patience_ms, program.negative_s, program.positive_s) == (900, 4500, 24, 15)


def test_a_resolver_in_words_tells_all_that_decides_its_answers() -> None:
    words = resolver_words(resolver(network_of(VPE + CUSTOM + ONPREM), "cr.app"))
    assert words == (
        "answers DNS at 10.240.0.5, zones none; copies branch.example.com from 192.168.5.2; "
        "asks 192.168.5.2 or 192.168.5.3 for onprem.example.com; asks 161.26.0.7 or 161.26.0.8 for all else; "
        "waits 300 ms for each, 1500 ms for all; keeps answers 5 s at most, denials 8 s"
    )
    assert resolver_words(resolver(network_of(VPE), "pdns")).endswith("is silent to others")
