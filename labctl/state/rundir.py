"""A lab's run directory: what was to be made, and how far that came.

The directory appears whole, by one rename, before anything else of a lab exists. labctl changes or removes only a
directory that carries its owner mark.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from labctl import __version__, codec
from labctl.errors import StateError
from labctl.kernel.fingerprint import Fingerprint
from labctl.kernel.paths import RUN, Paths
from labctl.plan.objects import Namespace, Plan
from labctl.state.places import NAME, checked, refusals

Status = Literal["starting", "up", "stale", "unreadable"]

FORMAT = 1
"""The format of the journal, raised whenever an older labctl could not read a newer one's."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MARK, _JOURNAL, _PLAN, _DESCRIPTION, _UP, _FINGERPRINT = (
    "owner",
    "journal.json",
    "plan.json",
    "description.yaml",
    "up",
    "fingerprint.json",
)
_ALREADY: dict[Status, str] = {
    "starting": "was left half made",
    "up": "is already up",
    "stale": "is left over from before the machine was restarted",
    "unreadable": "is there already, and its journal cannot be read",
}
_PARTS = (_MARK, _JOURNAL, _PLAN, _DESCRIPTION)


@dataclass(frozen=True, slots=True)
class Journal:
    """What was known before the first change. `created_at`: ISO 8601; `time_scale`: what timers are stretched by."""

    format: int
    lab: str
    version: str
    boot_id: str
    created_at: str
    source: str
    time_scale: int
    where: str
    nodes: int


@dataclass(frozen=True, slots=True)
class Saved:
    """A lab as it was written down. `stale`: the machine was started anew since, so that nothing of it is left."""

    journal: Journal
    plan: Plan
    description: str
    status: Status


@dataclass(frozen=True, slots=True)
class LabSummary:
    """A line of `labctl list`; of an unreadable journal only the lab's name is known."""

    lab: str
    status: Status
    source: str = ""
    created_at: str = ""
    where: str = ""
    nodes: int = 0


def create(
    paths: Paths,
    plan: Plan,
    description: str,
    *,
    source: str,
    time_scale: int,
    where: str,
    created_at: str,
) -> None:
    """Write down a lab that is about to be made; the caller holds its lock.

    Raises StateError where the lab is already there, or something that is not labctl's is in its place.
    """
    nodes = sum(isinstance(item, Namespace) for item in plan.objects)
    stamp = (FORMAT, checked(paths.lab), __version__, _boot_id(), created_at)
    journal = Journal(*stamp, source, time_scale, where, nodes)
    with refusals(paths.root):
        if present(paths):
            found = _ALREADY[_summary(paths).status]
            raise StateError(f"lab {paths.lab} {found}", hint=f"labctl down {paths.lab}")
        _install(paths, journal, plan, description)


def present(paths: Paths) -> bool:
    """Whether the lab is there, readable or not; StateError where something that is not labctl's is in its place."""
    checked(paths.lab)
    with refusals(paths.root):
        if not os.path.lexists(paths.root):
            return False
        if _is_ours(paths):
            return True
    raise StateError(f"{paths.root} is not labctl's: it has no owner mark", hint="see what it is, and move it away")


def mark_up(paths: Paths) -> None:
    """From now on the lab counts as up. StateError where there is none."""
    _require(paths)
    with refusals(paths.root):
        (paths.root / _UP).touch(mode=0o600)


def load(paths: Paths) -> Saved:
    """What `create` wrote. StateError where there is no such lab or its journal cannot be read by this labctl."""
    _require(paths)
    with _legible(paths):
        journal = _journal(paths)
        plan: Plan = codec.decode(Plan, json.loads((paths.root / _PLAN).read_text()))
        description = (paths.root / _DESCRIPTION).read_bytes().decode()
    return Saved(journal, plan, description, _status(paths, journal))


def save_fingerprint(paths: Paths, fingerprint: Fingerprint) -> None:
    """Keep the host's state from before the lab, for `down --verify`."""
    _require(paths)
    with refusals(paths.root):
        _write(paths.root / _FINGERPRINT, json.dumps(codec.encode(fingerprint)))


