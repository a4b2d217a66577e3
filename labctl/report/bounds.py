"""What a drill or a live change was allowed to cost, as spans of its time and in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from labctl.claims.expectations import Change, Drill, Felt
from labctl.claims.results import Course
from labctl.report.words import counted, milliseconds

_LOST = {"udp": ("packet", "lost"), "tcp": ("record", "not delivered")}
"""What a stream is made of, and what becomes of that which never arrives."""


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
        start = next((each.at_ms for each in course.events if each.what == claim.what), course.events[0].at_ms)
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
        return [*found, *_felt(claim.felt, claim.traffic.proto)]
    bounds = claim.bounds
    found = []
    if bounds.restore_ms is not None:
        found.append(f"whole again within {milliseconds(bounds.restore_ms)} of the {bounds.after}")
    if bounds.not_before_ms is not None:
        found.append(f"and not before {milliseconds(bounds.not_before_ms)}")
    noun, lost = _LOST[claim.traffic.proto]
    if bounds.failback_lost is not None:
        found.append(f"at most {counted(bounds.failback_lost, noun)} {lost} after the repair")
    return [*found, *_felt(bounds.felt, claim.traffic.proto)]


def _felt(felt: Felt, proto: Literal["udp", "tcp"]) -> Iterator[str]:
    records = proto == "tcp"
    limits = (
        (felt.lost, *_LOST[proto]),
        (felt.duplicated, "packet", "twice"),
        (felt.reordered, "packet", "reordered"),
        (felt.path_changes, "change", "of the path"),
    )
    yield from (f"at most {counted(most, noun)} {what}" for most, noun, what in limits if most is not None)
    if felt.gap_ms is not None:
        yield f"no {'stall' if records else 'gap'} longer than {milliseconds(felt.gap_ms)}"
    what = "the connection" if records else "TCP"
    yield f"{what} survives" if felt.tcp_survives else f"{what} may break"
