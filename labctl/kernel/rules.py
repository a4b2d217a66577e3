"""rtnetlink messages for routing rules. Pure packing; see rtnetlink(7), linux/fib_rules.h."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

from labctl.kernel.netlink import CREATE, EXCL, Message, attribute, text, u32
from labctl.kernel.routes import PROTO_KERNEL, PROTO_STATIC
from labctl.plan.objects import Namespace, RouteRule

_RTM_NEWRULE, _RTM_DELRULE = 32, 33
_FIB_RULE = struct.Struct("=BBBBBBBBI")
_AF_INET, _TO_TABLE = 2, 1
_FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY, _FRA_TABLE, _FRA_PROTOCOL = 2, 3, 6, 15, 21
USUAL = frozenset({(0, 255), (32766, 254), (32767, 253)})
"""Priority and table of the rules that every namespace has: local, main, default."""


def rule(item: RouteRule) -> Message:
    """Add a routing rule. Its device need not be there: it holds as long as there is one of that name."""
    body = _rule(item) + _protocol(PROTO_STATIC)
    return Message(_RTM_NEWRULE, CREATE | EXCL, body, ("create", item), item, mechanism="policy routing")


def delete_rule(item: RouteRule) -> Message:
    """Remove a routing rule, whoever made it; it may be gone already."""
    return Message(_RTM_DELRULE, 0, _rule(item), ("delete", item), item, tolerated=(errno.ENOENT,))


def usual(item: Namespace) -> Iterator[Message]:
    """Give a namespace the rules that the kernel makes in each, those that it lacks."""
    for priority, table in sorted(USUAL):
        body = _rule(RouteRule(item.name, priority, table)) + _protocol(PROTO_KERNEL)
        what = f"restore routing rule {priority} to table {table} in {item.name}"
        yield Message(_RTM_NEWRULE, CREATE | EXCL, body, what, item, tolerated=(errno.EEXIST,))


def _rule(item: RouteRule) -> bytes:
    length = item.source.prefixlen if item.source else 0
    head = _FIB_RULE.pack(_AF_INET, 0, length, 0, 0, 0, 0, _TO_TABLE, 0)
    parts = [
        attribute(_FRA_SRC, item.source.network_address.packed) if item.source and length else b"",
        text(_FRA_IIFNAME, item.device) if item.device else b"",
        u32(_FRA_PRIORITY, item.priority),
        u32(_FRA_TABLE, item.table),
    ]
    return head + b"".join(parts)


def _protocol(number: int) -> bytes:
    return attribute(_FRA_PROTOCOL, bytes([number]))
