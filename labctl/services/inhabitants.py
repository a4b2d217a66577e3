"""Processes inside the namespaces of a lab, whoever started them: a namespace ends only with the last of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from labctl.kernel.paths import Paths
from labctl.services import processes
from labctl.services.processes import Identity


@dataclass(frozen=True, slots=True)
class Inhabitant:
    """A process in a namespace of a lab, by its name as in proc_pid_comm(5)."""

    process: Identity
    name: str


def inhabitants(paths: Paths) -> tuple[Inhabitant, ...]:
    """Those who are in a namespace of the lab now, the lab's own programs among them."""
    try:
        with os.scandir(paths.namespaces) as entries:  # a big lab has a thousand: no Path for each
            namespaces = {entry.stat().st_ino for entry in entries}
    except OSError:
        return ()
    found = []
    with os.scandir("/proc") as folders:
        inside = [each for each in folders if each.name.isdigit() and _namespace(each.path) in namespaces]
    for folder in inside if namespaces else ():
        identity = processes.identify(int(folder.name))
        if identity is not None:
            found.append(Inhabitant(identity, _name(Path(folder))))
    return tuple(found)


def _namespace(folder: str) -> int:
    """The number of its network namespace; 0 where it is gone or nobody may know."""
    try:
        return os.stat(f"{folder}/ns/net").st_ino  # noqa: PTH116
    except OSError:
        return 0


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return "?"
