"""What a Shaper becomes: its queueing disciplines, and how much they hold (tc-netem(8), tc-tbf(8))."""

from __future__ import annotations

from typing import Literal

from labctl.plan.objects import Shaper

Qdisc = Literal["netem", "tbf"]

NETEM_PACKETS = 100_000
"""How many packets may be late at once: 100 ms of 1 Gbit/s in small ones, so that a delay never becomes a loss."""

_FRAME_HEADER = 18
# What a circuit's buffer holds: 50 ms at its rate, and no less than a first flight of TCP (RFC 6928: ten segments).
_QUEUE_MS, _QUEUE_FRAMES = 50, 10


def qdiscs(item: Shaper) -> tuple[Qdisc, ...]:
    """From the outer to the inner: netem, and for a rate tbf, alone or inside it."""
    late = bool(item.delay_ms or item.jitter_ms or item.loss_percent)
    return (*(("netem",) if late or not item.rate_bit else ()), *(("tbf",) if item.rate_bit else ()))


def bucket_bytes(item: Shaper) -> int:
    """How much may leave at once where a rate is set: what comes in a millisecond, or one frame."""
    return max(item.rate_bit // 8 // 1000, _frame_bytes(item))


def queue_bytes(item: Shaper) -> int:
    """How much may wait where a rate is set."""
    return min(max(item.rate_bit // 8 * _QUEUE_MS // 1000, _QUEUE_FRAMES * _frame_bytes(item)), 0xFFFFFFFF)


def _frame_bytes(item: Shaper) -> int:
    return item.mtu + _FRAME_HEADER
