"""A lab's run directory under /run/labctl: its lock, its journal, and what is there on this machine."""

from labctl.state.folder import present, remove
from labctl.state.lock import LOCK_SECONDS, lock
from labctl.state.rundir import (
    FORMAT,
    Journal,
    LabSummary,
    Saved,
    Status,
    create,
    labs,
    load,
    load_fingerprint,
    mark_up,
    refuse_if_there,
    rewrite,
    save_fingerprint,
    tidy,
    traces,
)

__all__ = [
    "FORMAT",
    "LOCK_SECONDS",
    "Journal",
    "LabSummary",
    "Saved",
    "Status",
    "create",
    "labs",
    "load",
    "load_fingerprint",
    "lock",
    "mark_up",
    "present",
    "refuse_if_there",
    "remove",
    "rewrite",
    "save_fingerprint",
    "tidy",
    "traces",
]
