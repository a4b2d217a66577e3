from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from core_lab import POWER, VPE, VPN, faults_of, text_of

from labctl.describe import Described, describe
from labctl.errors import DescriptionError
from labctl.model.services import PathWatcher
from labctl.plan.objects import Gre, Process
from labctl.probes.wire import Dns, Inject, Ping, Tap, Tcp, Udp

TOPOLOGIES = sorted((Path(__file__).resolve().parents[2] / "topologies").glob("*.yaml"))
SHIPPED = {path.stem: describe(path.read_bytes(), path.name) for path in TOPOLOGIES}
each_topology = pytest.mark.parametrize("lab", SHIPPED.values(), ids=SHIPPED)


def lab(rows: str, *checks: str, drills: str = "", time_scale: int = 1) -> Described:
    tail = "checks:\n" + "".join(f"  - {{id: C{i}, {check}}}\n" for i, check in enumerate(checks))
    return describe(text_of(rows, tail + (f"drills:\n  - {drills}\n" if drills else "")), "x.yaml", time_scale)


def refused(rows: str, *checks: str, drills: str = "") -> str:
    with pytest.raises(DescriptionError) as error:
        lab(rows, *checks, drills=drills)
    return faults_of(error)


# ---- the shipped topologies


@each_topology
def test_a_shipped_topology_is_named_as_its_file(lab: Described) -> None:
    assert lab.name == Path(lab.source).stem
    assert lab.about


@each_topology
def test_every_shipped_check_says_what_it_claims(lab: Described) -> None:
    assert all(check.about for check in lab.checks)
    assert all(drill.about for drill in lab.drills)


@each_topology
def test_every_shipped_negative_check_has_a_control_in_its_lab(lab: Described) -> None:
    known = {check.id for check in lab.checks}
    for check in lab.checks:
        assert set(check.control) <= known
        assert check.control or not check.negative


@each_topology
def test_every_tap_is_on_a_device_that_the_plan_makes(lab: Described) -> None:
    for plan in (lab.plan, *lab.changed.values()):
        devices = set()
        for each in plan.objects:
            for end in (getattr(each, "a", None), getattr(each, "b", None), each):
                devices.add((getattr(end, "namespace", ""), getattr(end, "name", "")))
        for claim in (*lab.checks, *lab.drills):
            assert {(tap.namespace, tap.device) for tap in claim.taps} <= devices


@each_topology
def test_every_sight_and_hop_has_a_tap(lab: Described) -> None:
    for check in lab.checks:
        names = {tap.name for tap in check.taps}
        assert {sight.on for sight in (*check.see, *check.silent)} <= names
        assert {hop.tap for hop in check.path} <= names
    for drill in lab.drills:
        names = {tap.name for tap in drill.taps}
        parts = (drill.throughout, drill.before, drill.meanwhile, drill.after)
        assert {sight.on for part in parts for sight in (*part.see, *part.silent)} <= names


# ---- checks


def test_names_become_addresses() -> None:
    found = lab(
        VPN,
        "from: pc, do: {tcp: {to: ecs1, port: 8080, send: 1kB}}, expect: ok",
        "from: pc, do: {tcp: {to: 10.0.1.2, port: 1}}, expect: ok",
        "from: pc, do: {udp: {to: ecs1, port: 53}}, expect: ok",
        "from: pc, do: {ping: {to: ecs1, size: 100, df: true}}, expect: ok",
        "from: pc, do: {dns: {server: 10.0.0.53, name: a.b, type: TXT, transport: tcp}}, expect: ok",
        "from: pc, do: {inject: {source: ecs1, to: pc, port: 80, via: 172.16.10.1}}, expect: ok, see: [{on: dc}]",
    )
    ecs1, pc = IPv4Address("10.0.1.10"), IPv4Address("172.16.10.10")
    assert [check.action for check in found.checks] == [
        Tcp(8080, ecs1, send=1000),
        Tcp(1, IPv4Address("10.0.1.2")),
        Udp(ecs1, 53),
        Ping(ecs1, 100, True),
        Dns(IPv4Address("10.0.0.53"), "a.b", "TXT", "tcp"),
        Inject(ecs1, pc, 80, IPv4Address("172.16.10.1")),
    ]


