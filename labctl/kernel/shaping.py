"""Netlink messages for traffic control: delay, loss and rate of what leaves a device, silent drops of what arrives.

Pure packing; see linux/pkt_sched.h, linux/pkt_cls.h, tc-netem(8), tc-tbf(8), tc-u32(8), tc-bpf(8).
"""

from __future__ import annotations

import errno
import struct

from labctl.kernel.netlink import CREATE, EXCL, REPLACE, Message, attribute, nested, text
from labctl.plan.faults import Proto
from labctl.plan.objects import Shaper
from labctl.plan.qdiscs import NETEM_PACKETS, bucket_bytes, qdiscs, queue_bytes

_NEWQDISC, _DELQDISC, _NEWTFILTER, _DELTFILTER = 36, 37, 44, 45
_TCMSG = struct.Struct("=BxxxiIII")
_ROOT, _CLSACT, _CLSACT_MAJOR, _INGRESS = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000, 0xFFFFFFF2
# Handles of their own for netem, tbf inside it and tbf alone: each can take another's place by one message.
_NETEM, _INSIDE, _TBF = 1 << 16, 2 << 16, 3 << 16
_IN_NETEM = _NETEM | 1
_TCA_KIND, _TCA_OPTIONS = 1, 2
_NETEM_LATENCY64, _NETEM_JITTER64 = 10, 11
_TBF_PARMS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_ETHERNET = 1
_U32_SEL, _U32_ACT = 5, 7
_ACT_KIND, _ACT_OPTIONS, _GACT_PARMS, _ACT_SHOT = 1, 2, 2, 2
_U32_TERMINAL = 1
_BPF_FD, _BPF_NAME, _BPF_FLAGS, _BPF_DIRECT_ACTION = 6, 7, 8, 1
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
PROTOCOLS: dict[Proto, int] = {"esp": 50, "gre": 47, "icmp": 1, "udp": 17, "tcp": 6}
"""Numbers in the IPv4 header."""
_ORDER: tuple[Proto, ...] = ("", "esp", "gre", "icmp", "udp", "tcp")
# Filters that count come after all that drop: what is lost already is not counted.
_COUNTED = len(_ORDER)
_NO_QDISC = (errno.ENOENT, errno.EOPNOTSUPP)
_GONE = (errno.ENOENT, errno.EINVAL, errno.ENODEV)


def shape(item: Shaper, device: int) -> tuple[Message, ...]:
    """Shape what leaves the device with index `device`, in the place of an earlier shaper there.

    netem makes it late, and with jitter packets closer together than that may overtake each other (tc-netem(8)). A rate
    is a token bucket, which nearly every kernel has, and not netem's: netem counts what is under way and what waits
    against one limit, so that a long line would have a long queue. The bucket holds 1 ms, or one frame.
    """
    if qdiscs(item) == ("tbf",):
        return (_qdisc(item, device, _TBF, _ROOT, "tbf", _tbf(item)),)
    outer = _qdisc(item, device, _NETEM, _ROOT, "netem", _netem(item))
    if item.rate_bit:
        return outer, _qdisc(item, device, _INSIDE, _IN_NETEM, "tbf", _tbf(item))
    inner = _TCMSG.pack(0, device, _INSIDE, _IN_NETEM, 0)
    return outer, Message(_DELQDISC, 0, inner, ("create", item), item, _GONE)


def calm(item: Shaper, device: int) -> Message:
    """Let the netem of `item` make nothing late or lost any more; what is under way arrives when it was due."""
    body = _TCMSG.pack(0, device, _NETEM, _ROOT, 0) + text(_TCA_KIND, "netem")
    calmed = attribute(_TCA_OPTIONS, _netem(Shaper(item.namespace, item.device)))
    return Message(_NEWQDISC, REPLACE, body + calmed, ("calm", item), item, _GONE)


def unshape(item: Shaper, device: int) -> Message:
    """Remove the shaper of a device; it may be gone already. What waits in it is lost."""
    handle = _TBF if qdiscs(item) == ("tbf",) else _NETEM
    body = _TCMSG.pack(0, device, handle, _ROOT, 0)
    return Message(_DELQDISC, 0, body, ("delete", item), item, _GONE)


