"""What a stream's course tells beyond its numbers: the times without packets, and what tells its ways apart."""

from __future__ import annotations

from itertools import pairwise

from labctl.claims.results import Course

Outage = tuple[float, float, float]
"""From when to when nothing arrived, and how long that is without what the sender itself was late."""

LATE = 4
"""Beats between two packets, none of them lost, from which on they are told as a gap."""


def letters(course: Course) -> dict[tuple[str, ...], str]:
    """A letter for each way that the stream went, in the order of the first packets."""
    every = dict.fromkeys(way.places for way in course.ways)
    return {places: chr(ord("A") + i) if i < 26 else f"W{i}" for i, places in enumerate(every)}


def short_way(course: Course, places: tuple[str, ...]) -> str:
    """What tells a way from the others: the devices, else the nodes, that not all of them have; "" if none has any."""
    every = {way.places for way in course.ways}
    common = set.intersection(*(set(each) for each in every)) if every else set()
    own = [place.split("/", 1) for place in places if place not in common]
    devices = dict.fromkeys(device for _, device in own)
    return ", ".join(devices)


def outages(course: Course, rate: int) -> list[Outage]:
    """The times between two arrivals that are no part of the stream's beat: packets were lost, or held up for long.
    Where the last packets were lost, the time until the last was sent is one too.
    """
    beat = 1000 / rate if rate else 0.0
    arrived = sorted((at, i) for i, at in enumerate(course.arrived_ms) if at is not None)
    found = []
    for (here, one), (there, other) in pairwise(arrived):
        steps = pairwise(course.sent_ms[min(one, other) : max(one, other) + 1])
        length = there - here - sum(max(0.0, later - sooner - 2 * beat) for sooner, later in steps)
        if length > (1.5 if other - one > 1 else LATE) * beat:
            found.append((here, there, length))
    if arrived and len(course.sent_ms) - 1 - arrived[-1][1] > 1:
        found.append((arrived[-1][0], course.sent_ms[-1], course.sent_ms[-1] - arrived[-1][0]))
    return found


def paused(course: Course, rate: int) -> bool:
    """Whether the sender did not keep its beat: a busy machine, and nothing that the lab did."""
    return rate > 0 and any(later - sooner > LATE * 1000 / rate for sooner, later in pairwise(course.sent_ms))
