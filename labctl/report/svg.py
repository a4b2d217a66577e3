"""What the drawings are made of: shapes, texts with an estimate of their width, and curves; numbers are pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from labctl.report.markup import SVG_SPACE, Child, tag

Point = tuple[float, float]

PER_EM, PER_EM_BOLD, PER_EM_MONO = 0.6, 0.7, 0.62
"""How wide a character is, on the wide side: fonts differ, and nothing may stick out."""


def drawing(
    width: float, height: float, title: str, description: str, *children: Child, **attributes: object
) -> Element:
    """A whole drawing, told in words to those who cannot see it."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *children,
        xmlns=SVG_SPACE,
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=number(width),
        role="img",
        aria_label=title,
        **attributes,
    )


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, words: str, class_: str, anchor: str = "start") -> Element:
    """A line of text at its baseline."""
    anchored = None if anchor == "start" else anchor
    return tag("text", words, x=number(x), y=number(y), class_=class_, text_anchor=anchored)


def wide(words: str, size: float, *, mono: bool = False, bold: bool = False) -> float:
    """About how wide a line of text is at a font size."""
    return len(words) * size * (PER_EM_MONO if mono else PER_EM_BOLD if bold else PER_EM)


def rect(x: float, y: float, width: float, height: float, class_: str, radius: float = 0, tip: str = "") -> Element:
    """A rectangle, with a hint for the pointer."""
    return tag(
        "rect",
        tag("title", tip) if tip else None,
        x=number(x),
        y=number(y),
        width=number(max(width, 0)),
        height=number(height),
        rx=number(radius) if radius else None,
        class_=class_,
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Element:
    """A straight line."""
    return tag("line", x1=number(x1), y1=number(y1), x2=number(x2), y2=number(y2), class_=class_)


def path(d: str, class_: str, tip: str = "") -> Element:
    """A line of any shape."""
    return tag("path", tag("title", tip) if tip else None, d=d, class_=class_)


def polyline(points: Iterable[Point]) -> str:
    """Straight from point to point."""
    return "M" + " L".join(f"{number(x)} {number(y)}" for x, y in points)


def flowing(points: Sequence[Point], *, sideways: bool) -> str:
    """Through the points in turn, straight but for the step between the second and third of each four, which is curved.

    Where it curves it leaves and arrives level (`sideways`), or upright.
    """
    d = f"M{_pair(points[0])}"
    for i, (x, y) in enumerate(points[1:], 1):
        before_x, before_y = points[i - 1]
        if i % 4 != 2:
            d += f" L{_pair((x, y))}"
        elif sideways:
            middle = (before_x + x) / 2
            d += f" C{_pair((middle, before_y))} {_pair((middle, y))} {_pair((x, y))}"
        else:
            middle = (before_y + y) / 2
            d += f" C{_pair((before_x, middle))} {_pair((x, middle))} {_pair((x, y))}"
    return d


def _pair(point: Point) -> str:
    return f"{number(point[0])} {number(point[1])}"


def runs(positions: Iterable[float], apart: float) -> list[tuple[float, float]]:
    """Ascending positions as stretches within which each is less than `apart` from the next."""
    found: list[tuple[float, float]] = []
    for at in positions:
        if found and at - found[-1][1] < apart:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def ticks(since: float, until: float, most: int) -> list[float]:
    """Round numbers from `since` to `until`: steps of 1, 2 or 5 times a power of ten, at most `most` of them."""
    step = 1e-3
    factors = (2, 2.5, 2)
    turn = 0
    while (until - since) / step > most:
        step *= factors[turn % 3]
        turn += 1
    first = -int(-since // step)
    found = []
    while first * step <= until + step / 1e6:
        found.append(round(first * step, 6))
        first += 1
    return found
