"""rtnetlink messages for devices: bridge, veth, GRE, xfrm interface. Pure packing; see linux/if_link.h, if_tunnel.h."""

from __future__ import annotations

import errno
import struct
from typing import Literal

from labctl.kernel.netlink import CREATE, EXCL, Message, attribute, nested, text, u32
from labctl.kernel.words import describe
from labctl.plan.objects import Bridge, End, Gre, KernelObject, Veth, XfrmInterface

_RTM_NEWLINK, _RTM_DELLINK = 16, 17
_IFINFO = struct.Struct("=BxHiII")
_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_NET_NS_FD, _IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES = 28, 31, 32
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_BR_FORWARD_DELAY, _BR_STP_STATE, _BR_MCAST_SNOOPING = 1, 5, 23
_GRE_IFLAGS, _GRE_OFLAGS, _GRE_IKEY, _GRE_OKEY = 2, 3, 4, 5
_GRE_LOCAL, _GRE_REMOTE, _GRE_TTL, _GRE_PMTUDISC = 6, 7, 8, 10
_GRE_KEY_PRESENT = 0x2000
_XFRM_LINK, _XFRM_IF_ID = 1, 2

# A veth has one queue a CPU unless told otherwise, and each one costs an RCU grace period when the link goes.
_ONE_QUEUE = u32(_IFLA_NUM_TX_QUEUES, 1) + u32(_IFLA_NUM_RX_QUEUES, 1)

Link = Bridge | Veth | Gre | XfrmInterface


def bridge(item: Bridge) -> Message:
    """Make a bridge, up, that forwards from its first instant and floods multicast."""
    options = (
        u32(_BR_FORWARD_DELAY, 0),
        u32(_BR_STP_STATE, 0),
        attribute(_BR_MCAST_SNOOPING, b"\0"),
    )
    return _create(item, text(_IFLA_IFNAME, item.name), u32(_IFLA_MTU, item.mtu), _info("bridge", *options), up=True)


def veth(item: Veth, a_fd: int, b_fd: int, a_master: int | None) -> Message:
    """Make both ends of a veth pair, each in the namespace of its file descriptor.

    The end `a` is made up and a port of the bridge with index `a_master`; the kernel brings no peer up before the
    pair is complete, so `b` needs `attach` in its own namespace.
    """
    peer = _IFINFO.pack(0, 0, _index(item.b), 0, 0) + _end(item.b, item.mtu, b_fd)
    master = b"" if a_master is None else u32(_IFLA_MASTER, a_master)
    info = _info("veth", attribute(_VETH_INFO_PEER, peer))
    return _create(item, _end(item.a, item.mtu, a_fd), master, info, up=True, index=_index(item.a))


def _index(end: End) -> int:
    """An interface index that no other end has.

    The kernel announces a loss of carrier at once only where the two ends of a link differ in their index
    (linkwatch_urgent_event, net/core/link_watch.c); indices that it chooses itself, 2 and 2, are often equal. It takes
    the peer's only where the first end has one, too (veth_newlink, drivers/net/veth.c).
    """
    return 1 << 30 | int(end.mac.replace(":", ""), 16) & (1 << 30) - 1


def attach(item: Veth, end: End, master: int | None) -> Message:
    """Bring `end` up, as a port of the bridge with index `master`."""
    body = b"" if master is None else u32(_IFLA_MASTER, master)
    return _set(end.name, describe(item), item, body, state="up")


def gre(item: Gre) -> Message:
    """Make a GRE device; the key, if any, is both expected and sent (RFC 2890)."""
    options = [
        attribute(_GRE_LOCAL, item.local.packed),
        attribute(_GRE_REMOTE, item.remote.packed),
        attribute(_GRE_TTL, bytes([item.ttl])),
        attribute(_GRE_PMTUDISC, b"\1"),
    ]
    if item.key is not None:
        flags, key = struct.pack("!H", _GRE_KEY_PRESENT), struct.pack("!I", item.key)
        options += [attribute(_GRE_IFLAGS, flags), attribute(_GRE_OFLAGS, flags)]
        options += [attribute(_GRE_IKEY, key), attribute(_GRE_OKEY, key)]
    return _create(item, text(_IFLA_IFNAME, item.name), u32(_IFLA_MTU, item.mtu), _info("gre", *options), up=item.up)


def xfrm_interface(item: XfrmInterface, device: int) -> Message:
    """Make an xfrm interface over the device with index `device`."""
    info = _info("xfrm", u32(_XFRM_LINK, device), u32(_XFRM_IF_ID, item.if_id))
    return _create(item, text(_IFLA_IFNAME, item.name), u32(_IFLA_MTU, item.mtu), info, up=item.up)


def adjust(item: KernelObject, device: str, *, mtu: int, up: bool) -> Message:
    """Give `device`, a part of `item`, another MTU and administrative state."""
    return _set(device, f"{describe(item)}: MTU {mtu}", item, u32(_IFLA_MTU, mtu), state="up" if up else "down")


def set_state(device: str, state: Literal["up", "down"], what: str, subject: object = None) -> Message:
    """Bring a device administratively up or down; `what` says where, for a message."""
    return _set(device, what, subject, b"", state=state)


def delete(item: Link, device: str) -> Message:
    """Delete `device` of `item`; it may be gone already."""
    body = _IFINFO.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, device)
    return Message(_RTM_DELLINK, 0, body, f"delete {describe(item)}", item, tolerated=(errno.ENODEV,))


def _create(item: Link, *attributes: bytes, up: bool, index: int = 0) -> Message:
    state = _IFF_UP if up else 0
    body = _IFINFO.pack(0, 0, index, state, state) + b"".join(attributes)
    names = {Bridge: "bridges", Veth: "veth", Gre: "GRE (ip_gre)", XfrmInterface: "the xfrm interface"}
    return Message(_RTM_NEWLINK, CREATE | EXCL, body, f"create {describe(item)}", item, mechanism=names[type(item)])


def _set(device: str, what: str, subject: object, body: bytes, *, state: Literal["up", "down"]) -> Message:
    header = _IFINFO.pack(0, 0, 0, _IFF_UP if state == "up" else 0, _IFF_UP)
    return Message(_RTM_NEWLINK, 0, header + text(_IFLA_IFNAME, device) + body, f"set {state} {what}", subject)


def _end(end: End, mtu: int, fd: int) -> bytes:
    address = attribute(_IFLA_ADDRESS, bytes.fromhex(end.mac.replace(":", "")))
    return text(_IFLA_IFNAME, end.name) + u32(_IFLA_NET_NS_FD, fd) + address + u32(_IFLA_MTU, mtu) + _ONE_QUEUE


def _info(kind: str, *options: bytes) -> bytes:
    return nested(_IFLA_LINKINFO, text(_INFO_KIND, kind), nested(_INFO_DATA, *options))
