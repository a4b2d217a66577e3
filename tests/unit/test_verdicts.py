"""Every rule of `judge` and `settle` by itself: the base case passes; one thing changed, it fails or proves nothing."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from labctl.probes.expectations import Check, Expected, Hop, Inner, Sight
from labctl.probes.verdicts import Verdict, Word, judge, matches, observed, settle, unproved
from labctl.probes.wire import Dns, Flow, Inject, Outcome, Ping, Reply, Tcp

A, B, C = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), IPv4Address("10.0.0.3")
INNER = Flow("", "", "", "tcp", "172.16.0.1", "192.168.0.1", sport=4000, dport=22)
FLOW = Flow(
    tap="wan", namespace="n", device="d", proto="tcp", src=str(A), dst=str(B), sport=4000, dport=443,
    packets=3, marked=2, data=4500, longest=1500, first_ms=1.0, last_ms=2.0, first_marked_ms=1.0,
)  # fmt: skip
CHECK = Check(
    id="P1", about="a claim", node="pc", action=Tcp(443, B), expected=Expected("ok"), see=(), silent=(), path=(),
    control=(), timeout_ms=3000, taps=(),
)  # fmt: skip
REPLY = Reply("ok", ready=True, peer=str(A), server="web", mss=1260, sent=3, elapsed_ms=12.5, flows=(FLOW,))


def word(check: Check, reply: Reply) -> Word:
    return judge(check, reply).verdict


def reason(check: Check, reply: Reply) -> str:
    return judge(check, reply).reason


def test_what_was_claimed_and_found_passes() -> None:
    verdict = judge(CHECK, REPLY)
    assert (verdict.verdict, verdict.reason) == ("pass", "")
    assert (verdict.id, verdict.about, verdict.elapsed_ms, verdict.flows) == ("P1", "a claim", 12.5, (FLOW,))
    assert verdict.observed == "ok, from server web, client seen as 10.0.0.1, mss 1260"


# ---- what proves nothing


def test_a_probe_that_failed_itself_proves_nothing() -> None:
    assert judge(CHECK, replace(REPLY, outcome="error", reason="no socket")).verdict == "inconclusive"
    assert reason(CHECK, replace(REPLY, outcome="error", reason="no socket")) == "the probe itself failed: no socket"


@pytest.mark.parametrize("outcome", ["ok", "filtered", "refused"])
def test_taps_that_were_not_ready_prove_nothing_either_way(outcome: Outcome) -> None:
    check = replace(CHECK, expected=Expected(outcome))
    assert word(check, replace(REPLY, outcome=outcome, ready=False)) == "inconclusive"
    assert word(CHECK, replace(REPLY, outcome="refused", ready=False)) == "inconclusive"


def test_silence_proves_nothing_unless_the_probe_was_seen_to_leave() -> None:
    silence = replace(CHECK, expected=Expected("filtered"))
    assert word(silence, replace(REPLY, outcome="filtered", sent=1)) == "pass"
    assert word(silence, replace(REPLY, outcome="filtered", sent=0)) == "inconclusive"
    assert word(CHECK, replace(REPLY, outcome="filtered", sent=0)) == "inconclusive"


def test_a_check_without_evidence_is_inconclusive_with_its_reason() -> None:
    verdict = unproved(replace(CHECK, control=("P2",)), "the prober died")
    assert (verdict.verdict, verdict.reason, verdict.control) == ("inconclusive", "the prober died", ("P2",))


# ---- outcomes and their details


OUTCOMES: tuple[Outcome, ...] = (
    *("ok", "refused", "no_route", "prohibited", "filtered", "too_big", "nxdomain", "nodata", "servfail", "corrupt"),
)


@pytest.mark.parametrize("expected", OUTCOMES)
@pytest.mark.parametrize("found", OUTCOMES)
def test_only_the_outcome_that_was_stated_passes(expected: Outcome, found: Outcome) -> None:
    check = replace(CHECK, expected=Expected(expected))
    assert word(check, replace(REPLY, outcome=found)) == ("pass" if expected == found else "fail")


def test_another_outcome_is_told_with_its_reason() -> None:
    told = reason(CHECK, replace(REPLY, outcome="refused", reason="RST"))
    assert told == "expected ok, got refused: RST"


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [
        (Expected("ok", answers=("10.0.0.9",)), {"answers": ("10.0.0.9",)}, {"answers": ("10.0.0.8",)}),
        (Expected("ok", answers=("1", "2")), {"answers": ("1", "2")}, {"answers": ("2", "1")}),
        (Expected("ok", answers=("1",)), {"answers": ("1",)}, {"answers": ("1", "2")}),
        (Expected("ok", answers=("1",)), {"answers": ("1",)}, {"answers": ()}),
        (Expected("ok", authoritative=True), {"authoritative": True}, {"authoritative": False}),
        (Expected("ok", server="web"), {"server": "web"}, {"server": "web2"}),
        (Expected("ok", server="web"), {"server": "web"}, {"server": ""}),
        (Expected("ok", source=A), {"peer": str(A)}, {"peer": str(B)}),
        (Expected("ok", source=A), {"peer": str(A)}, {"peer": ""}),
        (Expected("ok", mss=1260), {"mss": 1260}, {"mss": 1261}),
        (Expected("ok", mss=1260), {"mss": 536}, {"mss": 0}),
        (Expected("too_big", mtu=1300), {"mtu": 1300}, {"mtu": 1400}),
        (Expected("no_route", by=(A, B), by_node="gw"), {"reporter": str(B)}, {"reporter": str(C)}),
        (Expected("no_route", by=(A, B), by_node="gw"), {"reporter": str(A)}, {"reporter": ""}),
    ],
)
def test_each_detail_that_was_claimed_must_hold(
    expected: Expected, right: dict[str, object], wrong: dict[str, object]
) -> None:
    check = replace(CHECK, expected=expected)
    assert word(check, replace(REPLY, outcome=expected.outcome, **right)) == "pass"  # type: ignore[arg-type]
    assert word(check, replace(REPLY, outcome=expected.outcome, **wrong)) == "fail"  # type: ignore[arg-type]


def test_every_detail_that_is_wrong_is_told() -> None:
    check = replace(CHECK, expected=Expected("ok", server="kms", source=B, mss=1000))
    assert reason(check, REPLY) == "web answered; the server saw 10.0.0.1; segments of 1260 bytes"


# ---- forged packets


INJECTED = replace(
    CHECK, action=Inject(A, B, 80, C), expected=Expected("filtered"), silent=(Sight("lan", marker=True),)
)


def test_a_forged_packet_is_judged_by_the_taps_alone() -> None:
    assert word(INJECTED, REPLY) == "pass"
    assert word(INJECTED, replace(REPLY, flows=(replace(FLOW, tap="lan"),))) == "fail"


def test_a_forged_packet_that_was_not_sent_proves_nothing() -> None:
    assert word(INJECTED, replace(REPLY, sent=0)) == "inconclusive"
    assert word(INJECTED, replace(REPLY, outcome="error")) == "inconclusive"


def test_a_forged_packet_that_was_to_get_in_must_be_seen_there() -> None:
    check = replace(INJECTED, expected=Expected("ok"), silent=(), see=(Sight("lan", marker=True),))
    assert word(check, REPLY) == "fail"
    assert word(check, replace(REPLY, flows=(replace(FLOW, tap="lan"),))) == "pass"


# ---- sights


SIGHT = Sight("wan", "tcp", A, B, 443, None, True, 1000)


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
    assert word(replace(CHECK, see=(SIGHT,)), REPLY) == "pass"
    assert word(replace(CHECK, see=(SIGHT,)), replace(REPLY, flows=(flow,))) == "fail"
    assert word(replace(CHECK, silent=(SIGHT,)), REPLY) == "fail"
    assert word(replace(CHECK, silent=(SIGHT,)), replace(REPLY, flows=(flow,))) == "pass"


def test_a_sight_that_names_no_protocol_is_any_ip_packet_and_no_arp() -> None:
    assert matches(Sight("wan"), FLOW)
    assert matches(Sight("wan"), replace(FLOW, proto="47"))
    assert not matches(Sight("wan"), replace(FLOW, proto="arp"))
    assert matches(Sight("wan", "arp"), replace(FLOW, proto="arp"))


def test_longer_is_strictly_longer() -> None:
    assert matches(Sight("wan", longer=1499), FLOW)
    assert not matches(Sight("wan", longer=1500), FLOW)


GRE = replace(FLOW, proto="gre", dport=0, inner=INNER)


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
def test_the_packet_inside_is_compared_too(inner: Inner, found: bool) -> None:
    assert matches(Sight("wan", "gre", inner=inner), GRE) is found
    assert not matches(Sight("wan", "gre", inner=inner), replace(GRE, inner=None))


def test_all_that_should_be_seen_must_be() -> None:
    check = replace(CHECK, see=(Sight("wan"), Sight("lan"), Sight("dmz", "udp")))
    assert reason(check, REPLY) == "not seen: ip on lan; not seen: udp on dmz"


def test_what_broke_the_silence_is_counted_over_all_flows() -> None:
    flows = (FLOW, replace(FLOW, proto="udp", packets=4, marked=1))
    told = reason(replace(CHECK, silent=(Sight("wan"),)), replace(REPLY, flows=flows))
    assert told == "seen 7 times: ip on wan (first tcp 10.0.0.1 to 10.0.0.2)"
    marked = reason(replace(CHECK, silent=(Sight("wan", marker=True),)), replace(REPLY, flows=flows))
    assert marked.startswith("seen 3 times: ip with the marker in clear on wan")


def test_a_sight_is_written_with_all_that_it_names() -> None:
    assert str(replace(SIGHT, inner=Inner("tcp", A))) == (
        "tcp from 10.0.0.1 to 10.0.0.2 port 443 longer than 1000 B with the marker in clear "
        "around tcp 10.0.0.1 to any on wan"
    )


# ---- paths


HOPS = (Hop("pc", "path pc"), Hop("gw", "path gw"), Hop("web", "path web"))


def crossed(*at: tuple[str, float]) -> tuple[Flow, ...]:
    return tuple(replace(FLOW, tap=f"path {node}", first_marked_ms=ms, first_ms=0.0) for node, ms in at)


def test_the_probe_crosses_all_nodes_in_their_order() -> None:
    check = replace(CHECK, path=HOPS)
    assert word(check, replace(REPLY, flows=crossed(("pc", 1), ("gw", 2), ("web", 3)))) == "pass"
    assert word(check, replace(REPLY, flows=crossed(("pc", 1), ("gw", 1), ("web", 1)))) == "pass"
    swapped = replace(REPLY, flows=crossed(("pc", 1), ("gw", 3), ("web", 2)))
    assert reason(check, swapped) == "the probe crossed pc, web, gw in this order"


def test_a_node_that_was_not_crossed_is_named() -> None:
    told = reason(replace(CHECK, path=HOPS), replace(REPLY, flows=crossed(("pc", 1), ("web", 3))))
    assert told == "the probe never crossed gw"


def test_other_packets_at_a_node_are_not_the_probe() -> None:
    flows = crossed(("pc", 1), ("gw", 2), ("web", 3))
    strangers = (flows[0], replace(flows[1], marked=0), flows[2])
    assert word(replace(CHECK, path=HOPS), replace(REPLY, flows=strangers)) == "fail"


def test_the_first_time_at_a_node_counts() -> None:
    flows = crossed(("pc", 1), ("gw", 9), ("gw", 2), ("web", 3))
    assert word(replace(CHECK, path=HOPS), replace(REPLY, flows=flows)) == "pass"


# ---- controls


def verdict(name: str, found: Word = "pass", *control: str) -> Verdict:
    return Verdict(name, "", found, "e", "o", "why" if found != "pass" else "", control)


def settled(*verdicts: Verdict) -> dict[str, Word]:
    return {each.id: each.verdict for each in settle(verdicts)}


def test_a_pass_stands_beside_a_control_that_passed() -> None:
    assert settled(verdict("N1", "pass", "P1"), verdict("P1")) == {"N1": "pass", "P1": "pass"}


@pytest.mark.parametrize("found", ["fail", "inconclusive"])
def test_a_pass_proves_nothing_beside_a_control_that_did_not(found: Word) -> None:
    [one, _] = settle((verdict("N1", "pass", "P1"), verdict("P1", found)))
    assert (one.verdict, one.reason) == ("inconclusive", "proves nothing without its control: P1 did not pass")


def test_a_pass_proves_nothing_without_its_control() -> None:
    [one] = settle((verdict("N1", "pass", "P1", "P2"),))
    assert (one.verdict, one.reason) == (
        "inconclusive", "proves nothing without its control: P1 was not run, P2 was not run",
    )  # fmt: skip


def test_every_control_must_pass() -> None:
    assert settled(verdict("N1", "pass", "P1", "P2"), verdict("P1"), verdict("P2", "fail"))["N1"] == "inconclusive"


def test_a_failure_stays_one_whatever_its_control_says() -> None:
    [one, _] = settle((verdict("N1", "fail", "P1"), verdict("P1", "fail")))
    assert (one.verdict, one.reason) == ("fail", "why")
    assert settled(verdict("N1", "inconclusive", "P1"), verdict("P1")) == {"N1": "inconclusive", "P1": "pass"}


def test_a_control_that_lost_its_own_control_shows_nothing() -> None:
    chain = (verdict("N1", "pass", "N2"), verdict("N2", "pass", "P1"), verdict("P1", "fail"))
    assert settled(*chain) == {"N1": "inconclusive", "N2": "inconclusive", "P1": "fail"}


def test_two_checks_may_be_each_others_control() -> None:
    assert set(settled(verdict("P1", "pass", "N1"), verdict("N1", "pass", "P1")).values()) == {"pass"}
    assert settled(verdict("P1", "fail", "N1"), verdict("N1", "pass", "P1")) == {"P1": "fail", "N1": "inconclusive"}


# ---- words


def test_what_was_observed_is_told_in_a_line() -> None:
    reply = Reply("too_big", mtu=1300, reporter="10.0.0.1", answers=("a", "b"), authoritative=True)
    assert observed(reply) == "too_big, answers a, b, authoritative, mtu 1300, by 10.0.0.1"


def test_what_was_expected_is_told_in_a_line() -> None:
    expected = Expected("ok", ("a",), True, A, "web", 1260, 0, (B,), "gw")
    assert (
        str(expected)
        == "ok, answers a, authoritative, from server web, client seen as 10.0.0.1, mss at most 1260, by gw"
    )


def test_a_check_is_negative_unless_it_expects_ok() -> None:
    assert not CHECK.negative
    assert replace(CHECK, action=Ping(B), expected=Expected("filtered")).negative
    assert replace(CHECK, action=Dns(B, "a.b"), expected=Expected("nxdomain")).negative
