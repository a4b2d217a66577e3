"""The guests that stay, as they are written down on the host: a directory for each, by the name of its lab.

It appears and goes whole, by a rename. Only one that carries the owner mark is ever changed or removed, and a process
is known by its pid together with its start time.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from labctl.errors import GuestError, HostError
from labctl.guest.places import guests
from labctl.services.processes import Identity, alive, boot_id, identify

State = Literal["starting", "up", "dead", "unreadable"]

FORMAT = 1
"""Raised whenever an older labctl could not read what a newer one writes down."""

_NAME = re.compile(r"[a-z][a-z0-9-]*")
# The kernel's command line is split at blanks, the options of mounts and of QEMU at commas.
_PLAIN = re.compile(r"[\w./+-]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the guest of `lab` is written down."""

    lab: str
    home: Path = field(default_factory=guests)

    @property
    def root(self) -> Path:
        """The record, and all that the guest has on the host."""
        return self.home / self.lab

    @property
    def work(self) -> Path:
        """The directory that the guest sees, too."""
        return self.root / "work"

    @property
    def description(self) -> Path:
        """The text that the lab was made from."""
        return self.work / "description.yaml"

    @property
    def socket(self) -> Path:
        """Where the guest's monitor listens."""
        return self.root / "socket"

    @property
    def log(self) -> Path:
        """What the monitor has to complain of."""
        return self.root / "log"


@dataclass(frozen=True, slots=True)
class Record:
    """What was known before the guest was started. `created_at`: ISO 8601; `nodes`: the lab's namespaces."""

    lab: str
    engine: str
    source: str
    nodes: int
    created_at: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of `labctl list`; of an unreadable record only the lab's name is known."""

    lab: str
    state: State
    record: Record | None


def create(place: Place, record: Record) -> None:
    """Write down a guest that is about to be started. GuestError where one is there, or something that is not ours."""
    if not _PLAIN.fullmatch(str(place.root)):
        message = f"no guest can be kept in {place.root}: a kernel's command line cannot hold that path"
        raise HostError(message, hint="XDG_RUNTIME_DIR=/another/directory labctl ...")
    with _refusals(place.root):
        if present(place):
            raise GuestError(f"lab {place.lab} is there already, in a guest", hint=f"labctl down {place.lab}")
        place.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        staging = _staging(place)
        _clear(staging)
        staging.mkdir(mode=0o700)
        (staging / "owner").write_text(_mark(place.lab))
        (staging / "record.json").write_text(json.dumps(asdict(record), indent=1))
        (staging / "work").mkdir()
        staging.rename(place.root)


def present(place: Place) -> bool:
    """Whether the lab has a guest, dead or alive; GuestError where something that is not labctl's is in its place."""
    if not _NAME.fullmatch(place.lab) or not os.path.lexists(place.root):
        return False
    if not _is_ours(place):
        raise GuestError(f"{place.root} is not labctl's: it has no owner mark", hint="see what it is, and move it away")
    return True


def read(place: Place) -> Record:
    """What `create` wrote. GuestError where it cannot be read by this labctl."""
    try:
        data: Any = json.loads((place.root / "record.json").read_text())
        if data["format"] != FORMAT:
            raise ValueError(f"it has format {data['format']}, and this labctl reads {FORMAT}")
        return Record(**data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"the record of the guest of lab {place.lab} in {place.root} cannot be read: {error}"
        raise GuestError(message, hint=f"labctl down {place.lab}") from error


def note(place: Place, role: str, pid: int) -> None:
    """Write down a process of the guest: the `monitor`, or the `guest` itself."""
    found = identify(pid)
    if found is not None:
        _write(place.root / f"{role}.json", json.dumps({**asdict(found), "boot_id": boot_id()}))


def process(place: Place, role: str) -> Identity | None:
    """The process that was noted, where it runs still; never one of before the machine was restarted."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        data: Any = json.loads((place.root / f"{role}.json").read_text())
        found = Identity(data["pid"], data["started"])
        if data["boot_id"] == boot_id() and alive(found):
            return found
    return None


def mark_up(place: Place) -> None:
    """From now on the lab counts as up."""
    (place.root / "up").touch()


def is_up(place: Place) -> bool:
    """Whether `mark_up` was called."""
    return (place.root / "up").exists()


def obituary(place: Place, text: str) -> None:
    """Write down how the guest died."""
    _write(place.root / "died", text)


def condition(place: Place) -> State:
    """How the guest gets on."""
    if process(place, "monitor") is None:
        return "dead"
    return "up" if is_up(place) else "starting"


def dead(place: Place) -> GuestError:
    """The error to raise about a guest that runs no more."""
    told = _text(place.root / "died")
    if not told:
        log = _text(place.log).splitlines()
        told = "\n  ".join([f"the guest of lab {place.lab} is dead, and so is its monitor", *log])
    return GuestError(told, hint=f"labctl down {place.lab}")


def labs(home: Path | None = None) -> tuple[Summary, ...]:
    """The guests of this user, by the name of their labs; what is not labctl's is passed over."""
    home = home or guests()
    names = sorted(each.name for each in home.iterdir()) if home.is_dir() else []
    places = (Place(name, home) for name in names if _NAME.fullmatch(name))
    return tuple(_summary(place) for place in places if _is_ours(place))


def remove(place: Place) -> None:
    """Take the record away with all that the guest left; nothing to do where there is none."""
    with _refusals(place.root):
        if present(place):
            with suppress(FileNotFoundError):  # another process was first
                place.root.rename(place.home / f".gone-{place.lab}-{os.getpid()}")
        for left in (_staging(place), *place.home.glob(f".gone-{place.lab}-*")):
            _clear(left)
        with suppress(OSError):  # others live there, or it is away already
            place.home.rmdir()


def _summary(place: Place) -> Summary:
    try:
        return Summary(place.lab, condition(place), read(place))
    except GuestError:
        return Summary(place.lab, "unreadable", None)


def _staging(place: Place) -> Path:
    """Where a record is put together."""
    return place.home / f".new-{place.lab}"


def _clear(folder: Path) -> None:
    """What a command that was killed may have left there."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _mark(lab: str) -> str:
    return f"labctl owns this directory: the guest of lab {lab}\n"


def _is_ours(place: Place) -> bool:
    mark = place.root / "owner"
    if place.root.is_symlink() or mark.is_symlink() or not mark.is_file():
        return False
    return mark.read_text(errors="replace") == _mark(place.lab)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    """By rename, so that a reader finds all of it or none."""
    partial = path.with_name(f".{path.name}")
    partial.write_text(text)
    partial.rename(path)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{error.filename or path}: {error.strerror}") from error
