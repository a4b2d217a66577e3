"""A lab's run directory: what was to be made, and how far that came.

The directory appears whole, by one rename, before anything else of a lab exists.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from labctl import __version__, codec
from labctl.errors import StateError
from labctl.kernel.paths import RUN, Paths
from labctl.services import control
from labctl.services.processes import boot_id
from labctl.state.folder import MARK, STAGING, clear, is_ours, mark, present, staging, write
from labctl.state.places import LOCKS, NAME, checked, refusals

if TYPE_CHECKING:
    from labctl.kernel.fingerprint import Fingerprint
    from labctl.plan.objects import Plan

Status = Literal["starting", "up", "broken", "stale", "unreadable", "dead"]
"""`broken`: up, but the supervisor ended, and the programs with it. `dead`: in a guest that died."""

FORMAT = 1
"""The format of the journal, raised whenever an older labctl could not read a newer one's."""

_JOURNAL, _PLAN, _DESCRIPTION, _UP, _FINGERPRINT = (
    "journal.json",
    "plan.json",
    "description.yaml",
    "up",
    "fingerprint.json",
)
_ALREADY: dict[Status, str] = {
    "starting": "was left half made",
    "up": "is already up",
    "broken": "is already up, but its supervisor ended, and its programs with it",
    "stale": "is left over from before the machine was restarted",
    "unreadable": "is there already, and its journal cannot be read",
}
_PARTS = (MARK, _JOURNAL, _PLAN, _DESCRIPTION)


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
    """Write down a lab that is about to be made; the caller holds its lock. StateError as `refuse_if_there`."""
    nodes = _nodes(plan)
    stamp = (FORMAT, checked(paths.lab), __version__, boot_id(), created_at)
    journal = Journal(*stamp, source, time_scale, where, nodes)
    refuse_if_there(paths)
    with refusals(paths.root):
        _install(paths, journal, plan, description)


def rewrite(paths: Paths, plan: Plan, description: str, *, source: str, time_scale: int) -> None:
    """Write down that the lab is to be like `plan` from now on; until `mark_up` it counts as half made.

    Whatever ends this process meanwhile, what is there can be converged to either plan, or taken down. StateError where
    there is no lab.
    """
    _require(paths)
    with _legible(paths):
        before = _journal(paths)
    nodes = _nodes(plan)
    journal = replace(before, version=__version__, source=source, time_scale=time_scale, nodes=nodes)
    with refusals(paths.root):
        (paths.root / _UP).unlink(missing_ok=True)
        for name, text in zip(_PARTS[1:], _texts(journal, plan, description), strict=True):
            write(paths.root / name, text)


def refuse_if_there(paths: Paths) -> None:
    """Raise StateError where the lab is already there, or something that is not labctl's is in its place."""
    with refusals(paths.root):
        if present(paths):
            status = _summary(paths).status
            mend = "labctl apply FILE, or " if status in ("starting", "up", "broken") else ""
            raise StateError(f"lab {paths.lab} {_ALREADY[status]}", hint=f"{mend}labctl down {paths.lab}")


def mark_up(paths: Paths) -> None:
    """From now on the lab counts as up. StateError where there is none."""
    _require(paths)
    with refusals(paths.root):
        (paths.root / _UP).touch(mode=0o600)


def load(paths: Paths) -> Saved:
    """What `create` wrote. StateError where there is no such lab or its journal cannot be read by this labctl."""
    _require(paths)
    from labctl.plan.objects import Plan

    with _legible(paths):
        journal = _journal(paths)
        plan: Plan = codec.decode(Plan, json.loads((paths.root / _PLAN).read_text()))
        description = (paths.root / _DESCRIPTION).read_bytes().decode()
    return Saved(journal, plan, description, _status(paths, journal))


