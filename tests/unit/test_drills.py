"""Every rule of `judge_drill` by itself.

The stream: a packet each 10 ms for 5 s, 5 ms under way; the fault from 1000 to 3000 ms, recovery at 3500 ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from labctl.probes.drills import DrillVerdict, Timeline, judge_drill, not_run
from labctl.probes.expectations import Bounds, Drill, Fault, Part, Sight
from labctl.probes.wire import Flow, StreamReport, TcpReport

NOTHING = Part((), ())
TIME = Timeline(1000, 1001, 3000, 3001, 3500)
BOUNDS = Bounds(restore_ms=200, not_before_ms=None, after="fault", lost=None, failback_lost=None, tcp_survives=False)
REPAIR = replace(BOUNDS, after="repair", restore_ms=500)
DRILL = Drill(
    "D1", "a claim", "pc", "web", IPv4Address("10.0.0.2"), Fault("link_down", "wan", "", ()), 2000, 100, BOUNDS,
    NOTHING, NOTHING, NOTHING, NOTHING, (),
)  # fmt: skip
SENT = tuple(float(10 * i) for i in range(500))
TCP = TcpReport(1000, 1000, True, 130.0)
FLOW = Flow("wan", "n", "d", "esp", "a", "b", packets=9, longest=500)


def report(lost: Iterable[int] = (), *, flight_ms: float = 5, tcp: TcpReport | None = TCP) -> StreamReport:
    gone = set(lost)
    received = tuple((float(i), at + flight_ms) for i, at in enumerate(SENT) if i not in gone)
    return StreamReport(True, SENT, received, tcp, ((), (), (), (), ()))


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
) -> DrillVerdict:
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


def test_a_fault_that_need_not_be_felt_may_pass_unnoticed() -> None:
    found = verdict(BOUNDS)
    assert (found.verdict, found.lost, found.restored_ms) == ("pass", 0, 0)


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
    assert (found.verdict, found.reason) == ("inconclusive", "1 packets were lost before the fault")


def test_what_was_under_way_when_the_fault_struck_is_lost_with_it() -> None:
    under_way = [98, 99, *during(1000, 1100)]
    assert verdict(BOUNDS, under_way, flight_ms=25).verdict == "pass"
    assert verdict(BOUNDS, under_way, flight_ms=5).verdict == "inconclusive"


@pytest.mark.parametrize(("bound", "word"), [(10, "pass"), (9, "fail"), (0, "fail")])
def test_all_losses_are_counted_against_their_bound(bound: int, word: str) -> None:
    bounds = replace(BOUNDS, restore_ms=None, lost=bound)
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
    bounds = replace(BOUNDS, restore_ms=None, lost=0)
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
    found = not_run(DRILL, "no")
    assert (found.verdict, found.lost, found.restored_ms, found.tcp) == ("inconclusive", None, None, "")


def test_a_lab_that_did_not_recover_fails_its_drill() -> None:
    found = verdict(BOUNDS, during(1000, 1100), time=replace(TIME, trouble="gw: no routes"))
    assert (found.verdict, found.reason) == ("fail", "the lab did not recover: gw: no routes")


# ---- TCP


def test_a_connection_that_had_to_survive_and_broke_fails() -> None:
    broken = replace(TCP, intact=False, reason="reset")
    bounds = replace(BOUNDS, tcp_survives=True)
    assert verdict(bounds, tcp=TCP).verdict == "pass"
    assert verdict(bounds, tcp=broken).reason == "the TCP connection did not survive: reset"
    assert verdict(bounds, tcp=broken).tcp == "broken, longest stall 130 ms"
    assert verdict(BOUNDS, tcp=broken).verdict == "pass"


def test_a_connection_that_never_ran_did_not_survive() -> None:
    assert verdict(replace(BOUNDS, tcp_survives=True), tcp=None).verdict == "inconclusive"
    assert verdict(BOUNDS, tcp=None).verdict == "pass"


# ---- order


def test_duplicates_and_disorder_are_counted() -> None:
    whole = report()
    shuffled = (*whole.received[:10], whole.received[11], whole.received[10], whole.received[11], *whole.received[12:])
    found = judge_drill(DRILL, replace(whole, received=shuffled), TIME)
    assert (found.duplicated, found.reordered, found.lost) == (1, 1, 0)


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


def test_counted_from_the_repair_there_is_no_switching() -> None:
    assert TIME.marks(REPAIR) == (1000, 1000, 3000, 3500)


def test_switching_ends_with_the_repair_at_the_latest() -> None:
    assert TIME.marks(replace(BOUNDS, restore_ms=60_000)) == (1000, 3000, 3000, 3500)
