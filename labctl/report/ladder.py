"""Packets as they were seen at each place, in the order of the first sighting: a table that reads as a way."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from labctl.probes.wire import Flow
from labctl.report.markup import tag
from labctl.report.words import amount, counted, packet

MOST_ROWS = 60
"""Further kinds of packets are counted: the JSON results have them all."""

ALIKE = 4
"""So many flows or more that differ by their source ports alone are one row."""

OWN_NAMES = ("path ", "source")
"""Taps that labctl sets of its own accord have names that begin so, which no reader wrote."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of packet at one place. `names` are what the description calls the place, `sports` the source ports."""

    flow: Flow
    names: tuple[str, ...]
    sports: tuple[int, ...]


def ladder(flows: Sequence[Flow], segments: Container[str], caption: str) -> Element | None:
    """The table of `flows`; `segments` are the names of the lab's segments. None where there are no packets."""
    rows = rows_of(flow for flow in flows if is_ip(flow))
    if not rows:
        return None
    start = rows[0].flow.first_ms
    heads = (("first seen", "right"), ("where", None), ("packet", None), ("packets", "right"), ("IP bytes", "right"))
    head = tag("tr", *(tag("th", words, class_=class_, scope="col") for words, class_ in heads))
    body = [_row(row, start, segments) for row in rows[:MOST_ROWS]]
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    left = len(rows) - len(body)
    more = [f"{left} more kinds of packets"] if left else []
    others = sum(flow.packets for flow in flows if not is_ip(flow))
    more += [counted(others, "sighting") + " of ARP and the like"] if others else []
    return tag(
        "div", table, tag("p", f"also {' and '.join(more)}: in the JSON results") if more else None, class_="scroll"
    )


def is_ip(flow: Flow) -> bool:
    """Whether it is an IP packet: how neighbours find each other is left aside."""
    return flow.proto != "arp" and not flow.proto.startswith("0x")


def places_of(flows: Iterable[Flow], *, marked: bool) -> list[tuple[str, str]]:
    """Where IP packets with the marker were seen, or such without (namespace, device)."""
    return [(flow.namespace, flow.device) for flow in flows if is_ip(flow) and bool(flow.marked) == marked]


def rows_of(flows: Iterable[Flow]) -> list[Row]:
    """What was seen at one device under several names once, many flows alike once, in the order of time."""
    seen: dict[Flow, list[str]] = {}
    for flow in sorted(flows, key=lambda each: each.first_ms):
        names = seen.setdefault(_nameless(flow), [])
        if not flow.tap.startswith(OWN_NAMES) and flow.tap not in names:
            names.append(flow.tap)
    alike: dict[Flow, list[Flow]] = {}
    for flow in seen:
        alike.setdefault(_portless(flow), []).append(flow)
    rows = []
    for group in alike.values():
        if len(group) >= ALIKE:
            rows.append(Row(_sum(group), tuple(seen[group[0]]), tuple(_sport(flow) for flow in group)))
        else:
            rows += [Row(flow, tuple(seen[flow]), ()) for flow in group]
    return sorted(rows, key=lambda row: row.flow.first_ms)


def _nameless(flow: Flow) -> Flow:
    return replace(flow, tap="", inner=_nameless(flow.inner) if flow.inner else None)


def _portless(flow: Flow) -> Flow:
    """What flows alike have in common."""
    inner = _portless(flow.inner) if flow.inner else None
    bare = replace(flow, sport=0, inner=inner, packets=0, marked=0, data=0, longest=0)
    return replace(bare, hop_limit=0, first_ms=0, last_ms=0, first_marked_ms=0)


def _sum(flows: Sequence[Flow]) -> Flow:
    return replace(
        flows[0],
        packets=sum(flow.packets for flow in flows),
        marked=sum(flow.marked for flow in flows),
        data=sum(flow.data for flow in flows),
        longest=max(flow.longest for flow in flows),
        last_ms=max(flow.last_ms for flow in flows),
    )


def _sport(flow: Flow) -> int:
    return flow.sport or (_sport(flow.inner) if flow.inner else 0)


def _row(row: Row, start: float, segments: Container[str]) -> Element:
    flow = row.flow
    ports = f"{len(row.sports)} ports" if row.sports else ""
    clear = tag("span", "marker in clear", class_="clear") if flow.marked else None
    size = f"{amount(flow.data)}, longest {flow.longest}" if flow.packets > 1 else f"{flow.longest}"
    return tag(
        "tr",
        tag("td", f"+{flow.first_ms - start:.1f} ms", class_="right"),
        tag("td", _place(row, segments)),
        tag("td", packet(flow, sport=ports), " " if clear is not None else None, clear, class_="packet"),
        tag("td", str(flow.packets), class_="right"),
        tag("td", size, class_="right"),
    )


def _place(row: Row, segments: Container[str]) -> str:
    """In a segment a port is called by the node behind it; in a node the device has a name of its own."""
    flow = row.flow
    names = [name for name in row.names if name != flow.namespace]
    if flow.namespace in segments:
        return f"{', '.join(names) or flow.namespace}: port of {flow.device}"
    return f"{flow.namespace}: {flow.device}" + (f" ({', '.join(names)})" if names else "")
