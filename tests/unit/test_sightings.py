"""What the taps show: every part of a sight by itself, the order of hops, and the links that flows took."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from labctl.claims.expectations import Hop, Inner, Sight, Spread
from labctl.claims.sightings import is_request, matches, path_findings, sight_faults, spread_findings
from labctl.probes.wire import (
    Action,
    Connect,
    Dns,
    Flow,
    Flows,
    Health,
    Http,
    Inject,
    Lookup,
    Ping,
    Rate,
    Tcp,
    Trace,
    Udp,
)

A, B, C = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), IPv4Address("10.0.0.3")
FLOW = Flow(
    tap="wan", namespace="n", device="d", proto="tcp", src=str(A), dst=str(B), sport=4000, dport=443,
    packets=3, marked=2, data=4500, longest=1500, first_ms=1.0, last_ms=2.0, first_marked_ms=1.0,
)  # fmt: skip
INNER = Flow("", "", "", "tcp", "172.16.0.1", "192.168.0.1", sport=4000, dport=22)
GRE = replace(FLOW, proto="gre", sport=0, dport=0, inner=INNER)
GENEVE = replace(FLOW, proto="geneve", dport=6081, vni=7, inner=INNER)
ESP = replace(FLOW, proto="esp", sport=0, dport=0, spi=4097, marked=0)
QUOTED = replace(FLOW, proto="icmp", sport=0, dport=0, icmp="3/1", inner=INNER)
SIGHT = Sight("wan", "tcp", A, B, 443, marker=True, longer=1000)


@pytest.mark.parametrize(
    "flow",
    [
        replace(FLOW, tap="lan"),
        replace(FLOW, proto="udp"),
        replace(FLOW, src=str(B)),
        replace(FLOW, dst=str(A)),
        replace(FLOW, dport=80),
        replace(FLOW, marked=0),
        replace(FLOW, longest=1000),
    ],
    ids=["tap", "proto", "src", "dst", "port", "marker", "longer"],
)
def test_a_sight_wants_all_that_it_names(flow: Flow) -> None:
    assert matches(SIGHT, FLOW)
    assert not matches(SIGHT, flow)
    assert sight_faults((SIGHT,), (), (FLOW,)) == sight_faults((), (SIGHT,), (flow,)) == []
    assert len(sight_faults((SIGHT,), (), (flow,))) == len(sight_faults((), (SIGHT,), (FLOW,))) == 1


@pytest.mark.parametrize(("least", "most", "holds"), [(5, None, True), (6, None, False), (1, 5, True), (1, 4, False)])
def test_the_packets_of_a_sight_are_counted_over_all_its_flows(least: int, most: int | None, holds: bool) -> None:
    sight = Sight("wan", "tcp", least=least, most=most)
    there_and_back = (FLOW, replace(FLOW, src=str(B), dst=str(A), packets=2), replace(FLOW, tap="lan", packets=9))
    count = f", at least {least} times" if most is None else f", 1 to {most} times"
    assert sight_faults((sight,), (), there_and_back) == ([] if holds else [f"seen 5 times: tcp on wan{count}"])


def test_at_most_so_many_may_be_none_only_where_it_says_so() -> None:
    assert sight_faults((Sight("wan", most=3),), (), ()) == ["not seen: ip on wan, 1 to 3 times"]
    assert sight_faults((Sight("wan", least=0, most=3),), (), ()) == []


def test_marked_packets_alone_are_counted_where_the_marker_is_wanted() -> None:
    assert sight_faults((Sight("wan", marker=True, most=2),), (), (FLOW,)) == []


def test_a_sight_that_names_no_protocol_is_any_ip_packet_and_no_arp() -> None:
    assert matches(Sight("wan"), FLOW)
    assert matches(Sight("wan"), replace(FLOW, proto="47"))
    assert not matches(Sight("wan"), replace(FLOW, proto="arp"))
    assert matches(Sight("wan", "arp"), replace(FLOW, proto="arp"))


def test_longer_is_strictly_longer() -> None:
    assert matches(Sight("wan", longer=1499), FLOW)
    assert not matches(Sight("wan", longer=1500), FLOW)


@pytest.mark.parametrize("around", [GRE, GENEVE])
@pytest.mark.parametrize(
    ("inner", "found"),
    [
        (Inner(), True),
        (Inner("tcp", IPv4Address("172.16.0.1"), IPv4Address("192.168.0.1")), True),
        (Inner("udp"), False),
        (Inner("", IPv4Address("172.16.0.2")), False),
        (Inner("", None, IPv4Address("192.168.0.2")), False),
    ],
)
def test_the_packet_inside_is_compared_too(inner: Inner, found: bool, around: Flow) -> None:
    assert matches(Sight("wan", inner=inner), around) is found
    assert not matches(Sight("wan", inner=inner), replace(around, inner=None))


def test_what_an_icmp_error_quotes_is_not_inside_it() -> None:
    assert not matches(Sight("wan", inner=Inner("tcp")), QUOTED)
    assert matches(Sight("wan", "icmp"), QUOTED)


def test_an_spi_is_one_of_those_named_and_of_esp() -> None:
    sight = Sight("wan", "esp", spis=(4097, 4098), connection="t1")
    assert matches(sight, ESP)
    assert matches(sight, replace(ESP, spi=4098))
    assert not matches(sight, replace(ESP, spi=8193))
    assert not matches(replace(sight, proto=""), replace(ESP, proto="udp"))


def test_a_vni_is_that_of_geneve_and_may_be_zero() -> None:
    assert matches(Sight("wan", vni=7), GENEVE)
    assert not matches(Sight("wan", vni=0), GENEVE)
    assert matches(Sight("wan", vni=0), replace(GENEVE, vni=0))
    assert not matches(Sight("wan", vni=0), FLOW)


def test_what_broke_the_silence_is_counted_over_all_flows() -> None:
    flows = (FLOW, replace(FLOW, proto="udp", packets=4, marked=1))
    assert sight_faults((), (Sight("wan"),), flows) == ["seen 7 times: ip on wan (first tcp 10.0.0.1 to 10.0.0.2)"]
    [marked] = sight_faults((), (Sight("wan", marker=True),), flows)
    assert marked.startswith("seen 3 times: ip with the marker in clear on wan")
    [long] = sight_faults((), (Sight("wan", longer=900),), flows)
    assert long.startswith("seen: ip longer than 900 B on wan")


def test_a_sight_is_written_with_all_that_it_names() -> None:
    assert str(replace(SIGHT, inner=Inner("tcp", A))) == (
        "tcp from 10.0.0.1 to 10.0.0.2 port 443 longer than 1000 B with the marker in clear "
        "around tcp 10.0.0.1 to any on wan"
    )
    assert str(Sight("wan", "esp", spis=(4097, 4098), connection="t1")) == "esp of t1 on wan"
    assert str(Sight("wan", "esp", spis=(4097,))) == "esp with SPI 4097 on wan"
    assert str(Sight("wan", "geneve", vni=0)) == "geneve with VNI 0 on wan"


# ---- the way there and the way back


BACK = replace(FLOW, src=str(B), dst=str(A), sport=443, dport=4000)
ECHO = replace(FLOW, proto="icmp", sport=0, dport=0, icmp="8/0")


@pytest.mark.parametrize(
    ("action", "there", "back"),
    [
        (Tcp(443, B), FLOW, BACK),
        (Http(443, "/", "web", B), FLOW, BACK),
        (Udp(B, 443), replace(FLOW, proto="udp"), replace(BACK, proto="udp")),
        (Flows(B, 443, 9, "tcp"), FLOW, BACK),
        (Inject(C, B, 443, A), FLOW, BACK),
        (Dns(B, "a.b"), replace(FLOW, dport=53), replace(BACK, sport=53)),
        (Ping(B), ECHO, replace(ECHO, icmp="0/0")),
        (Ping(B), ECHO, QUOTED),
        (Trace(B, "icmp", 0, 9), ECHO, replace(ECHO, icmp="11/0")),
        (Trace(B, "udp", 443, 9), replace(FLOW, proto="udp"), replace(QUOTED, icmp="11/0")),
        (Trace(B, "tcp", 443, 9), FLOW, BACK),
        (Rate(B, "web", "tcp", 0, 1), FLOW, BACK),
        (Connect(443, 9, B), FLOW, BACK),
        (Lookup("a.b", "dig", (B,), ()), replace(FLOW, dport=53), replace(BACK, sport=53)),
        (Health((B,)), replace(FLOW, dport=53), replace(BACK, sport=53)),
        (Tcp(22, B), GRE, QUOTED),
    ],
)
def test_a_request_is_told_from_an_answer_and_from_an_error(action: Action, there: Flow, back: Flow) -> None:
    assert is_request(action, there)
    assert not is_request(action, back)


# ---- paths


ASK = Tcp(443, B)
HOPS = (Hop("pc", "path pc"), Hop("gw", "path gw"), Hop("web", "path web"))


def crossed(*at: tuple[str, float], of: Flow = FLOW) -> tuple[Flow, ...]:
    return tuple(replace(of, tap=f"path {node}", first_marked_ms=ms, first_ms=0.0) for node, ms in at)


def told(*at: tuple[str, float]) -> tuple[list[str], list[str]]:
    found = path_findings(ASK, HOPS, crossed(*at))
    return found.faults, found.doubts


def test_nodes_that_are_crossed_in_order_leave_nothing_to_say() -> None:
    assert told(("pc", 1), ("gw", 2), ("web", 3)) == ([], [])


def test_another_order_is_told() -> None:
    assert told(("pc", 1), ("gw", 3), ("web", 2)) == (["the probe crossed pc, web, gw in this order"], [])


def test_a_node_that_was_not_crossed_is_named() -> None:
    assert told(("pc", 1), ("web", 3)) == (["the probe never crossed gw"], [])


def test_equal_instants_are_no_order() -> None:
    assert told(("pc", 1), ("gw", 2), ("web", 2)) == ([], ["gw and web saw the probe at the same instant"])
    assert told(("pc", 3), ("gw", 2), ("web", 2))[0] == ["the probe crossed gw, web, pc in this order"]


def test_other_packets_at_a_node_are_not_the_probe() -> None:
    flows = crossed(("pc", 1), ("gw", 2), ("web", 3))
    strangers = (flows[0], replace(flows[1], marked=0), flows[2])
    assert path_findings(ASK, HOPS, strangers).faults == ["the probe never crossed gw"]


def test_the_answer_crossing_a_node_is_not_the_probe_crossing_it() -> None:
    flows = (*crossed(("pc", 1), ("web", 2)), *crossed(("gw", 3), of=BACK))
    assert path_findings(ASK, HOPS, flows).faults == ["the probe never crossed gw"]
    swapped = (HOPS[0], HOPS[2], HOPS[1])
    assert path_findings(ASK, swapped, flows).faults == ["the probe never crossed gw"]


def test_the_first_time_at_a_node_counts() -> None:
    assert told(("pc", 1), ("gw", 9), ("gw", 2), ("web", 3)) == ([], [])


# ---- flows over links


def of(tap: str, *sports: int, around: Flow | None = None, **more: object) -> list[Flow]:
    """Flows from these source ports as `tap` saw them, in clear or inside another."""
    bare = [replace(FLOW, tap=tap, sport=sport, **more) for sport in sports]  # type: ignore[arg-type]
    return [replace(around, tap=tap, marked=1, inner=each) for each in bare] if around else bare


FOUR = Flows(B, 443, 4, "tcp")
SPREAD = Spread(("isp1", "isp2"), 25)


def spread(*flows: list[Flow], least: int = 25) -> tuple[list[str], list[str]]:
    found = spread_findings(FOUR, replace(SPREAD, least=least), [each for some in flows for each in some])
    return found.faults, found.doubts


@pytest.mark.parametrize("around", [None, GRE, GENEVE], ids=["in clear", "in GRE", "in Geneve"])
def test_flows_that_share_links_leave_nothing_to_say(around: Flow | None) -> None:
    assert spread(of("isp1", 1, 2, 3, around=around), of("isp2", 4, around=around)) == ([], [])


def test_a_share_that_is_too_small_is_told() -> None:
    few = of("isp1", 1, 2, 3), of("isp2", 4)
    assert spread(*few, least=26) == (["isp2 carried 1 of 4 flows in clear, less than 26 %"], [])
    assert spread(of("isp1", 1, 2, 3, 4)) == (["isp2 carried 0 of 4 flows in clear, less than 25 %"], [])


def test_a_flow_on_two_links_is_told() -> None:
    assert spread(of("isp1", 1, 2, 3), of("isp2", 3, 4)) == (["1 flow passed more than one of isp1, isp2"], [])


def test_a_flow_that_nobody_saw_is_told() -> None:
    assert spread(of("isp1", 1, 2), of("isp2", 4)) == (
        ["1 of 4 flows were seen in clear on none of isp1, isp2"], [],
    )  # fmt: skip


def test_more_flows_than_were_sent_are_told() -> None:
    faults, _ = spread(of("isp1", 1, 2, 3), of("isp2", 4, 5))
    assert faults == ["5 flows were seen on isp1, isp2, where 4 were sent"]


def test_flows_that_esp_may_hide_are_in_doubt() -> None:
    faults, doubts = spread(of("isp1", 1, 2), [replace(ESP, tap="isp2")])
    assert faults == []
    assert doubts == [
        "2 of 4 flows were seen in clear on none of isp1, isp2; ESP passes isp2",
        "isp2 carried 0 of 4 flows in clear, less than 25 %",
    ]


def test_esp_hides_nothing_where_every_flow_was_seen() -> None:
    faults, doubts = spread(of("isp1", 1, 2, 3, 4), [replace(ESP, tap="isp2")])
    assert (faults, doubts) == (["isp2 carried 0 of 4 flows in clear, less than 25 %"], [])


@pytest.mark.parametrize(
    "stranger",
    [
        replace(FLOW, tap="isp2", sport=4, marked=0),
        replace(FLOW, tap="isp2", sport=4, proto="udp"),
        replace(BACK, tap="isp2"),
        replace(QUOTED, tap="isp2"),
    ],
    ids=["unmarked", "another protocol", "an answer", "an ICMP error"],
)
def test_only_the_flows_themselves_on_the_way_there_count(stranger: Flow) -> None:
    faults, _ = spread(of("isp1", 1, 2, 3), [stranger])
    assert faults[0] == "1 of 4 flows were seen in clear on none of isp1, isp2"
