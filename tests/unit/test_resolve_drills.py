"""Drills and live changes as written become devices, programs, associations and numbers that can be carried out."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import get_args

import pytest
from core_lab import VPE, VPN, document_of, text_of

from labctl.claims.expectations import Bounds, Change, Drill, Felt
from labctl.claims.refusals import refuse_checks, refuse_unplaced
from labctl.claims.resolve_drills import DrillResolver, Resolved
from labctl.description.programs import PROGRAMS
from labctl.kinds.resolve import resolve
from labctl.model.network import Network
from labctl.model.services import Program, Vrrp, WatchedPath
from labctl.plan.compile import compile_plan, programs
from labctl.plan.faults import Blackhole, Degrade, Drop, Fault, Flap, Freeze, Kill, LinkDown, Port, Rekey
from labctl.plan.objects import Shaper
from labctl.probes.wire import Tap

CHECK = "checks: [{id: P1, from: pc, do: {tcp: {to: ecs1, port: 8080}}, expect: ok}]\n"
GW, CGW = Port("isp1.0", "gw"), Port("isp1.0", "cgw")
GW_DEVICE = Port("gw", "isp1-0")
ROUTER = Port("isp1.0", "isp1")


def resolver_of(tail: str, resources: str = VPN, time_scale: int = 1) -> DrillResolver:
    document = document_of(text_of(resources, tail))
    refuse_checks(document)
    net = resolve(document)
    refuse_unplaced(document, net)
    assert document.reading.faults == []
    return DrillResolver(document, net, compile_plan("x", net, time_scale), time_scale)


def drill_of(fault: str, more: str = "bounds: {lost: 0}", resources: str = VPN, time_scale: int = 1) -> Drill:
    tail = f"{CHECK}drills: [{{id: D1, during: P1, fault: {fault}, {more}}}]\n"
    (drill,) = resolver_of(tail, resources, time_scale).drills({"D1": Resolved()})
    return drill


@pytest.mark.parametrize(
    ("written", "fault", "words"),
    [
        ("{link_down: isp1}", LinkDown((ROUTER, GW, CGW)), "link_down isp1"),
        ("{link_down: gw.isp1}", LinkDown((GW,)), "link_down gw.isp1"),
        ("{blackhole: isp1}", Blackhole((ROUTER, GW, CGW)), "blackhole isp1"),
        ("{blackhole: {link: isp1, proto: esp}}", Blackhole((ROUTER, GW, CGW), "esp"), "blackhole esp on isp1"),
        ("{blackhole: gw.isp1}", Blackhole((GW, GW_DEVICE)), "blackhole gw.isp1"),
        ("{one_way: {link: isp1, source: gw}}", Blackhole((GW,)), "one_way isp1 from gw"),
        ("{one_way: {link: isp1, source: gw, proto: esp}}", Blackhole((GW,), "esp"), "one_way esp on isp1 from gw"),
        ("{drop: isp1}", Drop((ROUTER, GW, CGW), 1), "drop 1 packet on isp1"),
        ("{drop: {link: gw.isp1, packets: 7, proto: esp}}", Drop((GW, GW_DEVICE), 7, "esp"), "drop 7 esp on gw.isp1"),
        ("{zone_off: a}", LinkDown(tuple(Port("vpc1.app", each) for each in ("vpc1", "ecs1", "gw"))), "zone_off a"),
    ],
)  # fmt: skip
def test_a_fault_of_a_link_concerns_the_ends_that_it_says(written: str, fault: Fault, words: str) -> None:
    drill = drill_of(written)
    assert drill.fault == fault
    assert drill.what == words
    assert drill.hold_ms == 2000


def test_a_zone_is_that_of_its_subnets_alone() -> None:
    text = "checks: [{id: P1, from: vsi1, do: {tcp: {to: kms, port: 443}}, expect: ok}]\n"
    text += "drills: [{id: D1, during: P1, fault: {zone_off: z2}, bounds: {lost: 0}}]\n"
    (drill,) = resolver_of(text, VPE).drills({"D1": Resolved()})
    assert isinstance(drill.fault, LinkDown)
    assert {port.namespace for port in drill.fault.ports} == {"vpc1.db"}


def test_a_flap_ends_by_itself_and_is_stretched_by_the_time_scale() -> None:
    drill = drill_of("{flap: {link: gw.isp1, times: 3, down: 50ms, up: 20ms}}", time_scale=5)
    assert drill.fault == Flap((GW,), 3, 250, 100)
    assert drill.hold_ms == 0
    assert drill.what == "flap gw.isp1 3 times"


def test_a_degraded_link_keeps_its_planned_delay_and_each_packet_meets_it_once() -> None:
    drill = drill_of("{degrade: {link: isp1, delay: 40ms, jitter: 5ms, loss: 2%}}")
    usual = Shaper("isp1.0", "gw", 10), Shaper("isp1.0", "cgw", 10)
    worse = [Shaper(each.namespace, each.device, 50, 5, loss_percent=2.0) for each in usual]
    assert drill.fault == Degrade(usual, tuple(worse)), "not at the port of the internet's own router"
    assert drill.what == "degrade isp1: delay 40 ms, jitter 5 ms, loss 2 %"


def test_a_degraded_side_is_worse_in_both_directions() -> None:
    fault = drill_of("{degrade: {link: gw.isp2, loss: 100%}}").fault
    assert fault == Degrade(
        (), (Shaper("isp2.0", "gw", loss_percent=100.0), Shaper("gw", "isp2-0", loss_percent=100.0))
    )


def test_a_degraded_circuit_keeps_its_speed() -> None:
    resources = VPN.replace("delay: 10ms", "delay: 10ms, speed: 10mbit")
    fault = drill_of("{degrade: {link: gw.isp1, delay: 5ms}}", resources=resources).fault
    assert isinstance(fault, Degrade)
    assert [each.rate_bit for each in (*fault.usual, *fault.worse)] == [10_000_000] * 4
    assert [each.delay_ms for each in fault.worse] == [15, 5]


def test_a_node_that_is_killed_loses_all_its_programs_and_its_real_devices() -> None:
    fault = drill_of("{kill: gw}").fault
    assert isinstance(fault, Kill)
    assert {(each.namespace, each.name) for each in fault.processes} == {("gw", "watcher")}
    assert fault.ports == (Port("gw", "vpc1-app"), Port("gw", "isp1-0"), Port("gw", "isp2-0")), "no tunnels"


def test_a_program_that_is_killed_leaves_the_node_alone() -> None:
    drill = drill_of("{kill: {node: ecs1, program: server}}")
    assert isinstance(drill.fault, Kill)
    assert [each.name for each in drill.fault.processes] == ["server"]
    assert drill.fault.ports == ()
    assert drill.what == "kill server of ecs1"


def test_nodes_that_are_killed_together_lose_all_they_have_beside_one_program() -> None:
    drill = drill_of("{kill: {node: ecs1, program: server, also: [gw]}}")
    assert isinstance(drill.fault, Kill)
    assert [(each.namespace, each.name) for each in drill.fault.processes] == [("ecs1", "server"), ("gw", "watcher")]
    assert {port.namespace for port in drill.fault.ports} == {"gw"}
    assert drill.what == "kill server of ecs1 and gw"


def test_a_frozen_node_stands_still_with_all_that_it_has() -> None:
    drill = drill_of("{freeze: gw}")
    assert isinstance(drill.fault, Freeze)
    assert len(drill.fault.ports) == 3
    assert [each.name for each in drill.fault.processes] == ["watcher"]
    assert isinstance(only := drill_of("{freeze: {node: gw, program: watcher}}").fault, Freeze)
    assert only.ports == ()


def test_a_rekeying_concerns_both_ends_of_one_connection_one_for_one() -> None:
    drill = drill_of("{rekey: t2}")
    assert isinstance(drill.fault, Rekey)
    old, fresh = drill.fault.old, drill.fault.fresh
    assert {each.namespace for each in old} == {"gw", "cgw"}
    assert len(old) == len(fresh) == 4
    assert {each.if_id for each in old} == {each.number for each in resolver_of(CHECK).net.esps if each.name == "t2"}
    assert [each.spi ^ other.spi for each, other in zip(old, fresh, strict=True)] == [0x8000_0000] * 4
    assert not {each.key for each in old} & {each.key for each in fresh}
    assert drill.what == "rekey t2"


def test_the_traffic_is_tracked_on_every_device_of_every_node_tunnels_included() -> None:
    traffic = drill_of("{link_down: isp1}").traffic
    assert (traffic.node, traffic.target_node, traffic.target, traffic.rate) == (
        "pc",
        "ecs1",
        IPv4Address("10.0.1.10"),
        100,
    )
    assert {"gw/t1", "gw/isp1-0", "cgw/t2", "ecs1/vpc1-app", "isp1/isp1-0"} <= {tap.name for tap in traffic.track}
    assert Tap("gw/t1", "gw", "t1", "both") in traffic.track
    assert not any("/" not in tap.name or tap.namespace in ("isp1.0", "vpc1.app") for tap in traffic.track)
    assert traffic.taps == ()


def test_what_is_claimed_of_a_part_of_a_drill_is_resolved_and_tapped() -> None:
    drill = drill_of(
        "{link_down: isp1}", "bounds: {lost: 0}, meanwhile: {see: [{on: isp2, proto: esp, connection: t2}]}"
    )
    (sight,) = drill.meanwhile.see
    assert sight.connection == "t2"
    assert {tap.name for tap in drill.traffic.taps} == {"isp2"}
    assert drill.before.see == ()


def test_bounds_are_stretched_and_the_stream_is_thinned_by_the_time_scale() -> None:
    bounds = "{restore: 1s, not_before: 400ms, gap: 2s, lost: 30, path_changes: 2, failback_lost: 0, tcp: may_break}"
    drill = drill_of("{link_down: isp1}", f"for: 3s, rate: 200, bounds: {bounds}", time_scale=5)
    felt = Felt(lost=30, gap_ms=10_000, path_changes=2, tcp_survives=False)
    assert drill.bounds == Bounds(felt, 5000, 2000, "fault", 0)
    assert (drill.hold_ms, drill.traffic.rate) == (15_000, 40)


def test_a_change_has_its_words_its_bounds_and_the_checks_that_it_is_given() -> None:
    tail = CHECK + "changes: [{id: C1, during: P1, set: {t1.weight: 0}, bounds: {reach: 1s, lost: 3}, "
    tail += (
        "then: [{id: T1, from: pc, do: {ping: {to: ecs1}}, expect: ok}], changed: {see: [{on: isp2, proto: esp}]}}]\n"
    )
    resolver = resolver_of(tail, time_scale=2)
    change: Change = resolver.change(resolver.document.changes[0], Resolved(), resolver.plan)
    assert change.what == "t1.weight: 0 (was 100)"
    assert (change.reach_ms, change.felt.lost, change.then) == (2000, 3, ())
    assert change.changed.see[0].on == "isp2"
    assert {tap.name for tap in change.traffic.taps} == {"isp2"}


def test_every_program_that_a_node_can_run_has_its_word() -> None:
    net = Network()
    net.listen("n", (("tcp", 80),))
    net.resolver("n", (IPv4Address("10.0.0.1"),))
    net.watch("n", WatchedPath("p", "d", "c", *([IPv4Address("10.0.0.1")] * 2), 100, 3, (), 10))
    net.vrrp_routers["n"] = Vrrp(1, 100, 100, ())
    assert set(programs(net, "n")) == set(PROGRAMS)
    assert len(PROGRAMS) == len(get_args(Program))
    assert programs(net, "m") == ()


STREAMED = "checks: [{id: P1, from: vsi1, do: {tcp: {to: %s, port: 443}}, expect: ok}]\n"


@pytest.mark.parametrize("to", ["10.240.64.9", "kms.example.com"])
def test_records_go_to_the_port_of_the_check_and_end_at_whom_the_gateway_stands_for(to: str) -> None:
    tail = STREAMED % to + "drills: [{id: D1, during: P1, stream: tcp, fault: {kill: kms}, bounds: {lost: 0}}]\n"
    (drill,) = resolver_of(tail, VPE).drills({"D1": Resolved()})
    traffic = drill.traffic
    assert (traffic.proto, traffic.port) == ("tcp", 443)
    if to[0] == "1":
        assert (traffic.target, traffic.target_node, traffic.named) == (IPv4Address(to), "kms", None)
        assert str(traffic) == "100 numbered records a second from vsi1 to kms (10.240.64.9) in one TCP connection"
    else:
        assert traffic.named is not None and traffic.named.name == to
        assert (traffic.target, traffic.target_node) == (None, "")
        assert str(traffic) == "100 numbered records a second from vsi1 to kms.example.com in one TCP connection"
