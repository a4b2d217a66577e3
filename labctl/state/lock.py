"""One command at a time on a lab: a file that is locked, gone with its last holder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from labctl import interrupts
from labctl.errors import StateError
from labctl.kernel.paths import Paths
from labctl.state.places import LOCKS, checked, refusals

LOCK_SECONDS = 2.0
"""How long a command waits for another one on the same lab."""

_POLL_SECONDS = 0.05
_held: set[int] = set()


@contextlib.contextmanager
def lock(paths: Paths, command: str, wait_s: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lab for `command` ("up"); the lock ends with the process, whatever ends that.

    A signal waits while the lock is taken and let go. Raises StateError, naming the holder, when the lab is not free
    within `wait_s` seconds.
    """
    checked(paths.lab)
    file = _lock_file(paths)
    free = not interrupts.holding()
    with interrupts.held():
        fd = _take(paths.lab, file, command, wait_s)
        try:
            with interrupts.allowed(if_so=free):
                yield
        finally:
            if fd in _held:  # not so in a forked child that comes by here
                _release(fd, file)


def _take(lab: str, file: Path, command: str, wait_s: float) -> int:
    deadline = time.monotonic() + wait_s
    with refusals(file):
        while (fd := _try_lock(file)) is None:
            if time.monotonic() >= deadline:
                raise _busy(lab, file, wait_s)
            time.sleep(_POLL_SECONDS)
    _held.add(fd)
    with contextlib.suppress(OSError):  # who holds it is good to know, but on a full disk nobody can be told
        os.ftruncate(fd, 0)
        os.write(fd, json.dumps({"pid": os.getpid(), "command": command}).encode())
    return fd


def _lock_file(paths: Paths) -> Path:
    """Beside the run directories, since it must outlive one."""
    return paths.run / LOCKS / paths.lab


def _try_lock(file: Path) -> int | None:
    """An open, locked file that still stands at `file`; None where another process has it."""
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None  # its folder went with the last holder: the next try makes it anew
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), file.stat()):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def _release(fd: int, file: Path) -> None:
    file.unlink(missing_ok=True)  # first, so that whoever waits for this very file sees that it is none any more
    with contextlib.suppress(OSError):  # another lab's lock is there
        file.parent.rmdir()
    _held.discard(fd)
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _busy(lab: str, file: Path, waited_s: float) -> StateError:
    try:
        holder = json.loads(file.read_text())
        who = f"labctl {holder['command']} (pid {holder['pid']})"
    except (OSError, ValueError):  # it has just taken it, or just let go
        who = "another labctl"
    return StateError(
        f"lab {lab} is busy: {who} holds it, and did so for the {waited_s:g} s that this command waited",
        hint="wait for it to end, or end it",
    )


def _let_go() -> None:
    """A forked child (the supervisor) must not hold its parent's locks open."""
    for fd in _held:
        os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
