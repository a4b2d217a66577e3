"""What a drill or a live change proves: the stream that ran through it, against the bounds (terms of RFC 6412, 7747).

All instants are milliseconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from labctl.claims.course import Span, Stream, path_changes, ways_in_words
from labctl.claims.expectations import Change, Drill
from labctl.claims.results import Asides, StreamVerdict
from labctl.claims.timelines import CHANGE_PARTS, DRILL_PARTS, Changeline, Timeline
from labctl.claims.verdicts import Verdict
from labctl.claims.weighing import failback_lost, is_spoiled, time_to_restore, weigh_change, weigh_drill
from labctl.plan.faults import Drop, Flap, Rekey
from labctl.probes.wire import StreamReport, TcpReport

_ENDS: dict[type, str] = {Rekey: "keyed back", Drop: "end", Flap: "end"}
"""What the end of a drill is called that repairs nothing."""


NONE = Asides()
"""No checks beside a drill or change."""


def drill_not_run(drill: Drill, reason: str) -> StreamVerdict:
    """The verdict on a drill whose evidence could not be gathered."""
    rate, proto = drill.traffic.rate, drill.traffic.proto
    return StreamVerdict(drill.id, drill.about, "drill", drill.what, "inconclusive", reason, rate, proto)


def change_not_run(change: Change, reason: str) -> StreamVerdict:
    """The verdict on a live change whose evidence could not be gathered."""
    rate, proto = change.traffic.rate, change.traffic.proto
    return StreamVerdict(change.id, change.about, "change", change.what, "inconclusive", reason, rate, proto)


def not_begun(verdict: StreamVerdict, first: tuple[Verdict, ...]) -> StreamVerdict:
    """`verdict` of a drill or change that was not begun, since not all of its `first` checks passed."""
    missed = "; ".join(f"{each.id}: {each.reason}" for each in first if each.verdict != "pass")
    return replace(verdict, reason=f"it was not begun, {missed}", first=first)


def judge_drill(drill: Drill, report: StreamReport, time: Timeline, asides: Asides = NONE) -> StreamVerdict:
    """What the stream proves of a drill, and what its checks do before it, while it lasts and afterwards."""
    if not report.ready:
        return drill_not_run(drill, f"the stream or a tap was not whole: {report.reason}")
    stream = Stream(report, drill.traffic.rate, time.injected_ms, records=report.records)
    parts = dict(zip(DRILL_PARTS, report.parts, strict=True))
    restored = time_to_restore(stream, time, drill.bounds, over=isinstance(drill.fault, Flap))
    word, reason = weigh_drill(drill, report, stream, parts, time, asides)
    events = [(time.injected_ms, drill.what), (time.repairing_ms, _ENDS.get(type(drill.fault), "repair"))]
    events += _broken(report.tcp)
    if restored:
        origin = time.injected_ms if drill.bounds.after == "fault" else time.repairing_ms
        events.append((origin + restored, "resumed" if report.records else "restored"))
    verdict = StreamVerdict(
        id=drill.id,
        about=drill.about,
        kind="drill",
        what=drill.what,
        verdict=word,
        reason=reason,
        rate=drill.traffic.rate,
        stream=drill.traffic.proto,
        failback_lost=failback_lost(stream, time, drill.bounds),
        restored_ms=None if restored is None else round(restored, 1),
        way=ways_in_words(stream, _spans(("before", "meanwhile", "after"), DRILL_PARTS, time.marks(drill.bounds))),
        parts=parts,
        course=stream.course(sorted(events)),
        first=asides.first,
        then=asides.then,
        afterwards=asides.afterwards,
        dropped=time.dropped,
        spoiled=is_spoiled(stream, time.injected_ms, time.recovered_ms),
    )
    return _measured(verdict, stream, report.tcp)


def judge_change(
    change: Change, report: StreamReport, time: Changeline, reach_ms: float | None, asides: Asides = NONE
) -> StreamVerdict:
    """What the stream proves of a live change, and what its checks do, of which `then` was true `reach_ms` after it
    began.
    """
    if not report.ready:
        return change_not_run(change, f"the stream or a tap was not whole: {report.reason}")
    stream = Stream(report, change.traffic.rate, time.began_ms, records=report.records)
    parts = dict(zip(CHANGE_PARTS, report.parts, strict=True))
    word, reason = weigh_change(change, report, stream, parts, time, reach_ms, asides)
    events = [(time.began_ms, change.what), (time.undoing_ms, "undone"), *_broken(report.tcp)]
    if reach_ms is not None:
        events.append((time.began_ms + reach_ms, "last check began"))
    verdict = StreamVerdict(
        id=change.id,
        about=change.about,
        kind="change",
        what=change.what,
        verdict=word,
        reason=reason,
        rate=change.traffic.rate,
        stream=change.traffic.proto,
        reach_ms=None if reach_ms is None else round(reach_ms, 1),
        way=ways_in_words(stream, _spans(("before", "changed", "after"), CHANGE_PARTS, time.marks())),
        parts=parts,
        course=stream.course(sorted(events)),
        first=asides.first,
        then=asides.then,
        afterwards=asides.afterwards,
        spoiled=is_spoiled(stream, time.began_ms, time.recovered_ms),
    )
    return _measured(verdict, stream, report.tcp)


def _broken(tcp: TcpReport | None) -> list[tuple[float, str]]:
    """When a connection of records was ended, and how."""
    return [] if tcp is None or tcp.ended_ms is None else [(tcp.ended_ms, f"connection ended: {tcp.reason}")]


def _measured(verdict: StreamVerdict, stream: Stream, tcp: TcpReport | None) -> StreamVerdict:
    """`verdict` with the stream's numbers. Records in a TCP connection are neither duplicated nor overtaken, and how
    many were not delivered is no measure of time.
    """
    return replace(
        verdict,
        sent=len(stream.sent),
        lost=len(stream.lost),
        duplicated=None if stream.records else stream.duplicated,
        reordered=None if stream.records else stream.reordered,
        longest_gap_ms=round(stream.longest_gap_ms, 1),
        loss_derived_ms=None if stream.records else round(stream.loss_derived_ms, 1),
        path_changes=path_changes(stream.ways) if stream.ways else None,
        tcp=replace(tcp, ended_ms=round(tcp.ended_ms - stream.sent[0], 1)) if tcp and tcp.ended_ms else tcp,
    )


def _spans(wanted: Sequence[str], names: Sequence[str], marks: Sequence[float]) -> list[Span]:
    edges = [float("-inf"), *marks, float("inf")]
    every = [Span(name, edges[i], edges[i + 1]) for i, name in enumerate(names)]
    return [span for span in every if span.name in wanted]
