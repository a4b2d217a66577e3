"""The words between a supervisor and those who talk to it: one JSON object a line, over a socket in the run directory.

Requests are {"do": "start" | "change" | "stop" | "signal" | "status" | "programs" | "shutdown", ...}; answers are
{"ok": true, ...} or an error in the form of `error_to_data`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from labctl.codec import decode
from labctl.errors import DescriptionError, HostError, KernelError, LabError, StateError
from labctl.kernel.paths import Paths
from labctl.services import processes
from labctl.services.processes import Identity

_KINDS: dict[str, type[LabError]] = {
    kind.__name__: kind for kind in (DescriptionError, HostError, KernelError, StateError)
}


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One program of a lab.

    `detail` says how an exited one ended, with its last words, and for a path watcher since when (CLOCK_MONOTONIC, ms)
    each path has its state and how often it changed. `paths`: "up" or "down" for each path of a path watcher; of a
    virtual router "MASTER", "BACKUP", "FAULT", or "settling" until that is known; of a DNS server, for each zone that
    it copies from elsewhere, "current", "missing", or "copying" while that may change.
    """

    namespace: str
    name: str
    pid: int
    state: Literal["running", "exited"]
    detail: str = ""
    paths: dict[str, str] = field(default_factory=dict)


SETTLED = ("up", "MASTER", "BACKUP", "current", "missing")
"""What a path of a program may be when a lab is ready."""


@dataclass(frozen=True, slots=True)
class Roster:
    """The supervisor of a lab and its programs, as processes: what must be gone when it is said to be gone.

    `boot`: what the kernel called its run then; a process of another run is none of these.
    """

    supervisor: Identity
    children: tuple[Identity, ...] = ()
    boot: str = ""


def roster_file(paths: Paths) -> Path:
    """Where the roster lies."""
    return paths.root / "supervisor.json"


def read_roster(paths: Paths) -> Roster | None:
    """Who ran when the supervisor last wrote it down; None where none ever did, or all were seen to be gone.

    A roster that cannot be read, or from before the machine was restarted, names nobody.
    """
    try:
        found: Roster = decode(Roster, json.loads(roster_file(paths).read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found.boot == processes.boot_id() else None


def known(paths: Paths) -> tuple[Identity, ...]:
    """The lab's supervisor and its programs as they were last written down, alive or not."""
    roster = read_roster(paths)
    return (roster.supervisor, *roster.children) if roster else ()


def broken(paths: Paths) -> bool:
    """Whether the lab had a supervisor that has ended, and its programs with it."""
    roster = read_roster(paths)
    return roster is not None and not processes.alive(roster.supervisor)


def error_to_data(error: LabError) -> dict[str, Any]:
    """`error` as an answer."""
    number = error.errno if isinstance(error, KernelError) else 0
    kind = type(error).__name__
    return {"ok": False, "error": kind, "message": error.message, "hint": error.hint, "errno": number}


def error_from_data(data: dict[str, Any], subject: object = None) -> LabError:
    """The error that `data` stands for; a KernelError is about `subject`."""
    message, hint = str(data.get("message", "")), str(data.get("hint", ""))
    kind = _KINDS.get(str(data.get("error")), StateError)
    if kind is KernelError:
        return KernelError(message, subject=subject, errno=int(data.get("errno", 0)), hint=hint)
    return kind(message, hint=hint)


def line(data: dict[str, Any]) -> bytes:
    """`data` as a line."""
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name for `path` of a few bytes, valid inside the block: socket addresses end at 107 (unix(7))."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
