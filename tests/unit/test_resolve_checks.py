"""What a check as written becomes: addresses, places of capture, times, and what must come of it."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from core_lab import POWER, VPE, VPN, document_of, network_of, text_of

from labctl.claims.expectations import Check, Expected, Hop, Inner, Sight, Spread, TraceHop
from labctl.claims.places import Places
from labctl.claims.refusals import refuse_checks, refuse_unplaced
from labctl.claims.resolve import ANSWER_MS, SILENCE_MS, Resolver
from labctl.kinds.resolve import resolve
from labctl.model.tunnels import FRESH_SPI
from labctl.probes.wire import Action, Connect, Dns, Flows, Http, Inject, Lookup, Named, Ping, Rate, Tcp, Trace, Udp

ECS1, PC, GW = IPv4Address("10.0.1.10"), IPv4Address("172.16.10.10"), IPv4Address("10.0.1.2")
PDNS = IPv4Address("161.26.0.7")
DNS = f"bb: {{kind: backbone, provider: ibm}}\npdns: {{kind: private_dns, on: bb, addresses: [{PDNS}]}}\n"


def checks_of(resources: str, *rows: str, time_scale: int = 1) -> list[Check]:
    """The checks, resolved; nothing may be wrong with them."""
    document = document_of(text_of(resources, "checks:\n" + "".join(f"  - {row}\n" for row in rows)))
    refuse_checks(document)
    net = resolve(document)
    refuse_unplaced(document, net)
    assert document.reading.faults == []
    return list(Resolver(document, net, time_scale).checks())


def check_of(do: str, expect: str = "ok", more: str = "", *, time_scale: int = 1) -> Check:
    rows = [f"{{id: P1, from: pc, do: {do}, expect: {expect}{more}}}"]
    return checks_of(f"{VPN}{DNS}", *rows, time_scale=time_scale)[0]


@pytest.mark.parametrize(
    ("do", "action"),
    [
        ("{dns: {server: 161.26.0.7, name: a.b}}", Dns(PDNS, "a.b", "A", "udp")),
        ("{dns: {server: 161.26.0.7, name: a.b, type: MX, transport: tcp}}", Dns(PDNS, "a.b", "MX", "tcp")),
        ("{tcp: {to: ecs1, port: 80, send: 1MB}}", Tcp(80, ECS1, send=1_000_000)),
        ("{udp: {to: 10.0.1.10, port: 53}}", Udp(ECS1, 53)),
        ("{ping: {to: ecs1, size: 1472, df: true}}", Ping(ECS1, 1472, True)),
        ("{http: {to: ecs1, port: 8080, path: /a}}", Http(8080, "/a", "ecs1", ECS1)),
        ("{http: {to: ecs1, host: a.example.com}}", Http(80, "/", "a.example.com", ECS1)),
        ("{trace: {to: ecs1}}", Trace(ECS1, "udp", 33434, 16)),
        ("{trace: {to: ecs1, proto: icmp, most: 4}}", Trace(ECS1, "icmp", 33434, 4)),
        ("{trace: {to: ecs1, proto: tcp, port: 80}}", Trace(ECS1, "tcp", 80, 16)),
        ("{flows: {to: ecs1, port: 80, count: 30, proto: tcp}}", Flows(ECS1, 80, 30, "tcp")),
    ],
)
def test_names_become_addresses(do: str, action: Action) -> None:
    assert check_of(do).action == action


def test_a_forged_packet_has_both_its_addresses() -> None:
    check = check_of("{inject: {source: ecs1, to: gw, port: 80, via: 172.16.10.1}}", more=", see: [{on: vpc1.app}]")
    assert check.action == Inject(ECS1, GW, 80, IPv4Address("172.16.10.1"))


@pytest.mark.parametrize("kind", ["tcp", "http", "connect"])
def test_a_domain_name_is_asked_for_by_the_senders_own_resolver(kind: str) -> None:
    row = f"{{id: P1, from: vsi1, do: {{{kind}: {{to: kms.example.com, port: 443}}}}, expect: ok}}"
    [check] = checks_of(VPE, row)
    assert isinstance(check.action, (Tcp, Http, Connect))
    assert (check.action.to, check.action.named) == (
        None,
        Named("kms.example.com", (IPv4Address("161.26.0.7"), IPv4Address("161.26.0.8"))),
    )


def test_a_program_sees_the_resolv_conf_of_its_node_and_no_resolver_of_the_host() -> None:
    row = "{id: P1, from: vsi1, do: {lookup: {name: kms.example.com}}, expect: {ok: {answers: [10.240.0.9]}}}"
    [check] = checks_of(VPE, row)
    assert isinstance(check.action, Lookup)
    assert (check.action.by, check.action.servers) == ("getent", (IPv4Address("161.26.0.7"), IPv4Address("161.26.0.8")))
    files = dict(check.action.files)
    assert files["/etc/resolv.conf"].startswith("nameserver 161.26.0.7\nnameserver 161.26.0.8\n")
    assert "hosts: files dns\n" in files["/etc/nsswitch.conf"]


@pytest.mark.parametrize(
    ("do", "offer"),
    [("{to: ecs1}", 15_000_000), ("{to: ecs1, offer: 11mbit}", 11_000_000), ("{to: 10.0.1.10}", 15_000_000)],
)
def test_a_rate_is_offered_half_as_much_again_as_expected_to_the_node_that_has_the_address(do: str, offer: int) -> None:
    check = check_of(f"{{rate: {do}}}", "{ok: {rate: 10mbit, tolerance: 5%}}")
    assert check.action == Rate(ECS1, "ecs1", "udp", offer, 2000)
    assert check.expected == Expected("ok", rate_bit=10_000_000, tolerance=5)


# ---- how long


@pytest.mark.parametrize(
    ("do", "expect", "more", "timeout"),
    [
        ("{ping: {to: ecs1}}", "ok", "", ANSWER_MS),
        ("{ping: {to: ecs1}}", "ok", ", within: 200ms", 200),
        ("{rate: {to: ecs1, for: 5s}}", "{ok: {rate: 1mbit}}", "", ANSWER_MS + 5000),
    ],
)
def test_an_answer_has_its_time(do: str, expect: str, more: str, timeout: int) -> None:
    assert check_of(do, expect, more).timeout_ms == timeout
    assert check_of(do, expect, more, time_scale=5).timeout_ms == 5 * timeout


def test_silence_has_its_time() -> None:
    rows = ["{id: P1, from: pc, do: {udp: {to: ecs1, port: 80}}, expect: ok}",
            "{id: N1, from: pc, do: {udp: {to: ecs1, port: 81}}, expect: filtered, control: P1}"]  # fmt: skip
    assert checks_of(VPN, *rows)[1].timeout_ms == SILENCE_MS


# ---- what must come of it


@pytest.mark.parametrize(
    ("do", "ok", "expected"),
    [
        ("{dns: {server: 161.26.0.7, name: a.b}}", "answers: [1.2.3.4, 1.2.3.5], order: any, authoritative: true",
         Expected("ok", ("1.2.3.4", "1.2.3.5"), True, True)),
        ("{tcp: {to: ecs1, port: 80}}", "source: pc, server: ecs1, mss: 1260",
         Expected("ok", source=PC, server="ecs1", mss=1260)),
        ("{http: {to: ecs1}}", "status: 404, body: no such, header: {Server: x}",
         Expected("ok", status=404, body="no such", header=(("Server", "x"),))),
        ("{flows: {to: ecs1, port: 80}}", "spread: {over: [isp1, gw.isp2], least: 20%}",
         Expected("ok", spread=Spread(("isp1", "gw.isp2"), 20))),
    ],
)  # fmt: skip
def test_the_options_of_ok_are_kept(do: str, ok: str, expected: Expected) -> None:
    assert check_of(do, f"{{ok: {{{ok}}}}}").expected == expected


def test_a_hop_is_all_addresses_of_its_node_or_one_or_silence() -> None:
    hops = check_of("{trace: {to: ecs1}}", '{ok: {hops: [cgw, 10.0.1.2, "*", ecs1]}}').expected.hops
    cgw = ("198.51.100.20", "203.0.113.20", "172.16.10.1")
    assert set(hops[0].addresses) == {IPv4Address(each) for each in cgw}
    assert hops[1:] == (TraceHop("10.0.1.2", (GW,)), TraceHop("*", ()), TraceHop("ecs1", (ECS1,)))


# ---- where it is looked for


def sights_of(*sights: str) -> tuple[Sight, ...]:
    return check_of("{ping: {to: ecs1}}", more=f", see: [{', '.join(sights)}]").see


def test_a_sight_has_addresses_and_numbers() -> None:
    seen = sights_of(
        "{on: isp1, proto: tcp, src: pc, dst: 10.0.1.10, port: 80, marker: true, longer: 9}",
        "{on: vpc1.app, vni: 0, inner: {proto: udp, src: pc}}",
        "{on: vpc1.app, proto: geneve, vni: 5}",
    )
    assert seen == (
        Sight("isp1", "tcp", PC, ECS1, 80, marker=True, longer=9),
        Sight("vpc1.app", "geneve", inner=Inner("udp", PC), vni=0),
        Sight("vpc1.app", "geneve", vni=5),
    )


def test_esp_of_a_connection_is_that_of_both_directions_before_and_after_a_rekeying() -> None:
    first, second = network_of(VPN).esps[0].spis
    assert not (first | second) & FRESH_SPI
    [sight] = sights_of("{on: isp1, connection: t1}")
    spis = (first, second, first | FRESH_SPI, second | FRESH_SPI)
    assert sight == Sight("isp1", "esp", spis=spis, connection="t1")


def test_connections_share_no_spi() -> None:
    places = Places(network_of(VPN))
    assert not set(places.spis("t1")) & set(places.spis("t2"))


def test_an_spi_may_be_named_by_its_number() -> None:
    first, _ = network_of(VPN).esps[0].spis
    assert sights_of(f"{{on: isp1, spi: {first}}}") == (Sight("isp1", "esp", spis=(first,)),)


def test_every_place_that_a_check_names_is_captured_once() -> None:
    expect = "{ok: {spread: {over: [isp1, isp2]}}}"
    more = ", see: [{on: isp1}, {on: isp1, proto: esp}], silent: [{on: gw}], path: [pc, gw]"
    check = check_of("{flows: {to: ecs1, port: 80}}", expect, more)
    assert check.path == (Hop("pc", "path pc"), Hop("gw", "path gw"))
    assert {tap.name for tap in check.taps} == {"isp1", "isp2", "gw", "path pc", "path gw"}
    assert len(set(check.taps)) == len(check.taps)
    assert {tap.direction for tap in check.taps if tap.name == "isp1"} == {"in"}
    gateway = {tap.device for tap in check.taps if tap.name == "gw"}
    assert gateway == {tap.device for tap in check.taps if tap.name == "path gw"}
    assert {"t1", "t2"} <= gateway


def test_a_packet_inside_gre_is_looked_for_by_address() -> None:
    row = ("{id: P1, from: jump, do: {ping: {to: lpar-in}}, expect: ok, "
           "silent: [{on: dl, inner: {dst: lpar-byoip}}]}")  # fmt: skip
    jump = "jump: {kind: jump_server, subnet: cnet.app, address: 10.148.252.70}\n"
    [check] = checks_of(POWER + jump, row)
    assert check.silent == (Sight("dl", inner=Inner("", None, IPv4Address("192.168.50.10"))),)


# ---- under a change


def test_under_its_change_a_check_means_the_lab_as_it_is_then() -> None:
    row = "{id: P1, from: pc, do: {ping: {to: ecs1}}, expect: ok, with: {set: {ecs1.address: 10.0.1.11}}}"
    document = document_of(text_of(VPN, f"checks:\n  - {row}\n"))
    changed = {"P1": network_of(VPN.replace("10.0.1.10", "10.0.1.11"))}
    [check] = Resolver(document, resolve(document), 1, changed).checks()
    assert check.action == Ping(IPv4Address("10.0.1.11"))
    [check] = Resolver(document, resolve(document)).checks()
    assert check.action == Ping(ECS1)
