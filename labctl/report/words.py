"""Packets, probes, places and times in words, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, assert_never

from labctl.probes.wire import (
    Action,
    Connect,
    Dns,
    Flow,
    Flows,
    Health,
    Http,
    Inject,
    Lookup,
    Ping,
    Rate,
    Tcp,
    TcpReport,
    Trace,
    Udp,
)

_ICMP = {
    "0/0": "echo reply",
    "3/0": "network unreachable",
    "3/1": "host unreachable",
    "3/3": "port unreachable",
    "3/4": "fragmentation needed",
    "3/9": "network prohibited",
    "3/10": "host prohibited",
    "3/13": "prohibited",
    "5/1": "redirect",
    "8/0": "echo request",
    "11/0": "time exceeded",
}
"""ICMP TYPE/CODE (RFC 792, 1812) in words."""


_PROTOCOLS = {"2": "IGMP", "112": "VRRP"}
"""IP protocols (IANA) that captures tell by their numbers and labs have."""

PHASES = ("up", "verify", "down")
"""In this order a lab goes through them."""


def milliseconds(ms: float) -> str:
    """A time with about three digits."""
    if ms >= 10_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


def durations(seconds: Mapping[str, float]) -> str:
    """How long each phase took, in the order in which they come."""
    phases = sorted(seconds, key=lambda phase: PHASES.index(phase) if phase in PHASES else len(PHASES))
    return ", ".join(f"{phase} {seconds[phase]:.1f} s" for phase in phases)


def amount(count: float, unit: str = "B") -> str:
    """A number with a decimal prefix and three digits: 1.05 MB."""
    prefixes = iter(("", "k", "M", "G"))
    prefix = next(prefixes)
    while count >= 999.5 and prefix != "G":
        count /= 1000
        prefix = next(prefixes)
    return f"{count:.3g} {prefix}{unit}"


def counted(number: int, noun: str) -> str:
    """1 packet, 2 packets."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def packet(flow: Flow, *, sport: str = "") -> str:
    """What the packets of a flow are, the packet inside included. `sport` stands in for the source port."""
    words = [_name(flow), f"{_end(flow.src, flow.sport, sport)} → {_end(flow.dst, flow.dport)}"]
    if flow.spi:
        words.append(f"SPI 0x{flow.spi:08x}")
    if flow.vni >= 0:
        words.append(f"VNI {flow.vni}")
    if flow.inner:
        words.append(f"{'about' if flow.proto == 'icmp' else 'around'} ({packet(flow.inner, sport=sport)})")
    return " ".join(words)


def _name(flow: Flow) -> str:
    if flow.icmp:
        return f"ICMP {_ICMP.get(flow.icmp, flow.icmp)}"
    return _PROTOCOLS.get(flow.proto, f"IP protocol {flow.proto}" if flow.proto.isdecimal() else flow.proto.upper())


def _end(address: str, port: int, instead: str = "") -> str:
    return f"{address} ({instead})" if port and instead else f"{address}:{port}" if port else address


def probe(action: Action) -> str:
    """What a probe does."""
    match action:
        case Dns():
            return f"ask {action.server} for {action.name} {action.type} over {action.transport}"
        case Tcp():
            return f"connect to {_target(action)} by TCP and send {amount(action.send)}"
        case Udp():
            return f"send a datagram to {action.to}:{action.port}"
        case Ping():
            return f"ping {action.to} with {action.size} B of data{', not to be fragmented' if action.df else ''}"
        case Http():
            return f"GET {action.path} of {action.host} from {_target(action)}"
        case Trace():
            port = f" port {action.port}" if action.proto != "icmp" else ""
            return f"trace the hops to {action.to} with {action.proto}{port}"
        case Rate():
            offer = f", offered {amount(action.offer_bit, 'bit/s')}" if action.proto == "udp" else ""
            return f"send {action.proto} to {action.to} for {milliseconds(action.for_ms)}{offer}"
        case Flows():
            return f"open {action.count} {action.proto} flows to {action.to}:{action.port}"
        case Connect():
            return f"open {counted(action.count, 'connection')} to {_target(action)} and hold them together"
        case Lookup():
            return f"look {action.name} up by {action.by}"
        case Health():
            return f"ask {' and '.join(map(str, action.servers))} whether they answer DNS"
        case Inject():
            return f"forge a TCP SYN from {action.source} to {action.to}:{action.port}, handed to {action.via}"
        case _:
            assert_never(action)


def _target(action: Tcp | Http | Connect) -> str:
    return f"{action.named.name if action.named else action.to}:{action.port}"


def route(places: Iterable[str]) -> str:
    """A way in nodes, each but the last with the device by which it was left; places are NODE/DEVICE."""
    legs: dict[str, str] = {}
    for place in places:
        node, _, device = place.partition("/")
        legs[node] = device
    *left, last = legs.items()
    return " > ".join([*(f"{node} ({device})" for node, device in left), last[0]])


def shortened(words: str, most: int = 70) -> str:
    """At most so many characters."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def streamed(proto: Literal["udp", "tcp"]) -> str:
    """What a stream is made of."""
    return "numbered packets" if proto == "udp" else "numbered records in a TCP connection"


def tcp(report: TcpReport) -> str:
    """What became of the TCP connection beside a stream."""
    if report.intact:
        return f"intact, longest stall {milliseconds(report.longest_stall_ms)}"
    return f"broken: {report.reason}" if report.reason else "broken"


def listed(words: Iterable[str], most: int) -> str:
    """At most so many words; of the others their number."""
    every = list(words)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
