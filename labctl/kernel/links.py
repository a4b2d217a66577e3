"""rtnetlink messages for devices: bridge, veth, GRE, xfrm interface. Pure packing; see linux/if_link.h, if_tunnel.h."""

from __future__ import annotations

import errno
import struct
from typing import Literal

from labctl.kernel.netlink import CREATE, EXCL, Message, attribute, nested, text, u32
from labctl.kernel.words import describe
from labctl.plan.devices import Tunnel
from labctl.plan.indices import index
from labctl.plan.objects import Bridge, End, Geneve, Gre, KernelObject, Namespace, Veth, XfrmInterface

RTM_NEWLINK, _RTM_DELLINK = 16, 17
IFINFO = struct.Struct("=BxHiII")
IFF_UP, _IFF_NOARP = 1, 0x80
LOOPBACK = 1
"""The index of `lo` in every namespace (LOOPBACK_IFINDEX, net/net_namespace.h)."""
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 10, 18
IFLA_NET_NS_FD, IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES = 28, 31, 32
INFO_KIND, INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_BR_FORWARD_DELAY, _BR_STP_STATE, _BR_MCAST_SNOOPING = 1, 5, 23
_GRE_IFLAGS, _GRE_OFLAGS, _GRE_IKEY, _GRE_OKEY = 2, 3, 4, 5
_GRE_LOCAL, _GRE_REMOTE, _GRE_TTL, _GRE_PMTUDISC = 6, 7, 8, 10
_GRE_KEY_PRESENT = 0x2000
_XFRM_LINK, _XFRM_IF_ID = 1, 2

# A veth has one queue a CPU unless told otherwise, and each one costs an RCU grace period when the link goes.
_ONE_QUEUE = u32(IFLA_NUM_TX_QUEUES, 1) + u32(IFLA_NUM_RX_QUEUES, 1)

_MECHANISMS = {Bridge: "bridges", Veth: "veth", Gre: "GRE (ip_gre)", Geneve: "Geneve"}
_MECHANISMS |= {XfrmInterface: "the xfrm interface"}

Link = Bridge | Veth | Tunnel

FALLBACKS = frozenset(
    {"gre0", "gretap0", "erspan0", "tunl0", "sit0", "ip_vti0", "ip6tnl0", "ip6gre0", "ip6gretap0", "ip6_vti0"}
)
"""Devices that the kernel makes by itself, in every namespace, when a tunnel's module is loaded."""


def loopback(item: Namespace) -> Message:
    """Bring `lo` of a namespace up."""
    body = IFINFO.pack(0, 0, LOOPBACK, IFF_UP, IFF_UP)
    return Message(RTM_NEWLINK, 0, body, ("set lo up in", item), item)


def bridge(item: Bridge) -> Message:
    """Make a bridge that forwards from its first instant and floods multicast. It does not answer ARP: a node that has
    both a bridge and an address on its segment, on another device, answers there.
    """
    options = (
        u32(_BR_FORWARD_DELAY, 0),
        u32(_BR_STP_STATE, 0),
        attribute(_BR_MCAST_SNOOPING, b"\0"),
    )
    return create(item, named(item), info("bridge", *options), up=item.up, index=index(item), flags=_IFF_NOARP)


def veth(item: Veth, a_fd: int, b_fd: int, a_master: int | None) -> Message:
    """Make both ends of a veth pair, each in the namespace of its file descriptor.

    The end `a` is made up and a port of the bridge with index `a_master`; the kernel brings no peer up before the
    pair is complete, so `b` needs `attach` in its own namespace.
    """
    peer = IFINFO.pack(0, 0, index(item.b), 0, 0) + _end(item.b, item.mtu, b_fd)
    master = b"" if a_master is None else u32(IFLA_MASTER, a_master)
    found = info("veth", attribute(_VETH_INFO_PEER, peer))
    return create(item, _end(item.a, item.mtu, a_fd), master, found, up=item.a.up, index=index(item.a))


def attach(item: Veth, end: End, master: int | None) -> Message:
    """Bring `end` up, as a port of the bridge with index `master`."""
    state = IFF_UP if end.up else 0
    body = IFINFO.pack(0, 0, index(end), state, IFF_UP) + (b"" if master is None else u32(IFLA_MASTER, master))
    return Message(RTM_NEWLINK, 0, body, (f"set {end.name} {'up' if end.up else 'down'} of", item), item)


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
    return create(item, named(item), info("gre", *options), up=item.up, index=index(item))


def xfrm_interface(item: XfrmInterface, device: int) -> Message:
    """Make an xfrm interface over the device with index `device`."""
    found = info("xfrm", u32(_XFRM_LINK, device), u32(_XFRM_IF_ID, item.if_id))
    return create(item, named(item), found, up=item.up, index=index(item))


def adjust(item: KernelObject, device: str, *, mtu: int, up: bool) -> Message:
    """Give `device`, a part of `item`, another MTU and administrative state."""
    return _set(device, f"{describe(item)}: MTU {mtu}", item, u32(IFLA_MTU, mtu), state="up" if up else "down")


def adjust_end(item: Veth, before: End, end: End, master: int) -> Message:
    """Give `end` of `item` its MTU and administrative state, and of its MAC address and its bridge (0: none) what was
    otherwise `before`: to set a MAC address anew would empty the neighbour table of the device.
    """
    body = u32(IFLA_MTU, item.mtu)
    if end.mac != before.mac:
        body += attribute(IFLA_ADDRESS, bytes.fromhex(end.mac.replace(":", "")))
    if end.master != before.master:
        body += u32(IFLA_MASTER, master)
    return _set(end.name, describe(item), item, body, state="up" if end.up else "down")


def set_state(device: str, state: Literal["up", "down"], what: str, subject: object = None) -> Message:
    """Bring a device administratively up or down; `what` says where, for a message."""
    return _set(device, what, subject, b"", state=state)


def delete(item: Link, device: str) -> Message:
    """Delete `device` of `item`; it may be gone already."""
    body = IFINFO.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, device)
    return Message(_RTM_DELLINK, 0, body, ("delete", item), item, tolerated=(errno.ENODEV,))


def create(item: Link, *attributes: bytes, up: bool, index: int, flags: int = 0) -> Message:
    """Make a device of `item`, with these attributes, this index and further `flags` (netdevice(7))."""
    state = flags | (IFF_UP if up else 0)
    body = IFINFO.pack(0, 0, index, state, state) + b"".join(attributes)
    return Message(RTM_NEWLINK, CREATE | EXCL, body, ("create", item), item, mechanism=_MECHANISMS[type(item)])


def _set(device: str, what: str, subject: object, body: bytes, *, state: Literal["up", "down"]) -> Message:
    header = IFINFO.pack(0, 0, 0, IFF_UP if state == "up" else 0, IFF_UP)
    return Message(RTM_NEWLINK, 0, header + text(IFLA_IFNAME, device) + body, f"set {state} {what}", subject)


def named(item: Bridge | Tunnel) -> bytes:
    return text(IFLA_IFNAME, item.name) + u32(IFLA_MTU, item.mtu)


def _end(end: End, mtu: int, fd: int) -> bytes:
    address = attribute(IFLA_ADDRESS, bytes.fromhex(end.mac.replace(":", "")))
    return text(IFLA_IFNAME, end.name) + u32(IFLA_NET_NS_FD, fd) + address + u32(IFLA_MTU, mtu) + _ONE_QUEUE


def info(kind: str, *options: bytes) -> bytes:
    return nested(IFLA_LINKINFO, text(INFO_KIND, kind), nested(INFO_DATA, *options))
