"""What became of a numbered stream: lost, duplicated, overtaken, held up, and by which way it went. Pure.

All instants are milliseconds of one monotonic clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median

from labctl.claims.results import Course, Event
from labctl.probes.wire import StreamReport, Way

Leg = tuple[str, str]
"""A node, and the device by which a packet left it (or reached it, for the last)."""


LATE_MS = 150
"""A record that is acknowledged so much later than is usual was held up: Linux waits at least 200 ms before it sends
again what TCP has lost, and an acknowledgement may take 40 ms.
"""


class Stream:
    """The numbers of one stream. `struck_ms`: when whatever it is to survive began. `records`: TCP carries them, so
    that an outage holds up what would else be lost.
    """

    def __init__(self, report: StreamReport, rate: int, struck_ms: float, *, records: bool = False) -> None:
        self.sent = report.sent
        self.ways = report.ways
        self.records = records
        self.interval_ms = 1000 / rate
        self._received = report.received
        self._first: dict[int, float] = {}
        for number, at in report.received:
            self._first.setdefault(int(number), at)
        self.lost = [i for i in range(len(self.sent)) if i not in self._first]
        flights = [at - self.sent[number] for number, at in self._first.items() if at < struck_ms]
        # What was under way at that instant is lost with it, though it was sent before.
        under_way_ms = LATE_MS + median(flights or [0.0]) if records else max(flights, default=0.0)
        self._since = struck_ms - under_way_ms
        held = (i for i, at in self._first.items() if records and at - self.sent[i] > under_way_ms)
        self.missed = sorted([*self.lost, *held])
        self.early = [i for i in self.missed if self.sent[i] < self._since]

    @property
    def duplicated(self) -> int:
        """How many packets arrived that had arrived before."""
        return len(self._received) - len(self._first)

    @property
    def reordered(self) -> int:
        """How many arrived after one with a greater number (RFC 4737 section 3, Type-P-Reordered)."""
        greatest, found = -1, 0
        for number in self._first:
            found += number < greatest
            greatest = max(greatest, number)
        return found

    @property
    def longest_gap_ms(self) -> float:
        """The longest time between two arrivals, less what the sender itself was behind its schedule in between.

        Where the last packets are lost, it goes on until the last was sent.
        """
        arrivals = sorted(self._first.items(), key=lambda each: each[1])
        if arrivals and self.lost and self.lost[-1] == len(self.sent) - 1:
            arrivals.append((self.lost[-1], max(self.sent[-1], arrivals[-1][1])))
        return max(
            (there - here - self._idle(one, other) for (one, here), (other, there) in pairwise(arrivals)), default=0.0
        )

    @property
    def loss_derived_ms(self) -> float:
        """Packets lost over the rate at which they were sent (RFC 6412, loss-derived convergence time)."""
        return len(self.lost) * self.interval_ms

    def came(self, number: int) -> bool:
        """Whether this packet arrived."""
        return number in self._first

    def runs(self, since: float, until: float) -> bool:
        """Whether packets arrived before `since`, and were sent until after `until`."""
        return any(at < since for at in self._first.values()) and bool(self.sent) and self.sent[-1] >= until

    def standstill_ms(self, since: float, until: float) -> float:
        """The longest that the sender was behind between two packets, one of them sent from `since` to `until`."""
        pairs = (pair for pair in pairwise(self.sent) if pair[1] >= since and pair[0] <= until)
        return max((there - here - self.interval_ms for here, there in pairs), default=0.0)

    def lost_between(self, since: float, until: float = float("inf")) -> list[int]:
        """Numbers lost of those sent from `since` on and before `until`, what was under way at the strike included."""
        return [i for i in self.lost if max(since, self._since) <= self.sent[i] < until]

    def missed_between(self, since: float, until: float = float("inf")) -> list[int]:
        """Likewise those that were lost, or held up."""
        return [i for i in self.missed if max(since, self._since) <= self.sent[i] < until]

    def whole_after(self, outage: Sequence[int], until: float) -> float | None:
        """When the first packet after the last of `outage` was sent, or that last one came at last; None if that was
        not before `until`.
        """
        first = outage[-1] + 1
        whole = max(self.sent[first], self._first.get(outage[-1], 0.0)) if first < len(self.sent) else until
        return whole if whole < until else None

    def course(self, events: Iterable[tuple[float, str]]) -> Course:
        """The stream packet by packet, with what happened around it, counted from its first packet."""
        start = self.sent[0] if self.sent else 0.0
        arrived = (self._first.get(i) for i in range(len(self.sent)))
        return Course(
            sent_ms=tuple(round(at - start, 2) for at in self.sent),
            arrived_ms=tuple(None if at is None else round(at - start, 2) for at in arrived),
            events=tuple(Event(round(at - start, 2), what) for at, what in events),
            ways=self.ways,
        )

    def _idle(self, one: int, other: int) -> float:
        """How long the sender paused between two packets beyond its interval."""
        steps = pairwise(self.sent[min(one, other) : max(one, other) + 1])
        return sum(max(0.0, there - here - 2 * self.interval_ms) for here, there in steps)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the time: packets sent from `since` to `until` belong to it."""

    name: str
    since: float
    until: float


def ways_in_words(stream: Stream, spans: Sequence[Span]) -> dict[str, str]:
    """The way that most packets of each span took, node by node; spans in which none arrived are left out.

    A node's device is named where the ways differ by it.
    """
    taken = {span.name: _commonest(stream, span) for span in spans}
    legs = {name: legs_of(way) for name, way in taken.items() if way}
    devices: dict[str, set[str]] = {}
    for route in legs.values():
        for node, device in route[:-1]:
            devices.setdefault(node, set()).add(device)
    return {name: " > ".join(_leg(each, devices) for each in route) for name, route in legs.items()}


def path_changes(ways: Sequence[Way]) -> int:
    """How often the way of one packet that arrived differs from that of the one before it."""
    return sum(1 for one, other in pairwise(ways) if legs_of(one.places) != legs_of(other.places))


def legs_of(places: Sequence[str]) -> tuple[Leg, ...]:
    """From places (NODE/DEVICE) to nodes, each with the last of its devices that the packet was seen at."""
    groups = groupby((place.split("/", 1) for place in places), key=lambda each: each[0])
    return tuple((node, list(group)[-1][1]) for node, group in groups)


def _leg(leg: Leg, devices: dict[str, set[str]]) -> str:
    node, device = leg
    return f"{node} ({device})" if len(devices.get(node, ())) > 1 else node


def _commonest(stream: Stream, span: Span) -> tuple[str, ...]:
    counts: Counter[tuple[str, ...]] = Counter()
    for way in stream.ways:
        inside = sum(
            stream.came(i) and span.since <= stream.sent[i] < span.until for i in range(way.first, way.last + 1)
        )
        if inside:
            counts[way.places] += inside
    return counts.most_common(1)[0][0] if counts else ()
