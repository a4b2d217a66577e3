"""Routes, neighbours and routing rules as the kernel lists them. Pure parsing; see rtnetlink(7), linux/neighbour.h."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network

from labctl.kernel.netlink import DUMP, ROUTE, Message, attribute, attributes
from labctl.kernel.observe_layouts import Layouts
from labctl.plan.objects import Removal

_DELROUTE, _GETROUTE, _GETNEIGH, _DELRULE, _GETRULE = 25, 26, 30, 33, 34
_RTMSG = struct.Struct("=BBBBBBBBI")
_NDMSG = struct.Struct("=BxxxiHBB")
_U32 = struct.Struct("=I")
_AF_INET, _AF_UNSPEC = 2, 0
_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _MULTIPATH = 1, 4, 5, 6, 7, 9
_NDA_DST, _NDA_LLADDR, _PERMANENT = 1, 2, 0x80
_FRA_PRIORITY, _FRA_TABLE = 6, 15
_MAIN, _BY_KERNEL = 254, 2
_USUAL_RULES = {(0, 255), (32766, 254), (32767, 253)}
"""Priority and table of the rules that every namespace has: local, main, default."""
TYPES = {1: "unicast", 6: "blackhole", 7: "unreachable"}

_ROUTES = Layouts(_RTMSG.size, (_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _MULTIPATH))
_NEIGHBOURS = Layouts(_NDMSG.size, (_NDA_DST, _NDA_LLADDR))

LIST_ROUTES = Message(_GETROUTE, DUMP, _RTMSG.pack(_AF_INET, 0, 0, 0, _MAIN, 0, 0, 0, 0), "list routes")
"""On a connection that is strict: those of the main table."""
LIST_NEIGHBOURS = Message(_GETNEIGH, DUMP, _NDMSG.pack(_AF_INET, 0, 0, 0, 0), "list neighbours")
LIST_RULES = Message(_GETRULE, DUMP, _RTMSG.pack(_AF_INET, 0, 0, 0, 0, 0, 0, 0, 0), "list rules")


@dataclass(slots=True)
class Way:
    """A route of the main table that the kernel did not make by itself; addresses as bytes, b"" for none.

    `type` "": one that no Route can be, by its kind or because it holds for one type of service only.
    """

    to: bytes
    length: int
    metric: int
    type: str
    via: bytes
    device: int
    source: bytes

    @property
    def network(self) -> IPv4Network:
        """Where it leads."""
        return IPv4Network((self.to, self.length))


def way(body: bytes) -> Way | None:
    """A listed route; None for one that the kernel made, or that belongs to another table."""
    _, length, _, tos, table, protocol, _, kind, _ = _RTMSG.unpack_from(body)
    if table != _MAIN or protocol == _BY_KERNEL:
        return None
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


@lru_cache(maxsize=64)
def extra_rule(body: bytes) -> tuple[str, Removal] | None:
    """A listed rule in words, and what removes it; None for those that every namespace has."""
    head, found = _RTMSG.unpack_from(body), attributes(body[_RTMSG.size :])
    priority = _number(found.get(_FRA_PRIORITY))
    table = _number(found.get(_FRA_TABLE)) or head[4]
    if (priority, table) in _USUAL_RULES and not (head[1] or head[2]):
        return None
    return f"rule {priority}: table {table}", Removal(ROUTE, _DELRULE, body.hex())


def _number(value: bytes | None) -> int:
    return int(_U32.unpack(value)[0]) if value else 0
