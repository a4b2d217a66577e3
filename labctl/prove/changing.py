"""One live change: traffic, the edit, what is true after it, and the way back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from labctl.claims.drills import Changeline, judge_change
from labctl.claims.expectations import Change, Check
from labctl.claims.results import StreamVerdict
from labctl.claims.verdicts import Verdict, judge, settle
from labctl.prove.bench import GRACE_MS, SETTLE_MS, Bench, now_ms

AGAIN_S = 0.02
"""Between two looks whether what a change promises is true yet."""


def change(bench: Bench, change: Change, proved: Sequence[Verdict]) -> StreamVerdict:
    """The verdict on `change`; `proved` are those on the lab's own checks, which its checks may stand on.

    The lab is as before afterwards, also when this is interrupted. LabError passes through.
    """
    with bench.streaming(change.traffic, change.id):
        began = now_ms()
        with bench.changed(change.id):
            applied = now_ms()
            # Late is not never: what comes true within twice its bound is told with its time.
            found = [reach(bench, each, began + 2 * (change.reach_ms or 0)) for each in change.then]
            bench.wait(SETTLE_MS)
            undoing = now_ms()
        trouble = bench.recovery()
        timeline = Changeline(began, applied, undoing, now_ms() + GRACE_MS * bench.scale, trouble)
        report = bench.stop_stream(timeline.marks())
    then = settle((*proved, *(verdict for verdict, _ in found)))[len(proved) :]
    reached = max((at - began for _, at in found), default=None)
    return judge_change(change, report, timeline, reached, then)


def reach(bench: Bench, check: Check, until: float) -> tuple[Verdict, float]:
    """The verdict on a check that is to come true, and when the probe behind it began.

    One that does not pass is probed again, until the instant `until`.
    """
    while True:
        at = now_ms()
        verdict = judge(check, bench.session().probe(bench.probe(check)))
        if verdict.verdict == "pass" or at > until:
            return verdict, at
        time.sleep(AGAIN_S)