def load_fingerprint(paths: Paths) -> Fingerprint | None:
    """What `save_fingerprint` kept; None where it kept nothing."""
    _require(paths)
    file = paths.root / _FINGERPRINT
    if not file.exists():
        return None
    with _legible(paths):
        found: Fingerprint = codec.decode(Fingerprint, json.loads(file.read_text()))
    return found


def labs(run: Path = RUN) -> tuple[LabSummary, ...]:
    """Every lab of this machine, by name; what is not labctl's in `run` is passed over."""
    with refusals(run):
        names = sorted(each.name for each in run.iterdir()) if run.is_dir() else []
        found = (Paths(name, run) for name in names if NAME.fullmatch(name))
        return tuple(_summary(paths) for paths in found if _is_ours(paths))


def remove(paths: Paths) -> None:
    """Take the run directory away, at once by a rename; nothing to do where it is absent.

    Raises StateError, and removes nothing, where it is not labctl's or where its namespaces are still mounted.
    """
    checked(paths.lab)
    with refusals(paths.root):
        _clear(_staging(paths))
        if not present(paths):
            return
        if paths.namespaces.is_mount():
            raise StateError(f"the namespaces of lab {paths.lab} are still mounted at {paths.namespaces}")
        paths.root.rename(_staging(paths))
        _clear(_staging(paths))


# -- the directory


def _staging(paths: Paths) -> Path:
    """Where the directory is put together and taken apart; names that start with a dot are labctl's own here."""
    return paths.run / f".new-{paths.lab}"


def _clear(staging: Path) -> None:
    """What a command that was killed may have left there."""
    if staging.is_dir():
        shutil.rmtree(staging)


def _install(paths: Paths, journal: Journal, plan: Plan, description: str) -> None:
    staging = _staging(paths)
    _clear(staging)
    paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    staging.mkdir(mode=0o700)
    texts = (
        _mark(paths.lab),
        json.dumps(codec.encode(journal), indent=1),
        json.dumps(codec.encode(plan)),
        description,
    )
    for name, text in zip(_PARTS, texts, strict=True):
        _write(staging / name, text)
    staging.rename(paths.root)


def _mark(lab: str) -> str:
    return f"labctl owns this directory: lab {lab}\n"


def _is_ours(paths: Paths) -> bool:
    mark = paths.root / _MARK
    if paths.root.is_symlink() or mark.is_symlink() or not mark.is_file():
        return False
    return mark.read_bytes() == _mark(paths.lab).encode()


def _require(paths: Paths) -> None:
    if not present(paths):
        raise StateError(f"there is no lab {paths.lab}", hint="labctl list")


def _write(path: Path, text: str) -> None:
    """By rename, so that a reader finds all of it or none."""
    partial = path.with_name(f".{path.name}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(text.encode())
    partial.rename(path)


# -- the journal


def _journal(paths: Paths) -> Journal:
    data: Any = json.loads((paths.root / _JOURNAL).read_text())
    if data["format"] != FORMAT:
        raise ValueError(f"labctl {data.get('version', '?')} wrote it in format {data['format']}, this reads {FORMAT}")
    journal: Journal = codec.decode(Journal, data)
    return journal


def _status(paths: Paths, journal: Journal) -> Status:
    if journal.boot_id != _boot_id():
        return "stale"
    return "up" if (paths.root / _UP).exists() else "starting"


def _summary(paths: Paths) -> LabSummary:
    try:
        with _legible(paths):
            journal = _journal(paths)
    except StateError:
        return LabSummary(paths.lab, "unreadable")
    status = _status(paths, journal)
    return LabSummary(paths.lab, status, journal.source, journal.created_at, journal.where, journal.nodes)


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


@contextlib.contextmanager
def _legible(paths: Paths) -> Iterator[None]:
    """Whatever a damaged file makes of decoding becomes a StateError that says how to go on."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        message = f"the journal of lab {paths.lab} in {paths.root} cannot be read: {reason}"
        raise StateError(message, hint=f"labctl down {paths.lab}") from error
