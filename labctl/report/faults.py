"""A fault of a description as compilers print one: the fault in a line, a hint, and the lines that it is about.

The first line stands for itself (`FILE:LINE:COLUMN: KEY PATH `VALUE`: RULE`). What is quoted is shown safely: control
characters by their code, a tab as one space, a long line cut around what is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal
from unicodedata import category, east_asian_width

from labctl.description.faults import Fault, Place, plain

Part = tuple[str, Literal["", "fault", "hint", "mark", "number"]]
"""A piece of a line, and what it is; "": nothing in particular."""

WIDTH = 100
"""Columns of a quoted line where nothing says how wide the output is."""
_CUT = "..."
_LEAST = 40


def fault_lines(faults: Iterable[object], width: int = 0) -> Iterator[str]:
    """Every fault of a description, for output of `width` columns (0: any)."""
    for fault in faults:
        if isinstance(fault, Fault):
            for line in fault_parts(fault, width):
                yield "".join(text for text, _ in line).rstrip()


def fault_parts(fault: Fault, width: int = 0) -> Iterator[list[Part]]:
    """The lines of one fault, each in pieces."""
    yield [(f"{fault.where}: ", "number"), (fault.what, "fault")]
    if fault.hint:
        yield [("  hint: ", "hint"), (plain(fault.hint, 1000), "")]
    here, other = Place(fault.source, fault.mark, fault.line, fault.width), fault.other
    beside = other if other and (other.source, other.mark.line) == (here.source, here.mark.line) else None
    places = [here] if other is None or beside else [here, other]
    room = max(width, _LEAST) if width else WIDTH
    margin = max(len(str(place.mark.line)) for place in places) + 2
    for place in places:
        if place.line.strip():
            label = f" in {plain(place.source, 200)}" if place.source != here.source else ""
            yield from _quoted(place, "^" if place is here else "-", beside, label, (margin, room - margin - 3))


def _quoted(
    place: Place, sign: str, beside: Place | None, label: str, columns: tuple[int, int]
) -> Iterator[list[Part]]:
    """A line of a file, and below it `sign` under what is meant, and under what is `beside` it in the same line."""
    margin, room = columns
    length = len(place.line)
    first, cells = _shown(place.line, *_extent(place, length), room)
    last = first + len(cells)
    under = [" " * width for _, width in cells]
    for other, mark in ((beside, "-"), (place, sign)):
        begin, end = _extent(other, length) if other else (0, 0)
        for i in range(max(begin, first), min(end, last)):
            under[i - first] = mark * cells[i - first][1]
        if other is place and begin >= length:
            under.append(sign)
    cut = _CUT if first else ""
    text = cut + "".join(text for text, _ in cells) + (_CUT if last < length else "")
    yield [(f"{place.mark.line:>{margin}} | ", "number"), (text, "")]
    yield [(f"{'':>{margin}} | ", "number"), (" " * len(cut) + "".join(under).rstrip(), "mark"), (label, "")]


def _extent(place: Place, length: int) -> tuple[int, int]:
    """The characters of a line of `length` that are meant, the first and that behind the last, counted from 0."""
    begin = min(place.mark.column - 1, length)
    return begin, min(begin + max(place.width, 1), length)


def _shown(line: str, begin: int, end: int, room: int) -> tuple[int, list[tuple[str, int]]]:
    """The number of the first character of a line that is shown, and those that are, as they are."""
    low = max(0, begin - room)  # no more of it is looked at than there may be room for
    cells = [_cell(each) for each in line[low : begin + 2 * room]]
    whole = low == 0 and len(line) <= begin + 2 * room
    first, last = _window([width for _, width in cells], begin - low, end - low, room, whole=whole)
    return low + first, cells[first:last]


def _window(widths: list[int], begin: int, end: int, room: int, *, whole: bool) -> tuple[int, int]:
    """Which characters are shown: all where there is room, else those around what is meant, its beginning included."""
    if whole and sum(widths) <= room:
        return 0, len(widths)
    room -= 2 * len(_CUT)
    first = last = begin
    used = 0
    while last < min(end, len(widths)) and used + widths[last] <= room:
        used += widths[last]
        last += 1
    while True:
        grown = used
        if first > 0 and used + widths[first - 1] <= room:
            first -= 1
            used += widths[first]
        if last < len(widths) and used + widths[last] <= room:
            used += widths[last]
            last += 1
        if used == grown:
            return first, last


def _cell(each: str) -> tuple[str, int]:
    """A character as it is shown, and how many columns that takes."""
    if each == "\t":
        return " ", 1
    kind = category(each)
    if kind in ("Mn", "Me"):
        return each, 0
    if not each.isprintable():
        code = each.encode("unicode_escape").decode()
        return code, len(code)
    return each, 2 if east_asian_width(each) in "WF" else 1
