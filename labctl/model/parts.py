"""What a network is made of: nodes, segments, links between them, their addresses and rules, as data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal

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
    second; what the node sends leaves at most at `send_bit` (0: no limit). `host`: of an overlay, the member in whose
    part of it the device is plugged.
    """

    node: str
    segment: str
    device: str
    address: IPv4Interface
    delay_ms: float = 0.0
    rate_bit: int = 0
    send_bit: int = 0
    host: str = ""

    @property
    def port(self) -> tuple[str, str]:
        """Where the other end is: its node or segment, and its name there."""
        if self.host:
            return self.host, device_name(f"{self.node}.{self.segment}")
        return self.segment, device_name(self.node)


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
    """A place to capture: a device of a node, or a port of a segment or of an overlay's part in a node."""

    namespace: str
    device: str
    direction: Literal["in", "both"]
