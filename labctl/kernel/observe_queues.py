"""What shapes a device, as the kernel lists it. Pure parsing; see linux/pkt_sched.h, tc-netem(8), tc-tbf(8)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from labctl.kernel import shaping
from labctl.kernel.netlink import DUMP, ROUTE, Message, attributes, text
from labctl.plan.objects import Foreign, Removal, Shaper
from labctl.plan.qdiscs import queue_bytes

_DELQDISC, _GETQDISC = 37, 38
_TCMSG = struct.Struct("=BxxxiIII")
_ROOT = 0xFFFFFFFF
ASIDE = 0xFFFFFFF1
"""Where filters hang that see what comes in or goes out (clsact, ingress): beside what shapes a device."""
_KIND, _OPTIONS = 1, 2
_NETEM = struct.Struct("=6I")
_LATENCY64, _JITTER64 = 10, 11
_PARMS, _RATE64 = 1, 4
_OTHERWISE = (1, 3, 4, 5, 6, 7)
"""What no Shaper asks netem for: correlation, other order, corruption, models of loss, a rate, marks."""
_NONE = ("noqueue", "noop", "pfifo_fast", "fq_codel", "mq")
"""What the kernel gives a device by itself (net.core.default_qdisc among them)."""

_GETTFILTER = 46
_CLSACT = "clsact"
_SIDES = (0xFFFFFFF2, 0xFFFFFFF3)
"""Where the filters of a clsact hang: at what comes in, at what goes out."""

LIST_QUEUES = Message(_GETQDISC, DUMP, _TCMSG.pack(0, 0, 0, 0, 0), "list queues")


@dataclass(frozen=True, slots=True)
class Queue:
    """A queueing discipline: of which device, its handle, where it hangs, its kind and its options."""

    device: int
    handle: int
    parent: int
    kind: str
    options: bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a shaper as the kernel keeps them: nanoseconds, a share of 2^32, bytes a second, bytes."""

    delay: int = 0
    jitter: int = 0
    loss: int = 0
    rate: int = 0
    limit: int = 0


def queue(body: bytes) -> Queue | None:
    """A listed queueing discipline; None for one that the kernel gives a device by itself."""
    _, device, handle, parent, _ = _TCMSG.unpack_from(body)
    found = attributes(body[_TCMSG.size :])
    kind = found[_KIND].rstrip(b"\0").decode()
    if kind in _NONE and not handle:
        return None
    return Queue(device, handle, parent, kind, found.get(_OPTIONS, b""))


def shaper(namespace: str, device: str, queues: Sequence[Queue], asked: Iterable[Shaper]) -> Shaper | None:
    """What the `queues` of a device are as a shaper: one of `asked` if they are just that; None where no shaper is like
    them.
    """
    shape = _shape(queues)
    if shape is None:
        return None
    for each in asked:
        if shape == _wanted(each):
            return each
    found = Shaper(
        namespace,
        device,
        delay_ms=shape.delay / 1e6,
        jitter_ms=shape.jitter / 1e6,
        rate_bit=shape.rate * 8,
        loss_percent=round(shape.loss / 0xFFFFFFFF * 100, 6),
    )
    # The same numbers, and yet another queue: then it is the size of that which differs.
    return replace(found, mtu=0) if any(replace(each, mtu=found.mtu) == found for each in asked) else found


def outermost(queues: Sequence[Queue]) -> list[Queue]:
    """Those that hang at the device itself: the rest goes with them."""
    return [each for each in queues if each.parent in (_ROOT, ASIDE)]


def lists_of_filters(found: Queue) -> list[Message]:
    """What to ask to learn whether a clsact does anything. A fault that was repaired leaves an empty one."""
    if found.kind != _CLSACT:
        return []
    bodies = (_TCMSG.pack(0, found.device, 0, side, 0) for side in _SIDES)
    return [Message(_GETTFILTER, DUMP, body, "list filters") for body in bodies]


def foreign(namespace: str, device: str, found: Queue) -> Foreign:
    """A queueing discipline that no shaper is like."""
    body = _TCMSG.pack(0, found.device, found.handle, found.parent, 0) + text(_KIND, found.kind)
    what = "filters" if found.parent == ASIDE else "queue"
    takes = (("queue", namespace, device),) if found.parent == _ROOT else ()
    return Foreign(namespace, f"{what} {found.kind} on {device}", Removal(ROUTE, _DELQDISC, body.hex()), takes)


def _shape(queues: Sequence[Queue]) -> Shape | None:
    kinds = sorted((each.kind, each.parent == _ROOT) for each in queues)
    by_kind = {each.kind: each for each in queues}
    match kinds:
        case [("netem", True)]:
            return _netem(by_kind["netem"].options)
        case [("tbf", True)]:
            return _tbf(by_kind["tbf"].options, Shape())
        case [("netem", True), ("tbf", False)]:
            late = _netem(by_kind["netem"].options)
            return _tbf(by_kind["tbf"].options, late) if late else None
        case _:
            return None


def _netem(options: bytes) -> Shape | None:
    _, _, loss, gap, duplicate, _ = _NETEM.unpack_from(options)
    found = attributes(options[_NETEM.size :])
    if gap or duplicate or any(any(found.get(kind, b"")) for kind in _OTHERWISE):
        return None
    delay, jitter = (struct.unpack("=q", found[kind])[0] for kind in (_LATENCY64, _JITTER64))
    return Shape(delay, jitter, loss)


def _tbf(options: bytes, late: Shape) -> Shape:
    found = attributes(options)
    parms = found[_PARMS]
    rate = struct.unpack_from("=I", parms, 8)[0]
    limit = struct.unpack_from("=I", parms, 24)[0]
    if _RATE64 in found:
        rate = struct.unpack("=Q", found[_RATE64])[0]
    return replace(late, rate=rate, limit=limit)


def _wanted(item: Shaper) -> Shape:
    delay, jitter, loss = round(item.delay_ms * 1e6), round(item.jitter_ms * 1e6), shaping.loss_share(item)
    rate = item.rate_bit // 8
    return Shape(delay, jitter, loss, rate, queue_bytes(item) if rate else 0)
