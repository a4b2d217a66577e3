"""rtnetlink messages for addresses and routes. Pure packing; see rtnetlink(7)."""

from __future__ import annotations

import errno
import struct

from labctl.kernel.netlink import CREATE, DUMP, EXCL, REPLACE, Message, attribute, attributes, u32
from labctl.plan.objects import Address, Route

_RTM_NEWADDR, _RTM_DELADDR, _RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 20, 21, 24, 25, 26
_IFADDR = struct.Struct("=BBBBI")
_RTMSG = struct.Struct("=BBBBBBBBI")
_AF_INET = 2
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_TABLE = 1, 4, 5, 6, 7, 15
TABLE_MAIN, PROTO_KERNEL, PROTO_STATIC = 254, 2, 4
_SMALL_TABLE = 256  # a greater number has no room in the head of a message
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_NOWHERE = 0, 253, 255
_TYPES = {"unicast": 1, "blackhole": 6, "unreachable": 7}
_RTNH_F_ONLINK = 4


def address(item: Address, device: int) -> Message:
    """Add an address to the device with index `device`."""
    return Message(_RTM_NEWADDR, CREATE | EXCL, _address(item, device), ("create", item), item)


def delete_address(item: Address, device: int) -> Message:
    """Remove an address; it may be gone already."""
    tolerated = (errno.EADDRNOTAVAIL, errno.ENODEV)
    return Message(_RTM_DELADDR, 0, _address(item, device), ("delete", item), item, tolerated)


def route(item: Route, device: int | None, *, replace: bool = False) -> Message:
    """Add a route, or put it in the place of the one to the same network with the same metric."""
    verb, flags = ("change", CREATE | REPLACE) if replace else ("create", CREATE | EXCL)
    scope = _SCOPE_LINK if item.type == "unicast" and item.via is None else _SCOPE_UNIVERSE
    body = _route(item, device, PROTO_STATIC, scope)
    return Message(_RTM_NEWROUTE, flags, body, (verb, item), item)


def delete_route(item: Route, device: int | None) -> Message:
    """Remove a route; it may be gone already.

    The whole next hop is given, because metric 0 in a deletion matches a route of any metric.
    """
    body = _route(item, device, 0, _SCOPE_NOWHERE)
    return Message(_RTM_DELROUTE, 0, body, ("delete", item), item, tolerated=(errno.ESRCH, errno.ENODEV))


def list_routes() -> Message:
    """Ask for all IPv4 routes."""
    return Message(_RTM_GETROUTE, DUMP, _RTMSG.pack(_AF_INET, 0, 0, 0, 0, 0, 0, 0, 0), "list routes")


def leaves_by(body: bytes, device: int) -> bool:
    """Whether the listed route `body` goes through `device` and is not one that the kernel makes by itself."""
    oif = attributes(body[_RTMSG.size :]).get(_RTA_OIF, b"")
    return oif == struct.pack("=I", device) and _RTMSG.unpack_from(body)[5] != PROTO_KERNEL


def has_gateway(body: bytes) -> bool:
    """Whether the listed route `body` needs another route to its gateway."""
    return _RTA_GATEWAY in attributes(body[_RTMSG.size :])


def restore(body: bytes, what: str, subject: object) -> Message:
    """Add the listed route `body` again; that it exists is fine."""
    *head, flags = _RTMSG.unpack_from(body)
    # The listing also tells the state of the next hop (dead, link down), which may not be asked for.
    body = _RTMSG.pack(*head, flags & _RTNH_F_ONLINK) + body[_RTMSG.size :]
    return Message(_RTM_NEWROUTE, CREATE | EXCL, body, what, subject, tolerated=(errno.EEXIST,))


def _address(item: Address, device: int) -> bytes:
    packed = item.address.packed
    head = _IFADDR.pack(_AF_INET, item.address.network.prefixlen, 0, _SCOPE_UNIVERSE, device)
    return head + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)


def _route(item: Route, device: int | None, protocol: int, scope: int) -> bytes:
    length = item.to.prefixlen
    table = item.table or TABLE_MAIN
    small = table if table < _SMALL_TABLE else 0
    head = _RTMSG.pack(_AF_INET, length, 0, 0, small, protocol, scope, _TYPES[item.type], 0)
    parts = [
        b"" if small else u32(_RTA_TABLE, table),
        attribute(_RTA_DST, item.to.network_address.packed) if length else b"",
        attribute(_RTA_GATEWAY, item.via.packed) if item.via else b"",
        u32(_RTA_OIF, device) if device is not None else b"",
        u32(_RTA_PRIORITY, item.metric) if item.metric else b"",
        attribute(_RTA_PREFSRC, item.source.packed) if item.source else b"",
    ]
    return head + b"".join(parts)
