"""Topologies by file or by name: `vpe-subnet` is the shipped one unless a file of that name is there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from labctl.errors import DescriptionError, UsageError

if TYPE_CHECKING:
    from labctl.describe import Described

SCHEMA = "labctl.schema.json"
"""The file beside the shipped topologies that holds the JSON Schema of lab files."""

_PACKAGE = Path(__file__).parents[1]


def shipped() -> dict[str, Path]:
    """The topologies that come with labctl, by name: inside the package, or beside it in a source tree."""
    for folder in (_PACKAGE / "topologies", _PACKAGE.parent / "topologies"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def with_schema(text: str) -> str:
    """A lab file by whose first line editors find the schema of this installation, whichever they found before."""
    [topology, *_] = shipped().values()
    head = "# yaml-language-server: $schema="
    first, _, rest = text.partition("\n")
    return f"{head}{topology.with_name(SCHEMA).as_uri()}\n{rest if first.startswith(head) else text}"


def find(name: str) -> Path:
    """The file that `name` means; DescriptionError where there is none."""
    path = Path(name)
    known = shipped()
    return known[name] if name in known and not path.exists() else path


def read(name: str, time_scale: int = 1, variables: Sequence[str] = ()) -> Described:
    """The topology that `name` means, read and resolved; `variables` are values given as NAME=VALUE."""
    from labctl.describe import describe
    from labctl.description.faults import did_you_mean
    from labctl.description.sources import MAX_PACKED

    path = find(name)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PACKED)
    except (OSError, ValueError) as error:
        # A name with a NUL byte is a ValueError.
        why = error.strerror if isinstance(error, OSError) else error
        hint = did_you_mean(name, list(shipped()))
        raise DescriptionError(f"{name}: cannot be read: {why}", hint=hint) from None
    return describe(text, str(path), time_scale, partial(_included, path.resolve().parent), _values(variables))


def read_from(described: Described) -> list[Path]:
    """The files that a description was read from, its own first."""
    main = Path(described.source)
    folder = main.resolve().parent
    return [main.resolve(), *(folder / Path(name).relative_to(main.parent) for name in described.files)]


def _included(folder: Path, name: str) -> bytes:
    """The Fetch of a description in `folder`: plain files only, as a device or a pipe would never end."""
    from labctl.description.reader import MAX_BYTES
    from labctl.description.types import Refused

    path = folder / name
    try:
        if not path.is_file():
            raise Refused("there is no such file" if not path.exists() else "is no plain file")
        if not path.resolve().is_relative_to(folder):
            raise Refused("is a link that leads out of the folder of the lab")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise Refused(str((error.strerror if isinstance(error, OSError) else None) or error)) from None


def _values(words: Sequence[str]) -> dict[str, str]:
    """The values of `--var NAME=VALUE`."""
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(f"--var {word}: expected NAME=VALUE")
        if given.setdefault(name, value) != value:
            raise UsageError(f"--var {name}: given twice, as {given[name]} and as {value}")
    return given


def completions(incomplete: str) -> list[str]:
    """What a shell may complete `incomplete` to: shipped topologies, folders, and YAML files."""
    start = Path(incomplete)
    folder = start if incomplete.endswith("/") else start.parent
    beside = [path for path in sorted(folder.glob("*")) if path.is_dir() or path.suffix in (".yaml", ".yml")]
    files = [f"{path}/" if path.is_dir() else str(path) for path in beside]
    return [name for name in (*shipped(), *files) if name.startswith(incomplete)]
