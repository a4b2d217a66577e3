"""What a drill or a live change proves: the stream that ran through it, against the bounds (terms of RFC 6412, 7747).

All instants are milliseconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from labctl.claims.course import Span, Stream, path_changes, ways_in_words
from labctl.claims.expectations import Bounds, Change, Drill, Felt, Part
from labctl.claims.results import StreamVerdict
from labctl.claims.sightings import sight_faults
from labctl.claims.verdicts import Verdict, Word
from labctl.plan.faults import Drop, Flap, Rekey
from labctl.plan.objects import XfrmState
from labctl.probes.wire import Flow, StreamReport, TcpReport

STANDSTILL_MS = 100
"""For so long the sender may be held up, by a busy machine: an outage no longer than this may go unnoticed."""

Parts = dict[str, tuple[Flow, ...]]
Judgement = tuple[Word, str]


@dataclass(frozen=True, slots=True)
class Timeline:
    """When the fault was put in and taken out (each with the instants around it), and when the lab had recovered.

    `trouble` says what kept it from recovering, "" where nothing did. `dropped`: the packets that a drop swallowed.
    """

    injected_ms: float
    broken_ms: float
    repairing_ms: float
    repaired_ms: float
    recovered_ms: float
    trouble: str = ""
    dropped: int | None = None

    def marks(self, bounds: Bounds) -> tuple[float, ...]:
        """The instants between the parts: before, switching, meanwhile, repairing, after."""
        switching = bounds.restore_ms or 0 if bounds.after == "fault" else 0
        whole = min(max(self.broken_ms, self.injected_ms + switching), self.repairing_ms)
        return (self.injected_ms, whole, self.repairing_ms, self.recovered_ms)


@dataclass(frozen=True, slots=True)
class Changeline:
    """When a live change was begun and done, when its undoing began, and when the lab had recovered from that."""

    began_ms: float
    applied_ms: float
    undoing_ms: float
    recovered_ms: float
    trouble: str = ""

    def marks(self) -> tuple[float, ...]:
        """The instants between the parts: before, changing, changed, undoing, after."""
        return (self.began_ms, self.applied_ms, self.undoing_ms, self.recovered_ms)


_ENDS: dict[type, str] = {Rekey: "keyed back", Drop: "end", Flap: "end"}
"""What the end of a drill is called that repairs nothing."""

DRILL_PARTS = ("before", "switching", "meanwhile", "repairing", "after")
CHANGE_PARTS = ("before", "changing", "changed", "undoing", "after")


def drill_not_run(drill: Drill, reason: str) -> StreamVerdict:
    """The verdict on a drill whose evidence could not be gathered."""
    return StreamVerdict(drill.id, drill.about, "drill", drill.what, "inconclusive", reason, drill.traffic.rate)


def change_not_run(change: Change, reason: str) -> StreamVerdict:
    """The verdict on a live change whose evidence could not be gathered."""
    return StreamVerdict(change.id, change.about, "change", change.what, "inconclusive", reason, change.traffic.rate)


def judge_drill(drill: Drill, report: StreamReport, time: Timeline, then: tuple[Verdict, ...] = ()) -> StreamVerdict:
    """What the stream proves of a drill, and what its checks do while it lasts."""
    if not report.ready:
        return drill_not_run(drill, f"the stream or a tap was not whole: {report.reason}")
    stream = Stream(report, drill.traffic.rate, time.injected_ms)
    parts = dict(zip(DRILL_PARTS, report.parts, strict=True))
    restored = _restored(stream, time, drill.bounds, over=isinstance(drill.fault, Flap))
    word, reason = _weigh_drill(drill, report, stream, parts, time, then)
    events = [(time.injected_ms, drill.what), (time.repairing_ms, _ENDS.get(type(drill.fault), "repair"))]
    if restored:
        origin = time.injected_ms if drill.bounds.after == "fault" else time.repairing_ms
        events.append((origin + restored, "restored"))
    verdict = StreamVerdict(
        id=drill.id,
        about=drill.about,
        kind="drill",
        what=drill.what,
        verdict=word,
        reason=reason,
        rate=drill.traffic.rate,
        failback_lost=_failback_lost(stream, time, drill.bounds),
        restored_ms=None if restored is None else round(restored, 1),
        way=ways_in_words(stream, _spans(("before", "meanwhile", "after"), DRILL_PARTS, time.marks(drill.bounds))),
        parts=parts,
        course=stream.course(sorted(events)),
        then=then,
        dropped=time.dropped,
        spoiled=_is_spoiled(stream, time.injected_ms, time.recovered_ms),
    )
    return _measured(verdict, stream, report.tcp)


def judge_change(
    change: Change, report: StreamReport, time: Changeline, reach_ms: float | None, then: tuple[Verdict, ...]
) -> StreamVerdict:
    """What the stream proves of a live change, and what its checks do, which were true `reach_ms` after it began."""
    if not report.ready:
        return change_not_run(change, f"the stream or a tap was not whole: {report.reason}")
    stream = Stream(report, change.traffic.rate, time.began_ms)
    parts = dict(zip(CHANGE_PARTS, report.parts, strict=True))
    word, reason = _weigh_change(change, report, stream, parts, time, reach_ms, then)
    events = [(time.began_ms, change.what), (time.undoing_ms, "undone")]
    if reach_ms is not None:
        events.append((time.began_ms + reach_ms, "reached"))
    verdict = StreamVerdict(
        id=change.id,
        about=change.about,
        kind="change",
        what=change.what,
        verdict=word,
        reason=reason,
        rate=change.traffic.rate,
        reach_ms=None if reach_ms is None else round(reach_ms, 1),
        way=ways_in_words(stream, _spans(("before", "changed", "after"), CHANGE_PARTS, time.marks())),
        parts=parts,
        course=stream.course(sorted(events)),
        then=then,
        spoiled=_is_spoiled(stream, time.began_ms, time.recovered_ms),
    )
    return _measured(verdict, stream, report.tcp)


def _measured(verdict: StreamVerdict, stream: Stream, tcp: TcpReport | None) -> StreamVerdict:
    """`verdict` with the stream's numbers."""
    return replace(
        verdict,
        sent=len(stream.sent),
        lost=len(stream.lost),
        duplicated=stream.duplicated,
        reordered=stream.reordered,
        longest_gap_ms=round(stream.longest_gap_ms, 1),
        loss_derived_ms=round(stream.loss_derived_ms, 1),
        path_changes=path_changes(stream.ways) if stream.ways else None,
        tcp=tcp,
    )


