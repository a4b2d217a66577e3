"""Hints that only the model knows, for faults that the reader found: a server's addresses, the links near a node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labctl.description.faults import Fault
from labctl.model.network import Network

_NEAR = 8


def hinted(faults: Iterable[Fault], net: Network) -> list[Fault]:
    """The same faults, each with the hint that the model has for it, if any."""
    return [replace(each, hint=_hint(each, net) or each.hint) for each in faults]


def _hint(fault: Fault, net: Network) -> str:
    last = fault.path.rpartition(".")[2]
    if fault.path.endswith(".dns.server") and fault.value in net.resolvers:
        return f"its addresses: {', '.join(map(str, net.resolvers[fault.value]))}"
    node, dot, _ = fault.value.partition(".")
    if dot and node in net.nodes and last in ("on", "link", "link_down", "blackhole", "drop", "flap"):
        return _near(net, node, fault=last != "on")
    return ""


def _near(net: Network, node: str, *, fault: bool) -> str:
    """The links that are at a node, and how to mean one side of it."""
    sides = [name for name in net.spots if name.startswith(f"{node}.") and name not in net.segments]
    segments = list(dict.fromkeys(plug.segment for plug in net.plugs if plug.node == node))
    wires = [name for name, spots in net.spots.items() if any(spot.namespace == node for spot in spots)]
    links = list(dict.fromkeys((*sides, *segments, *wires)))[:_NEAR]
    if not links:
        return f"{node} has no link with a name; `on: {node}` is all of its links" if not fault else ""
    said = f"at {node} there {'are' if len(links) > 1 else 'is'} {', '.join(links)}"
    if not fault:
        return f"{said}; {node} alone is all of its links"
    if segments and not sides:
        return f"{said}; what {node} alone sends: one_way: {{link: {segments[0]}, source: {node}}}"
    return said
