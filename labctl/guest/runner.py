"""Boot a guest, stream what its job prints, bring its exit status back, and leave nothing behind however it ends.

The guest is killed as soon as the job's status is there, for by then everything the job wrote is on the host; and at
once on a timeout, an interrupt or any other way out.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from labctl.errors import GuestError, HostError
from labctl.guest import leftovers
from labctl.guest.engines import BOOT_LIMIT, available, prepare
from labctl.guest.job import Request, Workspace
from labctl.guest.process import Guest, late_death, started

POLL = 0.01


class Sink(Protocol):
    """Where a guest's output goes."""

    def write(self, data: bytes, /) -> object:
        """Take `data`."""

    def flush(self) -> object:
        """Hold nothing back."""


@dataclass(slots=True)
class Tail:
    """Copies what is added to a file on to a stream."""

    path: Path
    stream: Sink
    offset: int = 0

    def copy(self) -> None:
        """Copy what is new."""
        with self.path.open("rb") as source:
            source.seek(self.offset)
            data = source.read()
        if data:
            self.offset += len(data)
            self.stream.write(data)
            self.stream.flush()


@dataclass(slots=True)
class Feed:
    """Hands on to a job what comes in at a file descriptor, until its end."""

    work: Workspace
    source: int
    pieces: int = 0
    ended: bool = False

    def copy(self) -> None:
        """Hand on what has come."""
        if not self.ended and select.select([self.source], [], [], 0)[0]:
            data = os.read(self.source, 1 << 16)
            self.work.hand_in(self.pieces, data)
            self.pieces += 1
            self.ended = not data


def run(
    engine: str,
    argv: Sequence[str],
    *,
    timeout: float,
    writable: Sequence[Path] = (),
    readable: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    stdin: int | None = None,
) -> int:
    """Run `argv` as root in a guest of `engine`, in the present directory, and return its exit status.

    The guest sees the host's files read-only, with /tmp, /var/tmp and /run empty and its own. The `writable`
    directories are the host's, and `readable` files and directories stay in sight even where those three would hide
    them, as do the interpreter, labctl and the present directory. `timeout` is in seconds and includes the boot.
    Output goes to `stdout` and `stderr` (by default our own) as it comes; input comes from the file descriptor `stdin`,
    through a pipe, or there is none. `environment` is added to a plain one: nothing else is passed on but PYTHONPATH.

    Raises HostError where the engine cannot be used, GuestError where the guest did not boot, died, or ran out of
    time. A signal that would end this process ends the guest first.
    """
    found = available(engine)
    if not found.ok:
        raise HostError(f"no {engine} guest can run here: {found.detail}", hint=found.remedy)
    request = Request(argv, writable, readable, environment or {}, heard=stdin is not None)
    with late_death(), leftovers.directory("guest") as directory:
        work = Workspace(directory)
        try:
            launch = prepare(engine, work, request)
            work.fill(launch.job)
        except OSError as fault:
            raise GuestError(f"the {engine} guest cannot be prepared: {fault}") from fault
        streams: list[Tail | Feed] = [
            Tail(work.stdout, stdout or sys.stdout.buffer),
            Tail(work.stderr, stderr or sys.stderr.buffer),
            *([] if stdin is None else [Feed(work, stdin)]),
        ]
        with started(launch) as guest:
            return _follow(engine, guest, work, streams, timeout)


def _follow(engine: str, guest: Guest, work: Workspace, streams: Sequence[Tail | Feed], timeout: float) -> int:
    """Stream until the status is there; raises GuestError where it will not come."""
    begun = time.monotonic()
    while True:
        ended, status = guest.ended(), work.status()
        for stream in streams:
            stream.copy()
        if status is not None:
            return status
        passed = time.monotonic() - begun
        if fault := work.fault():
            raise GuestError(f"the {engine} guest cannot be set up: {fault}")
        if ended:
            what = "died" if work.started else "did not boot"
            raise GuestError(f"the {engine} guest {what} after {passed:.1f} s{guest.last_words()}")
        if passed > timeout:
            raise GuestError(f"the {engine} guest ran out of its {timeout:g} s and was ended")
        if passed > BOOT_LIMIT[engine] and not work.started:
            raise GuestError(f"the {engine} guest did not boot within {BOOT_LIMIT[engine]:g} s{guest.last_words()}")
        time.sleep(POLL)
