"""What is common to the lock and the run directory: a lab's name as part of a path, and the file system's refusals."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from labctl.errors import HostError, StateError, UsageError

NAME = re.compile(r"[a-z][a-z0-9-]*")


def checked(lab: str) -> str:
    """Names come from command lines, too, and become paths."""
    if not NAME.fullmatch(lab):
        raise UsageError(f"{lab!r} is not the name of a lab: small letters, digits and hyphens, a letter first")
    return lab


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """What the file system refuses becomes a HostError or StateError about `path`."""
    try:
        yield
    except PermissionError as error:
        raise HostError(f"{error.filename or path}: {error.strerror}", hint="labctl on the host needs root") from error
    except OSError as error:
        raise StateError(f"{error.filename or path}: {error.strerror}") from error
