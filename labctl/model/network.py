"""The network that a description means: nodes, segments, links, routes, tunnels, translations, programs.

`Network` is the pad that the kinds write on, with one verb per thing; it never names a provider and never a kernel
object. `labctl.plan.compile` turns it into what must exist.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import chain
from typing import Literal, cast

from labctl.model.numbers import slot_of
from labctl.model.services import Listen, WatchedPath, Zone
from labctl.model.tunnels import Esp, GreEnd

TRANSIT = IPv4Network("169.254.64.0/18")
"""Where links without addresses of their own get them: /31 pairs (RFC 3021) of link-local space (RFC 3927)."""

DEVICE_LENGTH = 15
GUARD_METRIC = 4_000_000
"""Unreachable routes that only count when no real route is left."""


def device_name(wanted: str) -> str:
    """A device name: `wanted`, or where it is longer than the kernel allows, its head and a hash of all of it."""
    plain = wanted.replace(".", "-")
    if len(plain) <= DEVICE_LENGTH:
        return plain
    return f"{plain[:9]}-{hashlib.sha256(wanted.encode()).hexdigest()[:5]}"


@dataclass(frozen=True, slots=True)
class Node:
    """A host or a router: one network namespace. `stub`: the DNS servers that its applications ask."""

    name: str
    forwards: bool
    stub: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """A layer-2 segment: whoever is plugged in shares it. `zone`: the availability zone that it is in, "" for none."""

    name: str
    mtu: int
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Plug:
    """A node's device in a segment. What the segment sends to the node arrives `delay_ms` later, at most `rate_bit` per
    second; what the node sends leaves at most at `send_bit` (0: no limit).
    """

    node: str
    segment: str
    device: str
    address: IPv4Interface
    delay_ms: float = 0.0
    rate_bit: int = 0
    send_bit: int = 0


@dataclass(frozen=True, slots=True)
class Wire:
    """A link between two nodes that nothing else shares. What either sends arrives `delay_ms` later, at most `rate_bit`
    per second (0: no limit).
    """

    a: str
    b: str
    a_device: str
    b_device: str
    a_address: IPv4Interface
    b_address: IPv4Interface
    mtu: int
    delay_ms: float = 0.0
    rate_bit: int = 0


@dataclass(frozen=True, slots=True)
class Own:
    """A further address of a node: on `device`, or on its loopback."""

    node: str
    device: str
    address: IPv4Interface


@dataclass(frozen=True, slots=True)
class Path:
    """A route of a node. Neither `via` nor `device`: unreachable, so that the sender is told."""

    node: str
    to: IPv4Network
    via: IPv4Address | None = None
    device: str | None = None
    metric: int = 0
    source: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One packet-filter or translation rule of a node, as the words of an appended iptables rule."""

    node: str
    table: Literal["filter", "nat", "mangle"]
    chain: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Default:
    """What a chain of the filter table does with a packet that no rule matched."""

    node: str
    chain: Literal["INPUT", "FORWARD", "OUTPUT"]
    verdict: Literal["ACCEPT", "DROP"]


@dataclass(frozen=True, slots=True)
class Spot:
    """A place to capture: a device of a node, or a port of a segment."""

    namespace: str
    device: str
    direction: Literal["in", "both"]


