"""New descriptions: a file of a name of its own, which takes the place of no other unless that is asked for."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from labctl.cli import files
from labctl.description.faults import did_you_mean
from labctl.description.words import NAME
from labctl.errors import HostError, UsageError
from labctl.shapes import describe_shape, shape

STARTER = Path(__file__).with_name("starter.yaml")
"""What a lab begins with where nothing else is asked for."""

_LAB = re.compile(r"^lab: [^ #\n]+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to write: routers of a `shape`, a copy `of` a shipped topology, or, with neither, a lab to start from.

    `output`: a file ("": NAME.yaml, "-": standard output), which is written over only by `force`.
    """

    name: str = ""
    shape: str = ""
    nodes: int = 0
    of: str = ""
    output: str = ""
    force: bool = False


def create(wanted: Wanted) -> None:
    """Write it, and say so on standard error. UsageError where that is not to be had, or the file is there already."""
    lab, text = _written(wanted)
    text = files.with_schema(text)
    if wanted.output == "-":
        sys.stdout.write(text)
        return
    path = Path(wanted.output or f"{lab}.yaml")
    _put(path, text, force=wanted.force)
    print(f"{path}: try it with `labctl run {path}`", file=sys.stderr)


def _written(wanted: Wanted) -> tuple[str, str]:
    """The lab's name and its description."""
    if wanted.shape and wanted.of:
        raise UsageError("new: --shape and --from exclude each other")
    if bool(wanted.shape) != bool(wanted.nodes):
        raise UsageError("new: --shape and --nodes go together", hint="labctl new --shape chain --nodes 50")
    if wanted.shape:
        lab = _checked(wanted.name or f"{wanted.shape}-{wanted.nodes}")
        return lab, describe_shape(wanted.shape, shape(wanted.shape, wanted.nodes), lab)
    source = _shipped(wanted.of) if wanted.of else STARTER
    lab = _checked(wanted.name or (f"my-{wanted.of}" if wanted.of else "hello"))
    text = source.read_text()
    return lab, _LAB.sub(f"lab: {lab}", text if wanted.of else text.replace("hello-", f"{lab}-"), count=1)


def _shipped(name: str) -> Path:
    known = files.shipped()
    if name not in known:
        raise UsageError(f"new: no topology `{name}` comes with labctl", hint=did_you_mean(name, list(known)))
    return known[name]


def _checked(lab: str) -> str:
    try:
        return NAME.parse(lab)
    except ValueError as error:
        raise UsageError(f"`{lab}` cannot be the name of a lab: {error}") from None


def _put(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="--force writes over it") from None
    except OSError as error:
        raise HostError(f"{path}: cannot be written: {error.strerror}") from error
