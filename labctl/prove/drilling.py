"""One drill: traffic, the fault, the repair, and what the traffic felt."""

from __future__ import annotations

from labctl.probes.drills import Timeline, judge_drill
from labctl.probes.expectations import Drill
from labctl.probes.results import StreamVerdict
from labctl.prove.bench import GRACE_MS, Bench, now_ms


def drill(bench: Bench, drill: Drill) -> StreamVerdict:
    """The verdict on `drill`. Whatever it broke is repaired, also when it is interrupted; LabError passes through."""
    with bench.streaming(drill.traffic, drill.id):
        timeline = _break_and_repair(bench, drill)
        report = bench.stop_stream(timeline.marks(drill.bounds))
    return judge_drill(drill, report, timeline)


def _break_and_repair(bench: Bench, drill: Drill) -> Timeline:
    try:
        broken = bench.breaker.inject(drill.fault)
        bench.hold(drill.hold_ms)
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
