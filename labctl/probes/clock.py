"""When packets pass: the kernel stamps them by CLOCK_REALTIME, which may be set; labctl reckons by CLOCK_MONOTONIC."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from labctl.errors import ProbeError
from labctl.kernel.netns import enter

SO_TIMESTAMPNS = 35  # asm-generic/socket.h
ANCILLARY = socket.CMSG_SPACE(16)
"""Bytes for the message with which SO_TIMESTAMPNS tells an instant."""

_TIME = struct.Struct("qq")
_EXPERIMENTAL = 0x88B5  # IEEE 802, "local experimental EtherType 1"
_STAMPING_S = 2.0
_AGAIN_S = 0.001

# sys/timerfd.h, and a time far ahead
_TFD_NONBLOCK, _TFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_TFD_TIMER_ABSTIME, _TFD_TIMER_CANCEL_ON_SET = 1, 2
_NEVER = struct.pack("qqqq", 0, 0, 1 << 40, 0)

_libc = ctypes.CDLL(None, use_errno=True)


def clock_offset() -> int:
    """Nanoseconds to add to CLOCK_REALTIME, the kernel's packet time, for CLOCK_MONOTONIC; exact to a microsecond."""
    best, found = 1 << 62, 0
    for _ in range(5):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best:
            best, found = after - before, (before + after) // 2 - real
    return found


def instant_ns(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """The instant in a received SO_TIMESTAMPNS message, in nanoseconds of CLOCK_REALTIME."""
    seconds, nanoseconds = _TIME.unpack(ancillary[0][2])
    return int(seconds * 1_000_000_000 + nanoseconds)


def stamping(namespace: Path) -> socket.socket:
    """A socket while which is open every packet is stamped when it passes. ProbeError: the kernel does no such thing.

    The kernel begins to stamp a while after a first socket has asked for it, and until then stamps packets when they
    are read: net_enable_timestamp leaves it to a worker. So frames are sent round the loopback until one is stamped.
    """
    with contextlib.ExitStack() as undo:
        with enter(namespace):
            loop = undo.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0))
        try:
            _await_stamps(loop)
        except OSError as error:
            raise ProbeError(f"the kernel does not say when packets pass: {error.strerror or error}") from error
        undo.pop_all()
    return loop


def _await_stamps(loop: socket.socket) -> None:
    loop.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    loop.settimeout(_STAMPING_S)
    loop.bind(("lo", _EXPERIMENTAL))
    deadline = time.monotonic() + _STAMPING_S
    while time.monotonic() < deadline:
        loop.send(bytes(12) + _EXPERIMENTAL.to_bytes(2, "big") + bytes(46))
        sent = time.time_ns()
        _, ancillary, _, _ = loop.recvmsg(64, ANCILLARY)
        if instant_ns(ancillary) <= sent:
            return
        time.sleep(_AGAIN_S)
    raise TimeoutError("it does so only when they are read")


class Settings:
    """Counts how often CLOCK_REALTIME was set, there and back included: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.

    Slewing does not count: it changes the pace of both clocks. OSError: the kernel has no such timers.
    """

    def __init__(self) -> None:
        self._timer = _checked(_libc.timerfd_create(time.CLOCK_REALTIME, _TFD_NONBLOCK | _TFD_CLOEXEC))
        how = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        _checked(_libc.timerfd_settime(self._timer, how, _NEVER, None))
        self._count = 0

    def count(self) -> int:
        """How often up to now. Equal counts mean: not in between."""
        try:
            os.read(self._timer, 8)
        except BlockingIOError:
            return self._count
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        self._count += 1
        return self._count

    def close(self) -> None:
        """Stop counting."""
        os.close(self._timer)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
