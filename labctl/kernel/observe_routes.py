"""Routes, neighbours and routing rules as the kernel lists them. Pure parsing; see rtnetlink(7), linux/neighbour.h."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network

from labctl.kernel.netlink import DUMP, ROUTE, Message, attribute, attributes
from labctl.kernel.observe_layouts import Layouts
from labctl.kernel.rules import USUAL
from labctl.plan.objects import Removal, RouteRule

_DELROUTE, _GETROUTE, _GETNEIGH, _DELRULE, _GETRULE = 25, 26, 30, 33, 34
_RTMSG = struct.Struct("=BBBBBBBBI")
_PROTOCOL_AT = 5
_NDMSG = struct.Struct("=BxxxiHBB")
_U32 = struct.Struct("=I")
_AF_INET, _AF_UNSPEC = 2, 0
_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _MULTIPATH = 1, 4, 5, 6, 7, 9
_NDA_DST, _NDA_LLADDR, _PERMANENT = 1, 2, 0x80
_TABLE = 15
_FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY, _FRA_TABLE, _FRA_SUPPRESS, _FRA_PROTOCOL = 2, 3, 6, 15, 14, 21
_TO_TABLE, _SUPPRESS_NOTHING, _IIF_DETACHED = 1, b"\xff\xff\xff\xff", 8
_PLAIN_RULE = {_FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY, _FRA_TABLE, _FRA_SUPPRESS, _FRA_PROTOCOL}
_MAIN, _BY_KERNEL = 254, 2
TYPES = {1: "unicast", 6: "blackhole", 7: "unreachable"}

_ROUTES = Layouts(_RTMSG.size, (_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _MULTIPATH))
_NEIGHBOURS = Layouts(_NDMSG.size, (_NDA_DST, _NDA_LLADDR))

LIST_ROUTES = Message(_GETROUTE, DUMP, _RTMSG.pack(_AF_INET, 0, 0, 0, 0, 0, 0, 0, 0), "list routes")
LIST_NEIGHBOURS = Message(_GETNEIGH, DUMP, _NDMSG.pack(_AF_INET, 0, 0, 0, 0), "list neighbours")
LIST_RULES = Message(_GETRULE, DUMP, _RTMSG.pack(_AF_INET, 0, 0, 0, 0, 0, 0, 0, 0), "list rules")


@dataclass(slots=True)
class Way:
    """A route of `table` (0: the main one) that the kernel did not make by itself; addresses as bytes, b"" for none.

    `type` "": one that no Route can be, by its kind or because it holds for one type of service only.
    """

    to: bytes
    length: int
    metric: int
    type: str
    via: bytes
    device: int
    source: bytes
    table: int = 0

    @property
    def network(self) -> IPv4Network:
        """Where it leads."""
        return IPv4Network((self.to, self.length))


def way(body: bytes) -> Way | None:
    """A listed route; None for one that the kernel made."""
    if body[_PROTOCOL_AT] == _BY_KERNEL:
        return None
    _, length, _, tos, table, _, _, kind, _ = _RTMSG.unpack_from(body)
    found = _ROUTES.attributes(body)
    if _MULTIPATH in found:
        # Of several next hops the first is told: enough to see that it is another route, and to have it replaced.
        hop = found[_MULTIPATH]
        found = {**found, _OIF: hop[4:8], _GATEWAY: attributes(hop[8:]).get(_GATEWAY, b"")}
    return Way(
        found.get(_DST, b"\0\0\0\0"),
        length,
        _number(found.get(_PRIORITY)),
        "" if tos else TYPES.get(kind, ""),
        found.get(_GATEWAY, b""),
        _number(found.get(_OIF)),
        found.get(_PREFSRC, b""),
        0 if table == _MAIN else _number(attributes(body[_RTMSG.size :]).get(_TABLE)) or table,
    )


def removal(body: bytes) -> Removal:
    """What removes the listed route `body`."""
    *head, _ = _RTMSG.unpack_from(body)
    return Removal(ROUTE, _DELROUTE, (_RTMSG.pack(*head, 0) + body[_RTMSG.size :]).hex())


def find_neighbour(device: int, address: int) -> Message:
    """Ask for one neighbour. The table is that of all namespaces, so that each listing of it passes over every entry
    of the machine.
    """
    body = _NDMSG.pack(_AF_INET, device, 0, 0, 0) + attribute(_NDA_DST, address.to_bytes(4, "big"))
    return Message(_GETNEIGH, 0, body, "find a neighbour")


def neighbour(body: bytes) -> tuple[int, bytes, bytes] | None:
    """Device, address and MAC address of a listed entry that is permanent."""
    _, device, state, _, _ = _NDMSG.unpack_from(body)
    if not state & _PERMANENT:
        return None
    found = _NEIGHBOURS.attributes(body)
    return device, found.get(_NDA_DST, b""), found.get(_NDA_LLADDR, b"")


@dataclass(frozen=True, slots=True)
class Choice:
    """A listed routing rule. `plain`: it says nothing that a RouteRule does not say as well."""

    priority: int
    table: int
    source: IPv4Network | None
    device: str | None
    plain: bool
    removal: Removal

    @property
    def usual(self) -> bool:
        """Whether it is one of those that every namespace has."""
        return (self.priority, self.table) in USUAL and not (self.source or self.device) and self.plain

    def rule(self, namespace: str) -> RouteRule:
        """As an object of a plan; what is not plain is in `removal` alone."""
        return RouteRule(namespace, self.priority, self.table, self.source, self.device)


@lru_cache(maxsize=256)
def choice(body: bytes) -> Choice:
    """A listed routing rule."""
    _, to_length, length, tos, small, _, _, action, flags = _RTMSG.unpack_from(body)
    found = attributes(body[_RTMSG.size :])
    plain = found.keys() <= _PLAIN_RULE and found.get(_FRA_SUPPRESS, _SUPPRESS_NOTHING) == _SUPPRESS_NOTHING
    return Choice(
        _number(found.get(_FRA_PRIORITY)),
        _number(found.get(_FRA_TABLE)) or small,
        IPv4Network((IPv4Address(found[_FRA_SRC]), length)) if _FRA_SRC in found else None,
        found[_FRA_IIFNAME].rstrip(b"\0").decode(errors="replace") if _FRA_IIFNAME in found else None,
        plain and action == _TO_TABLE and not (to_length or tos or flags & ~_IIF_DETACHED),
        Removal(ROUTE, _DELRULE, body.hex()),
    )


def _number(value: bytes | None) -> int:
    return int(_U32.unpack(value)[0]) if value else 0