def save_fingerprint(paths: Paths, fingerprint: Fingerprint) -> None:
    """Keep the host's state from before the lab, for `down --verify`."""
    _require(paths)
    with refusals(paths.root):
        write(paths.root / _FINGERPRINT, json.dumps(codec.encode(fingerprint)))


def load_fingerprint(paths: Paths) -> Fingerprint | None:
    """What `save_fingerprint` kept; None where it kept nothing."""
    _require(paths)
    file = paths.root / _FINGERPRINT
    if not file.exists():
        return None
    with _legible(paths):
        from labctl.kernel.fingerprint import Fingerprint

        found: Fingerprint = codec.decode(Fingerprint, json.loads(file.read_text()))
    return found


def labs(run: Path = RUN) -> tuple[LabSummary, ...]:
    """Every lab of this machine, by name; what is not labctl's in `run`, or not ours to look into, is passed over."""
    with refusals(run):
        names = sorted(each.name for each in run.iterdir()) if run.is_dir() else []
        found = (Paths(name, run) for name in names if NAME.fullmatch(name))
        return tuple(_summary(paths) for paths in found if os.access(paths.root, os.R_OK | os.X_OK) and is_ours(paths))


def traces(run: Path = RUN) -> tuple[str, ...]:
    """The names of which there is anything in `run`: labs, and what commands left there that were killed."""
    with refusals(run):
        found = {each.lab for each in labs(run)}
        found |= {each.name.removeprefix(STAGING) for each in run.glob(f"{STAGING}*")}
        found |= {each.name for each in (run / LOCKS).glob("*")}
    return tuple(sorted(name for name in found if NAME.fullmatch(name)))


def tidy(run: Path = RUN) -> None:
    """Take away the directory of the locks where a command that was killed left it empty."""
    with contextlib.suppress(OSError):  # a lock is in it, or it is not there
        (run / LOCKS).rmdir()


def _install(paths: Paths, journal: Journal, plan: Plan, description: str) -> None:
    place = staging(paths)
    clear(place)
    paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    place.mkdir(mode=0o700)
    texts = (mark(paths.lab), *_texts(journal, plan, description))
    for name, text in zip(_PARTS, texts, strict=True):
        write(place / name, text)
    place.rename(paths.root)


def _nodes(plan: Plan) -> int:
    from labctl.plan.objects import Namespace

    return sum(isinstance(item, Namespace) for item in plan.objects)


def _texts(journal: Journal, plan: Plan, description: str) -> tuple[str, str, str]:
    """The content of the files, the mark aside."""
    return json.dumps(codec.encode(journal), indent=1), json.dumps(codec.encode(plan)), description


def _require(paths: Paths) -> None:
    if not present(paths):
        raise StateError(f"there is no lab {paths.lab}", hint="labctl list")


def _journal(paths: Paths) -> Journal:
    data: Any = json.loads((paths.root / _JOURNAL).read_text())
    if data["format"] != FORMAT:
        raise ValueError(f"labctl {data.get('version', '?')} wrote it in format {data['format']}, this reads {FORMAT}")
    journal: Journal = codec.decode(Journal, data)
    return journal


def _status(paths: Paths, journal: Journal) -> Status:
    if journal.boot_id != boot_id():
        return "stale"
    if not (paths.root / _UP).exists():
        return "starting"
    return "broken" if control.broken(paths) else "up"


def _summary(paths: Paths) -> LabSummary:
    try:
        with _legible(paths):
            journal = _journal(paths)
    except StateError:
        return LabSummary(paths.lab, "unreadable")
    status = _status(paths, journal)
    return LabSummary(paths.lab, status, journal.source, journal.created_at, journal.where, journal.nodes)


@contextlib.contextmanager
def _legible(paths: Paths) -> Iterator[None]:
    """Whatever a damaged file makes of decoding becomes a StateError that says how to go on."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        message = f"the journal of lab {paths.lab} in {paths.root} cannot be read: {reason}"
        raise StateError(message, hint=f"labctl down {paths.lab}") from error
