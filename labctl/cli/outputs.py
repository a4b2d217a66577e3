"""Files that a run leaves: reports, and evidence of what did not pass. Whether they can be written is tried beforehand.

A report appears whole or not at all; one from an earlier run is taken away first, so that none speaks for another run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from labctl.errors import HostError, UsageError
from labctl.guest import leftovers

EVIDENCE = Path("labctl-evidence")
"""Where evidence is kept unless it is said otherwise, in the present directory."""

_GUESTS_OWN = ("/", "/run", "/proc", "/sys", "/dev")


@dataclass(frozen=True, slots=True)
class Outputs:
    """What was asked for: reports by their option, and the directory for evidence; all paths absolute."""

    reports: dict[str, Path]
    evidence: Path

    def write(self, reports: Mapping[str, bytes]) -> None:
        """Write reports, by their options. HostError where one cannot be written any more."""
        for option, data in reports.items():
            try:
                _put(self.reports[option], data)
            except OSError as error:
                why = f"{option} {self.reports[option]}: cannot be written: {error.strerror}"
                raise HostError(why) from error

    @contextmanager
    def lent(self) -> Iterator[Lent]:
        """The same for `labctl run` in a guest, which writes reports to a directory lent to it: they are put in their
        places when the block ends. Evidence is kept where it is to stay.
        """
        with leftovers.directory("reports") as folder, _standing(self.evidence) as standing:
            staged = {option: folder / option.removeprefix("--") for option in self.reports}
            words = [word for option, path in staged.items() for word in (option, str(path))]
            evidence = [_real(self.evidence)] if standing else []
            words += [word for path in evidence for word in ("--evidence", str(path))]
            yield Lent(words, [*([folder] if staged else []), *evidence])
            self.write({option: path.read_bytes() for option, path in staged.items() if path.exists()})

    @contextmanager
    def handed(self, folder: Path) -> Iterator[tuple[list[str], dict[Path, Path]]]:
        """The same for a command in a guest that cannot be lent a directory any more: what it leaves is gathered in
        `folder`, and brought to its place when the block ends. Further arguments, and which directory there the guest
        must see where.
        """
        reports, evidence = folder / "reports", folder / "evidence"
        place = Path("/run") / f"labctl-{folder.name}"
        words = [word for option in self.reports for word in (option, str(place / option.removeprefix("--")))]
        with _standing(self.evidence) as standing:
            reports.mkdir()
            evidence.mkdir()
            seen = {reports: place, **({evidence: _real(self.evidence)} if standing else {})}
            try:
                yield [*words, *(("--evidence", str(_real(self.evidence))) if standing else ())], seen
            finally:
                for each in evidence.iterdir():
                    _bring(each, self.evidence)
            staged = {option: reports / option.removeprefix("--") for option in self.reports}
            self.write({option: path.read_bytes() for option, path in staged.items() if path.exists()})


def _bring(bundle: Path, folder: Path) -> None:
    """Move a directory of evidence to where it is to stay. HostError where that cannot be."""
    try:
        shutil.copytree(bundle, folder / bundle.name)
    except (OSError, shutil.Error) as error:
        raise HostError(f"no evidence can be kept in {folder}: {error}") from error


@dataclass(frozen=True, slots=True)
class Lent:
    """What a guest is given: further arguments, and directories that it may write to."""

    arguments: Sequence[str]
    writable: Sequence[Path]


def prepare(junit: Path | None, html: Path | None, evidence: Path | None) -> Outputs:
    """The outputs that were asked for, and could be written now. UsageError where one could not."""
    asked = {"--junit": junit, "--html": html}
    # The name is kept, not what a link stands for, since people look there; `_put` follows links.
    reports = {option: path.absolute() for option, path in asked.items() if path is not None}
    for option, path in reports.items():
        _try_file(option, path)
    if len({_real(path) for path in reports.values()}) < len(reports):
        raise UsageError(f"--junit and --html are the same file {html}")
    if evidence is not None:
        _try_directory(evidence)
    for path in reports.values():
        if path.is_file():
            _real(path).unlink()
    return Outputs(reports, (evidence or EVIDENCE).absolute())


def refuse_in_guest(evidence: Path) -> None:
    """UsageError where a guest has something of its own at that place."""
    if str(_real(evidence)) in _GUESTS_OWN:
        raise UsageError(f"--evidence {evidence}: a guest kernel has its own {_real(evidence)}")


def _try_file(option: str, path: Path) -> None:
    try:
        if path.is_dir():
            raise UsageError(f"{option} {path}: is a directory")
        if _special(path):
            path.open("ab").close()
        else:
            _try_scratch(_real(path).parent)
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be written: {error.strerror}") from error


def _try_directory(path: Path) -> None:
    try:
        made = _make(path)
        try:
            _try_scratch(path)
        finally:
            _remove_empty(made)
    except OSError as error:
        raise UsageError(f"--evidence {path}: cannot be written to: {error.strerror}") from error


def _try_scratch(folder: Path) -> None:
    """Only a file that is there shows that one can be made: a mode says nothing to root, or of a full disk."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".labctl-"):
        pass


def _put(path: Path, data: bytes) -> None:
    """By rename, so that a reader finds all of it or none; a device or a pipe is written to as it is."""
    place = _real(path)
    if _special(place):
        place.write_bytes(data)
        return
    partial = place.with_name(f".labctl-{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        partial.rename(place)
    finally:
        partial.unlink(missing_ok=True)


def _real(path: Path) -> Path:
    """Where the links in a path lead; the path itself where they lead round in a circle."""
    try:
        return path.resolve()
    except RuntimeError:
        return path


def _special(path: Path) -> bool:
    return path.exists() and not path.is_file()


@contextmanager
def _standing(folder: Path) -> Iterator[bool]:
    """`folder` is there within the block, if it can be made; afterwards what was made for it and stayed empty goes."""
    try:
        made = _make(folder)
    except OSError:
        yield folder.is_dir()
        return
    try:
        yield True
    finally:
        _remove_empty(made)


def _make(folder: Path) -> list[Path]:
    """Make a directory and those above it that are missing; what was made, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    made: list[Path] = []
    try:
        for each in reversed(missing):
            each.mkdir()
            made.insert(0, each)
        if not folder.is_dir():
            raise NotADirectoryError(0, "is not a directory", str(folder))
    except OSError:
        _remove_empty(made)
        raise
    return made


def _remove_empty(folders: Sequence[Path]) -> None:
    for each in folders:
        with suppress(OSError):  # something was put there meanwhile, and it stays
            each.rmdir()
