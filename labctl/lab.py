"""The stories: what happens to a lab, told one level above how it is done.

Every verb takes the lab's `Paths` and a `Listener` that is told of each step and each verdict as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from labctl import state
from labctl.claims.results import Results
from labctl.describe import Described
from labctl.errors import HostError, LabError, StateError
from labctl.kernel import doctor, fingerprint, keys, netns
from labctl.kernel.execute import execute
from labctl.kernel.fingerprint import Difference
from labctl.kernel.paths import Paths
from labctl.plan.diff import diff
from labctl.plan.needs import Mechanism, needs
from labctl.plan.objects import Plan, Step, XfrmState
from labctl.prove.bench import READY_MS
from labctl.prove.bundle import Bundles
from labctl.prove.prover import Prover, Reporter
from labctl.services import keeper
from labctl.services.keeper import Keeper


class Listener(Reporter, Protocol):
    """Who is told how a verb gets on."""

    def phase(self, what: str, steps: int) -> None:
        """A phase of `steps` steps begins (0: of unknown length)."""

    def step(self, step: Step) -> None:
        """One more step of the phase is done."""


def mechanisms(described: Described) -> tuple[Mechanism, ...]:
    """What the lab needs of a machine, its drills and its checks' changes included."""
    faults = tuple(drill.fault for drill in described.drills)
    plans = (described.plan, *described.changed.values())
    found = {each for plan in plans for each in needs(plan, faults)}
    return tuple(sorted(found))


def up(described: Described, paths: Paths, listener: Listener, where: str = "host") -> None:
    """Make the lab exist, and return once it works. What was begun is undone if it does not get there."""
    _refuse_if_lacking(described)
    with state.lock(paths, "up"):
        before = fingerprint.take(paths.run, paths.netns)
        state.create(
            paths,
            described.plan,
            described.text.decode(),
            source=described.source,
            time_scale=described.time_scale,
            where=where,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            state.save_fingerprint(paths, before)
            _build(described.plan, paths, listener)
            await_ready(paths, READY_MS * described.time_scale)
        except BaseException:
            _take_away(paths)
            raise
        state.mark_up(paths)


def _refuse_if_lacking(described: Described) -> None:
    lacking = doctor.missing(mechanisms(described))
    if lacking:
        names = ", ".join(each.mechanism for each in lacking)
        hints = "; ".join(dict.fromkeys(each.remedy for each in lacking))
        raise HostError(f"this machine cannot carry the lab {described.name}: it lacks {names}", hint=hints)


def _build(plan: Plan, paths: Paths, listener: Listener) -> None:
    steps = diff(None, plan)
    listener.phase("up", len(steps))
    ciphers = {each.key: each.cipher for each in plan.objects if isinstance(each, XfrmState)}
    ring = keys.generate(ciphers)
    keys.save(paths, ring)
    keeper.start(paths)
    execute(steps, paths, ring, Keeper(paths), listener.step)


def await_ready(paths: Paths, within_ms: float) -> None:
    """Return once every program runs and every watched path is up; StateError naming those that are not."""
    deadline = time.monotonic() + within_ms / 1000
    while waiting := _waiting(Keeper(paths)):
        if time.monotonic() > deadline:
            raise StateError(f"after {within_ms / 1000:g} s still not up: {', '.join(waiting)}")
        time.sleep(0.02)


def _waiting(lab: Keeper) -> list[str]:
    services = lab.status()
    dead = [f"{each.namespace}/{each.name}: {each.detail}" for each in services if each.state == "exited"]
    if dead:
        raise StateError(f"a program of the lab ended: {'; '.join(dead)}")
    return [
        f"path {name} of {each.namespace}"
        for each in services
        for name, condition in each.paths.items()
        if condition != "up"
    ]


def verify(
    described: Described,
    paths: Paths,
    only: Sequence[str],
    listener: Listener,
    *,
    where: str = "host",
    evidence: Path,
) -> Results:
    """Prove the lab's checks, drills and changes (`only` these and their controls, if any are named).

    What does not pass leaves a bundle in a new directory under `evidence`.
    """
    with state.lock(paths, "verify"):
        began = time.monotonic()
        bundles = Bundles(paths, evidence, described.name)
        prover = Prover(described, paths, keys.load(paths), listener, await_ready, bundles)
        checks, drills, changes = prover.prove(only)
        seconds = {"verify": round(time.monotonic() - began, 3)}
        left = prover.after == "leave"
        return Results(described.name, where, described.time_scale, checks, drills, changes, seconds, left)


def down(paths: Paths, listener: Listener) -> bool:
    """Take the lab away, whatever state it is in; whether there was one. Everything is tried; what failed is reported
    together.
    """
    with state.lock(paths, "down"):
        listener.phase("down", 0)
        found = state.present(paths)
        if found:
            _take_away(paths)
        return found


def restored(paths: Paths, before: fingerprint.Fingerprint) -> tuple[Difference, ...]:
    """What differs on the host from `before`, other labs left aside."""
    others = [Paths(each.lab, paths.run, paths.netns).root for each in state.labs(paths.run)]
    found = fingerprint.differences(before, fingerprint.take(paths.run, paths.netns), others)
    return tuple(each for each in found if each.section != "processes" or _ours(each))


def _ours(difference: Difference) -> bool:
    """Whether a process that is new is of a lab: the others of a machine come and go."""
    return any("labctl.services" in line or "labctl.probes" in line for line in difference.added)


def _take_away(paths: Paths) -> None:
    faults: list[LabError] = []
    for act in (Keeper(paths).shutdown, lambda: netns.destroy(paths), lambda: state.remove(paths)):
        try:
            act()
        except LabError as error:
            faults.append(error)
    if faults:
        hints = [each.hint for each in faults if each.hint]
        raise StateError("; ".join(each.message for each in faults), hint="; ".join(hints))


def run(
    described: Described,
    paths: Paths,
    only: Sequence[str],
    listener: Listener,
    *,
    keep: bool,
    where: str,
    evidence: Path,
) -> Results:
    """Up, verify, and down again unless `keep`, also when something in between fails. What `listener` wants left as it
    stands is kept too.
    """
    began = time.monotonic()
    up(described, paths, listener, where)
    built = time.monotonic()
    try:
        results = verify(described, paths, only, listener, where=where, evidence=evidence)
    except BaseException:
        if not keep:
            with suppress(LabError):
                down(paths, listener)
        raise
    if not keep and not results.left:
        ending = time.monotonic()
        down(paths, listener)
        results.seconds["down"] = round(time.monotonic() - ending, 3)
    results.seconds["up"] = round(built - began, 3)
    return results