def _qdisc(item: Shaper, device: int, handle: int, parent: int, kind: str, options: bytes) -> Message:
    body = _TCMSG.pack(0, device, handle, parent, 0) + text(_TCA_KIND, kind) + attribute(_TCA_OPTIONS, options)
    what, mechanism = ("create", item), f"{kind} (sch_{kind})"
    return Message(_NEWQDISC, CREATE | REPLACE, body, what, item, mechanism=mechanism, lacking=_NO_QDISC)


def loss_share(item: Shaper) -> int:
    """How much is lost, as a share of 2^32 - 1."""
    return round(item.loss_percent / 100 * 0xFFFFFFFF)


def _netem(item: Shaper) -> bytes:
    return (
        struct.pack("=6I", 0, NETEM_PACKETS, loss_share(item), 0, 0, 0)
        + attribute(_NETEM_LATENCY64, struct.pack("=q", round(item.delay_ms * 1e6)))
        + attribute(_NETEM_JITTER64, struct.pack("=q", round(item.jitter_ms * 1e6)))
    )


def _tbf(item: Shaper) -> bytes:
    """Options of tbf; the rate in bytes per second, the bucket and the queue in bytes."""
    rate = item.rate_bit // 8
    speed = struct.pack("=BBHhHI", 0, _ETHERNET, 0, 0, 0, min(rate, 0xFFFFFFFF))
    return (
        attribute(_TBF_PARMS, speed + bytes(12) + struct.pack("=3I", queue_bytes(item), 0, 0))
        + attribute(_TBF_BURST, struct.pack("=I", bucket_bytes(item)))
        + (attribute(_TBF_RATE64, struct.pack("=Q", rate)) if rate > 0xFFFFFFFF else b"")
    )


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
    return Message(_DELTFILTER, 0, _filter(device, proto), what, subject, _GONE)


def show(device: int, proto: Proto, program: int, what: str, subject: object) -> Message:
    """Show what arrives at the device to the program with file descriptor `program`, which says what is dropped."""
    options = (
        attribute(_BPF_FD, struct.pack("=I", program))
        + text(_BPF_NAME, "labctl")
        + attribute(_BPF_FLAGS, struct.pack("=I", _BPF_DIRECT_ACTION))
    )
    body = _filter(device, proto, _COUNTED) + text(_TCA_KIND, "bpf") + attribute(_TCA_OPTIONS, options)
    return Message(_NEWTFILTER, CREATE | EXCL, body, what, subject, mechanism="cls_bpf", lacking=_NO_QDISC)


def unshow(device: int, proto: Proto, what: str, subject: object) -> Message:
    """Remove the filter of `show`; it may be gone already."""
    return Message(_DELTFILTER, 0, _filter(device, proto, _COUNTED), what, subject, _GONE)


def _filter(device: int, proto: Proto, after: int = 0) -> bytes:
    """The filter's place: each protocol has a priority of its own, so that one fault ends without another."""
    ethertype = _ETH_P_IP if proto else _ETH_P_ALL
    info = (after + _ORDER.index(proto) + 1) << 16 | struct.unpack("=H", struct.pack("!H", ethertype))[0]
    return _TCMSG.pack(0, device, 0, _INGRESS, info)


def _selector(proto: Proto) -> bytes:
    """One key of u32: the protocol field of the IPv4 header, second byte of the word at 8; or anything."""
    mask, value = (0x00FF0000, PROTOCOLS[proto] << 16) if proto else (0, 0)
    head = struct.pack("=BBBxHHhh", _U32_TERMINAL, 0, 1, 0, 0, 0, 0) + struct.pack("!I", 0)
    return head + struct.pack("!II", mask, value) + struct.pack("=ii", 8 if proto else 0, 0)


def _gact() -> bytes:
    return struct.pack("=IIiii", 0, 0, _ACT_SHOT, 0, 0)