def _spans(wanted: Sequence[str], names: Sequence[str], marks: Sequence[float]) -> list[Span]:
    edges = [float("-inf"), *marks, float("inf")]
    every = [Span(name, edges[i], edges[i + 1]) for i, name in enumerate(names)]
    return [span for span in every if span.name in wanted]


def _restored(stream: Stream, time: Timeline, bounds: Bounds, *, over: bool) -> float | None:
    """From the event that bounds count from to the first packet of a stream that is whole again, as sent.

    None while it was not whole by the repair or, counted from the repair or where the fault is `over` by itself, by the
    end.
    """
    after_fault = bounds.after == "fault"
    # A flap is over with its last up: nothing is left broken that a repair could hide.
    repaired_by = float("inf") if over else time.repairing_ms
    origin = time.injected_ms if after_fault else time.repairing_ms
    outage = stream.lost_between(float("-inf"), time.repaired_ms if after_fault and not over else float("inf"))
    if not outage:
        return 0.0
    whole = stream.whole_after(outage, repaired_by if after_fault else float("inf"))
    return None if whole is None else max(0.0, whole - origin)


def _failback_lost(stream: Stream, time: Timeline, bounds: Bounds) -> int:
    tail = (bounds.restore_ms or 0) if bounds.after == "repair" else 0
    return len(stream.lost_between(time.repaired_ms + tail))


def _weigh_drill(
    drill: Drill, report: StreamReport, stream: Stream, parts: Parts, time: Timeline, then: tuple[Verdict, ...]
) -> Judgement:
    bounds = drill.bounds
    claims = (drill.throughout, drill.before, drill.meanwhile, drill.after)
    if doubt := _doubt(stream, report, bounds.felt, time.injected_ms, time.recovered_ms, marked=_marked(claims)):
        return "inconclusive", doubt
    felt = stream.lost_between(float("-inf"), time.repaired_ms)
    if not felt and (bounds.not_before_ms or bounds.after == "repair"):
        return "inconclusive", "the fault was not felt: nothing was lost while it lasted"
    if not felt and bounds.restore_ms is not None and not path_changes(stream.ways):
        return "inconclusive", "the fault was not felt: nothing was lost, and the way stayed the same"
    if isinstance(drill.fault, Drop) and time.dropped != drill.fault.packets:
        return "inconclusive", f"{time.dropped} packets were dropped instead of {drill.fault.packets}"
    if isinstance(drill.fault, Rekey) and not _seen(parts["meanwhile"], drill.fault.fresh):
        return "inconclusive", "no packet of the fresh associations was captured: `meanwhile` must watch the connection"
    if unproved := _reasons("inconclusive", then):
        return "inconclusive", "; ".join(unproved)
    faults = [f"the lab did not recover: {time.trouble}"] if time.trouble else []
    if isinstance(drill.fault, Rekey) and _seen(parts["meanwhile"], drill.fault.old):
        faults.append("the old associations went on after the fresh ones had taken over")
    faults += [f"while it was broken {each}" for each in _reasons("fail", then)]
    faults += _time_faults(bounds, _restored(stream, time, bounds, over=isinstance(drill.fault, Flap)))
    failback = _failback_lost(stream, time, bounds)
    if bounds.failback_lost is not None and failback > bounds.failback_lost:
        faults.append(f"{failback} packets lost after the repair, bound {bounds.failback_lost}")
    faults += felt_faults(bounds.felt, stream, report.tcp)
    faults += _part_faults(drill.throughout, parts, ("before", drill.before), ("meanwhile", drill.meanwhile))
    faults += _part_faults(Part(), parts, ("after", drill.after))
    return ("fail", "; ".join(faults)) if faults else ("pass", "")


