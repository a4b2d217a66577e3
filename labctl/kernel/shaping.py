"""Netlink messages for traffic control: netem on what leaves a device, silent drops of what arrives.

Pure packing; see linux/pkt_sched.h, linux/pkt_cls.h, tc-netem(8), tc-u32(8).
"""

from __future__ import annotations

import errno
import struct
from typing import Literal

from labctl.kernel.netlink import CREATE, EXCL, REPLACE, Message, attribute, nested, text
from labctl.kernel.words import describe
from labctl.plan.objects import Shaper

Proto = Literal["", "esp", "gre", "icmp", "udp", "tcp"]

_NEWQDISC, _DELQDISC, _NEWTFILTER, _DELTFILTER = 36, 37, 44, 45
_TCMSG = struct.Struct("=BxxxiIII")
_ROOT, _CLSACT, _CLSACT_MAJOR, _INGRESS = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000, 0xFFFFFFF2
_TCA_KIND, _TCA_OPTIONS = 1, 2
_NETEM_LATENCY64, _NETEM_JITTER64 = 10, 11
# Packets that wait at once: enough for 100 ms of 1 Gbit/s in small packets, so that a delay never becomes a loss.
_NETEM_LIMIT = 100_000
_U32_SEL, _U32_ACT = 5, 7
_ACT_KIND, _ACT_OPTIONS, _GACT_PARMS, _ACT_SHOT = 1, 2, 2, 2
_U32_TERMINAL = 1
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_PROTOCOLS: dict[Proto, int] = {"esp": 50, "gre": 47, "icmp": 1, "udp": 17, "tcp": 6}
_ORDER: tuple[Proto, ...] = ("", "esp", "gre", "icmp", "udp", "tcp")
_NO_QDISC = (errno.ENOENT, errno.EOPNOTSUPP)


def netem(item: Shaper, device: int) -> Message:
    """Delay what leaves the device with index `device`; in the place of an earlier netem there.

    With jitter, packets closer together than the jitter may overtake each other, as tc-netem(8) says.
    """
    options = (
        struct.pack("=6I", 0, _NETEM_LIMIT, 0, 0, 0, 0)
        + attribute(_NETEM_LATENCY64, struct.pack("=q", round(item.delay_ms * 1e6)))
        + attribute(_NETEM_JITTER64, struct.pack("=q", round(item.jitter_ms * 1e6)))
    )
    body = _TCMSG.pack(0, device, 1 << 16, _ROOT, 0) + text(_TCA_KIND, "netem") + attribute(_TCA_OPTIONS, options)
    what = f"create {describe(item)}"
    return Message(_NEWQDISC, CREATE | REPLACE, body, what, item, mechanism="netem (sch_netem)", lacking=_NO_QDISC)


def delete_netem(item: Shaper, device: int) -> Message:
    """Remove the netem of a device; it may be gone already."""
    body = _TCMSG.pack(0, device, 1 << 16, _ROOT, 0)
    tolerated = (errno.ENOENT, errno.EINVAL, errno.ENODEV)
    return Message(_DELQDISC, 0, body, f"delete {describe(item)}", item, tolerated)


def ingress_hook(device: int, what: str, subject: object) -> Message:
    """Give the device a place for ingress filters; it may have one already."""
    body = _TCMSG.pack(0, device, _CLSACT_MAJOR, _CLSACT, 0) + text(_TCA_KIND, "clsact")
    return Message(
        _NEWQDISC, CREATE | EXCL, body, what, subject, (errno.EEXIST,), mechanism="clsact", lacking=_NO_QDISC
    )


def drop(device: int, proto: Proto, what: str, subject: object) -> Message:
    """Drop silently what arrives at the device: packets of one IP protocol, or ("") every frame.

    A capture on the device still sees them, since it sits before the filter.
    """
    action = nested(1, text(_ACT_KIND, "gact"), nested(_ACT_OPTIONS, attribute(_GACT_PARMS, _gact())))
    options = attribute(_U32_SEL, _selector(proto)) + nested(_U32_ACT, action)
    body = _filter(device, proto) + text(_TCA_KIND, "u32") + attribute(_TCA_OPTIONS, options)
    return Message(
        _NEWTFILTER,
        CREATE | EXCL,
        body,
        what,
        subject,
        (errno.EEXIST,),
        mechanism="cls_u32 or act_gact",
        lacking=_NO_QDISC,
    )


def undrop(device: int, proto: Proto, what: str, subject: object) -> Message:
    """Remove the filter of `drop`; it may be gone already."""
    tolerated = (errno.ENOENT, errno.EINVAL, errno.ENODEV)
    return Message(_DELTFILTER, 0, _filter(device, proto), what, subject, tolerated)


def _filter(device: int, proto: Proto) -> bytes:
    """The filter's place: each protocol has a priority of its own, so that one fault ends without another."""
    ethertype = _ETH_P_IP if proto else _ETH_P_ALL
    info = (_ORDER.index(proto) + 1) << 16 | struct.unpack("=H", struct.pack("!H", ethertype))[0]
    return _TCMSG.pack(0, device, 0, _INGRESS, info)


def _selector(proto: Proto) -> bytes:
    """One key of u32: the protocol field of the IPv4 header, second byte of the word at 8; or anything."""
    mask, value = (0x00FF0000, _PROTOCOLS[proto] << 16) if proto else (0, 0)
    head = struct.pack("=BBBxHHhh", _U32_TERMINAL, 0, 1, 0, 0, 0, 0) + struct.pack("!I", 0)
    return head + struct.pack("!II", mask, value) + struct.pack("=ii", 8 if proto else 0, 0)


def _gact() -> bytes:
    return struct.pack("=IIiii", 0, 0, _ACT_SHOT, 0, 0)