def test_a_domain_name_is_resolved_by_the_senders_own_resolver() -> None:
    [check] = lab(VPE, "from: vsi1, do: {tcp: {to: kms.example.com, port: 443}}, expect: ok").checks
    assert check.action == Tcp(443, None, "kms.example.com", IPv4Address("161.26.0.7"), 64)


def test_who_has_no_resolver_cannot_be_told_a_domain_name() -> None:
    told = refused(VPN, "from: pc, do: {tcp: {to: kms.example.com, port: 443}}, expect: ok")
    assert told.endswith(
        "checks[0].do.tcp.to `kms.example.com`: pc has no resolver to ask for a domain name; write an address"
    )


def test_an_icmp_error_may_come_from_any_address_of_its_node() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: {no_route: {by: gw}}, control: C1"
    [check, _] = lab(VPN, row, "from: pc, do: {ping: {to: ecs1}}, expect: ok").checks
    assert {str(address) for address in check.expected.by} == {"10.0.1.2", "198.51.100.10", "203.0.113.10"}
    assert str(check.expected) == "no_route, by gw"


def test_the_addresses_of_a_node_include_wires_tunnels_and_its_loopback() -> None:
    ok = "from: lpar-in, do: {ping: {to: lpar-in}}, expect: ok"
    [check, _] = lab(
        POWER, "from: lpar-in, do: {ping: {to: lpar-in}}, expect: {no_route: {by: power}}, control: C1", ok
    ).checks
    assert {"172.16.3.1", "172.16.3.5", "10.150.0.1", "169.254.254.2"} <= {str(each) for each in check.expected.by}
    [check, _] = lab(
        VPE,
        "from: vsi1, do: {ping: {to: vsi1}}, expect: {no_route: {by: bb}}, control: C1",
        "from: vsi1, do: {ping: {to: vsi1}}, expect: ok",
    ).checks
    assert check.expected.by
    assert all(str(each).startswith("169.254.64.") for each in check.expected.by)


def test_a_link_is_tapped_where_frames_enter_it_and_a_node_on_all_its_devices() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: ok, see: [{on: vpc1.app}, {on: gw.isp1}], path: [gw]"
    [check] = lab(VPN, row).checks
    assert set(check.taps) == {
        *(Tap("vpc1.app", "vpc1.app", port, "in") for port in ("vpc1", "ecs1", "gw")),
        Tap("gw.isp1", "isp1.0", "gw", "both"),
        *(Tap("path gw", "gw", device, "both") for device in ("vpc1-app", "isp1-0", "isp2-0", "t1", "t2")),
    }


def test_a_tap_that_two_sights_share_is_opened_once() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: ok, see: [{on: dc, proto: icmp}], silent: [{on: dc, proto: tcp}]"
    [check] = lab(VPN, row).checks
    assert len(set(check.taps)) == len(check.taps) == 2


def test_a_check_may_say_how_long_it_waits() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: ok"
    assert lab(VPN, row, f"{row}, within: 7s").checks[1].timeout_ms == 7000
    assert lab(VPN, row, f"{row}, within: 7s", time_scale=3).checks[1].timeout_ms == 21_000
    assert lab(VPN, row).checks[0].timeout_ms * 3 == lab(VPN, row, time_scale=3).checks[0].timeout_ms


def test_what_is_claimed_of_an_answer_is_kept() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: {ok: {source: pc, server: ecs1, mss: 1360}}"
    [check] = lab(VPN, row).checks
    assert str(check.expected) == "ok, from server ecs1, client seen as 172.16.10.10, mss at most 1360"


# ---- changes


def test_a_change_is_compiled_beside_the_lab_and_leaves_it_alone() -> None:
    row = "from: lpar-in, do: {ping: {to: lpar-byoip}}, expect: ok"
    found = lab(POWER, f"{row}, with: {{set: {{byoip.enabled: false}}}}", row)
    assert set(found.changed) == {"C0"}
    assert [each.up for each in found.plan.objects if isinstance(each, Gre)] == [True, True]
    assert [each.up for each in found.changed["C0"].objects if isinstance(each, Gre)] == [False, False]


def test_a_change_is_stretched_in_time_as_the_lab_is() -> None:
    row = "from: pc, do: {ping: {to: ecs1}}, expect: ok, with: {set: {t1.weight: 50}}"
    plan = lab(VPN, row, time_scale=4).changed["C0"]
    programs = [each.program for each in plan.objects if isinstance(each, Process)]
    paths = [path for program in programs if isinstance(program, PathWatcher) for path in program.paths]
    assert {path.interval_ms for path in paths} == {800}


