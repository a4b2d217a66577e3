"""The lab's picture: its network drawn from the model, from left to right or from top to bottom, whichever fits.

Boxes are nodes, filled bars are segments, lines join them, dashed curves are tunnels. The same picture, faint,
with some of its lines lit, shows a path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element

from labctl.model.network import Network
from labctl.report.graph import Graph, Part, graph_of
from labctl.report.layout import Place, Size, lay_out, neighbours, ordered
from labctl.report.markup import add, tag
from labctl.report.svg import Point, drawing, flowing, path, rect, text, wide

PAGE = 1120
"""A picture wider than this would be shrunk by the page."""

MARGIN = 10
MOST_LINES = 6
"""Of addresses in a box; all of them are in its hint."""

NAME_SIZE, KIND_SIZE, LINE_SIZE = 13.0, 11.0, 11.0
ROW = 14
PORTS_APART = 16.0
BASE = "lab-picture"


PlaceName = tuple[str, str]
"""Where packets are captured: a namespace, and a device in it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn network. `lines` are the shapes of its routes, by their numbers in `graph`."""

    graph: Graph
    width: float
    height: float
    base: Element
    boxes: dict[str, Element]
    lines: tuple[str, ...]

    def whole(self, title: str) -> Element:
        """The picture itself, to which the paths refer."""
        names = ", ".join(part.label for part in self.graph.parts.values() if part.sort == "node")
        return drawing(self.width, self.height, title, f"The nodes {names}, and what joins them.", self.base)

    def lit(self, title: str, places: Iterable[PlaceName], others: Iterable[PlaceName] = ()) -> Element | None:
        """The picture with the lines lit that are at `places`, and less so those at `others`; None if none is known."""
        known = self.graph.places
        found = {known[place]: "lit" for place in places if place in known}
        found = {**{known[place]: "lit other" for place in others if place in known}, **found}
        if not found:
            return None
        routes = [self.graph.routes[number] for number in found]
        told = "; ".join(route.tip for route in routes)
        group = tag("g", *(path(self.lines[number], class_) for number, class_ in found.items()))
        touched = dict.fromkeys(part for route in routes for part in route.parts)
        boxes = [self.boxes[name] for name in touched if name in self.boxes]
        base = tag("use", href=f"#{BASE}", class_="faint")
        return drawing(self.width, self.height, title, told, base, group, *boxes, class_="path")


def draw(net: Network, kinds: Mapping[str, str], root: str) -> Picture:
    """The picture of `net`, as seen from the node `root`."""
    graph = graph_of(net, kinds, root)
    rows = ordered(graph.layers, graph.ties)
    every = [_drawn(graph, rows, sideways=sideways) for sideways in (True, False)]
    return min(every, key=lambda each: (max(each.width, PAGE), each.height))


def _drawn(graph: Graph, rows: Sequence[Sequence[str]], *, sideways: bool) -> Picture:
    ports: dict[str, int] = {}
    near = neighbours(graph.ties)
    for part, others in near.items():
        sides = [graph.layers[other][1] > graph.layers[part][1] for other in others]
        ports[part] = max(sides.count(True), sides.count(False))
    sizes = {name: _size(part, ports.get(name, 0), sideways) for name, part in graph.parts.items()}
    places = lay_out(rows, sizes, graph.ties, *((44, 12) if sideways else (34, 20)))
    lines = tuple(flowing(points, sideways=sideways) for points in _routes(graph, places, sideways))
    base = tag("g", id=BASE)
    for route, d in zip(graph.routes, lines, strict=True):
        base.append(path(d, f"link {route.sort}", route.tip))
    boxes = {}
    for name, each in graph.parts.items():
        shape = _shape(each, places[name], sideways)
        if shape is not None:
            boxes[name] = add(base, shape)[-1]
    along = max((place.until for place in places.values()), default=0.0) + 2 * MARGIN
    across = max((place.across + place.size.across / 2 for place in places.values()), default=0.0) + 2 * MARGIN
    width, height = (along, across) if sideways else (across, along)
    return Picture(graph, width, height, base, boxes, lines)


def _size(part: Part, ports: int, sideways: bool) -> Size:
    least = ports * PORTS_APART + 4
    if part.sort == "wire":
        return Size(2, 14)
    if part.sort == "lane":
        width = wide(part.label, KIND_SIZE) + 14 if part.label else 4
        return Size(width, 22, 3) if sideways else Size(20, max(width, 20), 3)
    lines = _lines(part)
    widths = [wide(part.label, NAME_SIZE, bold=True), *(wide(each, LINE_SIZE, mono=True) for each in lines)]
    if part.sort == "segment":
        if sideways:
            return Size(max(widths) + 16, max(36, least))
        return Size(24, max(sum(widths) + 26, least))
    width = max(*widths, wide(part.kind, KIND_SIZE)) + 18
    height = 38 + ROW * len(lines)
    return Size(width, max(height, least)) if sideways else Size(height, max(width, least))


def _lines(part: Part) -> tuple[str, ...]:
    if len(part.lines) <= MOST_LINES:
        return part.lines
    return (*part.lines[: MOST_LINES - 1], f"and {len(part.lines) - MOST_LINES + 1} more")


def _point(along: float, across: float, sideways: bool) -> Point:
    return (along + MARGIN, across + MARGIN) if sideways else (across + MARGIN, along + MARGIN)


def _routes(graph: Graph, places: Mapping[str, Place], sideways: bool) -> list[list[Point]]:
    """The points of each line, four for each step of it: out of a part to the edge of its layer, over to the edge of
    the next layer, into the next part.
    """
    ports = _ports(graph, places)
    found = []
    for number, route in enumerate(graph.routes):
        points = []
        for step, (one, other) in enumerate(pairwise(route.parts)):
            later = places[other].along > places[one].along
            out, out_edge = _sides(places[one], later)
            into, into_edge = _sides(places[other], not later)
            leaves, arrives = ports[number, 2 * step], ports[number, 2 * step + 1]
            points += [_point(out, leaves, sideways), _point(out_edge, leaves, sideways)]
            points += [_point(into_edge, arrives, sideways), _point(into, arrives, sideways)]
        found.append(points)
    return found


def _sides(place: Place, later: bool) -> tuple[float, float]:
    """Where a part ends, and where its layer does, towards the next layer or the one before."""
    half = place.size.along / 2
    return (place.along + half, place.until) if later else (place.along - half, place.since)


def _ports(graph: Graph, places: Mapping[str, Place]) -> dict[tuple[int, int], float]:
    """Where across each end of each step of a line is: on one side of a part they stand in the order of their far
    ends, so that they do not cross there.
    """
    sides: dict[tuple[str, bool], list[tuple[float, int, int]]] = {}
    for number, route in enumerate(graph.routes):
        for step, (one, other) in enumerate(pairwise(route.parts)):
            later = places[other].along > places[one].along
            sides.setdefault((one, later), []).append((places[other].across, number, 2 * step))
            sides.setdefault((other, not later), []).append((places[one].across, number, 2 * step + 1))
    found = {}
    for (name, _), ends in sides.items():
        place = places[name]
        apart = min(PORTS_APART, (place.size.across - 4) / len(ends))
        for i, (_, number, end) in enumerate(sorted(ends)):
            found[number, end] = place.across + (i - (len(ends) - 1) / 2) * apart
    return found


def _shape(part: Part, place: Place, sideways: bool) -> Element | None:
    x, y = _point(place.along, place.across, sideways)
    size = place.size
    width, height = (size.along, size.across) if sideways else (size.across, size.along)
    if part.sort == "wire" or not part.label:
        return None
    if part.sort == "lane":
        box = rect(x - width / 2, y - 9, width, 18, f"chip {part.kind}", 9)
        return tag("g", box, text(x, y + 4, part.label, f"tunnel {part.kind}", "middle"))
    lines = _lines(part)
    tip = " ".join([part.label, part.kind, *part.lines])
    if part.sort == "segment":
        box = rect(x - width / 2, y - height / 2, width, height, "segment", 5, tip)
        return tag("g", box, *_segment_words(part, x, y, width, sideways))
    box = rect(x - width / 2, y - height / 2, width, height, "box router" if part.forwards else "box", 7, tip)
    top = y - (38 + ROW * len(lines)) / 2
    words = [text(x, top + 18, part.label, "name", "middle"), text(x, top + 32, part.kind, "kind", "middle")]
    words += [text(x, top + 46 + ROW * i, each, "address", "middle") for i, each in enumerate(lines)]
    return tag("g", box, *words)


def _segment_words(part: Part, x: float, y: float, width: float, sideways: bool) -> list[Element]:
    lines = _lines(part)
    if sideways:
        top = y - 7 * len(lines)
        return [
            text(x, top + 4, part.label, "wire-name", "middle"),
            *(text(x, top + 18 + ROW * i, each, "prefix", "middle") for i, each in enumerate(lines)),
        ]
    left = x - width / 2 + 9
    return [
        text(left, y + 4, part.label, "wire-name"),
        text(x + width / 2 - 9, y + 4, " ".join(lines), "prefix", "end"),
    ]
