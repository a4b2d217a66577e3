"""Verdicts, faults and findings as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from labctl.description.faults import Fault
from labctl.probes.drills import DrillVerdict
from labctl.probes.results import Results
from labctl.probes.verdicts import Verdict


def check_lines(verdict: Verdict) -> Iterator[str]:
    """A check: one line, and under one that did not pass what was expected, what was observed, and why."""
    time = f"  {verdict.elapsed_ms:.{0 if verdict.elapsed_ms >= 10 else 1}f} ms" if verdict.elapsed_ms else ""
    yield f"{verdict.verdict:<12} {verdict.id:<12} {verdict.about or verdict.expected}{time}"
    if verdict.verdict != "pass":
        yield f"{'':13}expected: {verdict.expected}"
        yield f"{'':13}observed: {verdict.observed}"
        yield f"{'':13}reason:   {verdict.reason}"


def drill_lines(verdict: DrillVerdict) -> Iterator[str]:
    """A drill: its claim, its numbers, and why it did not pass."""
    yield f"{verdict.verdict:<12} {verdict.id:<12} {verdict.about}"
    if verdict.lost is not None:
        restored = "never" if verdict.restored_ms is None else f"{verdict.restored_ms:.0f} ms"
        yield (
            f"{'':13}lost {verdict.lost} of {verdict.sent}, {verdict.failback_lost} of them after the repair; "
            f"longest gap {verdict.longest_gap_ms:.0f} ms; restored after {restored}; TCP {verdict.tcp or 'not tried'}"
        )
    if verdict.verdict != "pass":
        yield f"{'':13}reason:   {verdict.reason}"


def summary(results: Results) -> str:
    """The last line of a run."""
    words = results.words
    counts = [f"{words.count(word)} {word}" for word in ("pass", "fail", "inconclusive") if words.count(word)]
    times = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in results.seconds.items())
    scale = f", time x {results.time_scale}" if results.time_scale != 1 else ""
    counted = ", ".join(counts) or "no checks"
    return f"{results.verdict}: lab {results.lab} on {results.where}: {counted} ({times}{scale})"


def fault_lines(faults: tuple[object, ...]) -> Iterator[str]:
    """Every fault of a description."""
    return (str(fault) for fault in faults if isinstance(fault, Fault))
