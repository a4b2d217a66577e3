"""The two clocks: the kernel stamps packets by CLOCK_REALTIME, which may be set; labctl reckons by CLOCK_MONOTONIC."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import time

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
