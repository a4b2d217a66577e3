"""A while in which this process is served before others, and its threads give way to each other at once."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_HIGHEST = -20  # setpriority(2)
_SWITCH_S = 0.0002
_THREADS = Path("/proc/self/task")


@contextlib.contextmanager
def urgent() -> Iterator[None]:
    """What must happen at its instant happens then, as far as the machine allows.

    Every thread is raised, since each may hold the interpreter's lock while it waits for a processor; and that lock
    changes hands sooner than after the usual five milliseconds, which are longer than a queue on the way may last.
    """
    usual = sys.getswitchinterval()
    raised = [(thread, found) for thread in _threads() if (found := _raise(thread)) is not None]
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        if usual > _SWITCH_S:
            sys.setswitchinterval(usual)
        for thread, before in raised:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                os.setpriority(os.PRIO_PROCESS, thread, before)


def _threads() -> list[int]:
    return [int(path.name) for path in _THREADS.iterdir()]


def _raise(thread: int) -> int | None:
    """The priority that `thread` had before; None where it has ended, or where there is nothing to raise."""
    with contextlib.suppress(OSError):
        before = os.getpriority(os.PRIO_PROCESS, thread)
        if before > _HIGHEST:
            os.setpriority(os.PRIO_PROCESS, thread, _HIGHEST)
            return before
    return None
