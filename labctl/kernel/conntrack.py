"""What a node remembers of connections, and how it forgets them. See linux/netfilter/nfnetlink_conntrack.h."""

from __future__ import annotations

import struct
from pathlib import Path

from labctl.kernel import netns
from labctl.kernel.netlink import NETFILTER, Connection, Message

_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
_EVERY_FAMILY = struct.pack("=BBH", 0, 0, 0)
_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")


def forget(namespace: Path, node: str) -> None:
    """Forget every connection of the node, NAT included. KernelError where that is refused."""
    with netns.enter(namespace):
        if not _COUNT.exists():
            return  # this kernel tracks no connections
        connection = Connection(NETFILTER)
    try:
        what = f"forget the connections of {node}"
        connection.send([Message(_DELETE, 0, _EVERY_FAMILY, what, mechanism="ctnetlink (nf_conntrack_netlink)")])
    finally:
        connection.close()
