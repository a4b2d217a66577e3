"""A stream against time, as a drawing: by which way it went, what was sent, what arrived, the gap, what was done when.

All that is drawn stands in rows below each other, on one scale; the drawing's legend is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from xml.etree.ElementTree import Element

from labctl.claims.results import Course, StreamVerdict
from labctl.report.bounds import Window
from labctl.report.course import Outage, letters, outages, paused, short_way
from labctl.report.felt import headline, never_resumed
from labctl.report.svg import Point, drawing, line, number, path, polyline, rect, runs, text, ticks, wide
from labctl.report.words import milliseconds, route, shortened

WIDTH = 1100.0
LEFT, RIGHT = 84.0, 26.0
ROW, TALL = 20.0, 46.0
LABEL_SIZE, LINE_SIZE = 12.0, 11.0
MINUS = "\u2212"
Span = tuple[float, float]
APART = 2.2
"""Strokes nearer to each other than this would run together anyway, and are drawn as one band."""

NARROW = 3.0
"""A gap with less room than this is only counted, unless it is the longest."""

LOWEST = 5.0
"""However few packets of many were lost, so high is their mark."""

COLOURS = 4
"""Ways that have a colour of their own; further ones share."""


@dataclass(slots=True)
class _Canvas:
    """What has been drawn so far (`flags` over all else), the scale (`since` to `until`, told from `origin`), and where
    the next row begins.
    """

    since: float
    until: float
    origin: float
    y: float = 0.0
    shapes: list[Element] = field(default_factory=list)
    behind: list[Element] = field(default_factory=list)
    flags: list[Element] = field(default_factory=list)

    def x(self, at_ms: float) -> float:
        return LEFT + (at_ms - self.since) / (self.until - self.since) * (WIDTH - LEFT - RIGHT)

    def row(self, name: str, height: float = ROW) -> float:
        """Begin a row; its upper edge."""
        top = self.y
        self.shapes.append(text(LEFT - 10, top + height / 2 + 4, name, "lane", "end"))
        self.y = top + height + 6
        return top

    def flag(self, x: float, y: float, width: float, words: str, class_: str) -> None:
        """Words that stay readable whatever is below them."""
        self.flags += [rect(x - 2, y - 11, width, 14, "halo", 2), text(x, y, words, class_)]


def timeline(verdict: StreamVerdict, windows: Sequence[Window] = ()) -> Element | None:
    """The drawing of a drill's or change's stream; None where nothing was sent."""
    course = verdict.course
    if course is None or not course.sent_ms:
        return None
    events = [each.at_ms for each in course.events]
    arrived = [at for at in course.arrived_ms if at is not None]
    instants = [*course.sent_ms, *arrived, *events]
    canvas = _Canvas(min(instants), max(*instants, min(instants) + 1), events[0] if events else 0.0)
    without = outages(course, verdict.rate)
    poles = _events(canvas, course)
    top = canvas.y
    _ways(canvas, course)
    _packets(canvas, course, *(("written", "acked") if verdict.stream == "tcp" else ("sent", "received")))
    _gaps(canvas, without, verdict, top)
    _windows(canvas, windows)
    _delay(canvas, course)
    _axis(canvas, poles, top)
    _legend(canvas, verdict, course)
    title = f"{verdict.id}: the stream against time"
    return drawing(WIDTH, canvas.y, title, _told(verdict, course), *canvas.behind, *canvas.shapes, *canvas.flags)


def _told(verdict: StreamVerdict, course: Course) -> str:
    events = "; ".join(f"{each.what} at {milliseconds(each.at_ms)}" for each in course.events)
    gap = "" if verdict.longest_gap_ms is None else f", longest gap {milliseconds(verdict.longest_gap_ms)}"
    if verdict.stream == "tcp":
        return f"{verdict.sent} records written, {verdict.lost} not delivered, {headline(verdict)}. {events}."
    return f"{verdict.sent} packets sent, {verdict.lost} lost{gap}. {events}."


def _events(canvas: _Canvas, course: Course) -> list[Span]:
    """A flag for each event, below those that reach over its line; where each line begins (x, y)."""
    flags: list[tuple[float, int]] = []
    poles = []
    for event in course.events:
        x = canvas.x(event.at_ms)
        words = shortened(event.what) + (
            f"  {_signed(event.at_ms - canvas.origin)}" if event.at_ms != canvas.origin else ""
        )
        width = wide(words, LABEL_SIZE, bold=True)
        flipped = x + 4 + width > WIDTH
        start = x - 4 - width if flipped else x + 4
        row = max((row + 1 for end, row in flags if end >= min(start, x)), default=0)
        flags.append((start + width + 8, row))
        poles.append((x, 16.0 * row + 4))
        canvas.flag(start, 16.0 * row + 14, width, words, "event-text")
    canvas.y = 16.0 * max((row + 1 for _, row in flags), default=0) + 8
    return poles


def _signed(ms: float) -> str:
    return f"{'+' if ms > 0 else MINUS}{milliseconds(abs(ms))}"


def _ways(canvas: _Canvas, course: Course) -> None:
    if not course.ways:
        return
    top = canvas.row("way")
    names = letters(course)
    order = list(names)
    for way in course.ways:
        left, right = canvas.x(course.sent_ms[way.first]), canvas.x(course.sent_ms[way.last])
        label = f"{names[way.places]}  {short_way(course, way.places)}".strip()
        class_ = f"way{order.index(way.places) % COLOURS}"
        canvas.shapes.append(rect(left, top, max(right - left, 1.5), ROW, class_, 2, route(way.places)))
        for words in (label, names[way.places]):
            if wide(words, LINE_SIZE) + 6 < right - left:
                canvas.shapes.append(text((left + right) / 2, top + 14, words, "way-text", "middle"))
                break


def _packets(canvas: _Canvas, course: Course, sent: str, received: str) -> None:
    top = canvas.row(sent)
    fates = [(canvas.x(at), came is None) for at, came in zip(course.sent_ms, course.arrived_ms, strict=True)]
    dense = len(fates) > 1 and (fates[-1][0] - fates[0][0]) / (len(fates) - 1) < APART
    canvas.shapes.append(_strokes([x for x, lost in fates if dense or not lost], top, "sent"))
    canvas.shapes.append(_shares(fates, top) if dense else _strokes([x for x, lost in fates if lost], top, "lost"))
    top = canvas.row(received)
    canvas.shapes.append(_strokes(sorted(canvas.x(at) for at in course.arrived_ms if at is not None), top, "got"))


def _shares(fates: Sequence[tuple[float, bool]], top: float) -> Element:
    """Where packets are too close for strokes: the share of them that was lost, high enough to be seen."""
    d = []
    for column, group in groupby(fates, key=lambda fate: int(fate[0] / APART)):
        lost = [each for _, each in group]
        if any(lost):
            high = max(ROW * sum(lost) / len(lost), LOWEST)
            d.append(f"M{number(column * APART)} {number(top + ROW)}h{APART}v{number(-high)}h{-APART}z")
    return path("".join(d), "lost share")


def _strokes(positions: Sequence[float], top: float, class_: str) -> Element:
    """A stroke for each packet; where they are too close, one band."""
    d = []
    for left, right in runs(positions, APART):
        down = f"M{number(left)} {number(top)}v{number(ROW)}"
        d.append(f"{down}H{number(right)}v{number(-ROW)}z" if right > left else down)
    return path("".join(d), class_)


def _gaps(canvas: _Canvas, without: Sequence[Outage], verdict: StreamVerdict, above: float) -> None:
    """The times without packets, shaded up to `above`, and the length of the longest, as it was measured."""
    if not without:
        return
    word = "stall" if verdict.stream == "tcp" else "gap"
    top = canvas.row(word)
    longest = max(without, key=lambda each: each[2])
    shown = []
    for outage in without:
        left, right = canvas.x(outage[0]), canvas.x(outage[1])
        if right - left < NARROW and outage is not longest:
            continue
        shown.append((left, right))
        canvas.behind.append(rect(left, above, right - left, top - above + ROW, "gap"))
        ends = "".join(f"M{number(at)} {number(top + 5)}v10" for at in (left, right))
        canvas.shapes.append(path(f"{ends}M{number(left)} {number(top + 10)}H{number(right)}", "bracket"))
    length = milliseconds(longest[2] if verdict.longest_gap_ms is None else verdict.longest_gap_ms)
    words = f"{word} {length}" if len(without) == 1 else f"{len(without)} {word}s, the longest {length}"
    words = "never resumed" if never_resumed(verdict) else words
    width = wide(words, LABEL_SIZE, bold=True)
    at = _beside((canvas.x(longest[0]), canvas.x(longest[1])), width, shown)
    at = min(shown[-1][1] + 6, WIDTH - width) if at is None else at
    canvas.flag(at, top + 14, width, words, "gap-text")


def _beside(bracket: Span, width: float, taken: Sequence[Span]) -> float | None:
    """Where the words of a bracket begin: after it, else before it; None where there are other brackets."""
    for left in (bracket[1] + 6, bracket[0] - 6 - width):
        inside = left >= LEFT and left + width <= WIDTH
        if inside and all(left + width < here or there < left for here, there in taken):
            return left
    return None


def _windows(canvas: _Canvas, windows: Sequence[Window]) -> None:
    """The bounds in time, in one row, and beside them what they say."""
    if not windows:
        return
    top = canvas.row("bounds", 16)
    spans = [tuple(min(canvas.x(at), WIDTH - RIGHT) for at in (each.since_ms, each.until_ms)) for each in windows]
    for (left, right), each in zip(spans, windows, strict=True):
        canvas.shapes.append(rect(left, top, max(right - left, 2), 16, each.sort, 2, each.words))
    words = "; ".join(each.words for each in windows)
    width = wide(words, LINE_SIZE)
    after = spans[-1][1] + 6 + width < WIDTH or spans[0][0] - 6 - width < LEFT
    start = min(spans[-1][1] + 6, WIDTH - width) if after else spans[0][0] - 6 - width
    canvas.flag(start, top + 12, width, words, "lane")


def _delay(canvas: _Canvas, course: Course) -> None:
    """How long packets were under way, in the order in which they were sent; where some were lost the line breaks."""
    pairs = zip(course.sent_ms, course.arrived_ms, strict=True)
    flights = [None if there is None else (here, there - here) for here, there in pairs]
    most = max((each[1] for each in flights if each), default=0.0)
    if most <= 0:
        return
    top = canvas.row("delay", TALL)
    canvas.shapes.append(line(LEFT, top + TALL, WIDTH - RIGHT, top + TALL, "grid"))
    canvas.shapes.append(line(LEFT, top, WIDTH - RIGHT, top, "grid"))
    canvas.shapes.append(text(LEFT - 10, top + TALL / 2 + 17, f"to {milliseconds(most)}", "tick", "end"))
    d = []
    for lost, group in groupby(flights, key=lambda each: each is None):
        if not lost:
            stretch = [(canvas.x(here), top + TALL * (1 - took / most)) for here, took in filter(None, group)]
            d.append(polyline(_thinned(stretch)) + ("h1" if len(stretch) == 1 else ""))
    canvas.shapes.append(path("".join(d), "delay"))


def _thinned(points: Sequence[Point]) -> Iterator[Point]:
    """Of the points that share a pixel's column the highest alone."""
    for _, group in groupby(points, key=lambda point: round(point[0])):
        yield min(group, key=lambda point: point[1])


