"""From a fault as written to the devices, programs and associations that it breaks.

What a node sends into a segment arrives at its port there, and what it sends into a cable at the device of the node at
the other end. A fault of a whole link concerns where packets arrive; one of a single side of a node, written `gw.isp1`,
the node's own device as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import assert_never, cast

from labctl.description.drills import (
    BlackholeSpec,
    DegradeSpec,
    DropSpec,
    FaultSpec,
    FlapSpec,
    FreezeSpec,
    KillSpec,
    LinkDownSpec,
    OneWaySpec,
    RekeySpec,
    ZoneOffSpec,
)
from labctl.model.network import Network, Plug, device_name
from labctl.model.tunnels import FRESH_SPI
from labctl.plan.faults import Blackhole, Degrade, Drop, Fault, Flap, Freeze, Kill, LinkDown, Port, Proto, Rekey
from labctl.plan.objects import Plan, Process, Shaper, XfrmState


@dataclass(frozen=True, slots=True)
class Plugged:
    """A node on a link: its own device, and the port at which what it sends arrives. What the port sends to the node is
    `delay_ms` late.
    """

    node: str
    device: Port
    port: Port
    mtu: int
    delay_ms: float


@dataclass(frozen=True, slots=True)
class Faults:
    """Resolves the faults of a description; they are sound: `labctl.claims.refusals_faults` has said so.

    `time_scale` stretches how long a flap is down and up.
    """

    net: Network
    plan: Plan
    time_scale: int = 1

    def resolve(self, spec: FaultSpec) -> Fault:
        """The fault, ready to be put in."""
        match spec:
            case LinkDownSpec(link=link):
                return LinkDown(_ports(plugs_of(self.net, link)))
            case FlapSpec(link=link):
                ports = _ports(plugs_of(self.net, link))
                return Flap(ports, spec.times, spec.down * self.time_scale, spec.up * self.time_scale)
            case ZoneOffSpec(zone=zone):
                there = [each for each in self.net.plugs if self.net.layer2(each.segment).zone == zone]
                return LinkDown(tuple(_plug(self.net, each).port for each in there))
            case BlackholeSpec(link=link):
                return Blackhole(self._silenced(link), cast(Proto, spec.proto))
            case OneWaySpec(link=link, source=source):
                sender = [each for each in plugs_of(self.net, link) if each.node == source]
                return Blackhole(_ports(sender), cast(Proto, spec.proto))
            case DropSpec(link=link):
                return Drop(self._silenced(link), spec.packets, cast(Proto, spec.proto))
            case DegradeSpec():
                return self._degrade(spec)
            case KillSpec(node=node, program=program):
                whole = (*(() if program else (node,)), *spec.also)
                programs = (
                    *self._programs(node, program),
                    *(each for one in spec.also for each in self._programs(one, "")),
                )
                return Kill(programs, tuple(each for one in whole for each in self._devices(one)))
            case FreezeSpec(node=node, program=program):
                return Freeze(self._programs(node, program), () if program else self._devices(node))
            case RekeySpec(connection=connection):
                return self._rekey(connection)
            case _:
                assert_never(spec)

    def _silenced(self, link: str) -> tuple[Port, ...]:
        """Where packets arrive: from the nodes at the ports of the link; to a node, where only its side is meant."""
        plugs = plugs_of(self.net, link)
        return (*_ports(plugs), *(each.device for each in plugs if is_side(self.net, link)))

    def _degrade(self, spec: DegradeSpec) -> Degrade:
        """What the link sends to its nodes gets worse, so that a packet meets it once; of a side, what it sends too."""
        plugs = shaped(self.net, spec.link)
        ports = [(plug.port, plug.mtu) for plug in plugs]
        ports += [(plug.device, plug.mtu) for plug in plugs if is_side(self.net, spec.link)]
        planned = {each.identity: each for each in self.plan.objects if isinstance(each, Shaper)}
        usual, worse = [], []
        for port, mtu in ports:
            now = planned.get((port.namespace, port.device), Shaper(port.namespace, port.device, mtu=mtu))
            usual += [now] if now.identity in planned else []
            delay, jitter = now.delay_ms + spec.delay, now.jitter_ms + spec.jitter
            worse.append(replace(now, delay_ms=delay, jitter_ms=jitter, loss_percent=float(spec.loss)))
        return Degrade(tuple(usual), tuple(worse))

    def _programs(self, node: str, name: str) -> tuple[Process, ...]:
        """The programs of a node, or the one called `name`."""
        every = (each for each in self.plan.objects if isinstance(each, Process) and each.namespace == node)
        return tuple(each for each in every if name in ("", each.name))

    def _devices(self, node: str) -> tuple[Port, ...]:
        """The devices by which a node hangs on others, and others on it; its tunnels go by these."""
        hosted = (Port(*plug.port) for plug in self.net.plugs if plug.host == node)
        return (*(each.device for each in _plugged(self.net) if each.node == node), *hosted)

    def _rekey(self, connection: str) -> Rekey:
        esp = next(each for each in self.net.esps if each.name == device_name(connection))
        states = (each for each in self.plan.objects if isinstance(each, XfrmState) and each.if_id == esp.number)
        old = tuple(each for each in states if each.namespace in (esp.a.node, esp.b.node))
        return Rekey(old, tuple(replace(each, spi=each.spi | FRESH_SPI, key=f"{each.key}.fresh") for each in old))


def in_words(spec: FaultSpec) -> str:
    """The fault for reports: `link_down isp1`, `drop 1 esp on isp1`."""
    match spec:
        case LinkDownSpec():
            return f"link_down {spec.link}"
        case BlackholeSpec():
            return f"blackhole {_flow(spec.proto)}{spec.link}"
        case OneWaySpec():
            return f"one_way {_flow(spec.proto)}{spec.link} from {spec.source}"
        case KillSpec():
            return " and ".join((f"kill {_part(spec.program)}{spec.node}", *spec.also))
        case FreezeSpec():
            return f"freeze {_part(spec.program)}{spec.node}"
        case RekeySpec():
            return f"rekey {spec.connection}"
        case DropSpec():
            what = spec.proto or ("packet" if spec.packets == 1 else "packets")
            return f"drop {spec.packets} {what} on {spec.link}"
        case DegradeSpec():
            parts = (("delay", spec.delay, "ms"), ("jitter", spec.jitter, "ms"), ("loss", spec.loss, "%"))
            worse = ", ".join(f"{what} {much} {unit}" for what, much, unit in parts if much)
            return f"degrade {spec.link}: {worse}"
        case FlapSpec():
            return f"flap {spec.link} {spec.times} times"
        case ZoneOffSpec():
            return f"zone_off {spec.zone}"
        case _:
            assert_never(spec)


def _flow(proto: str) -> str:
    return f"{proto} on " if proto else ""


def _part(program: str) -> str:
    return f"{program} of " if program else ""


def plugs_of(net: Network, link: str) -> list[Plugged]:
    """Who is on a link, or on the one side of a node."""
    spots = {Port(spot.namespace, spot.device) for spot in net.spots.get(link, [])}
    return [each for each in _plugged(net) if spots & {each.port, each.device}]


def shaped(net: Network, link: str) -> list[Plugged]:
    """The plugs at which a link gets worse: not that of an internet's own router, which its customers lie beyond."""
    return [each for each in plugs_of(net, link) if each.node != link]


def is_side(net: Network, link: str) -> bool:
    """Whether `link` is one side of a node rather than a link that nodes share."""
    ports = {plug.port for plug in net.plugs}
    return any(spot.direction == "both" and (spot.namespace, spot.device) in ports for spot in net.spots.get(link, []))


def zones(net: Network) -> tuple[str, ...]:
    """The availability zones that have a subnet."""
    return tuple(sorted({each.zone for each in net.segments.values()} - {""}))


def _plugged(net: Network) -> Iterator[Plugged]:
    yield from (_plug(net, plug) for plug in net.plugs)
    for wire in net.wires:
        a, b = Port(wire.a, wire.a_device), Port(wire.b, wire.b_device)
        yield Plugged(wire.a, a, b, wire.mtu, wire.delay_ms)
        yield Plugged(wire.b, b, a, wire.mtu, wire.delay_ms)


def _plug(net: Network, plug: Plug) -> Plugged:
    mtu = net.layer2(plug.segment).mtu
    return Plugged(plug.node, Port(plug.node, plug.device), Port(*plug.port), mtu, plug.delay_ms)


def _ports(plugs: list[Plugged]) -> tuple[Port, ...]:
    return tuple(each.port for each in plugs)
