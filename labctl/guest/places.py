"""Directories of the calling user: kernels in the cache, and the records of guests that stay."""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    """The user's cache of labctl, where `build-uml` leaves its kernels."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "labctl"


def guests() -> Path:
    """Where the guests of this user are written down; it goes with a restart of the machine where that can be."""
    if os.geteuid() == 0:
        return Path("/run/labctl-guests")
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(runtime) / "labctl-guests" if runtime and os.access(runtime, os.W_OK) else cache() / "guests"