def _axis(canvas: _Canvas, poles: Sequence[Span], above: float) -> None:
    """The scale in seconds from the first event, and a line for each event through all rows."""
    bottom = canvas.y
    canvas.shapes.append(line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis"))
    for second in ticks((canvas.since - canvas.origin) / 1000, (canvas.until - canvas.origin) / 1000, 12):
        x = canvas.x(second * 1000 + canvas.origin)
        canvas.behind.append(line(x, above, x, bottom, "grid"))
        words = f"{abs(second):g} s"
        sign = MINUS if second < 0 else "+" if second > 0 else ""
        canvas.shapes.append(line(x, bottom, x, bottom + 5, "axis"))
        canvas.shapes.append(text(x, bottom + 17, sign + words, "tick", "middle"))
    canvas.shapes += [line(x, y, x, bottom, "event") for x, y in poles]
    canvas.y = bottom + 30


STROKES = {
    "udp": ("a packet sent", "one that never arrived", "one received", "a packet was under way"),
    "tcp": ("a record written", "one never delivered", "one acknowledged", "a record took until it was acknowledged"),
}
"""In a legend, by what carries the stream: what was sent, lost, received, and how long what was."""


def _legend(canvas: _Canvas, verdict: StreamVerdict, course: Course) -> None:
    """What the strokes are."""
    sent, missing, got, while_ = STROKES[verdict.stream]
    y = canvas.y
    x = LEFT
    strokes = [
        ("sent", sent),
        *([("lost", missing)] if None in course.arrived_ms else []),
        ("got", got),
    ]
    for class_, words in strokes:
        canvas.shapes.append(path(f"M{number(x)} {number(y)}v12m3 -12v12m3 -12v12", class_))
        canvas.shapes.append(text(x + 14, y + 10, words, "tick"))
        x += 14 + wide(words, LINE_SIZE) + 18
    words = f"delay: how long {while_}"
    words += "; nothing sent: the machine kept the sender waiting" if paused(course, verdict.rate) else ""
    canvas.shapes.append(text(x, y + 10, words, "tick"))
    canvas.y = y + 20
