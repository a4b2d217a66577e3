"""One live change: traffic, the edit, what is true after it, and the way back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from labctl.claims.drills import change_not_run, judge_change, not_begun
from labctl.claims.expectations import Change, Check
from labctl.claims.results import Asides, StreamVerdict
from labctl.claims.timelines import Changeline
from labctl.claims.verdicts import Verdict, judge, settle
from labctl.prove.bench import GRACE_MS, SETTLE_MS, Bench, now_ms

AGAIN_S = 0.02
"""Between two looks whether what a change promises is true yet."""
FORGET_MS = 10_000.0
"""A DNS server of the profile `fast` knows nothing any longer that it was told so long ago."""


def change(bench: Bench, change: Change, proved: Sequence[Verdict]) -> StreamVerdict:
    """The verdict on `change`; `proved` are those on the lab's own checks, which its checks may stand on.

    The lab is as before afterwards, also when this is interrupted. LabError passes through.
    """
    with bench.streaming(change.traffic, change.id):
        first = before(bench, change.first, proved)
        if any(each.verdict != "pass" for each in first):
            bench.stop_stream(())
            return not_begun(change_not_run(change, ""), first)
        began = now_ms()
        with bench.changed(change.id):
            applied = now_ms()
            # Late is not never: what comes true within twice its bound is told with its time.
            then = meanwhile(bench, change.then, began, began + 2 * (change.reach_ms or 0))
            bench.wait(SETTLE_MS)
            undoing = now_ms()
        trouble = bench.recovery()
        ending = now_ms() + max(SETTLE_MS * bench.scale, 2 * (change.reach_ms or 0))
        afterwards = [reach(bench, each, ending)[0] for each in change.afterwards]
        timeline = Changeline(began, applied, undoing, now_ms() + GRACE_MS * bench.scale, trouble)
        report = bench.stop_stream(timeline.marks())
    asides = settled(proved, first, then, afterwards)
    reached = max((each.began_ms for each in then if each.began_ms is not None), default=None)
    return judge_change(change, report, timeline, reached, asides)


def before(bench: Bench, checks: Sequence[Check], proved: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts on checks of the lab as it is just before something happens to it. One that is not true yet may be:
    what an attempt before this one left in a cache grows old.
    """
    ending = now_ms() + FORGET_MS * bench.scale
    found = [reach(bench, each, ending)[0] for each in checks]
    return settle((*proved, *found))[len(proved) :]


def meanwhile(bench: Bench, checks: Sequence[Check], event: float, until: float) -> list[Verdict]:
    """The verdicts on checks that come true after the `event`, one after the other, each with when its probe began."""
    found = (reach(bench, each, until) for each in checks)
    return [replace(verdict, began_ms=at - event) for verdict, at in found]


def settled(
    proved: Sequence[Verdict], first: Sequence[Verdict], then: Sequence[Verdict], afterwards: Sequence[Verdict]
) -> Asides:
    """The verdicts on all checks of a drill or change, beside their controls."""
    every = settle((*proved, *first, *then, *afterwards))[len(proved) :]
    here, there = len(first), len(first) + len(then)
    return Asides(every[:here], every[here:there], every[there:])


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
