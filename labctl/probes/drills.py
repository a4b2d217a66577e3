"""What a drill proves: the stream that ran through it, against the bounds (terms of RFC 6412 and RFC 7747).

All instants are milliseconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from labctl.probes.expectations import Bounds, Drill, Part
from labctl.probes.verdicts import Word, sight_faults
from labctl.probes.wire import Flow, StreamReport


@dataclass(frozen=True, slots=True)
class Timeline:
    """When the fault was put in and taken out (each with the instants around it), and when the lab had recovered.

    `trouble` says what kept it from recovering, "" where nothing did.
    """

    injected_ms: float
    broken_ms: float
    repairing_ms: float
    repaired_ms: float
    recovered_ms: float
    trouble: str = ""

    def marks(self, bounds: Bounds) -> tuple[float, ...]:
        """The instants between the parts: before, switching, meanwhile, repairing, after."""
        switching = bounds.restore_ms or 0 if bounds.after == "fault" else 0
        whole = min(self.injected_ms + switching, self.repairing_ms)
        return (self.injected_ms, whole, self.repairing_ms, self.recovered_ms)


@dataclass(frozen=True, slots=True)
class DrillVerdict:
    """What became of a drill. Packets are numbers of the stream; None where nothing was measured."""

    id: str
    about: str
    verdict: Word
    reason: str = ""
    sent: int = 0
    lost: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    failback_lost: int | None = None
    longest_gap_ms: float | None = None
    restored_ms: float | None = None
    tcp: str = ""
    parts: dict[str, tuple[Flow, ...]] = field(default_factory=dict)


def not_run(drill: Drill, reason: str) -> DrillVerdict:
    """The verdict on a drill whose evidence could not be gathered."""
    return DrillVerdict(drill.id, drill.about, "inconclusive", reason)


def judge_drill(drill: Drill, report: StreamReport, time: Timeline) -> DrillVerdict:
    """What the stream proves."""
    if not report.ready:
        return not_run(drill, f"the stream or a tap was not whole: {report.reason}")
    stream = _Stream(report, time, drill.bounds)
    parts = dict(zip(("before", "switching", "meanwhile", "repairing", "after"), report.parts, strict=True))
    word, reason = _weigh(drill, report, stream, parts, time.trouble)
    tcp = report.tcp
    return DrillVerdict(
        id=drill.id,
        about=drill.about,
        verdict=word,
        reason=reason,
        sent=len(report.sent),
        lost=len(stream.lost),
        duplicated=len(report.received) - len(stream.arrived),
        reordered=stream.reordered,
        failback_lost=stream.failback_lost,
        longest_gap_ms=round(stream.longest_gap_ms, 1),
        restored_ms=None if stream.restored_ms is None else round(stream.restored_ms, 1),
        tcp=f"{'intact' if tcp.intact else 'broken'}, longest stall {tcp.longest_stall_ms:.0f} ms" if tcp else "",
        parts=parts,
    )


class _Stream:
    """The stream's numbers. `restored_ms`: from the event that bounds count from to the first packet of a whole stream
    again, as sent; None while it was not whole by the repair (or, counted from the repair, by the end)."""

    def __init__(self, report: StreamReport, time: Timeline, bounds: Bounds) -> None:
        self.sent = report.sent
        numbers = [int(number) for number, _ in report.received]
        self.arrived = set(numbers)
        self.lost = [i for i in range(len(report.sent)) if i not in self.arrived]
        self.reordered = sum(1 for one, other in pairwise(numbers) if other < one)
        instants = [instant for _, instant in report.received]
        self.longest_gap_ms = max((b - a for a, b in pairwise(instants)), default=0.0)
        # What was under way when the fault struck is lost with it, though it was sent before.
        struck = time.injected_ms - _flight_ms(report, time.injected_ms)
        self.whole = any(at < time.injected_ms for at in instants) and self.sent[-1] >= time.recovered_ms
        self.early = [i for i in self.lost if report.sent[i] < struck]
        self.felt = [i for i in self.lost if struck <= report.sent[i] < time.repaired_ms]
        self.restored_ms = self._restored(time, bounds)
        tail = (bounds.restore_ms or 0) if bounds.after == "repair" else 0
        self.failback_lost = sum(1 for i in self.lost if report.sent[i] >= time.repaired_ms + tail)

    def _restored(self, time: Timeline, bounds: Bounds) -> float | None:
        origin = time.injected_ms if bounds.after == "fault" else time.repairing_ms
        if bounds.after == "fault":
            outage, end = self.felt, time.repairing_ms
        else:
            outage, end = [i for i in self.lost if i not in self.early], float("inf")
        if not outage:
            return 0.0
        first_whole = outage[-1] + 1
        if first_whole >= len(self.sent) or self.sent[first_whole] >= end:
            return None
        return max(0.0, self.sent[first_whole] - origin)


def _flight_ms(report: StreamReport, until: float) -> float:
    """The longest that a packet was under way before `until`."""
    return max((at - report.sent[int(number)] for number, at in report.received if at < until), default=0.0)


def _weigh(
    drill: Drill, report: StreamReport, stream: _Stream, parts: dict[str, tuple[Flow, ...]], trouble: str
) -> tuple[Word, str]:
    bounds = drill.bounds
    if not stream.whole:
        return "inconclusive", "the stream did not run from before the fault until after the repair"
    if bounds.tcp_survives and report.tcp is None:
        return "inconclusive", "no TCP connection ran beside the stream"
    if stream.early:
        return "inconclusive", f"{len(stream.early)} packets were lost before the fault"
    if not stream.felt and (bounds.not_before_ms or bounds.after == "repair"):
        return "inconclusive", "the fault was not felt: nothing was lost while it lasted"
    faults = [f"the lab did not recover: {trouble}"] if trouble else []
    faults += [*_time_faults(bounds, stream), *_loss_faults(bounds, stream)]
    if bounds.tcp_survives and report.tcp and not report.tcp.intact:
        faults.append(f"the TCP connection did not survive: {report.tcp.reason}")
    every = tuple(flow for flows in parts.values() for flow in flows)
    faults += _part_faults("throughout", drill.throughout, every)
    faults += _part_faults("before", drill.before, parts["before"])
    faults += _part_faults("meanwhile", drill.meanwhile, parts["meanwhile"])
    faults += _part_faults("after", drill.after, parts["after"])
    return ("fail", "; ".join(faults)) if faults else ("pass", "")


def _time_faults(bounds: Bounds, stream: _Stream) -> list[str]:
    faults = []
    event = "fault" if bounds.after == "fault" else "repair"
    if bounds.restore_ms is not None:
        if stream.restored_ms is None:
            faults.append(f"not restored {'before the repair' if event == 'fault' else 'by the end'}")
        elif stream.restored_ms > bounds.restore_ms:
            faults.append(f"restored {stream.restored_ms:.0f} ms after the {event}, bound {bounds.restore_ms} ms")
    early = bounds.not_before_ms
    if early is not None and stream.restored_ms is not None and stream.restored_ms < early:
        faults.append(f"restored after {stream.restored_ms:.0f} ms, sooner than can be: not before {early} ms")
    return faults


def _loss_faults(bounds: Bounds, stream: _Stream) -> list[str]:
    faults = []
    if bounds.lost is not None and len(stream.lost) > bounds.lost:
        faults.append(f"{len(stream.lost)} packets lost, bound {bounds.lost}")
    if bounds.failback_lost is not None and stream.failback_lost > bounds.failback_lost:
        faults.append(f"{stream.failback_lost} packets lost after the repair, bound {bounds.failback_lost}")
    return faults


def _part_faults(name: str, part: Part, flows: tuple[Flow, ...]) -> list[str]:
    return [f"{name}: {fault}" for fault in sight_faults(part.see, part.silent, flows)]
