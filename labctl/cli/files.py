"""Topologies by file or by name: `vpe-subnet` is the shipped one unless a file of that name is there."""

from __future__ import annotations

from pathlib import Path

from labctl.describe import Described, describe
from labctl.description.faults import did_you_mean
from labctl.description.tree import MAX_BYTES
from labctl.errors import DescriptionError

_PACKAGE = Path(__file__).parents[1]


def shipped() -> dict[str, Path]:
    """The topologies that come with labctl, by name: inside the package, or beside it in a source tree."""
    for folder in (_PACKAGE / "topologies", _PACKAGE.parent / "topologies"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def find(name: str) -> Path:
    """The file that `name` means; DescriptionError where there is none."""
    path = Path(name)
    known = shipped()
    return known[name] if name in known and not path.exists() else path


def read(name: str, time_scale: int = 1) -> Described:
    """The topology that `name` means, read and resolved."""
    path = find(name)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        # A name with a NUL byte is a ValueError.
        why = error.strerror if isinstance(error, OSError) else error
        hint = did_you_mean(name, list(shipped()))
        raise DescriptionError(f"{name}: cannot be read: {why}", hint=hint) from None
    return describe(text, str(path), time_scale)


def completions(incomplete: str) -> list[str]:
    """What a shell may complete `incomplete` to: shipped topologies, folders, and YAML files."""
    start = Path(incomplete)
    folder = start if incomplete.endswith("/") else start.parent
    beside = [path for path in sorted(folder.glob("*")) if path.is_dir() or path.suffix in (".yaml", ".yml")]
    files = [f"{path}/" if path.is_dir() else str(path) for path in beside]
    return [name for name in (*shipped(), *files) if name.startswith(incomplete)]
