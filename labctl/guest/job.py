"""One run of a guest as data on a directory that both kernels see: what to run, which files to show, what came back."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import labctl
from labctl.errors import GuestError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Without the last, a program's output would stay in its buffer until it ends instead of streaming.
ENVIRONMENT = {"PATH": SEARCH_PATH, "HOME": "/run/home", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a guest, whichever the engine; see `runner.run`."""

    argv: Sequence[str]
    writable: Sequence[Path]
    readable: Sequence[Path]
    environment: Mapping[str, str]
    heard: bool = False
    channel: int | None = None
    """A socket of this process that the guest gets as a byte stream: see `labctl.guest.agent`."""


@dataclass(frozen=True, slots=True)
class Share:
    """A path of the host, shown at `path` in the guest: what the guest has at `source`, or a mount of `fstype`."""

    path: str
    source: str
    fstype: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What `inside.py` carries out: `covers` get an empty tmpfs, `shares` lie over that, outer ones first.

    `heard`: its input is what `Workspace.hand_in` is given; else it has none.
    """

    argv: Sequence[str]
    cwd: str
    environment: Mapping[str, str]
    covers: Sequence[str]
    shares: Sequence[Share]
    modules: Sequence[str] = ()
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """How an engine carries out a job: a command of the host, its whole environment, the processors it may use.

    `claim` is held as long as the guest runs.
    """

    job: Job
    command: Sequence[str]
    variables: Mapping[str, str]
    processors: frozenset[int]
    claim: socket.socket | None = None
    passed: tuple[int, ...] = ()
    """File descriptors that the command inherits, by the same numbers."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The job's directory on the host."""

    root: Path

    @property
    def stdout(self) -> Path:
        """What the job has printed so far."""
        return self.root / "stdout"

    @property
    def stderr(self) -> Path:
        """What the job has printed to its error stream so far."""
        return self.root / "stderr"

    @property
    def started(self) -> bool:
        """True once the guest is up and its files are in place."""
        return (self.root / "started").exists()

    def status(self) -> int | None:
        """The job's exit status, None while it has none."""
        path = self.root / "status"
        return int(path.read_text()) if path.exists() else None

    def fault(self) -> str:
        """Why the guest could not be set up or could not run the job, "" while nothing is known."""
        path = self.root / "fault"
        return path.read_text() if path.exists() else ""

    def hand_in(self, number: int, data: bytes) -> None:
        """Piece `number` of the job's input, from 0; an empty one ends it.

        Each is a file that appears whole: a guest may keep in mind how long a file was when it first looked.
        """
        part = self.root / "stdin.part"
        part.write_bytes(data)
        part.rename(self.root / f"stdin-{number}")

    def fill(self, job: Job) -> None:
        """Write the job and the program that carries it out.

        The interpreter is linked here because a kernel command line cannot hold every path; a link suffices for
        the standard library, which is all that `inside.py` uses.
        """
        (self.root / "job.json").write_text(json.dumps(asdict(job)))
        (self.root / "python").symlink_to(Path(sys.executable).resolve())
        shutil.copy(Path(__file__).with_name("inside.py"), self.root)
        self.stdout.touch()
        self.stderr.touch()


def directories(paths: Iterable[Path]) -> list[Path]:
    """The paths resolved, each checked to be a directory; raises GuestError for one that is not."""
    resolved = [path.resolve() for path in paths]
    for path in resolved:
        if not path.is_dir():
            raise GuestError(f"{path} is to be written by the guest, but is no directory")
    return resolved


def hidden(readable: Iterable[Path], covers: Sequence[str]) -> list[Path]:
    """Which of our own paths and of `readable` a tmpfs over `covers` would hide: they must be shown again.

    A path that lies in another one of them is not named beside it. Our own are the working directory, the interpreter
    with its environment, and the modules' search path.
    """
    own = [Path.cwd(), Path(labctl.__file__).parent, *map(Path, (sys.prefix, sys.base_prefix, *sys.path))]
    found = {path.resolve() for path in (*own, *readable) if str(path) not in ("", ".")}
    covered = {path for path in found if path.exists() and any(Path(cover) in path.parents for cover in covers)}
    return sorted(path for path in covered if covered.isdisjoint(path.parents))


def outer_first(shares: Iterable[Share]) -> list[Share]:
    """The shares in an order in which none is mounted before the one that it lies in."""
    return sorted(shares, key=lambda share: len(Path(share.path).parts))


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The job's whole environment: a plain one, the module path of this process, and `extra` over both."""
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return ENVIRONMENT | kept | dict(extra)
