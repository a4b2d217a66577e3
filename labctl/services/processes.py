"""Processes by pid and start time, so that a recycled pid is never taken for the one that bore it; and prctl(2)."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36


@dataclass(frozen=True, slots=True)
class Identity:
    """A process: its pid, and when it started in clock ticks since boot (proc_pid_stat(5), field 22)."""

    pid: int
    started: int


def identify(pid: int) -> Identity | None:
    """The process that bears `pid` now, None where none does or it is a zombie: that one will do nothing more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else Identity(pid, int(fields[19]))


def alive(process: Identity) -> bool:
    """Whether it still runs."""
    return identify(process.pid) == process


def kill(process: Identity) -> None:
    """SIGKILL to exactly this process; gone already is fine."""
    handle = _open(process.pid)
    if handle is None:
        return
    try:
        # The handle is fixed to one process: if that is the one meant, nothing can take its place now.
        if alive(process):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def wait_gone(process: Identity, deadline: float) -> bool:
    """Whether it ended before `deadline` (time.monotonic)."""
    handle = _open(process.pid)
    if handle is None:
        return True
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return not alive(process) or bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))
    finally:
        os.close(handle)


def _open(pid: int) -> int | None:
    """A handle of the process that bears `pid`, None where none does."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:  # it has ended, and its number lives on as that of its process group
            return None
        raise


def boot_id() -> str:
    """What the kernel calls its run since the machine was started: random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def die_with(parent: int) -> None:
    """SIGKILL to the calling process when its parent, `parent`, ends, however that ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the request
        os._exit(1)


def live_on() -> None:
    """Take back `die_with`."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Processes whose parent ends become children of the calling one, if they descend from it."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """The name in ps and /proc/PID/comm; the kernel keeps 15 bytes of it."""
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


_libc = ctypes.CDLL(None, use_errno=True)
