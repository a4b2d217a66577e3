"""Every rule of `judge` and `settle` by itself: the base case passes; one thing changed, it fails or proves nothing."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from labctl.claims.expectations import Check, Expected, Hop, Sight, Spread, TraceHop
from labctl.claims.verdicts import Verdict, Word, judge, observed, settle, unproved
from labctl.probes.httpanswer import KEPT
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
    Named,
    Outcome,
    Ping,
    Rate,
    Reply,
    Tcp,
    Trace,
    Udp,
)

A, B, C = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), IPv4Address("10.0.0.3")
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


def silence(**more: object) -> Reply:
    """Nothing came back, for as long as CHECK waits."""
    return replace(REPLY, outcome="filtered", elapsed_ms=3000.0, **more)  # type: ignore[arg-type]


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
    check = replace(CHECK, expected=Expected("filtered"))
    assert word(check, silence(sent=1)) == "pass"
    assert word(check, silence(sent=0)) == "inconclusive"
    assert word(CHECK, silence(sent=0)) == "inconclusive"


def test_a_marker_that_the_probe_could_not_carry_is_not_missed_anywhere() -> None:
    check = replace(CHECK, silent=(Sight("lan", marker=True),))
    assert word(check, REPLY) == "pass"
    assert word(check, replace(REPLY, sent=0)) == "inconclusive"
    unsent = replace(check, expected=Expected("no_route"))
    assert word(unsent, replace(REPLY, outcome="no_route", sent=0)) == "pass"
    assert word(unsent, replace(REPLY, outcome="no_route", reporter=str(B), sent=0)) == "inconclusive"


def test_silence_that_was_not_waited_for_to_its_end_proves_nothing() -> None:
    check = replace(CHECK, expected=Expected("filtered"))
    cut = replace(silence(), elapsed_ms=1200.0)
    assert reason(check, cut) == "nothing came back for 1.2 s, but only 3.0 s would be silence"
    assert word(check, cut) == word(CHECK, cut) == "inconclusive"


def test_a_check_without_evidence_is_inconclusive_with_its_reason() -> None:
    verdict = unproved(replace(CHECK, control=("P2",), expected=Expected("refused")), "the prober died")
    assert (verdict.verdict, verdict.reason, verdict.control) == ("inconclusive", "the prober died", ("P2",))
    assert (verdict.expected, verdict.observed, verdict.negative) == ("refused", "nothing", True)


CONNECT = replace(CHECK, action=Connect(443, 17, B), expected=Expected("ok", established=16))
HELD = replace(REPLY, established=16, rest="1 of 17 got no answer", sent=20)


def test_connections_are_counted_exactly_and_the_rest_is_told() -> None:
    assert word(CONNECT, HELD) == "pass"
    assert "16 established, 1 of 17 got no answer" in judge(CONNECT, HELD).observed
    assert judge(CONNECT, HELD).number == "16 held"
    for count in (15, 17):
        told = reason(CONNECT, replace(HELD, established=count))
        assert told.startswith(f"{count} of 17 connections were established together, expected 16: 1 of 17 got no")
    every = replace(CONNECT, expected=Expected("ok"))
    assert reason(every, HELD).startswith("16 of 17 connections were established together, expected 17")


def test_connections_that_were_never_tried_prove_nothing() -> None:
    assert reason(CONNECT, replace(HELD, sent=16)) == "only 16 packets of 17 or more were seen to leave pc"
    assert word(CONNECT, replace(HELD, sent=16)) == "inconclusive"


HEALTH = replace(CHECK, action=Health((A, B)), expected=Expected("ok", state="degraded"))


def test_a_state_is_that_of_all_who_were_asked() -> None:
    asked = replace(REPLY, state="degraded", sent=2)
    assert word(HEALTH, asked) == "pass"
    assert reason(HEALTH, replace(asked, state="critical")) == "it is critical"
    assert word(HEALTH, replace(asked, sent=1)) == "inconclusive"


def test_a_lookup_that_asked_nobody_proves_nothing() -> None:
    check = replace(CHECK, action=Lookup("a.example.com", "getent", (B,), ()), expected=Expected("ok", first=A))
    found = replace(REPLY, answers=(str(A),), said="10.0.0.1  STREAM\n")
    assert word(check, found) == "pass"
    assert "printed `10.0.0.1 STREAM`" in judge(check, found).observed
    assert reason(check, replace(found, sent=0)) == "the probe was never seen to leave pc"


def test_the_address_of_a_name_that_was_reached_is_the_last_one_tried() -> None:
    check = replace(CHECK, expected=Expected("ok", reached=B))
    assert word(check, replace(REPLY, tried=(str(A), str(B)))) == "pass"
    assert f"at {B} after {A}" in judge(check, replace(REPLY, tried=(str(A), str(B)))).observed
    assert reason(check, replace(REPLY, tried=(str(A),))) == f"{A} was connected to"


def test_a_tap_that_may_show_only_so_much_listens_on_as_one_that_must_stay_silent_does() -> None:
    assert not replace(CHECK, see=(Sight("lan", least=3),)).bounded
    assert replace(CHECK, see=(Sight("lan", most=3),)).bounded
    assert replace(CHECK, silent=(Sight("lan"),)).bounded


# ---- outcomes and their details


OUTCOMES: tuple[Outcome, ...] = (
    *("ok", "refused", "no_route", "prohibited", "expired", "filtered", "too_big", "nxdomain", "nodata", "servfail"),
    "corrupt",
)


@pytest.mark.parametrize("expected", OUTCOMES)
@pytest.mark.parametrize("found", OUTCOMES)
def test_only_the_outcome_that_was_stated_passes(expected: Outcome, found: Outcome) -> None:
    check = replace(CHECK, expected=Expected(expected))
    reply = silence() if found == "filtered" else replace(REPLY, outcome=found)
    assert word(check, reply) == ("pass" if expected == found else "fail")


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
        (Expected("ok", answers=("1", "2"), any_order=True), {"answers": ("2", "1")}, {"answers": ("2", "2")}),
        (Expected("ok", answers=("1", "2"), any_order=True), {"answers": ("1", "2")}, {"answers": ("2", "1", "1")}),
        (Expected("ok", first=A), {"answers": (str(A), str(B))}, {"answers": (str(B), str(A))}),
        (Expected("ok", first=A), {"answers": (str(A),)}, {"answers": ()}),
        (Expected("ok", ttl_s=60), {"ttl_s": 60}, {"ttl_s": 61}),
        (Expected("ok", ttl_s=60), {"ttl_s": 0}, {"ttl_s": -1}),
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
        (Expected("refused", by=(A,), by_node="pc"), {"reporter": str(A)}, {"reporter": ""}),
        (Expected("ok", rate_bit=10_000_000, tolerance=10), {"rate_bit": 9e6}, {"rate_bit": 8.99e6}),
        (Expected("ok", rate_bit=10_000_000, tolerance=10), {"rate_bit": 11e6}, {"rate_bit": 11.01e6}),
        (Expected("ok", rate_bit=10_000_000, tolerance=0), {"rate_bit": 10e6}, {"rate_bit": 0.0}),
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
    verdict = judge(INJECTED, REPLY)
    assert (verdict.expected, verdict.observed, verdict.number) == ("filtered: where it is seen tells", "sent", "")


def test_a_forged_packet_that_was_not_sent_proves_nothing() -> None:
    assert word(INJECTED, replace(REPLY, sent=0)) == "inconclusive"
    assert word(INJECTED, replace(REPLY, outcome="error")) == "inconclusive"


def test_a_forged_packet_that_was_to_get_in_must_be_seen_there() -> None:
    check = replace(INJECTED, expected=Expected("ok"), silent=(), see=(Sight("lan", marker=True),))
    assert word(check, REPLY) == "fail"
    assert word(check, replace(REPLY, flows=(replace(FLOW, tap="lan"),))) == "pass"


# ---- what was not in time


LATE = replace(REPLY, elapsed_ms=4096.0)


def test_an_answer_after_its_time_fails_and_tells_when_it_came() -> None:
    assert (word(CHECK, LATE), reason(CHECK, LATE)) == ("fail", "would have passed at 4.1 s, bound 3.0 s")
    assert word(CHECK, replace(LATE, elapsed_ms=3000.0)) == "pass"
    refused = replace(CHECK, expected=Expected("refused"))
    assert word(refused, replace(LATE, outcome="refused")) == "fail"


def test_by_how_little_an_answer_was_late_can_be_seen() -> None:
    assert reason(CHECK, replace(LATE, elapsed_ms=3000.6)) == "would have passed at 3000.6 ms, bound 3000.0 ms"


def test_only_what_would_have_passed_is_called_late() -> None:
    assert reason(replace(CHECK, expected=Expected("ok", server="kms")), LATE) == "web answered"
    assert reason(CHECK, replace(LATE, ready=False)).startswith("a tap was not listening")
    assert word(replace(CHECK, expected=Expected("filtered")), replace(silence(), elapsed_ms=3001.0)) == "pass"


# ---- errors by the sender itself


@pytest.mark.parametrize("outcome", ["no_route", "too_big", "prohibited"])
def test_what_the_senders_own_kernel_says_is_by_the_sender_alone(outcome: Outcome) -> None:
    check = replace(CHECK, expected=Expected(outcome, by=(A,), by_node="pc"))
    assert word(check, replace(REPLY, outcome=outcome, reporter="")) == "pass"
    other = replace(CHECK, expected=Expected(outcome, by=(B,), by_node="gw"))
    assert reason(other, replace(REPLY, outcome=outcome, reporter="")) == "no ICMP error reported it"


# ---- lookups


@pytest.mark.parametrize("outcome", ["refused", "no_route", "prohibited", "filtered"])
def test_what_became_of_the_lookup_is_not_what_became_of_the_probe(outcome: Outcome) -> None:
    check = replace(CHECK, action=Tcp(443, named=Named("web.example.com", (B,))), expected=Expected(outcome))
    reply = silence() if outcome == "filtered" else replace(REPLY, outcome=outcome)
    assert word(check, reply) == "pass"
    assert reason(check, replace(reply, lookup=True)) == (
        f"{outcome} is what became of the lookup of the name, nothing was sent to its address"
    )


@pytest.mark.parametrize("outcome", ["nxdomain", "nodata", "servfail"])
def test_that_a_name_is_not_known_is_what_a_lookup_proves(outcome: Outcome) -> None:
    check = replace(CHECK, action=Tcp(443, named=Named("web.example.com", (B,))), expected=Expected(outcome))
    assert word(check, replace(REPLY, outcome=outcome, lookup=True)) == "pass"


# ---- HTTP


HTTP = replace(CHECK, action=Http(80, "/", "web", B))
ANSWER = replace(REPLY, mss=0, status=200, header=(("server", "nginx"), ("x-a", "1"), ("x-a", "2")), body="hello world")


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (Expected("ok"), ""),
        (Expected("ok", status=200, body="lo wo", header=(("Server", "nginx"), ("X-A", "2"))), ""),
        (Expected("ok", status=404), "status 200"),
        (Expected("ok", body="Hello"), "the body has no `Hello`"),
        (Expected("ok", header=(("Server", "Nginx"),)), "the header Server is nginx"),
        (Expected("ok", header=(("X-A", "3"),)), "the header X-A is 1 and 2"),
        (Expected("ok", header=(("X-B", "1"),)), "there is no header X-B"),
    ],
)
def test_an_http_answer_has_all_that_was_claimed(expected: Expected, told: str) -> None:
    check = replace(HTTP, expected=expected)
    assert (word(check, ANSWER), reason(check, ANSWER)) == ("fail" if told else "pass", told)


@pytest.mark.parametrize("status", [199, 301, 404, 503])
def test_a_status_that_is_no_success_must_be_claimed(status: int) -> None:
    answer = replace(ANSWER, status=status)
    assert reason(HTTP, answer) == f"status {status} is no success"
    assert word(replace(HTTP, expected=Expected("ok", status=status)), answer) == "pass"


def test_a_body_that_is_not_kept_whole_leaves_open_what_it_contains() -> None:
    check, long = replace(HTTP, expected=Expected("ok", body="needle")), replace(ANSWER, body="x" * KEPT)
    assert word(check, long) == "inconclusive"
    assert word(check, replace(long, body="x" * (KEPT - 1))) == "fail"
    assert word(check, replace(long, body="needle" + "x" * KEPT)) == "pass"


# ---- traces, rates, flows


TRACED = replace(
    CHECK,
    action=Trace(B, "udp", 33434, 16),
    expected=Expected("ok", hops=(TraceHop("gw", (A, C)), TraceHop("*", ()), TraceHop("web", (B,)))),
)


@pytest.mark.parametrize(
    ("hops", "told"),
    [
        ((str(A), "*", str(B)), ""),
        ((str(C), "*", str(B)), ""),
        ((str(B), "*", str(B)), "hop 1 is 10.0.0.2, expected gw"),
        (("*", "*", str(B)), "hop 1 is silent, expected gw"),
        ((str(A), str(A), str(B)), "hop 2 is 10.0.0.1, expected *"),
        ((str(A), str(B)), "2 hops, where 3 are expected: 10.0.0.1, 10.0.0.2"),
        ((), "0 hops, where 3 are expected: none"),
    ],
)
def test_the_hops_are_those_that_were_claimed_and_no_others(hops: tuple[str, ...], told: str) -> None:
    reply = replace(REPLY, hops=hops)
    assert (word(TRACED, reply), reason(TRACED, reply)) == ("fail" if told else "pass", told)


def test_a_rate_that_is_not_as_claimed_is_told() -> None:
    check = replace(CHECK, action=Rate(B, "web", "udp", 15_000_000, 2000),
                    expected=Expected("ok", rate_bit=10_000_000, tolerance=10))  # fmt: skip
    verdict = judge(check, replace(REPLY, rate_bit=14.96e6))
    assert (verdict.verdict, verdict.reason) == ("fail", "15 Mbit/s got through")
    assert verdict.expected == "ok, 9 Mbit/s to 11 Mbit/s"


def test_a_rate_of_zero_is_within_no_bound_that_was_not_stated() -> None:
    assert word(replace(CHECK, action=Rate(B, "web", "udp", 0, 2000)), replace(REPLY, rate_bit=1.0)) == "pass"


MANY = replace(CHECK, action=Flows(B, 443, 2, "tcp"))


def test_every_flow_must_be_answered() -> None:
    assert word(MANY, replace(REPLY, answered=2)) == "pass"
    assert reason(MANY, replace(REPLY, answered=1)) == "1 of 2 flows were answered"


def test_flows_share_links_as_was_claimed() -> None:
    check = replace(MANY, expected=Expected("ok", spread=Spread(("wan", "lan"), 50)))
    other = replace(FLOW, tap="lan", sport=4001)
    assert word(check, replace(REPLY, answered=2, flows=(FLOW, other))) == "pass"
    assert word(check, replace(REPLY, answered=2, flows=(FLOW,))) == "fail"
    hidden = (FLOW, replace(FLOW, tap="lan", proto="esp", dport=0, sport=0, marked=0))
    assert word(check, replace(REPLY, answered=2, flows=hidden)) == "inconclusive"
    assert word(check, replace(REPLY, answered=1, flows=hidden)) == "fail"


# ---- sights


SIGHT = Sight("wan", "tcp", A, B, 443)


def test_what_should_be_seen_must_be() -> None:
    check = replace(CHECK, see=(SIGHT, Sight("lan"), Sight("dmz", "udp")))
    assert word(replace(CHECK, see=(SIGHT,)), REPLY) == "pass"
    assert (word(check, REPLY), reason(check, REPLY)) == ("fail", "not seen: ip on lan; not seen: udp on dmz")


def test_what_should_not_be_seen_must_not_be() -> None:
    assert word(replace(CHECK, silent=(SIGHT,)), REPLY) == "fail"
    assert word(replace(CHECK, silent=(replace(SIGHT, port=80),)), REPLY) == "pass"


# ---- paths


HOPS = (Hop("pc", "path pc"), Hop("gw", "path gw"))


def crossed(*at: tuple[str, float]) -> tuple[Flow, ...]:
    return tuple(replace(FLOW, tap=f"path {node}", first_marked_ms=ms, first_ms=0.0) for node, ms in at)


def test_the_probe_crosses_all_nodes_in_their_order() -> None:
    check = replace(CHECK, path=HOPS)
    assert word(check, replace(REPLY, flows=crossed(("pc", 1), ("gw", 2)))) == "pass"
    assert word(check, replace(REPLY, flows=crossed(("pc", 2), ("gw", 1)))) == "fail"
    assert word(check, replace(REPLY, flows=crossed(("pc", 1)))) == "fail"


def test_an_order_that_the_captures_do_not_show_is_not_proved() -> None:
    tie = replace(REPLY, flows=crossed(("pc", 1), ("gw", 1)))
    told = (word(replace(CHECK, path=HOPS), tie), reason(replace(CHECK, path=HOPS), tie))
    assert told == ("inconclusive", "pc and gw saw the probe at the same instant")


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
    assert observed(silence(server="", peer="", mss=0)) == "filtered for 3.0 s"
    assert observed(Reply("ok", body="one\ntwo \n")) == "ok, body `one two`"
    http = Reply("ok", status=200, body="x" * 61, server="web")
    assert observed(http) == f"ok, from server web, status 200, body `{'x' * 60}...`"
    assert observed(Reply("ok", hops=("a", "*"))) == "ok, hops a, *"
    assert observed(Reply("ok", rate_bit=9.4e6, answered=3)) == "ok, 9.4 Mbit/s, 3 flows answered"


def test_a_neighbour_that_never_answered_is_told_where_a_route_ends_with_it() -> None:
    ask = Flow("x", "pc", "lan", "arp", "10.0.0.4", "10.0.0.9", packets=3)
    lost = Reply("no_route", reporter="10.0.0.4", flows=(ask,))
    assert observed(lost) == "no_route, by 10.0.0.4, nobody answered ARP for 10.0.0.9"
    answer = replace(ask, src="10.0.0.9", dst="10.0.0.4")
    for other in (replace(lost, flows=(ask, answer)), replace(lost, reporter="10.0.0.1"), replace(lost, outcome="ok")):
        assert "ARP" not in observed(other)


def test_many_answers_are_counted() -> None:
    many = tuple(f"10.0.0.{i}" for i in range(126))
    assert observed(Reply("ok", answers=many)) == "ok, answers 126 addresses, the first 10.0.0.0"


def test_what_was_expected_is_told_in_a_line() -> None:
    expected = Expected("ok", ("a",), True, True, A, "web", 1260, 0, (B,), "gw")
    assert str(expected) == (
        "ok, answers a, in any order, authoritative, from server web, client seen as 10.0.0.1, mss at most 1260, by gw"
    )
    assert str(Expected("ok", status=200, body="hi", header=(("Server", "x"),))) == (
        "ok, status 200, Server: x, a body with `hi`"
    )
    assert str(TRACED.expected) == "ok, hops gw, *, web"
    assert str(Expected("ok", spread=Spread(("a", "b"), 20))) == "ok, each flow on one of a, b, at least 20 % on each"


def test_how_long_silence_must_last_is_told() -> None:
    assert str(replace(CHECK, expected=Expected("filtered"))) == "filtered: nothing comes back for 3.0 s"
    assert str(INJECTED) == "filtered: where it is seen tells"
    assert str(CHECK) == "ok"


@pytest.mark.parametrize(
    ("action", "reply", "told"),
    [
        (Udp(B, 53), REPLY, "12 ms"),
        (Udp(B, 53), replace(REPLY, elapsed_ms=0.42), "0.4 ms"),
        (Ping(B), replace(REPLY, outcome="too_big", mtu=1300), "mtu 1300"),
        (Trace(B, "udp", 1, 3), replace(REPLY, hops=("a",)), "1 hop"),
        (Trace(B, "udp", 1, 3), replace(REPLY, hops=("a", "b")), "2 hops"),
        (Rate(B, "web", "udp", 1, 1), replace(REPLY, rate_bit=9.4e6), "9.4 Mbit/s"),
        (Flows(B, 1, 100, "udp"), replace(REPLY, answered=100), "100 flows"),
        (Udp(B, 53), silence(), "3.0 s"),
        (Udp(B, 53), replace(REPLY, outcome="error"), ""),
    ],
)
def test_a_verdict_bears_the_number_that_matters(action: Action, reply: Reply, told: str) -> None:
    assert judge(replace(CHECK, action=action), reply).number == told


def test_a_check_is_negative_unless_it_expects_ok() -> None:
    assert not CHECK.negative
    assert replace(CHECK, action=Ping(B), expected=Expected("filtered")).negative
    assert replace(CHECK, action=Dns(B, "a.b"), expected=Expected("nxdomain")).negative
    assert judge(INJECTED, REPLY).negative
    assert not judge(CHECK, REPLY).negative
