"""From the model to what must exist. The same model gives the same plan, byte for byte."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from labctl.model.network import Network, Plug, Wire
from labctl.model.services import PathWatcher, Resolver, Server
from labctl.model.tunnels import Esp, EspSide
from labctl.plan.objects import (
    Address,
    Bridge,
    End,
    Geneve,
    Gre,
    KernelObject,
    Namespace,
    Neighbour,
    Plan,
    Process,
    Route,
    RouteRule,
    Ruleset,
    Shaper,
    Sysctl,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)

BRIDGE = "br0"
FIRST_CHOICE = 1000
"""The priority of a node's first routing rule; the others follow it. The kernel's own are 0, 32766 and 32767."""
TABLES = ("filter", "nat", "mangle")
ARP_WIRES = 250
"""Up to so many links the nodes find each other by ARP; beyond, each end is told the other's MAC address for good.

The kernel has one IPv4 neighbour table for all of its namespaces. With more than 512 entries it forgets even those of
the last seconds, and it takes none beyond 1024 (arp(7), gc_thresh2 and gc_thresh3); permanent ones do not count. A link
in use needs two.
"""
STRETCHED = ("attempt_ms", "patience_ms", "negative_s", "positive_s")
"""The timers of a resolver."""
INBOUND: tuple[Literal["in", "fwd"], ...] = ("in", "fwd")


def compile_plan(lab: str, net: Network, time_scale: int = 1) -> Plan:
    """Every object of the lab, in an order in which each can be created after those before it.

    `time_scale` stretches the timers of the lab's own programs, for kernels too slow to keep them.
    """
    every = (
        _namespaces(net),
        _bridges(net),
        _links(net),
        _tunnels(net),
        _addresses(net),
        _neighbours(net),
        _associations(net),
        _rulesets(net),
        _settings(net),
        _routes(net),
        _choices(net),
        _shapers(net),
        _processes(net, time_scale),
    )
    return Plan(lab, tuple(each for group in every for each in group))


def _namespaces(net: Network) -> Iterator[KernelObject]:
    for node in net.nodes.values():
        yield Namespace(node.name, node.forwards)
    for segment in net.segments:
        yield Namespace(segment)


def _bridges(net: Network) -> Iterator[KernelObject]:
    for segment in net.segments.values():
        yield Bridge(segment.name, BRIDGE, segment.mtu)
    for overlay in net.overlays.values():
        for member, _ in overlay.members:
            yield Bridge(member, overlay.bridge, overlay.mtu)


def _links(net: Network) -> Iterator[KernelObject]:
    for plug in net.plugs:
        yield _plug(plug, net)
    for wire in net.wires:
        yield _wire(wire)


def _plug(plug: Plug, net: Network) -> Veth:
    where, port = plug.port
    bridge = net.overlays[plug.segment].bridge if plug.host else BRIDGE
    node_end = End(plug.node, plug.device, _mac(plug.node, plug.device))
    return Veth(node_end, End(where, port, _mac(where, port), bridge), net.layer2(plug.segment).mtu)


def _wire(wire: Wire) -> Veth:
    a = End(wire.a, wire.a_device, _mac(wire.a, wire.a_device))
    b = End(wire.b, wire.b_device, _mac(wire.b, wire.b_device))
    return Veth(a, b, wire.mtu)


@functools.lru_cache(1 << 14)
def _mac(namespace: str, device: str) -> str:
    """A locally administered unicast MAC address (IEEE 802 section 8.4) that two runs agree on."""
    return f"02:{hashlib.sha256(f'{namespace}/{device}'.encode()).digest()[:5].hex(':')}"


def _tunnels(net: Network) -> Iterator[KernelObject]:
    for overlay in net.overlays.values():
        for each in overlay.tunnels():
            mac = _mac(each.node, each.device)
            ends = each.local, each.remote
            yield Geneve(each.node, each.device, overlay.vni, *ends, overlay.mtu, mac, overlay.bridge)
    for end in net.gre_ends:
        yield Gre(end.node, end.device, end.local, end.remote, end.mtu, up=end.up)
    for esp in net.esps:
        for side in (esp.a, esp.b):
            yield XfrmInterface(side.node, esp.name, esp.number, side.device, esp.mtu)


def _addresses(net: Network) -> Iterator[KernelObject]:
    for plug in net.plugs:
        yield Address(plug.node, plug.device, plug.address)
    for wire in net.wires:
        yield Address(wire.a, wire.a_device, wire.a_address)
        yield Address(wire.b, wire.b_device, wire.b_address)
    for own in dict.fromkeys(net.owns):
        yield Address(own.node, own.device, own.address)
    for end in net.gre_ends:
        yield Address(end.node, end.device, end.inner)


def _neighbours(net: Network) -> Iterator[KernelObject]:
    for wire in net.wires if len(net.wires) > ARP_WIRES else ():
        yield Neighbour(wire.a, wire.a_device, wire.b_address.ip, _mac(wire.b, wire.b_device))
        yield Neighbour(wire.b, wire.b_device, wire.a_address.ip, _mac(wire.a, wire.a_device))


def _associations(net: Network) -> Iterator[KernelObject]:
    every = (each for esp in net.esps for each in _of_tunnel(esp))
    yield from dict.fromkeys(every)  # tunnels between the same prefixes discard the same packets


def _of_tunnel(esp: Esp) -> Iterator[KernelObject]:
    for node in (esp.a.node, esp.b.node):
        yield from _states(esp, node)
    yield from _policies(esp, esp.a, esp.b)
    yield from _policies(esp, esp.b, esp.a)


def _states(esp: Esp, node: str) -> Iterator[XfrmState]:
    there, back = esp.spis
    for spi, one, other, direction in ((there, esp.a, esp.b, "ab"), (back, esp.b, esp.a, "ba")):
        key = f"{esp.name}.{direction}"
        yield XfrmState(node, one.address, other.address, spi, esp.cipher, key, esp.number)


def _policies(esp: Esp, near: EspSide, far: EspSide) -> Iterator[XfrmPolicy]:
    outward, inward = (near.address, far.address), (far.address, near.address)
    for mine in near.behind:
        for theirs in far.behind:
            yield XfrmPolicy(near.node, "out", mine, theirs, "protect", esp.number, outward)
            for direction in INBOUND:
                yield XfrmPolicy(near.node, direction, theirs, mine, "protect", esp.number, inward)
                if esp.inbound_clear == "discard":
                    yield XfrmPolicy(near.node, direction, theirs, mine, "discard")


def _rulesets(net: Network) -> Iterator[KernelObject]:
    lines: dict[tuple[str, str], list[str]] = {}
    for default in net.defaults:
        lines.setdefault((default.node, "filter"), []).append(f":{default.chain} {default.verdict} [0:0]")
    for rule in net.rules:
        lines.setdefault((rule.node, rule.table), []).append(" ".join(("-A", rule.chain, *rule.words)))
    ruled = {node for node, _ in lines}
    for node in net.nodes:
        if node in ruled:
            tables = ((table, lines.get((node, table))) for table in TABLES)
            yield Ruleset(node, tuple((table, tuple(each)) for table, each in tables if each))


def _routes(net: Network) -> Iterator[KernelObject]:
    for path in dict.fromkeys(net.paths):
        told = path.via is None and path.device is None
        kind: Literal["unreachable", "unicast"] = "unreachable" if told else "unicast"
        yield Route(path.node, path.to, path.via, path.device, kind, path.metric, path.source, path.table)


def _choices(net: Network) -> Iterator[KernelObject]:
    """Rules after the routes: a table is not asked before it is complete."""
    priorities: dict[str, int] = {}
    for each in dict.fromkeys(net.choices):
        priority = priorities.get(each.node, FIRST_CHOICE)
        priorities[each.node] = priority + 1
        yield RouteRule(each.node, priority, each.table, each.source, each.device)


def _settings(net: Network) -> Iterator[KernelObject]:
    """After the rules: some settings come with the module that a rule needs."""
    for (node, name), value in net.settings.items():
        yield Sysctl(node, name, value)


def _shapers(net: Network) -> Iterator[KernelObject]:
    for plug in net.plugs:
        mtu = net.layer2(plug.segment).mtu
        if plug.delay_ms or plug.rate_bit:
            yield Shaper(*plug.port, plug.delay_ms, rate_bit=plug.rate_bit, mtu=mtu)
        if plug.send_bit:
            yield Shaper(plug.node, plug.device, rate_bit=plug.send_bit, mtu=mtu)
    for wire in net.wires:
        if wire.delay_ms or wire.rate_bit:
            yield Shaper(wire.a, wire.a_device, wire.delay_ms, rate_bit=wire.rate_bit, mtu=wire.mtu)
            yield Shaper(wire.b, wire.b_device, wire.delay_ms, rate_bit=wire.rate_bit, mtu=wire.mtu)


def programs(net: Network, node: str) -> tuple[str, ...]:
    """The programs that run in `node`, by the names of their processes."""
    return tuple(each.name for each in _processes(net, 1) if isinstance(each, Process) and each.namespace == node)


def _processes(net: Network, time_scale: int) -> Iterator[KernelObject]:
    for node, listens in net.listens.items():
        if listens:
            yield Process(node, "server", Server(node, tuple(listens)))
    for node, addresses in net.resolvers.items():
        options = {
            name: value * time_scale if name in STRETCHED else value
            for name, value in net.resolver_options.get(node, {}).items()
        }
        yield Process(node, "resolver", Resolver(addresses, tuple(net.zones.get(node, ())), **options))
    for node, paths in net.watched.items():
        stretched = (replace(path, interval_ms=path.interval_ms * time_scale) for path in paths)
        yield Process(node, "watcher", PathWatcher(tuple(stretched)))
    for node, router in net.vrrp_routers.items():
        yield Process(node, "vrrp", replace(router, interval_ms=router.interval_ms * time_scale))
