"""What is common to the lock and the run directory: a lab's name as part of a path, and the file system's refusals."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from labctl.errors import HostError, StateError, UsageError

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")

LOCKS = ".locks"
"""The directory of the locks, beside those of the labs."""

NAME = re.compile(r"[a-z][a-z0-9-]*")


def checked(lab: str) -> str:
    """Names come from command lines, too, and become paths."""
    if not NAME.fullmatch(lab):
        raise UsageError(f"{lab!r} is not the name of a lab: small letters, digits and hyphens, a letter first")
    return lab


def mounts(place: Path) -> list[Path]:
    """Everything that is mounted on `place` or below, as this process sees it (proc_pid_mountinfo(5))."""
    words = (line.split(" ")[4] for line in _MOUNTS.read_text().splitlines())
    names = (_ESCAPED.sub(lambda found: chr(int(found[1], 8)), word) for word in words)
    return sorted(Path(name) for name in names if name == str(place) or name.startswith(f"{place}/"))


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """What the file system refuses becomes a HostError or StateError about `path`."""
    try:
        yield
    except PermissionError as error:
        raise HostError(f"{error.filename or path}: {error.strerror}", hint="labctl on the host needs root") from error
    except OSError as error:
        raise StateError(f"{error.filename or path}: {error.strerror}") from error