def test_a_change_that_takes_the_sender_away_breaks_a_rule() -> None:
    told = refused(VPN, "from: pc, do: {ping: {to: ecs1}}, expect: ok, with: {remove: [dc.hosts.pc]}")
    assert "checks[0].with `pc`: breaks a rule at checks[0].from: there is no node of this name" in told


# ---- drills


DRILL = "{id: D1, during: C0, fault: {blackhole: {link: isp1, proto: esp}}, for: 1s, bounds: {restore: 500ms}}"
FROM_PC = "from: pc, do: {tcp: {to: ecs1, port: 8080}}, expect: ok"


def test_a_drill_streams_between_the_ends_of_its_check() -> None:
    [drill] = lab(VPN, FROM_PC, drills=DRILL).drills
    assert (drill.node, drill.target_node, drill.target) == ("pc", "ecs1", IPv4Address("10.0.1.10"))
    assert (drill.hold_ms, drill.rate, drill.bounds.restore_ms, drill.bounds.tcp_survives) == (1000, 100, 500, True)


def test_a_drill_strikes_every_port_of_its_link() -> None:
    [drill] = lab(VPN, FROM_PC, drills=DRILL).drills
    assert {(port.namespace, port.device) for port in drill.fault.ports} == {
        ("isp1.0", "isp1"),
        ("isp1.0", "gw"),
        ("isp1.0", "cgw"),
    }
    assert (drill.fault.kind, drill.fault.proto) == ("blackhole", "esp")


def test_one_side_of_a_gateway_may_be_struck_alone() -> None:
    row = "{id: D1, during: C0, fault: {link_down: gw.isp1}, bounds: {lost: 9}}"
    [drill] = lab(VPN, FROM_PC, drills=row).drills
    assert [(port.namespace, port.device) for port in drill.fault.ports] == [("isp1.0", "gw")]
    assert (drill.fault.kind, drill.hold_ms) == ("link_down", 2000)


def test_time_stretches_a_drill_and_thins_its_stream() -> None:
    bounds = "{restore: 500ms, not_before: 100ms, lost: 5}"
    row = DRILL.replace("{restore: 500ms}", bounds)
    [drill] = lab(VPN, FROM_PC, drills=row, time_scale=4).drills
    assert (drill.hold_ms, drill.rate, drill.bounds.restore_ms, drill.bounds.not_before_ms) == (4000, 25, 2000, 400)
    assert drill.bounds.lost == 5
    [slow] = lab(VPN, FROM_PC, drills=row, time_scale=1000).drills
    assert slow.rate == 1


def test_a_drill_may_stream_to_an_address_that_a_node_holds() -> None:
    [drill] = lab(VPN, "from: pc, do: {ping: {to: 10.0.1.2}}, expect: ok", drills=DRILL).drills
    assert drill.target_node == "gw"


# ---- refusals


def test_all_faults_come_at_once_from_resources_checks_and_drills() -> None:
    told = refused(
        VPN.replace("address: 10.0.1.10", "address: 10.0.2.10"),
        "from: pc, do: {ping: {to: nobody}}, expect: ok",
        drills="{id: D1, during: C0, fault: {link_down: isp1}, bounds: {}}",
    )
    assert [line.split(": ")[1].split(" ")[0] for line in told.splitlines()] == [
        "resources.ecs1.address", "checks[0].do.ping.to", "drills[0].bounds",
    ]  # fmt: skip


def test_a_word_in_a_drill_is_checked_as_one_in_a_check() -> None:
    row = DRILL[:-1] + ", before: {see: [{on: isp1, src: nobody}]}, after: {silent: [{on: isp1, inner: {dst: x}}]}}"
    told = refused(VPN, FROM_PC, drills=row)
    assert "drills[0].before.see[0].src `nobody`" in told
    assert "drills[0].after.silent[0].inner.dst `x`" in told


def test_the_message_counts_the_faults_and_says_that_nothing_was_made() -> None:
    with pytest.raises(DescriptionError) as error:
        describe(b"lab: x\nresources: {a: {kind: site}, b: {kind: site}}\n", "x.yaml")
    assert error.value.message == "x.yaml: 2 faults; nothing was created"
    assert error.value.exit_code == 2
