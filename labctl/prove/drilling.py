"""One drill: traffic, the fault, the repair, and what the traffic felt."""

from __future__ import annotations

from collections.abc import Sequence

from labctl.claims.drills import Timeline, judge_drill
from labctl.claims.expectations import Drill
from labctl.claims.results import StreamVerdict
from labctl.claims.verdicts import Verdict, settle
from labctl.prove.bench import GRACE_MS, Bench, now_ms
from labctl.prove.changing import reach


def drill(bench: Bench, drill: Drill, proved: Sequence[Verdict]) -> StreamVerdict:
    """The verdict on `drill`; `proved` are those on the lab's own checks, which its checks may stand on.

    Whatever it broke is repaired, also when it is interrupted; LabError passes through.
    """
    found: list[Verdict] = []
    with bench.streaming(drill.traffic, drill.id):
        timeline = _break_and_repair(bench, drill, found)
        report = bench.stop_stream(timeline.marks(drill.bounds))
    return judge_drill(drill, report, timeline, settle((*proved, *found))[len(proved) :])


def _break_and_repair(bench: Bench, drill: Drill, found: list[Verdict]) -> Timeline:
    """When it all was; the verdicts on what is to be true meanwhile are added to `found`."""
    try:
        broken = bench.breaker.inject(drill.fault)
        ending = now_ms() + drill.hold_ms
        found += [reach(bench, each, ending)[0] for each in drill.then]
        bench.hold(max(0.0, ending - now_ms()))
    finally:
        repaired = bench.breaker.repair(drill.fault)
    trouble = bench.recovery()
    return Timeline(
        injected_ms=broken.before_ms,
        broken_ms=broken.after_ms,
        repairing_ms=repaired.before_ms,
        repaired_ms=repaired.after_ms,
        recovered_ms=now_ms() + GRACE_MS * bench.scale,
        trouble=trouble,
        dropped=repaired.dropped,
    )
