"""A lab's directory itself: whose it is, how it appears whole, and how it goes.

labctl changes or removes only a directory that carries its owner mark.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from labctl.errors import StateError
from labctl.kernel.paths import Paths
from labctl.state.places import checked, mounts, refusals

STAGING = ".new-"
"""How the name begins under which a directory is put together and taken apart: with a dot, as no lab's does."""

MARK = "owner"


def present(paths: Paths) -> bool:
    """Whether the lab is there, readable or not; StateError where something that is not labctl's is in its place."""
    checked(paths.lab)
    with refusals(paths.root):
        if not os.path.lexists(paths.root):
            return False
        if is_ours(paths):
            return True
    if paths.root.is_mount():
        raise StateError(f"something is mounted over {paths.root}", hint=f"umount {paths.root}")
    raise StateError(f"{paths.root} is not labctl's: it has no owner mark", hint="see what it is, and move it away")


def mark(lab: str) -> str:
    """What the owner mark of `lab` says."""
    return f"labctl owns this directory: lab {lab}\n"


def is_ours(paths: Paths) -> bool:
    """Whether the directory carries the lab's mark."""
    file = paths.root / MARK
    if paths.root.is_symlink() or file.is_symlink() or not file.is_file():
        return False
    return file.read_bytes() == mark(paths.lab).encode()


def remove(paths: Paths) -> None:
    """Take the run directory away, at once by a rename; nothing to do where it is absent.

    Raises StateError, and removes nothing, where it is not labctl's or where anything is mounted in it.
    """
    checked(paths.lab)
    with refusals(paths.root):
        clear(staging(paths))
        if not present(paths):
            return
        if found := mounts(paths.root):
            names = ", ".join(map(str, found))
            raise StateError(f"lab {paths.lab} is not removed: mounted there: {names}", hint=f"umount {found[-1]}")
        paths.root.rename(staging(paths))
        clear(staging(paths))


def staging(paths: Paths) -> Path:
    """Where the directory is put together and taken apart; names that start with a dot are labctl's own."""
    return paths.run / f"{STAGING}{paths.lab}"


def clear(place: Path) -> None:
    """Remove what a command that was killed may have left at `place`, a staging place. StateError: it is not ours."""
    if not os.path.lexists(place):
        return
    if not _is_plain(place):
        raise StateError(f"{place} is in the way: labctl did not make it", hint="see what it is, and move it away")
    shutil.rmtree(place)


def _is_plain(folder: Path) -> bool:
    """Whether it is a directory, and everything in it lies in the same file system."""
    return folder.is_dir() and not folder.is_symlink() and not mounts(folder)


def write(path: Path, text: str) -> None:
    """By rename, so that a reader finds all of it or none."""
    partial = path.with_name(f".{path.name}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(text.encode())
    partial.rename(path)
