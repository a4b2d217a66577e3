"""How nodes choose the way of a packet: routes, in the main table or in others, and which table is asked first."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True, slots=True)
class Path:
    """A route of a node, in `table` (0: the main one). Neither `via` nor `device`: unreachable: the sender is told."""

    node: str
    to: IPv4Network
    via: IPv4Address | None = None
    device: str | None = None
    metric: int = 0
    source: IPv4Address | None = None
    table: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """What comes from `source`, or in by `device` (None: whatever it is), takes the routes of `table` before those of
    later choices and of the main table.
    """

    node: str
    table: int
    source: IPv4Network | None = None
    device: str | None = None
