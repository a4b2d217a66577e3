"""A job of a guest that stays: a forked child in a session of its own, with its streams and what it is shown."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import struct
import termios
from dataclasses import dataclass, field
from pathlib import Path

from labctl.guest import inside
from labctl.guest.frames import WINDOW, Kind, Start

HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a child begins with blocked, until it is ready to be interrupted."""

_MS_BIND, _MNT_DETACH = 4096, 2


@dataclass(slots=True)
class Job:
    """A child. `handle`: its pidfd, `input`: what is written to it, `terminal`: the master's end of its terminal.

    A descriptor that is closed, or that there never was, is -1.
    """

    pid: int
    handle: int
    input: int
    terminal: int
    outputs: dict[Kind, int]
    """What is read from it."""
    mounts: list[str]
    number: int = 0
    credit: dict[Kind, int] = field(default_factory=lambda: {Kind.OUTPUT: WINDOW, Kind.ERRORS: WINDOW})
    told: bytearray = field(default_factory=bytearray)
    """Input that is still to be written to it."""
    last: bool = False
    """No more input is to come."""
    status: int | None = None

    def signal(self, number: int) -> None:
        """Send a signal to the job's process group; to the child alone where that has not made one as yet."""
        if self.status is None:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                os.kill(self.pid, number)

    def resize(self, rows: int, columns: int) -> None:
        """Its terminal has another size; the kernel tells the job so."""
        if self.terminal >= 0:
            _set_size(self.terminal, rows, columns)

    def reap(self) -> None:
        """Note how it ended: its exit status, 128 + n for the signal n."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.status = code if code >= 0 else 128 - code
        os.close(self.handle)

    def close_input(self) -> None:
        """It reads the end of its input now; a terminal has none."""
        if self.input >= 0:
            os.close(self.input)
            self.input = -1

    def close_output(self, kind: Kind) -> None:
        """Nobody reads this any more: a job that goes on writing is told so by the kernel."""
        if kind in self.outputs:
            os.close(self.outputs.pop(kind))

    def finish(self) -> None:
        """After its end: close the rest, and show its files no more."""
        self.close_input()
        if self.terminal >= 0:
            os.close(self.terminal)
        if self.mounts:
            os.sync()
            _hide(self.mounts)


def begin(start: Start, workspace: Path) -> Job | None:
    """Fork: the job, or None in the child, whose streams, environment and directory are those of `start` then, and
    which has the signals HELD blocked. OSError where it cannot be begun; then nothing is left of it.
    """
    mounts = _show(start, workspace)
    try:
        ours, theirs = _terminal(*start.terminal) if start.terminal else _pipes(heard=start.heard)
    except OSError:
        _hide(mounts)
        raise
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    pid = os.fork()
    if pid == 0:
        _become(start, theirs)
        return None
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
    for fd in set(theirs):
        os.close(fd)
    heard, terminal, *outputs = ours
    for fd in (heard, *outputs):
        if fd >= 0:
            os.set_blocking(fd, False)
    named = dict(zip((Kind.OUTPUT, Kind.ERRORS), outputs, strict=False))
    return Job(pid, os.pidfd_open(pid), heard, terminal, named, mounts)


def _terminal(rows: int, columns: int) -> tuple[list[int], list[int]]:
    """A new terminal: our end as input, terminal and output; the child's as its three streams."""
    master, slave = os.openpty()
    _set_size(master, rows, columns)
    return [os.dup(master), os.dup(master), master], [slave, slave, slave]


def _pipes(*, heard: bool) -> tuple[list[int], list[int]]:
    """Pipes: our ends as input, no terminal, two outputs; the child's as its three streams."""
    reading, told = os.pipe() if heard else (os.open(os.devnull, os.O_RDONLY), -1)
    out, its_out = os.pipe()
    err, its_err = os.pipe()
    return [told, -1, out, err], [reading, its_out, its_err]


def _set_size(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _become(start: Start, streams: list[int]) -> None:
    """In the child: nothing of the agent's stays open, and its standard streams are those of the job."""
    os.setsid()
    if start.terminal:
        fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python has it
    os.environ.update(start.environment)
    directory = Path(start.cwd)
    with contextlib.suppress(OSError):  # a read-only tree is shown as it is
        directory.mkdir(parents=True, exist_ok=True)
    os.chdir(directory if directory.is_dir() else "/")


def _show(start: Start, workspace: Path) -> list[str]:
    """Mount what is to be seen elsewhere; where it is seen."""
    mounts: list[str] = []
    try:
        for source, target in (start.shown or {}).items():
            origin = workspace / source
            inside.make_target(Path(target), directory=origin.is_dir())
            arguments = (str(origin).encode(), target.encode(), None, _MS_BIND, None)
            inside.check(inside.LIBC.mount(*arguments), target)
            mounts.append(target)
    except OSError:
        _hide(mounts)
        raise
    return mounts


def _hide(mounts: list[str]) -> None:
    for target in reversed(mounts):
        with contextlib.suppress(OSError):
            inside.check(inside.LIBC.umount2(target.encode(), ctypes.c_int(_MNT_DETACH)), target)