@dataclass(slots=True)
class Network:
    """The pad. Everything is kept in the order written; names are unique among nodes and segments."""

    nodes: dict[str, Node] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    plugs: list[Plug] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    owns: list[Own] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    gre_ends: list[GreEnd] = field(default_factory=list)
    esps: list[Esp] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    defaults: list[Default] = field(default_factory=list)
    resolvers: dict[str, tuple[IPv4Address, ...]] = field(default_factory=dict)
    zones: dict[str, list[Zone]] = field(default_factory=dict)
    listens: dict[str, list[Listen]] = field(default_factory=dict)
    watched: dict[str, list[WatchedPath]] = field(default_factory=dict)
    addresses: dict[str, IPv4Address] = field(default_factory=dict)
    spots: dict[str, list[Spot]] = field(default_factory=dict)
    _pairs: set[int] = field(default_factory=set)
    _guards: set[Path] = field(default_factory=set)

    def node(self, name: str, *, forwards: bool = False, stub: tuple[IPv4Address, ...] = ()) -> None:
        """A host, or a router if it `forwards`."""
        self.nodes[name] = Node(name, forwards, stub)

    def segment(self, name: str, *, mtu: int = 1500, zone: str = "") -> None:
        """A layer-2 segment, to be captured under its own name."""
        self.segments[name] = Segment(name, mtu, zone)
        self.spots.setdefault(name, [])

    def plug(
        self,
        node: str,
        segment: str,
        address: IPv4Interface,
        *,
        also: tuple[str, ...] = (),
        delay_ms: float = 0.0,
        rate_bit: int = 0,
        send_bit: int = 0,
    ) -> str:
        """Plug `node` into `segment`; its device's name. `also`: further names to capture this device under."""
        device = device_name(segment)
        self.plugs.append(Plug(node, segment, device, address, delay_ms, rate_bit, send_bit))
        self.addresses.setdefault(node, address.ip)
        self.spots[segment].append(Spot(segment, device_name(node), "in"))
        for name in also:
            self.spots.setdefault(name, []).append(Spot(segment, device_name(node), "both"))
        return device

    def wire(self, a: str, b: str, *, mtu: int = 1500) -> tuple[IPv4Address, IPv4Address]:
        """A link between two nodes, numbered from `TRANSIT` by their names; the addresses of both ends."""
        pair = slot_of(f"{a} {b}", TRANSIT.num_addresses // 2, self._pairs)
        self._pairs.add(pair)
        ends = IPv4Interface((TRANSIT[2 * pair], 31)), IPv4Interface((TRANSIT[2 * pair + 1], 31))
        self.wires.append(Wire(a, b, device_name(b), device_name(a), *ends, mtu))
        return ends[0].ip, ends[1].ip

    def link(
        self,
        name: str,
        a: tuple[str, IPv4Interface],
        b: tuple[str, IPv4Interface],
        *,
        mtu: int = 1500,
        delay_ms: float = 0.0,
        rate_bit: int = 0,
    ) -> None:
        """A link between two nodes with its own name and addresses, to be captured under this name: at one of its ends,
        which sees what either sends.
        """
        device = device_name(name)
        self.wires.append(Wire(a[0], b[0], device, device, a[1], b[1], mtu, delay_ms, rate_bit))
        for node, interface in (a, b):
            self.addresses.setdefault(node, interface.ip)
        self.spots[name] = [Spot(a[0], device, "both")]

    def own(self, node: str, address: IPv4Address, *, device: str = "lo", known: bool = True) -> None:
        """A host address of the node; if `known`, the one that it is called by."""
        self.owns.append(Own(node, device, IPv4Interface((int(address), 32))))
        if known:
            self.addresses[node] = address

    def route(
        self,
        node: str,
        to: IPv4Network,
        *,
        via: IPv4Address | None = None,
        device: str | None = None,
        metric: int = 0,
        source: IPv4Address | None = None,
    ) -> None:
        """A route of a node."""
        self.paths.append(Path(node, to, via, device, metric, source))

    def guard(self, node: str, to: IPv4Network) -> None:
        """While no real route to `to` is left, senders are told so; nothing follows the default route instead."""
        guard = Path(node, to, metric=GUARD_METRIC)
        if guard not in self._guards:
            self._guards.add(guard)
            self.paths.append(guard)

    def default(self, node: str, via: IPv4Address) -> None:
        """The default route of a node."""
        self.route(node, IPv4Network("0.0.0.0/0"), via=via)

    def gre(self, end: GreEnd) -> None:
        """One end of a GRE tunnel."""
        self.gre_ends.append(end)

    def esp(self, esp: Esp) -> None:
        """An ESP tunnel."""
        self.esps.append(esp)

    def devices(self, node: str) -> tuple[str, ...]:
        """The devices of a node, in the order in which they were written; the loopback is not among them."""
        return tuple(device for where, device in self._devices() if where == node)

    def every_device(self) -> dict[str, list[str]]:
        """The devices of every node likewise."""
        found: dict[str, list[str]] = {node: [] for node in self.nodes}
        for node, device in self._devices():
            found[node].append(device)
        return found

    def _devices(self) -> Iterator[tuple[str, str]]:
        yield from ((plug.node, plug.device) for plug in self.plugs)
        for wire in self.wires:
            yield wire.a, wire.a_device
            yield wire.b, wire.b_device
        yield from ((end.node, end.device) for end in self.gre_ends)
        yield from ((side.node, esp.name) for esp in self.esps for side in (esp.a, esp.b))

    def holder(self, address: IPv4Address) -> str | None:
        """The node that has `address`."""
        held = chain(
            ((plug.node, plug.address.ip) for plug in self.plugs),
            ((own.node, own.address.ip) for own in self.owns),
            ((wire.a, wire.a_address.ip) for wire in self.wires),
            ((wire.b, wire.b_address.ip) for wire in self.wires),
        )
        return next((node for node, each in held if each == address), None)

    def rule(self, node: str, table: Literal["filter", "nat", "mangle"], chain: str, *words: object) -> None:
        """A packet-filter or translation rule."""
        self.rules.append(Rule(node, table, chain, tuple(str(word) for word in words)))

    def otherwise(self, node: str, chain: Literal["INPUT", "FORWARD", "OUTPUT"], verdict: Literal["DROP"]) -> None:
        """What becomes of packets that no rule of the chain matched."""
        self.defaults.append(Default(node, chain, verdict))

    def clamp(self, node: str, device: str) -> None:
        """Fit the segments of TCP connections through `device` to its MTU (RFC 4459 section 3.2)."""
        clamp = ("-p", "tcp", "--tcp-flags", "SYN,RST", "SYN", "-j", "TCPMSS", "--clamp-mss-to-pmtu")
        self.rule(node, "mangle", "FORWARD", "-o", device, *clamp)

    def watch(self, node: str, path: WatchedPath) -> None:
        """A path of the node's path watcher: its routes exist while the far end answers."""
        self.watched.setdefault(node, []).append(path)

    def resolver(self, node: str, addresses: tuple[IPv4Address, ...]) -> None:
        """The node answers DNS at these addresses, from the zones that it is given."""
        self.resolvers[node] = addresses

    def zone(self, resolver: str, zone: Zone) -> None:
        """A zone of a resolver, which is the node of that name."""
        self.zones.setdefault(resolver, []).append(zone)

    def listen(self, node: str, ports: tuple[tuple[str, int], ...]) -> None:
        """Test servers at these ports of a node."""
        listens = [Listen(cast(Literal["tcp", "udp", "http"], proto), port) for proto, port in ports]
        self.listens.setdefault(node, []).extend(listens)


def host_prefix(address: IPv4Address) -> IPv4Network:
    """The prefix that holds `address` alone."""
    return IPv4Network((int(address), 32))
