"""Directories for the time of a guest: the one that it is run in, and what is lent to it; and those that were left.

Whoever runs a guest holds a lock on the owner mark in its directories. One with a mark that nobody locks is dead; but a
guest does not see the locks of the host, and its own directory is a mount there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

Purpose = Literal["guest", "reports"]
_MARK = "owner"
_TEXT = b"a guest of labctl needs this directory as long as this file is locked\n"
_YOUNG_S = 3600.0
"""An empty directory may be one that is just being made."""


@contextlib.contextmanager
def directory(purpose: Purpose, home: Path | None = None) -> Iterator[Path]:
    """A fresh one in `home`, gone with the block; what others left there is cleared away first."""
    clear(home)
    with tempfile.TemporaryDirectory(prefix=f"labctl-{purpose}-", dir=home) as folder:
        mark = os.open(Path(folder) / _MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(mark, fcntl.LOCK_EX)
            os.write(mark, _TEXT)
            yield Path(folder).resolve()
        finally:
            os.close(mark)


def clear(home: Path | None = None) -> tuple[Path, ...]:
    """Remove this user's directories of dead guests in `home`; which they were. What cannot be removed stays."""
    place = home or Path(tempfile.gettempdir())
    found = (each for purpose in get_args(Purpose) for each in place.glob(f"labctl-{purpose}-*"))
    return tuple(each for each in found if _clear(each))


def _clear(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or folder.is_mount():
            return False
        if not any(folder.iterdir()):
            if time.time() - status.st_mtime < _YOUNG_S:
                return False
            folder.rmdir()
            return True
        if _dead(folder / _MARK):
            shutil.rmtree(folder)
            return True
    return False


def _dead(mark: Path) -> bool:
    """Whether it is a mark of ours that nobody holds. OSError where it is held, or is none."""
    fd = os.open(mark, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.read(fd, len(_TEXT) + 1) == _TEXT
    finally:
        os.close(fd)
