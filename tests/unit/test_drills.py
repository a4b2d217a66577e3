"""Every rule of `judge_drill` and `judge_change` by itself.

The stream: a packet each 10 ms for 5 s, 5 ms under way; the fault from 1000 to 3000 ms, recovery at 3500 ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from labctl.claims.drills import change_not_run, drill_not_run, judge_change, judge_drill, not_begun
from labctl.claims.expectations import Bounds, Change, Drill, Felt, Part, Sight, Traffic
from labctl.claims.results import Asides, StreamVerdict
from labctl.claims.timelines import Changeline, Timeline
from labctl.claims.verdicts import Verdict, Word
from labctl.plan.faults import Drop, Flap, LinkDown, Rekey
from labctl.plan.objects import XfrmState
from labctl.probes.wire import Flow, StreamReport, TcpReport, Way

FREE = Felt(tcp_survives=False)
TIME = Timeline(1000, 1001, 3000, 3001, 3500)
BOUNDS = Bounds(FREE, restore_ms=200, not_before_ms=None, after="fault", failback_lost=None)
REPAIR = replace(BOUNDS, after="repair", restore_ms=500)
TRAFFIC = Traffic("pc", "web", IPv4Address("10.0.0.2"), 100, (), ())
DRILL = Drill(
    id="D1",
    about="a claim",
    traffic=TRAFFIC,
    fault=LinkDown(()),
    what="link_down wan",
    hold_ms=2000,
    bounds=BOUNDS,
    then=(),
    throughout=Part(),
    before=Part(),
    meanwhile=Part(),
    after=Part(),
)
# By the first way, by the second while the first is broken, and by the first again.
FIRST = ("pc/lan", "gw/lan", "gw/t1", "web/app")
SECOND = ("pc/lan", "gw/lan", "gw/t2", "web/app")
THERE_AND_BACK = (Way(0, 99, 100, FIRST), Way(115, 309, 195, SECOND), Way(310, 499, 190, FIRST))
SENT = tuple(float(10 * i) for i in range(500))
TCP = TcpReport(1000, 1000, True, 130.0)
FLOW = Flow("wan", "n", "d", "esp", "a", "b", packets=9, longest=500)


def report(lost: Iterable[int] = (), *, flight_ms: float = 5, tcp: TcpReport | None = TCP) -> StreamReport:
    gone = set(lost)
    received = tuple((float(i), at + flight_ms) for i, at in enumerate(SENT) if i not in gone)
    return StreamReport(True, SENT, received, tcp, ((), (), (), (), ()), THERE_AND_BACK)


def during(start_ms: int, end_ms: int) -> range:
    """The packets sent from `start_ms` until before `end_ms`."""
    return range(-(-start_ms // 10), -(-end_ms // 10))


def verdict(
    bounds: Bounds,
    lost: Iterable[int] = (),
    *,
    time: Timeline = TIME,
    flight_ms: float = 5,
    tcp: TcpReport | None = TCP,
) -> StreamVerdict:
    return judge_drill(replace(DRILL, bounds=bounds), report(lost, flight_ms=flight_ms, tcp=tcp), time)


# ---- bounds on time


def test_a_stream_that_is_whole_again_in_time_passes() -> None:
    found = verdict(BOUNDS, during(1000, 1150))
    assert (found.verdict, found.reason) == ("pass", "")
    assert (found.sent, found.lost, found.restored_ms, found.longest_gap_ms) == (500, 15, 150, 160)


def test_restored_just_at_the_bound_passes_and_after_it_fails() -> None:
    assert verdict(BOUNDS, during(1000, 1200)).verdict == "pass"
    late = verdict(BOUNDS, during(1000, 1210))
    assert (late.verdict, late.reason) == ("fail", "restored 210 ms after the fault, bound 200 ms")


def test_a_stream_that_is_whole_only_after_the_repair_was_not_restored() -> None:
    found = verdict(BOUNDS, during(1000, 3000))
    assert (found.verdict, found.restored_ms, found.reason) == ("fail", None, "not restored before the repair")


def test_one_packet_lost_late_says_when_the_stream_was_whole() -> None:
    assert verdict(BOUNDS, {100, 101, 250}).reason == "restored 1510 ms after the fault, bound 200 ms"


def test_restored_sooner_than_can_be_fails() -> None:
    bounds = replace(BOUNDS, restore_ms=1000, not_before_ms=400)
    assert verdict(bounds, during(1000, 1400)).verdict == "pass"
    early = verdict(bounds, during(1000, 1390))
    assert (early.verdict, early.reason) == ("fail", "restored after 390 ms, sooner than can be: not before 400 ms")


def test_a_fault_that_must_be_felt_and_was_not_proves_nothing() -> None:
    bounds = replace(BOUNDS, restore_ms=1000, not_before_ms=400)
    assert verdict(bounds).verdict == verdict(REPAIR).verdict == "inconclusive"
    assert verdict(REPAIR).reason == "the fault was not felt: nothing was lost while it lasted"


def test_a_fault_that_costs_nothing_must_have_changed_the_way() -> None:
    found = verdict(BOUNDS)
    assert (found.verdict, found.lost, found.restored_ms) == ("pass", 0, 0)
    elsewhere = judge_drill(DRILL, replace(report(), ways=(Way(0, 499, 500, FIRST),)), TIME)
    assert elsewhere.reason == "the fault was not felt: nothing was lost, and the way stayed the same"
    assert judge_drill(DRILL, replace(report(), ways=()), TIME).verdict == "inconclusive"
    unbounded = replace(DRILL, bounds=replace(BOUNDS, restore_ms=None, felt=replace(FREE, lost=0)))
    assert judge_drill(unbounded, replace(report(), ways=()), TIME).verdict == "pass"


# ---- counted from the repair


def test_counted_from_the_repair_the_outage_lasts_until_then() -> None:
    found = verdict(REPAIR, during(1000, 3200))
    assert (found.verdict, found.restored_ms) == ("pass", 200)


def test_counted_from_the_repair_late_is_late() -> None:
    assert verdict(REPAIR, during(1000, 3510)).reason == "restored 510 ms after the repair, bound 500 ms"


def test_counted_from_the_repair_never_is_until_the_end() -> None:
    found = verdict(REPAIR, during(1000, 5000))
    assert (found.verdict, found.reason) == ("fail", "not restored by the end")


def test_back_before_the_repair_is_no_negative_time() -> None:
    assert verdict(REPAIR, during(1000, 2000)).restored_ms == 0


# ---- losses


def test_loss_before_the_fault_proves_nothing() -> None:
    found = verdict(BOUNDS, [50, *during(1000, 1100)])
    assert (found.verdict, found.reason) == ("inconclusive", "1 packets were lost before the event")


def test_what_was_under_way_when_the_fault_struck_is_lost_with_it() -> None:
    under_way = [98, 99, *during(1000, 1100)]
    assert verdict(BOUNDS, under_way, flight_ms=25).verdict == "pass"
    assert verdict(BOUNDS, under_way, flight_ms=5).verdict == "inconclusive"


@pytest.mark.parametrize(("bound", "word"), [(10, "pass"), (9, "fail"), (0, "fail")])
def test_all_losses_are_counted_against_their_bound(bound: int, word: str) -> None:
    bounds = replace(BOUNDS, restore_ms=None, felt=replace(FREE, lost=bound))
    assert verdict(bounds, during(1000, 1100)).verdict == word


def test_losses_after_the_repair_are_counted_against_their_bound() -> None:
    bounds = replace(BOUNDS, failback_lost=0)
    assert verdict(bounds, during(1000, 1100)).verdict == "pass"
    failback = verdict(bounds, [*during(1000, 1100), 320, 321])
    assert (failback.verdict, failback.failback_lost) == ("fail", 2)
    assert failback.reason == "2 packets lost after the repair, bound 0"
    assert verdict(replace(bounds, failback_lost=2), [*during(1000, 1100), 320, 321]).verdict == "pass"


def test_counted_from_the_repair_what_the_bound_allows_is_no_failback_loss() -> None:
    bounds = replace(REPAIR, failback_lost=0)
    assert verdict(bounds, during(1000, 3200)).failback_lost == 0
    assert verdict(bounds, [*during(1000, 3200), 360]).failback_lost == 1


# ---- what proves nothing


def test_a_stream_or_a_tap_that_was_not_whole_proves_nothing() -> None:
    found = judge_drill(DRILL, replace(report(), ready=False, reason="tap died"), TIME)
    assert (found.verdict, found.lost) == ("inconclusive", None)
    assert found.reason == "the stream or a tap was not whole: tap died"


def test_a_stream_that_never_ran_proves_nothing() -> None:
    empty = StreamReport(True, (), (), TCP, ((), (), (), (), ()))
    bounds = replace(BOUNDS, restore_ms=None, felt=replace(FREE, lost=0))
    assert judge_drill(replace(DRILL, bounds=bounds), empty, TIME).verdict == "inconclusive"


def test_a_stream_that_ended_before_the_lab_recovered_proves_nothing() -> None:
    whole = report(during(1000, 1100))
    short = replace(whole, sent=SENT[:340], received=tuple(each for each in whole.received if each[0] < 340))
    assert judge_drill(DRILL, short, TIME).verdict == "inconclusive"


def test_a_stream_that_arrived_only_after_the_fault_proves_nothing() -> None:
    whole = report()
    late = replace(whole, received=tuple((number, at + 2000) for number, at in whole.received))
    assert judge_drill(DRILL, late, TIME).verdict == "inconclusive"


def test_a_drill_that_did_not_run_has_no_numbers() -> None:
    found = drill_not_run(DRILL, "no")
    assert (found.verdict, found.lost, found.restored_ms, found.tcp) == ("inconclusive", None, None, None)


def test_a_lab_that_did_not_recover_fails_its_drill() -> None:
    found = verdict(BOUNDS, during(1000, 1100), time=replace(TIME, trouble="gw: no routes"))
    assert (found.verdict, found.reason) == ("fail", "the lab did not recover: gw: no routes")


# ---- TCP


def test_a_connection_that_had_to_survive_and_broke_fails() -> None:
    broken = replace(TCP, intact=False, reason="reset")
    bounds = replace(BOUNDS, felt=Felt())
    assert verdict(bounds, tcp=TCP).verdict == "pass"
    assert verdict(bounds, tcp=broken).reason == "the TCP connection did not survive: reset"
    assert verdict(bounds, tcp=broken).tcp == broken
    assert verdict(BOUNDS, tcp=broken).verdict == "pass"


def test_a_connection_that_never_ran_did_not_survive() -> None:
    assert verdict(replace(BOUNDS, felt=Felt()), tcp=None).verdict == "inconclusive"
    assert verdict(BOUNDS, tcp=None).verdict == "pass"


# ---- order


def test_duplicates_and_disorder_are_counted() -> None:
    whole = report()
    bounds = replace(BOUNDS, felt=replace(FREE, duplicated=0, reordered=0))
    drill = replace(DRILL, bounds=bounds)
    shuffled = (*whole.received[:10], whole.received[11], whole.received[10], whole.received[11], *whole.received[12:])
    found = judge_drill(drill, replace(whole, received=shuffled), TIME)
    assert (found.duplicated, found.reordered, found.lost) == (1, 1, 0)
    assert found.reason == "1 packets arrived twice, bound 0; 1 packets were overtaken, bound 0"


# ---- what was seen in each part


PARTS = ("before", "switching", "meanwhile", "repairing", "after")


def seen_in(part: str) -> StreamReport:
    return replace(report(), parts=tuple((FLOW,) if name == part else () for name in PARTS))


@pytest.mark.parametrize("part", ["before", "meanwhile", "after"])
def test_what_must_be_seen_in_a_part_must_be_seen_in_that_part(part: str) -> None:
    drill = replace(DRILL, **{part: Part((Sight("wan", "esp"),), ())})  # type: ignore[arg-type]
    for other in PARTS:
        assert judge_drill(drill, seen_in(other), TIME).verdict == ("pass" if other == part else "fail")
    assert judge_drill(drill, report(), TIME).reason == f"{part}: not seen: esp on wan"


@pytest.mark.parametrize("part", ["before", "meanwhile", "after"])
def test_what_must_be_silent_in_a_part_may_be_seen_in_others(part: str) -> None:
    drill = replace(DRILL, **{part: Part((), (Sight("wan"),))})  # type: ignore[arg-type]
    for other in PARTS:
        assert judge_drill(drill, seen_in(other), TIME).verdict == ("fail" if other == part else "pass")


@pytest.mark.parametrize("part", PARTS)
def test_throughout_is_every_part(part: str) -> None:
    silent = replace(DRILL, throughout=Part((), (Sight("wan"),)))
    assert judge_drill(silent, seen_in(part), TIME).verdict == "fail"
    see = replace(DRILL, throughout=Part((Sight("wan"),), ()))
    assert judge_drill(see, seen_in(part), TIME).verdict == "pass"


def test_the_flows_of_each_part_are_kept() -> None:
    assert judge_drill(DRILL, seen_in("meanwhile"), TIME).parts["meanwhile"] == (FLOW,)


# ---- the instants between the parts


def test_meanwhile_begins_when_the_stream_must_be_whole() -> None:
    assert TIME.marks(BOUNDS) == (1000, 1200, 3000, 3500)


def test_counted_from_the_repair_it_is_broken_as_soon_as_the_fault_is_in() -> None:
    assert TIME.marks(REPAIR) == (1000, 1001, 3000, 3500)


def test_switching_ends_with_the_repair_at_the_latest() -> None:
    assert TIME.marks(replace(BOUNDS, restore_ms=60_000)) == (1000, 3000, 3000, 3500)


# ---- how long nothing came


def test_the_longest_gap_is_held_against_its_bound() -> None:
    bounds = replace(BOUNDS, felt=replace(FREE, gap_ms=160))
    assert verdict(bounds, during(1000, 1150)).verdict == "pass"
    assert verdict(bounds, during(1000, 1160)).reason == "170 ms without a packet, bound 160"


def test_a_pause_of_the_sender_is_no_gap() -> None:
    paused = tuple(at + (500 if i >= 200 else 0) for i, at in enumerate(SENT))
    received = tuple((float(i), at + 5) for i, at in enumerate(paused))
    found = judge_drill(DRILL, replace(report(), sent=paused, received=received), TIME)
    assert found.longest_gap_ms is not None
    assert found.longest_gap_ms <= 20


def test_the_time_derived_from_the_loss_is_packets_over_rate() -> None:
    assert verdict(BOUNDS, during(1000, 1150)).loss_derived_ms == 150


def test_a_sender_that_stood_still_proves_nothing_and_the_machine_is_to_blame() -> None:
    paused = tuple(at + (200 if i >= 150 else 0) for i, at in enumerate(SENT))
    received = tuple((float(i), at + 5) for i, at in enumerate(paused))
    found = judge_drill(DRILL, replace(report(), sent=paused, received=received), TIME)
    assert (found.verdict, found.spoiled) == ("inconclusive", True)
    assert found.reason == "the sender stood still for 200 ms: what was lost meanwhile nobody knows"
    assert not verdict(BOUNDS).spoiled


def test_what_is_to_be_true_while_it_is_broken_is_part_of_the_drill() -> None:
    wrong = Verdict("D1-1", "", "fail", "refused", "ok", "expected refused, got ok")
    found = judge_drill(DRILL, report(during(1000, 1100)), TIME, Asides(then=(wrong,)))
    assert (found.verdict, found.reason) == ("fail", "while it was broken D1-1: expected refused, got ok")
    doubtful = replace(wrong, verdict="inconclusive")
    assert judge_drill(DRILL, report(during(1000, 1100)), TIME, Asides(then=(doubtful,))).verdict == "inconclusive"
    right = replace(wrong, verdict="pass")
    assert judge_drill(DRILL, report(during(1000, 1100)), TIME, Asides(then=(right,))).verdict == "pass"


def test_what_is_lost_to_the_end_is_a_gap_too() -> None:
    assert verdict(BOUNDS, during(4000, 5000)).longest_gap_ms == pytest.approx(995, abs=11)


def test_a_flap_is_over_by_itself_and_may_be_restored_after_its_end() -> None:
    drill = replace(DRILL, fault=Flap((), 3, 100, 100), bounds=replace(BOUNDS, restore_ms=2500))
    found = judge_drill(drill, report(during(1000, 3050)), replace(TIME, repairing_ms=3000, repaired_ms=3000.1))
    assert (found.verdict, found.restored_ms) == ("pass", 2050)


def test_a_way_is_told_of_what_arrived_alone() -> None:
    alone = replace(report(during(1000, 3000)), ways=(Way(0, 499, 300, FIRST),))
    assert set(judge_drill(DRILL, alone, TIME).way) == {"before", "after"}


# ---- new keys


def rekeyed(*spis: int) -> StreamVerdict:
    ends = IPv4Address("198.51.100.1"), IPv4Address("203.0.113.1")
    old = XfrmState("gw", *ends, 0x1001, "aes256-gcm", "t1.ab", 1)
    fault = Rekey((old,), (replace(old, spi=0x80001001),))
    drill = replace(DRILL, fault=fault, bounds=replace(BOUNDS, restore_ms=None, felt=replace(FREE, lost=0)))
    flows = tuple(replace(FLOW, spi=spi) for spi in spis)
    return judge_drill(drill, replace(report(), parts=((), (), flows, (), ())), TIME)


def test_a_rekeying_is_proved_by_the_fresh_associations_alone() -> None:
    assert rekeyed(0x80001001).verdict == "pass"
    assert rekeyed(0x80001001, 0x1001).reason == "the old associations went on after the fresh ones had taken over"
    assert rekeyed(0x1001).verdict == rekeyed().verdict == "inconclusive"


# ---- the marker


def test_a_marker_that_was_read_nowhere_is_not_missed_anywhere() -> None:
    silent = Part((), (Sight("wan", marker=True),))
    for part in ("throughout", "before", "meanwhile", "after"):
        drill = replace(DRILL, **{part: silent})  # type: ignore[arg-type]
        assert judge_drill(drill, replace(report(), ways=()), TIME).verdict == "inconclusive"
        assert judge_drill(drill, report(), TIME).verdict == "pass"


# ---- a given number of packets


@pytest.mark.parametrize("dropped", [None, 0, 2])
def test_a_drop_of_another_number_than_asked_for_proves_nothing(dropped: int | None) -> None:
    drill = replace(DRILL, fault=Drop((), 1), bounds=replace(BOUNDS, restore_ms=None, felt=replace(FREE, lost=1)))
    assert judge_drill(drill, report([150]), replace(TIME, dropped=1)).verdict == "pass"
    assert judge_drill(drill, report([150]), replace(TIME, dropped=dropped)).verdict == "inconclusive"


# ---- the way


def test_the_way_is_told_for_each_part_with_the_devices_that_differ() -> None:
    found = judge_drill(DRILL, report(during(1000, 1150)), TIME)
    assert found.way == {
        "before": "pc > gw (t1) > web",
        "meanwhile": "pc > gw (t2) > web",
        "after": "pc > gw (t1) > web",
    }
    assert found.path_changes == 2


def test_changes_of_the_path_are_held_against_their_bound() -> None:
    drill = replace(DRILL, bounds=replace(BOUNDS, felt=replace(FREE, path_changes=1)))
    changed = report(during(1000, 1150))
    assert judge_drill(drill, changed, TIME).reason == "2 changes of the path, bound 1"
    steady = replace(changed, ways=(Way(0, 499, 485, FIRST),))
    assert judge_drill(drill, steady, TIME).verdict == "pass"


def test_a_way_that_nobody_saw_proves_no_steadiness() -> None:
    drill = replace(DRILL, bounds=replace(BOUNDS, felt=replace(FREE, path_changes=0)))
    assert judge_drill(drill, replace(report(during(1000, 1150)), ways=()), TIME).verdict == "inconclusive"


def test_the_course_is_counted_from_the_first_packet_and_names_what_happened() -> None:
    course = verdict(BOUNDS, during(1000, 1150)).course
    assert course is not None
    assert (course.sent_ms[100], course.arrived_ms[99], course.arrived_ms[100]) == (1000, 995, None)
    assert [(event.at_ms, event.what) for event in course.events] == [
        (1000, "link_down wan"),
        (1150, "restored"),
        (3000, "repair"),
    ]


# ---- live changes: begun at 1000, done at 1100, undone from 3000, recovered at 3500 ms


CHANGE = Change("C1", "a claim", TRAFFIC, "t1.weight: 0", Felt(lost=0), 500, (), Part(), Part(), Part(), Part())
CHANGED = Changeline(1000, 1100, 3000, 3500)
TRUE = Verdict("C1-1", "", "pass", "ok", "ok")


def changed(
    lost: Iterable[int] = (), *, reach_ms: float | None = 120, then: tuple[Verdict, ...] = (TRUE,)
) -> StreamVerdict:
    return judge_change(CHANGE, report(lost), CHANGED, reach_ms, Asides(then=then))


def test_a_change_that_nobody_feels_passes() -> None:
    found = changed()
    assert (found.kind, found.verdict, found.lost, found.reach_ms) == ("change", "pass", 0, 120)


@pytest.mark.parametrize("at", [1010, 2000, 3050])
def test_a_packet_lost_by_the_change_or_by_its_undoing_is_lost(at: int) -> None:
    assert changed([at // 10]).reason == "1 packets lost, bound 0"


def test_what_is_true_too_late_fails_and_says_when() -> None:
    assert changed(reach_ms=620).reason == "true 620 ms after the change, bound 500 ms"


def test_what_is_not_true_after_the_change_fails_it() -> None:
    false = replace(TRUE, verdict="fail", reason="expected ok, got no_route")
    assert changed(then=(TRUE, false)).reason == "after the change C1-1: expected ok, got no_route"


def test_what_is_not_proved_after_the_change_proves_nothing() -> None:
    doubtful = replace(TRUE, verdict="inconclusive", reason="no control")
    assert changed(then=(doubtful,)).verdict == "inconclusive"


RECORDS = replace(DRILL, traffic=replace(TRAFFIC, port=443))


def records(since: int, moved: int, *, lost: Iterable[int] = (), usual_ms: float = 8) -> StreamReport:
    """Records of which those sent from `since` on are acknowledged at `moved` at the soonest."""
    gone = set(lost)
    arrived = [(i, max(at + usual_ms, moved) if since <= at < moved else at + usual_ms) for i, at in enumerate(SENT)]
    received = tuple((float(i), at) for i, at in arrived if i not in gone)
    return StreamReport(True, SENT, received, TCP, ((FLOW,), (), (), (), ()), records=True)


def test_records_that_are_held_up_are_an_outage_in_which_nothing_is_lost() -> None:
    felt = replace(BOUNDS.felt, lost=0)
    found = judge_drill(replace(RECORDS, bounds=replace(BOUNDS, restore_ms=650, felt=felt)), records(1000, 1640), TIME)
    assert (found.verdict, found.stream, found.lost, found.restored_ms) == ("pass", "tcp", 0, 640)
    assert 630 <= (found.longest_gap_ms or 0) <= 650


def test_records_are_whole_when_the_last_that_was_held_up_has_come() -> None:
    found = judge_drill(RECORDS, records(1000, 1640), TIME)
    assert found.reason == "restored 640 ms after the fault, bound 200 ms"


def test_records_acknowledged_as_late_as_ever_felt_nothing() -> None:
    found = judge_drill(RECORDS, records(1000, 1140, usual_ms=100), TIME)
    assert (found.verdict, found.reason.startswith("the fault was not felt")) == ("inconclusive", True)


def test_records_held_up_before_the_fault_prove_nothing() -> None:
    found = judge_drill(RECORDS, records(400, 900), TIME)
    assert (found.verdict, found.spoiled) == ("inconclusive", True)
    assert found.reason.endswith("records were held up before the event")


def test_of_records_nothing_is_told_that_only_packets_suffer() -> None:
    found = judge_drill(RECORDS, records(1000, 1640), TIME)
    assert (found.duplicated, found.reordered, found.loss_derived_ms) == (None, None, None)
    assert "resumed" in [each.what for each in found.course.events] if found.course else False


def test_the_end_of_a_connection_is_an_event_of_its_course() -> None:
    dead = replace(TCP, intact=False, reason="Connection reset by peer", ended_ms=1250.0)
    found = judge_drill(RECORDS, replace(records(1000, 1000, lost=during(1000, 5000)), tcp=dead), TIME)
    assert found.course is not None and found.tcp is not None
    [event] = [each for each in found.course.events if each.what == "connection ended: Connection reset by peer"]
    assert event.at_ms == found.tcp.ended_ms == 1250.0 - SENT[0]


def test_records_that_never_come_are_lost_and_never_whole() -> None:
    found = judge_drill(RECORDS, records(1000, 1000, lost=during(1000, 5000)), TIME)
    assert (found.lost, found.restored_ms, found.reason) == (400, None, "not restored before the repair")


@pytest.mark.parametrize(("marked", "word"), [(0, "inconclusive"), (3, "pass")])
def test_of_records_a_marker_that_is_nowhere_seen_proves_no_silence(marked: int, word: Word) -> None:
    drill = replace(
        RECORDS,
        bounds=replace(BOUNDS, restore_ms=None, felt=replace(FREE, lost=0)),
        throughout=Part(silent=(Sight("isp2", marker=True),)),
    )
    seen = replace(records(0, 0), parts=((replace(FLOW, marked=marked),), (), (), (), ()))
    assert judge_drill(drill, seen, TIME).verdict == word


def test_what_is_not_true_once_all_is_as_before_fails_and_says_when() -> None:
    false = replace(TRUE, verdict="fail", reason="expected ok, got no_route")
    undone = judge_change(CHANGE, report(), CHANGED, 120, Asides(afterwards=(false,)))
    repaired = judge_drill(DRILL, report(during(1000, 1150)), TIME, Asides((TRUE,), (TRUE,), (false,)))
    assert undone.reason == "once it was undone C1-1: expected ok, got no_route"
    assert repaired.reason == "after the repair C1-1: expected ok, got no_route"
    assert (repaired.first, repaired.then, repaired.afterwards) == ((TRUE,), (TRUE,), (false,))


@pytest.mark.parametrize("word", ["fail", "inconclusive"])
def test_a_drill_whose_first_checks_do_not_pass_proves_nothing(word: Word) -> None:
    false = replace(TRUE, verdict=word, reason="expected nxdomain, got ok")
    found = not_begun(drill_not_run(DRILL, ""), (TRUE, false))
    assert (found.verdict, found.first) == ("inconclusive", (TRUE, false))
    assert found.reason == "it was not begun, C1-1: expected nxdomain, got ok"


def test_a_connection_that_breaks_during_a_change_fails_it() -> None:
    broken = replace(report(), tcp=replace(TCP, intact=False, reason="reset"))
    assert judge_change(CHANGE, broken, CHANGED, None).reason == "the TCP connection did not survive: reset"


def test_a_change_that_did_not_run_has_no_numbers() -> None:
    found = change_not_run(CHANGE, "no")
    assert (found.kind, found.verdict, found.lost, found.reach_ms) == ("change", "inconclusive", None, None)


@pytest.mark.parametrize("part", ["before", "changed", "after"])
def test_what_must_be_seen_in_a_part_of_a_change_must_be_seen_there(part: str) -> None:
    parts = ("before", "changing", "changed", "undoing", "after")
    change = replace(CHANGE, **{part: Part((Sight("wan", "esp"),), ())})  # type: ignore[arg-type]
    for other in parts:
        seen = replace(report(), parts=tuple((FLOW,) if name == other else () for name in parts))
        assert judge_change(change, seen, CHANGED, None).verdict == ("pass" if other == part else "fail")
