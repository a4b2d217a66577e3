"""The interface indices of a lab's devices: chosen, and the same for all who build or read the lab."""

from __future__ import annotations

import zlib

from labctl.plan.devices import Bridge, End, Tunnel


def index(item: Bridge | Tunnel | End) -> int:
    """The interface index that a device is given, so that nobody has to ask for it.

    Of a link's ends no two have the same: the kernel announces a loss of carrier at once only where they differ
    (linkwatch_urgent_event, net/core/link_watch.c), and indices that it chooses itself, 2 and 2, are often equal. It
    takes the peer's only where the first end has one, too (veth_newlink, drivers/net/veth.c). Other devices are
    told apart by their names, which differ in a namespace.
    """
    if isinstance(item, End):
        return 1 << 30 | int(item.mac.replace(":", ""), 16) & (1 << 30) - 1
    return 1 << 29 | zlib.crc32(item.name.encode()) & (1 << 29) - 1
