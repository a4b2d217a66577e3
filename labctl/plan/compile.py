"""From the model to what must exist. The same model gives the same plan, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Interface
from typing import Literal

from labctl.model.network import Esp, EspSide, Network, Plug, Wire, device_name
from labctl.model.services import PathWatcher, Resolver, Server
from labctl.plan.objects import (
    Address,
    Bridge,
    End,
    Gre,
    KernelObject,
    Namespace,
    Plan,
    Process,
    Route,
    Ruleset,
    Shaper,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)

BRIDGE = "br0"
TABLES = ("filter", "nat", "mangle")
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
        _associations(net),
        _rulesets(net),
        _routes(net),
        _shapers(net),
        _processes(net, time_scale),
    )
    distinct = {(type(each), each.identity): each for group in every for each in group}
    return Plan(lab, tuple(distinct.values()))


def _namespaces(net: Network) -> Iterator[KernelObject]:
    for node in net.nodes.values():
        yield Namespace(node.name, node.forwards)
    for segment in net.segments:
        yield Namespace(segment)


def _bridges(net: Network) -> Iterator[KernelObject]:
    for segment in net.segments.values():
        yield Bridge(segment.name, BRIDGE, segment.mtu)


def _links(net: Network) -> Iterator[KernelObject]:
    for plug in net.plugs:
        yield _plug(plug, net.segments[plug.segment].mtu)
    for wire in net.wires:
        yield _wire(wire)


def _plug(plug: Plug, mtu: int) -> Veth:
    port = device_name(plug.node)
    node_end = End(plug.node, plug.device, _mac(plug.node, plug.device))
    return Veth(node_end, End(plug.segment, port, _mac(plug.segment, port), BRIDGE), mtu)


def _wire(wire: Wire) -> Veth:
    a = End(wire.a, wire.a_device, _mac(wire.a, wire.a_device))
    b = End(wire.b, wire.b_device, _mac(wire.b, wire.b_device))
    return Veth(a, b, wire.mtu)


def _mac(namespace: str, device: str) -> str:
    """A locally administered unicast MAC address (IEEE 802 section 8.4) that two runs agree on."""
    digest = hashlib.sha256(f"{namespace}/{device}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def _tunnels(net: Network) -> Iterator[KernelObject]:
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
    for own in net.owns:
        yield Address(own.node, own.device, own.address)
    for end in net.gre_ends:
        yield Address(end.node, end.device, IPv4Interface(end.inner))


def _associations(net: Network) -> Iterator[KernelObject]:
    for esp in net.esps:
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
    for node in net.nodes:
        tables = tuple((table, lines) for table in TABLES if (lines := _table(net, node, table)))
        if tables:
            yield Ruleset(node, tables)


def _table(net: Network, node: str, table: str) -> tuple[str, ...]:
    defaults = (each for each in net.defaults if each.node == node and table == "filter")
    rules = (each for each in net.rules if (each.node, each.table) == (node, table))
    return (
        *(f":{each.chain} {each.verdict} [0:0]" for each in defaults),
        *(" ".join(("-A", each.chain, *each.words)) for each in rules),
    )


def _routes(net: Network) -> Iterator[KernelObject]:
    for path in net.paths:
        told = path.via is None and path.device is None
        route = Route(path.node, path.to, path.via, path.device, metric=path.metric, source=path.source)
        yield replace(route, type="unreachable") if told else route


def _shapers(net: Network) -> Iterator[KernelObject]:
    for plug in net.plugs:
        mtu = net.segments[plug.segment].mtu
        if plug.delay_ms or plug.rate_bit:
            yield Shaper(plug.segment, device_name(plug.node), plug.delay_ms, rate_bit=plug.rate_bit, mtu=mtu)
        if plug.send_bit:
            yield Shaper(plug.node, plug.device, rate_bit=plug.send_bit, mtu=mtu)


def _processes(net: Network, time_scale: int) -> Iterator[KernelObject]:
    for node, listens in net.listens.items():
        if listens:
            yield Process(node, "server", Server(node, tuple(listens)))
    for node, addresses in net.resolvers.items():
        yield Process(node, "resolver", Resolver(addresses, tuple(net.zones.get(node, ()))))
    for node, paths in net.watched.items():
        stretched = (replace(path, interval_ms=path.interval_ms * time_scale) for path in paths)
        yield Process(node, "watcher", PathWatcher(tuple(stretched)))