def _weigh_change(
    change: Change,
    report: StreamReport,
    stream: Stream,
    parts: Parts,
    time: Changeline,
    reach_ms: float | None,
    then: tuple[Verdict, ...],
) -> Judgement:
    claims = (change.throughout, change.before, change.changed, change.after)
    if doubt := _doubt(stream, report, change.felt, time.began_ms, time.recovered_ms, marked=_marked(claims)):
        return "inconclusive", doubt
    if unproved := _reasons("inconclusive", then):
        return "inconclusive", "; ".join(unproved)
    faults = [f"the lab did not recover: {time.trouble}"] if time.trouble else []
    faults += [f"after the change {each}" for each in _reasons("fail", then)]
    if change.reach_ms is not None and reach_ms is not None and reach_ms > change.reach_ms:
        faults.append(f"true {reach_ms:.0f} ms after the change, bound {change.reach_ms} ms")
    faults += felt_faults(change.felt, stream, report.tcp)
    sights = (("before", change.before), ("changed", change.changed), ("after", change.after))
    faults += _part_faults(change.throughout, parts, *sights)
    return ("fail", "; ".join(faults)) if faults else ("pass", "")


def _marked(parts: Sequence[Part]) -> bool:
    return any(sight.marker for part in parts for sight in part.silent)


def _seen(flows: tuple[Flow, ...], associations: tuple[XfrmState, ...]) -> bool:
    """Whether ESP of any of these associations was captured."""
    return not {flow.spi for flow in flows}.isdisjoint(each.spi for each in associations)


def _reasons(word: Word, then: tuple[Verdict, ...]) -> list[str]:
    return [f"{each.id}: {each.reason}" for each in then if each.verdict == word]


def _doubt(stream: Stream, report: StreamReport, felt: Felt, since: float, until: float, *, marked: bool) -> str:
    """Why the stream proves nothing; "" where it does. `marked`: it is claimed where its marker is not seen."""
    if not stream.runs(since, until):
        return "the stream did not run from before the event until the lab had recovered"
    if stream.early:
        return f"{len(stream.early)} packets were lost before the event"
    if _is_spoiled(stream, since, until):
        still = stream.standstill_ms(since, until)
        return f"the sender stood still for {still:.0f} ms: what was lost meanwhile nobody knows"
    if felt.tcp_survives and report.tcp is None:
        return "no TCP connection ran beside the stream"
    if (felt.path_changes is not None or marked) and not stream.ways:
        return "the way of the stream was not seen, nor whether its marker can be read where it is in clear"
    return ""


def _is_spoiled(stream: Stream, since: float, until: float) -> bool:
    """Whether something was lost before anything happened, or the machine kept the sender from its schedule for so long
    that losses go unseen.
    """
    return bool(stream.early) or stream.standstill_ms(since, until) > max(STANDSTILL_MS, 3 * stream.interval_ms)


def felt_faults(felt: Felt, stream: Stream, tcp: TcpReport | None) -> list[str]:
    """What users felt beyond the bounds."""
    counted = (
        (len(stream.lost), felt.lost, "packets lost"),
        (stream.duplicated, felt.duplicated, "packets arrived twice"),
        (stream.reordered, felt.reordered, "packets were overtaken"),
        (round(stream.longest_gap_ms), felt.gap_ms, "ms without a packet"),
        (path_changes(stream.ways), felt.path_changes, "changes of the path"),
    )
    faults = [f"{have} {what}, bound {bound}" for have, bound, what in counted if bound is not None and have > bound]
    if felt.tcp_survives and tcp and not tcp.intact:
        faults.append(f"the TCP connection did not survive: {tcp.reason}")
    return faults


def _time_faults(bounds: Bounds, restored_ms: float | None) -> list[str]:
    faults = []
    event = bounds.after
    if bounds.restore_ms is not None:
        if restored_ms is None:
            faults.append(f"not restored {'before the repair' if event == 'fault' else 'by the end'}")
        elif restored_ms > bounds.restore_ms:
            faults.append(f"restored {restored_ms:.0f} ms after the {event}, bound {bounds.restore_ms} ms")
    early = bounds.not_before_ms
    if early is not None and restored_ms is not None and restored_ms < early:
        faults.append(f"restored after {restored_ms:.0f} ms, sooner than can be: not before {early} ms")
    return faults


def _part_faults(throughout: Part, parts: Parts, *named: tuple[str, Part]) -> list[str]:
    every = tuple(flow for flows in parts.values() for flow in flows)
    rows = [("throughout", throughout, every), *((name, part, parts[name]) for name, part in named)]
    return [f"{name}: {fault}" for name, part, flows in rows for fault in sight_faults(part.see, part.silent, flows)]
