"""One drill: traffic, the fault, the repair, and what the traffic felt."""

from __future__ import annotations

from collections.abc import Sequence

from labctl.claims.drills import drill_not_run, judge_drill, not_begun
from labctl.claims.expectations import Drill
from labctl.claims.results import StreamVerdict
from labctl.claims.timelines import Timeline
from labctl.claims.verdicts import Verdict
from labctl.prove.bench import GRACE_MS, SETTLE_MS, Bench, now_ms
from labctl.prove.changing import before, meanwhile, reach, settled


def drill(bench: Bench, drill: Drill, proved: Sequence[Verdict]) -> StreamVerdict:
    """The verdict on `drill`; `proved` are those on the lab's own checks, which its checks may stand on.

    Whatever it broke is repaired, also when it is interrupted; LabError passes through.
    """
    then: list[Verdict] = []
    afterwards: list[Verdict] = []
    with bench.streaming(drill.traffic, drill.id):
        first = before(bench, drill.first, proved)
        if any(each.verdict != "pass" for each in first):
            bench.stop_stream(())
            return not_begun(drill_not_run(drill, ""), first)
        timeline = _break_and_repair(bench, drill, then, afterwards)
        report = bench.stop_stream(timeline.marks(drill.bounds))
    return judge_drill(drill, report, timeline, settled(proved, first, then, afterwards))


def _break_and_repair(bench: Bench, drill: Drill, then: list[Verdict], afterwards: list[Verdict]) -> Timeline:
    """When it all was; the verdicts on what is to be true meanwhile are added to `then`, and on what is to be true once
    it is repaired to `afterwards`.
    """
    try:
        broken = bench.breaker.inject(drill.fault)
        ending = now_ms() + drill.hold_ms
        then += meanwhile(bench, drill.then, broken.before_ms, ending)
        bench.hold(max(0.0, ending - now_ms()))
    finally:
        repaired = bench.breaker.repair(drill.fault)
    trouble = bench.recovery()
    ending = now_ms() + max(SETTLE_MS * bench.scale, drill.hold_ms)
    afterwards += [reach(bench, each, ending)[0] for each in drill.afterwards]
    return Timeline(
        injected_ms=broken.before_ms,
        broken_ms=broken.after_ms,
        repairing_ms=repaired.before_ms,
        repaired_ms=repaired.after_ms,
        recovered_ms=now_ms() + GRACE_MS * bench.scale,
        trouble=trouble,
        dropped=repaired.dropped,
    )
