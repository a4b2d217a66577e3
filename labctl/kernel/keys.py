"""A lab's keys: made at random, kept in one file of mode 0600, named everywhere else. No message ever holds one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping

from labctl.errors import StateError
from labctl.kernel.paths import Paths
from labctl.plan.ciphers import CIPHERS


def generate(ciphers: Mapping[str, str]) -> dict[str, bytes]:
    """A random key for each name in `ciphers`, of the length that its cipher needs."""
    return {name: os.urandom(CIPHERS[cipher].key_bytes) for name, cipher in ciphers.items()}


def save(paths: Paths, keys: Mapping[str, bytes]) -> None:
    """Write the key ring anew, whole or not at all. StateError where the file cannot be written."""
    fresh = paths.keyring.with_suffix(".new")
    try:
        paths.keyring.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        # O_EXCL: the file is ours and of this mode from its first instant, or there is an error.
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump({name: key.hex() for name, key in keys.items()}, file)
        fresh.replace(paths.keyring)
    except OSError as error:
        raise StateError(f"cannot write the keys {paths.keyring}: {error.strerror}") from error


def load(paths: Paths) -> dict[str, bytes]:
    """The keys of the lab by their names. StateError where there are none to be read."""
    try:
        return {name: bytes.fromhex(key) for name, key in json.loads(paths.keyring.read_text()).items()}
    except OSError as error:
        raise StateError(f"cannot read the keys {paths.keyring}: {error.strerror}") from error
    except (ValueError, AttributeError, TypeError):
        # `from None`: the cause quotes the file's content.
        raise StateError(f"{paths.keyring} is damaged", hint=f"labctl down {paths.lab}, then up again") from None
