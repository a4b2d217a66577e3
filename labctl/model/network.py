"""The network that a description means: nodes, segments, links, routes, tunnels, translations, programs.

`Network` is the pad that the kinds write on, with one verb per thing; it never names a provider and never a kernel
object. `labctl.plan.compile` turns it into what must exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import chain
from typing import Any, Literal, cast

from labctl.model.numbers import slot_of
from labctl.model.overlays import GENEVE_BYTES as GENEVE_BYTES
from labctl.model.overlays import Overlay as Overlay
from labctl.model.parts import GUARD_METRIC as GUARD_METRIC
from labctl.model.parts import TRANSIT as TRANSIT
from labctl.model.parts import Default as Default
from labctl.model.parts import Node as Node
from labctl.model.parts import Own as Own
from labctl.model.parts import Plug as Plug
from labctl.model.parts import Rule as Rule
from labctl.model.parts import Segment as Segment
from labctl.model.parts import Spot as Spot
from labctl.model.parts import Wire as Wire
from labctl.model.parts import device_name as device_name
from labctl.model.routing import Choice as Choice
from labctl.model.routing import Path as Path
from labctl.model.services import Listen, Vrrp, WatchedPath, Zone
from labctl.model.tunnels import Esp, GreEnd


@dataclass(slots=True)
class Network:
    """The pad. Everything is kept in the order written; names are unique among nodes and segments."""

    nodes: dict[str, Node] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    overlays: dict[str, Overlay] = field(default_factory=dict)
    plugs: list[Plug] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    owns: list[Own] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    gre_ends: list[GreEnd] = field(default_factory=list)
    esps: list[Esp] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    defaults: list[Default] = field(default_factory=list)
    settings: dict[tuple[str, str], str] = field(default_factory=dict)
    states: dict[str, list[str]] = field(default_factory=dict)
    resolvers: dict[str, tuple[IPv4Address, ...]] = field(default_factory=dict)
    resolver_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    zones: dict[str, list[Zone]] = field(default_factory=dict)
    listens: dict[str, list[Listen]] = field(default_factory=dict)
    watched: dict[str, list[WatchedPath]] = field(default_factory=dict)
    vrrp_routers: dict[str, Vrrp] = field(default_factory=dict)
    addresses: dict[str, IPv4Address] = field(default_factory=dict)
    locations: dict[str, tuple[IPv4Address, ...]] = field(default_factory=dict)
    spots: dict[str, list[Spot]] = field(default_factory=dict)
    stub_s: int = 1
    stub_attempts: int = 1
    _pairs: set[int] = field(default_factory=set)
    _guards: set[Path] = field(default_factory=set)

    def node(self, name: str, *, forwards: bool = False, stub: tuple[IPv4Address, ...] = ()) -> None:
        """A host, or a router if it `forwards`."""
        self.nodes[name] = Node(name, forwards, stub)

    def segment(self, name: str, *, mtu: int = 1500, zone: str = "") -> None:
        """A layer-2 segment, to be captured under its own name."""
        self.segments[name] = Segment(name, mtu, zone)
        self.spots.setdefault(name, [])

    def overlay(
        self, name: str, vni: int, members: Mapping[str, IPv4Address], *, mtu: int = 1500 - GENEVE_BYTES
    ) -> None:
        """A layer-2 segment stretched over `members`, nodes that reach each other at these addresses, which must be
        those that they send from. To be captured under its own name: what enters it, in whichever member.
        """
        self.overlays[name] = Overlay(name, vni, tuple(members.items()), mtu)
        self.spots.setdefault(name, [])

    def layer2(self, name: str) -> Segment | Overlay:
        """The segment or overlay called `name`."""
        return self.overlays.get(name) or self.segments[name]

    def plug(
        self,
        node: str,
        segment: str,
        address: IPv4Interface,
        *,
        host: str = "",
        also: tuple[str, ...] = (),
        delay_ms: float = 0.0,
        rate_bit: int = 0,
        send_bit: int = 0,
    ) -> str:
        """Plug `node` into `segment`; its device's name. `host`: into the part of an overlay that this member has.
        `also`: further names to capture this device under.
        """
        device = device_name(f"{segment}.{node}" if node == host else segment)  # its part of an overlay has that name
        plug = Plug(node, segment, device, address, delay_ms, rate_bit, send_bit, host)
        self.plugs.append(plug)
        self.addresses.setdefault(node, address.ip)
        self.spots[segment].append(Spot(*plug.port, "in"))
        for name in also:
            self.spots.setdefault(name, []).append(Spot(*plug.port, "both"))
        return plug.device

    def wire(self, a: str, b: str, *, part: str = "", mtu: int = 1500) -> tuple[IPv4Address, IPv4Address]:
        """A link between two nodes, numbered from `TRANSIT` by their names; the addresses of both ends. `part` tells
        several links between the same two nodes apart: the device of `a` is then called as `b.part`.
        """
        a_device, b_device = (device_name(f"{node}.{part}" if part else node) for node in (b, a))
        pair = slot_of(f"{a} {b} {part}".rstrip(), TRANSIT.num_addresses // 2, self._pairs)
        self._pairs.add(pair)
        ends = IPv4Interface((TRANSIT[2 * pair], 31)), IPv4Interface((TRANSIT[2 * pair + 1], 31))
        self.wires.append(Wire(a, b, a_device, b_device, *ends, mtu))
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
        table: int = 0,
    ) -> None:
        """A route of a node, in its main table or in another, for which there is a `choose`."""
        self.paths.append(Path(node, to, via, device, metric, source, table))

    def choose(self, node: str, table: int, *, source: IPv4Network | None = None, device: str | None = None) -> None:
        """What comes from `source`, or in by `device`, takes the routes of `table` first; of several choices that fit,
        the first one written.
        """
        self.choices.append(Choice(node, table, source, device))

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

    def ends(self) -> Iterator[tuple[str, str]]:
        """Every device of every node, as often as it is asked for: their own, and what overlays put into members."""
        yield from self._devices()
        yield from (plug.port for plug in self.plugs if plug.host)
        for overlay in self.overlays.values():
            yield from ((member, overlay.bridge) for member, _ in overlay.members)

    def _devices(self) -> Iterator[tuple[str, str]]:
        yield from ((plug.node, plug.device) for plug in self.plugs)
        for wire in self.wires:
            yield wire.a, wire.a_device
            yield wire.b, wire.b_device
        yield from ((end.node, end.device) for overlay in self.overlays.values() for end in overlay.tunnels())
        yield from ((end.node, end.device) for end in self.gre_ends)
        yield from ((side.node, esp.name) for esp in self.esps for side in (esp.a, esp.b))

    def holder(self, address: IPv4Address) -> str | None:
        """The node that has `address`."""
        held = chain(
            ((plug.node, plug.address.ip) for plug in self.plugs),
            ((own.node, own.address.ip) for own in self.owns),
            ((wire.a, wire.a_address.ip) for wire in self.wires),
            ((wire.b, wire.b_address.ip) for wire in self.wires),
            ((node, each.ip) for node, router in self.vrrp_routers.items() for _, each in router.addresses),
        )
        return next((node for node, each in held if each == address), None)

    def state(self, resource: str, words: str) -> None:
        """What is to be told of a resource, in words, that no device or route shows."""
        self.states.setdefault(resource, []).append(words)

    def setting(self, node: str, name: str, value: str) -> None:
        """A kernel setting of a node, one under `net.`; what its rules remember is best told once they are there."""
        self.settings[node, name] = value

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

    def vrrp(self, node: str, router: Vrrp) -> None:
        """The node is one router of a virtual router, and holds its addresses while it is the MASTER."""
        self.vrrp_routers[node] = router

    def resolver(self, node: str, addresses: tuple[IPv4Address, ...], **options: Any) -> None:
        """The node answers DNS at these addresses, from the zones that it is given; `options`: those of a Resolver."""
        self.resolvers[node] = addresses
        self.resolver_options[node] = options

    def locations_of(self, name: str, addresses: tuple[IPv4Address, ...]) -> None:
        """The resource `name` has servers at these addresses, whose health can be asked for."""
        self.locations[name] = addresses

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
