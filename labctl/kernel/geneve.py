"""rtnetlink messages for Geneve devices as isolated ports of a bridge. Pure packing; see linux/if_link.h."""

from __future__ import annotations

from collections.abc import Iterator

from labctl.kernel.links import (
    IFF_UP,
    IFINFO,
    IFLA_ADDRESS,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    RTM_NEWLINK,
    create,
    info,
    named,
)
from labctl.kernel.netlink import Message, attribute, nested, text, u32
from labctl.plan.indices import index
from labctl.plan.objects import Geneve

_ID, _REMOTE, _UDP_CSUM, _DF = 1, 2, 8, 13
_DF_SET = 1
_INFO_SLAVE_KIND, _INFO_SLAVE_DATA, _BRPORT_ISOLATED = 4, 5, 33


def geneve(item: Geneve, master: int | None) -> Iterator[Message]:
    """Make a Geneve device, as an isolated port of the bridge with index `master`. That can be told only once it is a
    port, so that it comes up after it.
    """
    # What does not fit the way is not cut, as RFC 8926 section 4.1.1 recommends: a wrong MTU is to be noticed.
    kind = info("geneve", *_peer(item), attribute(_UDP_CSUM, b"\1"), attribute(_DF, bytes([_DF_SET])))
    port = b"" if master is None else u32(IFLA_MASTER, master)
    yield create(item, named(item), _mac(item), port, kind, up=False, index=index(item))
    yield _settle(item)


def adjust(before: Geneve, item: Geneve, master: int) -> Iterator[Message]:
    """Make of `before`, which has the same VNI, `item`; `master`: the index of its bridge, 0 for none."""
    # The kernel takes the MTU from the way to a new peer, unless it is told (geneve_link_config, drivers/net/geneve.c).
    body = u32(IFLA_MTU, item.mtu)
    if item.remote != before.remote:
        body += info("geneve", *_peer(item))
    if item.mac != before.mac:
        body += _mac(item)
    if item.master != before.master:
        body += u32(IFLA_MASTER, master)
    steady = before.up and item.master == before.master
    yield _set(item, body, up=steady)
    yield _settle(item)


def _settle(item: Geneve) -> Message:
    """Isolate the device, if it is a port, and bring it up if it is to be so."""
    alone = nested(_INFO_SLAVE_DATA, attribute(_BRPORT_ISOLATED, b"\1"))
    port = nested(IFLA_LINKINFO, text(_INFO_SLAVE_KIND, "bridge"), alone) if item.master else b""
    return _set(item, port, up=item.up)


def _set(item: Geneve, body: bytes, *, up: bool) -> Message:
    head = IFINFO.pack(0, 0, index(item), IFF_UP if up else 0, IFF_UP)
    return Message(RTM_NEWLINK, 0, head + body, ("set", item), item)


def _peer(item: Geneve) -> tuple[bytes, bytes]:
    return u32(_ID, item.vni), attribute(_REMOTE, item.remote.packed)


def _mac(item: Geneve) -> bytes:
    return attribute(IFLA_ADDRESS, bytes.fromhex(item.mac.replace(":", "")))
