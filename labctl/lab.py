"""The stories: what happens to a lab, told one level above how it is done.

Every verb takes the lab's `Paths` and a `Listener` that is told of each step and each verdict as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from labctl import interrupts, state
from labctl.breaking import Breaker
from labctl.building import READY_MS, await_ready, mechanisms, refuse_if_lacking, up
from labctl.claims.results import Results
from labctl.describe import Described
from labctl.drift import compare
from labctl.ending import Progress, down, restored
from labctl.errors import LabError, StateError
from labctl.kernel import keys
from labctl.kernel.apply import Torn
from labctl.kernel.apply import apply as change
from labctl.kernel.paths import Paths
from labctl.plan.needs import needs
from labctl.plan.objects import Plan
from labctl.plan.reasons import Difference
from labctl.plan.render import render_step
from labctl.prove.bench import elsewhere
from labctl.prove.bundle import Bundles
from labctl.prove.prover import Prover, Reporter
from labctl.services.keeper import Keeper

__all__ = ["Listener", "apply", "down", "mechanisms", "restored", "run", "up", "verify"]

ROUNDS = 3
"""So often a lab is made like its plan before that is given up."""


class Listener(Reporter, Progress, Protocol):
    """Who is told how a verb gets on."""


def apply(described: Described, paths: Paths, listener: Listener, where: str = "host") -> tuple[Difference, ...] | None:
    """Make the lab that is up, or was left half made, as `described`: what was done, and why. None: there was no lab,
    and it was brought up.

    Only what differs in the kernel is touched, and what stays is there at every instant. If that fails, the lab is as
    it was before, or half made: then `apply` goes on with it, and `down` takes it away.
    """
    if not state.present(paths) or state.load(paths).status == "stale":
        if state.present(paths):
            down(paths, listener)
        up(described, paths, listener, where)
        return None
    with interrupts.held("undoing what was begun"), state.lock(paths, "apply"):
        saved = state.load(paths)
        refuse_if_lacking(described.name, set(mechanisms(described)) - set(needs(saved.plan)))
        _repair_drills(paths)
        text, scale = described.text.decode(), described.time_scale
        state.rewrite(paths, described.plan, text, source=described.source, time_scale=scale)
        done: list[Difference] = []
        try:
            with interrupts.allowed():
                _converge(paths, saved, described.plan, listener, done)
                await_ready(paths, READY_MS * described.time_scale)
            elsewhere(paths).unlink(missing_ok=True)
            state.mark_up(paths)
            interrupts.check()
        except BaseException as error:
            if saved.status != "starting" and not isinstance(error, Torn):
                _go_back(paths, saved, listener, changed=bool(done))
            raise
        return tuple(done)


def _go_back(paths: Paths, saved: state.Saved, listener: Listener, *, changed: bool) -> None:
    """The lab is again what it was. Torn where it will not."""
    try:
        if changed:
            _converge(paths, saved, saved.plan, listener, [])
    except LabError as error:
        reason = f"the lab is neither as it was nor as it was to be: {error.message}"
        raise Torn(reason, hint=f"labctl down {paths.lab}") from error
    text, before = saved.description, saved.journal
    state.rewrite(paths, saved.plan, text, source=before.source, time_scale=before.time_scale)
    state.mark_up(paths)


def _repair_drills(paths: Paths) -> None:
    """Take out the faults that a run which was killed left in; what refuses is found as a difference."""
    breaker = Breaker(paths, keys.load(paths) if paths.keyring.exists() else {})
    for fault in breaker.leftover():
        with suppress(LabError):
            breaker.repair(fault)
    breaker.forget()


def _converge(paths: Paths, saved: state.Saved, wanted: Plan, listener: Listener, done: list[Difference]) -> None:
    """Make the lab like `wanted`, and what differs afterwards still, because one repair undid another, once more. What
    was done is added to `done`. StateError where it would not become like that.
    """
    for _ in range(ROUNDS):
        present, found = compare(paths, saved, wanted)
        if not found:
            return
        listener.phase("apply", len(found))
        change(present, wanted, paths, Keeper(paths), listener.step)
        done += found
    left = compare(paths, saved, wanted)[1]
    if left:
        first = "; ".join(render_step(each.step) for each in left[:3])
        raise StateError(f"the lab does not become as described: {len(left)} differences stay: {first}")


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
        Keeper(paths).status()  # nothing is proved of a lab whose programs ended with their supervisor: StateError
        began = time.monotonic()
        bundles = Bundles(paths, evidence, described.name)
        prover = Prover(described, paths, keys.load(paths), listener, await_ready, bundles)
        checks, drills, changes = prover.prove(only)
        seconds = {"verify": round(time.monotonic() - began, 3)}
        left = prover.after == "leave"
        return Results(described.name, where, described.time_scale, checks, drills, changes, seconds, left)


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
    with interrupts.held("taking the lab down"):
        up(described, paths, listener, where)
        built = time.monotonic()
        try:
            with interrupts.allowed():
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
