"""A lab is taken away. Light to import: it is done before anybody notices."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from labctl import interrupts, state
from labctl.errors import attempt_all
from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.services.keeper import Keeper

if TYPE_CHECKING:
    from labctl.kernel.fingerprint import Difference, Fingerprint
    from labctl.plan.objects import Step
    from labctl.services.processes import Identity


class Progress(Protocol):
    """Who is told how it gets on."""

    def phase(self, what: str, steps: int) -> None:
        """A phase of `steps` steps begins (0: of unknown length)."""

    def step(self, step: Step) -> None:
        """One more step of the phase is done."""


def down(paths: Paths, listener: Progress) -> bool:
    """Take the lab away, whatever state it is in; whether there was one. Everything is tried; what failed is reported
    together.
    """
    with interrupts.held("going on until the lab is down"), state.lock(paths, "down"):
        listener.phase("down", 0)
        found = state.present(paths)
        take_away(paths)
        return found


def restored(paths: Paths, before: Fingerprint, processes: Collection[Identity] = ()) -> tuple[Difference, ...]:
    """What differs on the host from `before` now that the lab is down, and what of it is the lab's; other labs are left
    aside. `processes`: the lab's own, and those that were in its namespaces.
    """
    from labctl.kernel import fingerprint

    after = fingerprint.take(paths.run, paths.netns)
    known = [f"{each.pid}@{each.started}" for each in processes]
    return fingerprint.differences(before, after, fingerprint.Footprint(paths, known))


def take_away(paths: Paths) -> None:
    """End the lab's programs and namespaces, whatever becomes of the others; the journal goes when all is gone."""
    attempt_all([Keeper(paths).shutdown, lambda: netns.destroy(paths)])
    state.remove(paths)
