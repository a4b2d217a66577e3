"""What the taps show: the packets that a check looks for, the nodes that its probe crossed, the links its flows took.

Every tap was listening all the time: `labctl.claims.verdicts` has seen to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import assert_never

from labctl.claims.expectations import Hop, Inner, Sight, Spread
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
    Trace,
    Udp,
)

TUNNELS = ("gre", "geneve")
"""What carries another packet in clear."""

_DNS_PORT, _ECHO_REQUEST = 53, "8/0"


@dataclass(slots=True)
class Findings:
    """What is wrong (`faults`), and what the captures leave open (`doubts`)."""

    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def sight_faults(see: Iterable[Sight], silent: Iterable[Sight], flows: Sequence[Flow]) -> list[str]:
    """What was not seen and should have been, and what was seen and should not."""
    faults = [fault for sight in see if (fault := _miscounted(sight, flows))]
    for sight in silent:
        seen = [flow for flow in flows if matches(sight, flow)]
        if seen:
            # Of packets that only some of a flow are, the number is not known.
            count = "seen" if sight.longer else f"seen {_packets(sight, seen)} times"
            faults.append(f"{count}: {sight} (first {seen[0].proto} {seen[0].src} to {seen[0].dst})")
    return faults


def _miscounted(sight: Sight, flows: Sequence[Flow]) -> str:
    """What is wrong with how often a sight was seen, "" where nothing is."""
    packets = _packets(sight, [flow for flow in flows if matches(sight, flow)])
    if sight.least <= packets and (sight.most is None or packets <= sight.most):
        return ""
    return f"seen {packets} times: {sight}" if packets else f"not seen: {sight}"


def _packets(sight: Sight, seen: Sequence[Flow]) -> int:
    return sum(flow.marked if sight.marker else flow.packets for flow in seen)


def matches(sight: Sight, flow: Flow) -> bool:
    """Whether `flow` is such a packet, at such a place."""
    return (
        flow.tap == sight.on
        and (flow.proto == sight.proto if sight.proto else flow.proto != "arp")
        and (sight.src is None or flow.src == str(sight.src))
        and (sight.dst is None or flow.dst == str(sight.dst))
        and (not sight.port or flow.dport == sight.port)
        and (not sight.spis or (flow.proto == "esp" and flow.spi in sight.spis))
        and (sight.vni is None or (flow.proto == "geneve" and flow.vni == sight.vni))
        and (not sight.marker or flow.marked > 0)
        and flow.longest >= (sight.longer + 1 if sight.longer else 0)
        and (sight.inner is None or _matches_inner(sight.inner, flow))
    )


def _matches_inner(inner: Inner, flow: Flow) -> bool:
    """Of GRE and Geneve alone: an ICMP error quotes a packet, it does not carry it."""
    found = flow.inner if flow.proto in TUNNELS else None
    return (
        found is not None
        and inner.proto in ("", found.proto)
        and (inner.src is None or found.src == str(inner.src))
        and (inner.dst is None or found.dst == str(inner.dst))
    )


def in_clear(flow: Flow) -> Flow:
    """The packet itself, without the tunnels around it."""
    return in_clear(flow.inner) if flow.proto in TUNNELS and flow.inner else flow


def is_request(action: Action, flow: Flow) -> bool:
    """Whether marked packets are on the way there: neither an answer nor an ICMP error about one of them."""
    packet = in_clear(flow)
    match action:
        case Dns() | Lookup() | Health():
            return packet.dport == _DNS_PORT
        case Tcp() | Udp() | Http() | Flows() | Connect() | Inject():
            return packet.dport == action.port
        case Trace(proto="udp" | "tcp"):
            return packet.proto == action.proto and packet.dport == action.port
        case Ping() | Trace():
            return packet.icmp == _ECHO_REQUEST
        case Rate():
            return packet.dst == str(action.to)
        case _:
            assert_never(action)


def path_findings(action: Action, path: Sequence[Hop], flows: Sequence[Flow]) -> Findings:
    """The probe itself, told by its marker, must be at each node, and at none before the one that precedes it.

    Captures at one instant show no order.
    """
    there = [flow for flow in flows if flow.marked and is_request(action, flow)]
    at: list[tuple[str, float]] = []
    for hop in path:
        seen = [flow.first_marked_ms for flow in there if flow.tap == hop.tap]
        if not seen:
            return Findings(faults=[f"the probe never crossed {hop.node}"])
        at.append((hop.node, min(seen)))
    if any(later < earlier for (_, earlier), (_, later) in pairwise(at)):
        order = ", ".join(node for node, _ in sorted(at, key=lambda each: each[1]))
        return Findings(faults=[f"the probe crossed {order} in this order"])
    ties = [(one, other) for (one, earlier), (other, later) in pairwise(at) if earlier == later]
    return Findings(doubts=[f"{one} and {other} saw the probe at the same instant" for one, other in ties])


def spread_findings(action: Flows, spread: Spread, flows: Sequence[Flow]) -> Findings:
    """Each flow, told by its five-tuple in clear, on exactly one of the links, and each link with its share."""
    seen = {name: {_five(flow) for flow in flows if _is_of(action, name, flow)} for name in spread.over}
    every = set().union(*seen.values())
    links, missing = ", ".join(spread.over), action.count - len(every)
    found = Findings()
    # Where ESP passes there may be flows that cannot be told apart: their absence in clear proves nothing.
    hidden = [name for name in spread.over if any(flow.tap == name and flow.proto == "esp" for flow in flows)]
    unseen, why = (found.doubts, f"; ESP passes {', '.join(hidden)}") if hidden and missing > 0 else (found.faults, "")
    if missing > 0:
        unseen.append(f"{missing} of {action.count} flows were seen in clear on none of {links}{why}")
    if missing < 0:
        found.faults.append(f"{len(every)} flows were seen on {links}, where {action.count} were sent")
    twice = sum(sum(five in each for each in seen.values()) > 1 for five in every)
    if twice:
        found.faults.append(f"{twice} flow{'s' if twice != 1 else ''} passed more than one of {links}")
    for name, fives in seen.items():
        if len(fives) * 100 < spread.least * action.count:
            unseen.append(f"{name} carried {len(fives)} of {action.count} flows in clear, less than {spread.least} %")
    return found


def _is_of(action: Flows, name: str, flow: Flow) -> bool:
    return flow.tap == name and flow.marked > 0 and is_request(action, flow) and in_clear(flow).proto == action.proto


def _five(flow: Flow) -> tuple[str, str, int, str, int]:
    packet = in_clear(flow)
    return packet.proto, packet.src, packet.sport, packet.dst, packet.dport
