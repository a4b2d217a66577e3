"""Reads a lab back from the kernel into the classes of its plan, so that the two can be compared.

Only what a plan speaks of is read, and what was made by hand inside the lab's namespaces. What the kernel makes by
itself (connected routes, fallback devices of tunnels) and the routes of a path watcher are left out.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labctl.kernel import netns
from labctl.kernel.observe_devices import paired
from labctl.kernel.observe_known import Found, Known
from labctl.kernel.observe_namespace import Look
from labctl.kernel.paths import Paths
from labctl.plan.objects import Namespace, Plan, Process


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the lab, and the pid of its process: 0 where it has ended."""

    process: Process
    pid: int


def observe(paths: Paths, plans: Sequence[Plan], ring: Mapping[str, bytes], programs: Collection[Program]) -> Plan:
    """What there is of `plans` (what the lab was to be like, and what it is to be like, which counts), and what nobody
    asked for, as a plan: in the order of `plans`, the rest after it.

    `ring`: the lab's keys, by which those in the kernel are named. HostError without root.
    """
    known = Known(plans)
    for each in programs:
        if each.pid:
            known.watch(each.process)
    look = Look(known, {key: name for name, key in ring.items()}, Found(), [])
    files = _names(paths.namespaces)
    toured = _tour(paths, sorted(files), look) if files else set()
    for pair, asked in paired(look.ends, known):
        look.found.add(pair, asked)
    for process in _processes(paths, programs, plans[-1]):
        look.found.add(process, known.others.get(process))
    if empty := files - toured:
        # No namespace is bound to these files: those of nodes that are wanted will have one again.
        for node in sorted(empty - {each.name for each in plans[-1].objects if isinstance(each, Namespace)}):
            look.found.add(Namespace(node), None)
    return look.found.as_plan(plans)


def _tour(paths: Paths, nodes: Sequence[str], look: Look) -> set[str]:
    """Look at `nodes`; those that were there."""
    named = _names(paths.netns)
    toured = set()
    for node in netns.tour(paths, nodes):
        toured.add(node)
        look.at(node, () if f"{paths.lab}-{node}" in named else (f"it has no name in {paths.netns}",))
    return toured


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {each.name for each in entries}
    except FileNotFoundError:
        return set()


def _processes(paths: Paths, programs: Collection[Program], wanted: Plan) -> Iterator[Process]:
    """The programs that run; one that runs elsewhere than in its node is astray, and so is one that ended and is not
    wanted again: its supervisor still knows of it.
    """
    again = {each.identity for each in wanted.objects if isinstance(each, Process)} if programs else set()
    for each in programs:
        if each.pid and _at_home(paths, each):
            yield each.process
        elif each.pid or each.process.identity not in again:
            yield replace(each.process, astray=True)


def _at_home(paths: Paths, program: Program) -> bool:
    try:
        there = Path(f"/proc/{program.pid}/ns/net").stat()
        return os.path.samestat(there, paths.namespace(program.process.namespace).stat())
    except FileNotFoundError:
        return False
