"""A lab is made, all of it or nothing."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from labctl import interrupts, state
from labctl.claims.expectations import Change, Drill
from labctl.describe import Described
from labctl.ending import Progress, take_away
from labctl.errors import HostError, LabError, StateError
from labctl.kernel import doctor, fingerprint, keys, survey
from labctl.kernel.aside import Aside
from labctl.kernel.execute import execute
from labctl.kernel.fingerprint import Fingerprint, Footprint
from labctl.kernel.nursery import Nursery
from labctl.kernel.paths import Paths
from labctl.kernel.survey import Survey
from labctl.plan.diff import diff
from labctl.plan.needs import Mechanism, needs
from labctl.plan.objects import Plan, Process, XfrmState
from labctl.probes.wire import Lookup
from labctl.services.control import SETTLED
from labctl.services.keeper import Keeper

READY_MS = 15_000
"""How long programs and tunnels may take to come up, before the time scale."""


def mechanisms(described: Described) -> tuple[Mechanism, ...]:
    """What the lab needs of a machine, its drills and its checks' changes included."""
    faults = tuple(drill.fault for drill in described.drills)
    plans = (described.plan, *described.changed.values())
    found = {each for plan in plans for each in needs(plan, faults)}
    return tuple(sorted(found))


def asked_by(described: Described) -> tuple[Mechanism, ...]:
    """The programs that the lab's checks run. It can be made without them: what they are to prove stays open."""
    claims: tuple[Drill | Change, ...] = (*described.drills, *described.changes)
    beside = (check for each in claims for check in (*each.first, *each.then, *each.afterwards))
    words: dict[str, Mechanism] = {"getent": "program:getent", "dig": "program:dig", "curl": "program:curl"}
    actions = (check.action for check in (*described.checks, *beside))
    return tuple(sorted({words[action.by] for action in actions if isinstance(action, Lookup)}))


@dataclass(frozen=True, slots=True)
class Start:
    """What may have been begun before a lab is known: the survey of the machine, and namespaces."""

    looking: Aside[Survey]
    nursery: Nursery | None = None


def up(described: Described, paths: Paths, listener: Progress, where: str = "host", start: Start | None = None) -> None:
    """Make the lab exist, and return once it works. What was begun is undone if it does not get there."""
    seen = start.looking.result() if start else survey.take(paths.run, paths.netns)
    refuse_if_lacking(described.name, mechanisms(described), seen.findings)
    with interrupts.held("undoing what was begun"), state.lock(paths, "up"):
        state.refuse_if_there(paths)
        try:
            with interrupts.allowed():
                _make(described, paths, listener, where, seen, start.nursery if start else None)
            state.mark_up(paths)
            interrupts.check()
        except BaseException as error:
            _take_back(paths, error)
            raise


def _make(
    described: Described, paths: Paths, listener: Progress, where: str, seen: Survey, nursery: Nursery | None
) -> None:
    state.create(
        paths,
        described.plan,
        described.text.decode(),
        source=described.source,
        time_scale=described.time_scale,
        where=where,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    state.save_fingerprint(paths, _before(paths, seen))
    _build(described.plan, paths, listener, nursery)
    if any(isinstance(each, Process) for each in described.plan.objects):
        await_ready(paths, READY_MS * described.time_scale)


def _before(paths: Paths, seen: Survey) -> Fingerprint:
    """The machine without the lab; if another command was just taking the lab away, another look is needed."""
    found = seen.fingerprint
    return fingerprint.take(paths.run, paths.netns) if found is None or Footprint(paths).is_in(found) else found


def _take_back(paths: Paths, cause: BaseException) -> None:
    """Undo an `up` that failed; what cannot be undone is told together with why it failed."""
    try:
        take_away(paths)
    except LabError as error:
        first = cause.message if isinstance(cause, LabError) else "interrupted"
        message = f"{first}; and not all of it could be undone: {error.message}"
        raise StateError(message, hint=error.hint or f"labctl down {paths.lab}") from cause


def refuse_if_lacking(name: str, wanted: Collection[Mechanism], known: Collection[doctor.Finding] = ()) -> None:
    lacking = doctor.missing(wanted, known)
    if lacking:
        names = ", ".join(each.mechanism for each in lacking)
        hints = "; ".join(dict.fromkeys(each.remedy for each in lacking))
        raise HostError(f"this machine cannot carry the lab {name}: it lacks {names}", hint=hints)


def _build(plan: Plan, paths: Paths, listener: Progress, nursery: Nursery | None) -> None:
    steps = diff(None, plan)
    listener.phase("up", len(steps))
    ciphers = {each.key: each.cipher for each in plan.objects if isinstance(each, XfrmState)}
    ring = keys.generate(ciphers)
    keys.save(paths, ring)
    execute(steps, paths, ring, Keeper(paths), listener.step, nursery=nursery)


def await_ready(paths: Paths, within_ms: float) -> None:
    """Return once every program runs, every watched path is up, every virtual router knows which of its routers is the
    MASTER and every DNS server has what it copies from others; StateError naming those that are not.
    """
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
        f"{name} of {each.namespace}: {condition}"
        for each in services
        for name, condition in each.paths.items()
        if condition not in SETTLED
    ]
