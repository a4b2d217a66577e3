"""What a drill or a live change comes to: what proves nothing first, then what users felt beyond the bounds."""

from __future__ import annotations

from collections.abc import Sequence

from labctl.claims.course import Stream, path_changes
from labctl.claims.expectations import Bounds, Change, Drill, Felt, Part
from labctl.claims.results import Asides
from labctl.claims.sightings import sight_faults
from labctl.claims.timelines import Changeline, Timeline
from labctl.claims.verdicts import Verdict, Word
from labctl.plan.faults import Drop, Flap, Rekey
from labctl.plan.objects import XfrmState
from labctl.probes.wire import Flow, StreamReport, TcpReport

STANDSTILL_MS = 100
"""For so long the sender may be held up, by a busy machine: an outage no longer than this may go unnoticed."""

Parts = dict[str, tuple[Flow, ...]]
Judgement = tuple[Word, str]


def time_to_restore(stream: Stream, time: Timeline, bounds: Bounds, *, over: bool) -> float | None:
    """From the event that bounds count from to the first packet of a stream that is whole again, as sent.

    None while it was not whole by the repair or, counted from the repair or where the fault is `over` by itself, by the
    end.
    """
    after_fault = bounds.after == "fault"
    # A flap is over with its last up: nothing is left broken that a repair could hide.
    repaired_by = float("inf") if over else time.repairing_ms
    origin = time.injected_ms if after_fault else time.repairing_ms
    outage = stream.missed_between(float("-inf"), time.repaired_ms if after_fault and not over else float("inf"))
    if not outage:
        return 0.0
    whole = stream.whole_after(outage, repaired_by if after_fault else float("inf"))
    return None if whole is None else max(0.0, whole - origin)


def failback_lost(stream: Stream, time: Timeline, bounds: Bounds) -> int:
    """How many packets were lost after the repair, those left out that were lost before it was to be felt."""
    tail = (bounds.restore_ms or 0) if bounds.after == "repair" else 0
    return len(stream.lost_between(time.repaired_ms + tail))


def weigh_drill(
    drill: Drill, report: StreamReport, stream: Stream, parts: Parts, time: Timeline, asides: Asides
) -> Judgement:
    """The verdict on a drill, and why it is none better."""
    bounds = drill.bounds
    claims = (drill.throughout, drill.before, drill.meanwhile, drill.after)
    if doubt := _doubt(stream, report, bounds.felt, time.injected_ms, time.recovered_ms, marked=_marked(claims)):
        return "inconclusive", doubt
    felt = stream.missed_between(float("-inf"), time.repaired_ms)
    if not felt and (bounds.not_before_ms or bounds.after == "repair"):
        return "inconclusive", "the fault was not felt: nothing was lost while it lasted"
    if not felt and bounds.restore_ms is not None and not path_changes(stream.ways):
        return "inconclusive", "the fault was not felt: nothing was lost, and the way stayed the same"
    if isinstance(drill.fault, Drop) and time.dropped != drill.fault.packets:
        return "inconclusive", f"{time.dropped} packets were dropped instead of {drill.fault.packets}"
    if isinstance(drill.fault, Rekey) and not _seen(parts["meanwhile"], drill.fault.fresh):
        return "inconclusive", "no packet of the fresh associations was captured: `meanwhile` must watch the connection"
    if unproved := _reasons("inconclusive", (*asides.then, *asides.afterwards)):
        return "inconclusive", "; ".join(unproved)
    faults = [f"the lab did not recover: {time.trouble}"] if time.trouble else []
    if isinstance(drill.fault, Rekey) and _seen(parts["meanwhile"], drill.fault.old):
        faults.append("the old associations went on after the fresh ones had taken over")
    faults += [f"while it was broken {each}" for each in _reasons("fail", asides.then)]
    faults += [f"after the repair {each}" for each in _reasons("fail", asides.afterwards)]
    faults += _time_faults(bounds, time_to_restore(stream, time, bounds, over=isinstance(drill.fault, Flap)))
    failback = failback_lost(stream, time, bounds)
    if bounds.failback_lost is not None and failback > bounds.failback_lost:
        lost = "records not delivered" if stream.records else "packets lost"
        faults.append(f"{failback} {lost} after the repair, bound {bounds.failback_lost}")
    faults += felt_faults(bounds.felt, stream, report.tcp)
    faults += _part_faults(drill.throughout, parts, ("before", drill.before), ("meanwhile", drill.meanwhile))
    faults += _part_faults(Part(), parts, ("after", drill.after))
    return ("fail", "; ".join(faults)) if faults else ("pass", "")


def weigh_change(
    change: Change,
    report: StreamReport,
    stream: Stream,
    parts: Parts,
    time: Changeline,
    reach_ms: float | None,
    asides: Asides,
) -> Judgement:
    """The verdict on a live change, and why it is none better."""
    claims = (change.throughout, change.before, change.changed, change.after)
    if doubt := _doubt(stream, report, change.felt, time.began_ms, time.recovered_ms, marked=_marked(claims)):
        return "inconclusive", doubt
    if unproved := _reasons("inconclusive", (*asides.then, *asides.afterwards)):
        return "inconclusive", "; ".join(unproved)
    faults = [f"the lab did not recover: {time.trouble}"] if time.trouble else []
    faults += [f"after the change {each}" for each in _reasons("fail", asides.then)]
    faults += [f"once it was undone {each}" for each in _reasons("fail", asides.afterwards)]
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


def _reasons(word: Word, verdicts: tuple[Verdict, ...]) -> list[str]:
    return [f"{each.id}: {each.reason}" for each in verdicts if each.verdict == word]


def _doubt(stream: Stream, report: StreamReport, felt: Felt, since: float, until: float, *, marked: bool) -> str:
    """Why the stream proves nothing; "" where it does. `marked`: it is claimed where its marker is not seen."""
    if not stream.runs(since, until):
        return "the stream did not run from before the event until the lab had recovered"
    if stream.early:
        early = "records were held up" if report.records else "packets were lost"
        return f"{len(stream.early)} {early} before the event"
    if is_spoiled(stream, since, until):
        still = stream.standstill_ms(since, until)
        return f"the sender stood still for {still:.0f} ms: what was lost meanwhile nobody knows"
    if felt.tcp_survives and report.tcp is None:
        return "no TCP connection ran beside the stream"
    if report.records:
        seen = any(flow.marked for part in report.parts for flow in part)
        return "" if seen or not marked else "no packet of the connection was seen where its marker can be read"
    if (felt.path_changes is not None or marked) and not stream.ways:
        return "the way of the stream was not seen, nor whether its marker can be read where it is in clear"
    return ""


def is_spoiled(stream: Stream, since: float, until: float) -> bool:
    """Whether something was lost before anything happened, or the machine kept the sender from its schedule for so long
    that losses go unseen.
    """
    return bool(stream.early) or stream.standstill_ms(since, until) > max(STANDSTILL_MS, 3 * stream.interval_ms)


def felt_faults(felt: Felt, stream: Stream, tcp: TcpReport | None) -> list[str]:
    """What users felt beyond the bounds."""
    lost, gap = ("records not delivered", "ms of stall") if stream.records else ("packets lost", "ms without a packet")
    counted = (
        (len(stream.lost), felt.lost, lost),
        (stream.duplicated, felt.duplicated, "packets arrived twice"),
        (stream.reordered, felt.reordered, "packets were overtaken"),
        (round(stream.longest_gap_ms), felt.gap_ms, gap),
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
