"""A network as a graph to draw: nodes and segments are parts, and so are links and tunnels, which need room as well.

Nodes stand in the even layers, what joins them in the odd ones; a tunnel over several layers gets a lane in each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Literal

from labctl.model.network import Network, Overlay, Segment
from labctl.model.tunnels import GreEnd
from labctl.report.layout import Ties, layers_from

Sort = Literal["node", "segment", "wire", "lane"]
TunnelSort = Literal["gre", "esp"]


@dataclass(frozen=True, slots=True)
class Part:
    """Something to draw. `lines` are what is written in it, below its name; `forwards`: a router."""

    name: str
    sort: Sort
    label: str = ""
    kind: str = ""
    lines: tuple[str, ...] = ()
    forwards: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A line to draw: from part to part, through the lanes between them."""

    sort: Literal["plug", "wire", "gre", "esp"]
    parts: tuple[str, ...]
    tip: str


@dataclass(slots=True)
class Graph:
    """The parts by name, the layer of each (see `layers_from`), and the lines.

    `places`: for each place of capture (namespace, device) the number of the line that it is at.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    places: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def ties(self) -> Ties:
        """Every pair of parts that a line joins."""
        return [pair for route in self.routes for pair in zip(route.parts, route.parts[1:], strict=False)]


def graph_of(net: Network, kinds: Mapping[str, str], root: str) -> Graph:
    """The graph of `net`, seen from the node `root`; `kinds` are the words for what nodes are."""
    graph = Graph()
    for node in net.nodes.values():
        kind = kinds.get(node.name, "router" if node.forwards else "host").replace("_", " ")
        graph.parts[node.name] = Part(
            node.name, "node", node.name, kind, tuple(_addresses(net, node.name)), node.forwards
        )
    shared: list[Segment | Overlay] = [*net.segments.values(), *net.overlays.values()]
    for segment in shared:
        lines = dict.fromkeys(str(each) for each in _prefixes(net, segment.name))
        lines |= {f"VNI {segment.vni}": None} if isinstance(segment, Overlay) else {}
        kind = "overlay" if isinstance(segment, Overlay) else ""
        graph.parts[segment.name] = Part(segment.name, "segment", segment.name, kind, tuple(lines))
    _plug(graph, net)
    _wire(graph, net)
    first = root if root in net.nodes else next(iter(net.nodes), "")
    if first:
        graph.layers = layers_from(first, [*net.nodes, *net.segments, *net.overlays], graph.ties)
    _tunnel(graph, net)
    return graph


def _addresses(net: Network, node: str) -> Iterable[str]:
    """The node's addresses, the one that it is called by first; links of the lab's own numbering are left out."""
    known = net.addresses.get(node)
    plugs = [plug.address.ip for plug in net.plugs if plug.node == node]
    owns = [own.address.ip for own in net.owns if own.node == node]
    inner = [end.inner.ip for end in net.gre_ends if end.node == node]
    every = [*([known] if known else []), *plugs, *owns, *inner]
    return (str(address) for address in dict.fromkeys(every))


def _prefixes(net: Network, segment: str) -> Iterable[IPv4Network]:
    return (plug.address.network for plug in net.plugs if plug.segment == segment)


def _plug(graph: Graph, net: Network) -> None:
    """A line from each node to each segment that it is in, also where its own device is plugged into its own part of an
    overlay.
    """
    tips: dict[tuple[str, str], list[str]] = {}
    places: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for plug in net.plugs:
        ends = (plug.node, plug.segment)
        tips.setdefault(ends, []).append(f"{plug.node} {plug.device} {plug.address}")
        places.setdefault(ends, []).extend(((plug.node, plug.device), plug.port))
    for overlay in net.overlays.values():
        for member, address in overlay.members:
            ends = (member, overlay.name)
            tips.setdefault(ends, []).append(f"{member}: Geneve, VNI {overlay.vni}, at {address}")
            tunnels = (each for each in overlay.tunnels() if each.node == member)
            places.setdefault(ends, []).extend((each.node, each.device) for each in tunnels)
    for ends, told in tips.items():
        graph.places |= dict.fromkeys(places[ends], len(graph.routes))
        graph.routes.append(Route("plug", ends, "; ".join(told)))


def _wire(graph: Graph, net: Network) -> None:
    for i, wire in enumerate(net.wires):
        name = f"wire/{i}"
        graph.parts[name] = Part(name, "wire")
        at = len(graph.routes)
        tip = f"{wire.a} {wire.a_address} to {wire.b} {wire.b_address}"
        graph.routes.append(Route("wire", (wire.a, name, wire.b), tip))
        graph.places[wire.a, wire.a_device] = at
        graph.places[wire.b, wire.b_device] = at


def _tunnel(graph: Graph, net: Network) -> None:
    for i, end in enumerate(net.gre_ends):
        for other in net.gre_ends[:i]:
            if (other.local, other.remote) == (end.remote, end.local):
                at = _lane(graph, "gre", end.device, other.node, end.node, _gre_tip(other, end))
                graph.places[other.node, other.device] = graph.places[end.node, end.device] = at
    for esp in net.esps:
        tip = f"ESP {esp.name}: {esp.a.address} to {esp.b.address}, {esp.cipher}"
        at = _lane(graph, "esp", esp.name, esp.a.node, esp.b.node, tip)
        graph.places[esp.a.node, esp.name] = graph.places[esp.b.node, esp.name] = at


def _gre_tip(a: GreEnd, b: GreEnd) -> str:
    return f"GRE {a.device}: {a.local} to {b.local}, inside {a.inner} to {b.inner}"


def _lane(graph: Graph, sort: TunnelSort, name: str, a: str, b: str, tip: str) -> int:
    """A tunnel from `a` to `b`: a lane in each layer between, or beside both if they share one; its line's number.

    The name is written in the middle one of the lanes among links, where there is most room.
    """
    (component, here), (_, there) = graph.layers[a], graph.layers[b]
    if here > there:
        return _lane(graph, sort, name, b, a, tip)
    between = list(range(here + 1, there)) or [here + 1]
    odd = [layer for layer in between if layer % 2]
    named = odd[len(odd) // 2] if odd else between[0]
    lanes = []
    for layer in between:
        part = Part(f"lane/{len(graph.parts)}", "lane", f"{name} {sort.upper()}" if layer == named else "", sort)
        graph.parts[part.name] = part
        graph.layers[part.name] = (component, layer)
        lanes.append(part.name)
    graph.routes.append(Route(sort, (a, *lanes, b), tip))
    return len(graph.routes) - 1
