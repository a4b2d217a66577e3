"""What a drill or a live change was allowed to cost, as spans of its time and in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from labctl.claims.expectations import Change, Drill, Felt
from labctl.claims.results import Course
from labctl.report.words import counted, milliseconds


@dataclass(frozen=True, slots=True)
class Window:
    """A span of a stream's time: in an "early" one the stream cannot be whole yet, by the end of an "allowed" one it
    must be.
    """

    since_ms: float
    until_ms: float
    sort: Literal["early", "allowed"]
    words: str


def windows(claim: Drill | Change, course: Course) -> list[Window]:
    """The bounds in time, laid over the stream; the events are those that the claim's judge wrote down."""
    if isinstance(claim, Change):
        if claim.reach_ms is None or not course.events:
            return []
        start = course.events[0].at_ms
        words = f"true within {milliseconds(claim.reach_ms)} of the change"
        return [Window(start, start + claim.reach_ms, "allowed", words)]
    event = claim.what if claim.bounds.after == "fault" else "repair"
    at = next((each.at_ms for each in course.events if each.what == event), None)
    if at is None:
        return []
    return list(_of_drill(claim, at))


def _of_drill(drill: Drill, start: float) -> Iterator[Window]:
    bounds = drill.bounds
    early = bounds.not_before_ms or 0
    if early:
        words = f"not before {milliseconds(early)}"
        yield Window(start, start + early, "early", words)
    if bounds.restore_ms is not None:
        words = f"whole within {milliseconds(bounds.restore_ms)} of the {bounds.after}"
        yield Window(start + early, start + bounds.restore_ms, "allowed", words)


def bounds_in_words(claim: Drill | Change) -> list[str]:
    """Every bound of the claim."""
    if isinstance(claim, Change):
        found = [] if claim.reach_ms is None else [f"true within {milliseconds(claim.reach_ms)} of the change"]
        return [*found, *_felt(claim.felt)]
    bounds = claim.bounds
    found = []
    if bounds.restore_ms is not None:
        found.append(f"whole again within {milliseconds(bounds.restore_ms)} of the {bounds.after}")
    if bounds.not_before_ms is not None:
        found.append(f"and not before {milliseconds(bounds.not_before_ms)}")
    if bounds.failback_lost is not None:
        found.append(f"at most {counted(bounds.failback_lost, 'packet')} lost after the repair")
    return [*found, *_felt(bounds.felt)]


def _felt(felt: Felt) -> Iterator[str]:
    limits = (
        (felt.lost, "packet", "lost"),
        (felt.duplicated, "packet", "twice"),
        (felt.reordered, "packet", "reordered"),
        (felt.path_changes, "change", "of the path"),
    )
    yield from (f"at most {counted(most, noun)} {what}" for most, noun, what in limits if most is not None)
    if felt.gap_ms is not None:
        yield f"no gap longer than {milliseconds(felt.gap_ms)}"
    yield "TCP survives" if felt.tcp_survives else "TCP may break"
