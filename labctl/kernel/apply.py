"""A lab that is up becomes another: the difference of two plans, carried out while traffic runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labctl.errors import LabError, StateError
from labctl.kernel import keys
from labctl.kernel.execute import ProcessKeeper, execute
from labctl.kernel.paths import Paths
from labctl.plan.ciphers import CIPHERS
from labctl.plan.diff import back, diff
from labctl.plan.objects import Plan, Shaper, Step, XfrmState

SLACK_MS = 50.0
"""What a packet may take through the nodes themselves, beside the delays of the plan."""
MOST_MS = 1000.0
"""Longer than this nothing is waited for."""


class Torn(StateError):
    """A lab is neither as it was nor as it was to be."""


def apply(
    present: Plan, wanted: Plan, paths: Paths, keeper: ProcessKeeper, progress: Callable[[Step], None] | None = None
) -> None:
    """Make of the lab that `present` describes, or what was observed of it, the one that `wanted` does; `progress` is
    told of each step.

    What is under way by something that goes arrives before it goes. Keys that are new are made and kept. Where a step
    fails, or this is interrupted, the steps before it are taken back: the lab is as it was. Raises what `execute`
    raises; `Torn` where the way back failed too, and the lab is neither the one nor the other.
    """
    ring = keys.load(paths) if paths.keyring.exists() else {}
    missing = keys.generate(_unkeyed(wanted, ring))
    if missing:
        keys.save(paths, ring | missing)
    taken: list[Step] = []

    def tell(step: Step) -> None:
        taken.append(step)
        if progress:
            progress(step)

    try:
        execute(diff(present, wanted), paths, ring | missing, keeper, tell, drain_ms=longest_way_ms(present))
    except BaseException as error:
        _take_back(taken, paths, ring, keeper, error)
        raise


def _take_back(
    taken: Sequence[Step], paths: Paths, ring: dict[str, bytes], keeper: ProcessKeeper, cause: BaseException
) -> None:
    try:
        keys.save(paths, ring)
        execute(back(taken), paths, ring, keeper, lambda step: None)
    except LabError as error:
        first = cause.message if isinstance(cause, LabError) else "interrupted"
        reason = f"the lab is neither as it was nor as it was to be: {first}; on the way back: {error.message}"
        raise Torn(reason, hint=f"labctl down {paths.lab}") from error


def longest_way_ms(plan: Plan) -> float:
    """How long a packet may be under way in a lab: on no way does it pass a shaper twice."""
    shapers = (each for each in plan.objects if isinstance(each, Shaper))
    return min(SLACK_MS + sum(each.delay_ms + each.jitter_ms for each in shapers), MOST_MS)


def _unkeyed(plan: Plan, ring: dict[str, bytes]) -> dict[str, str]:
    """The keys that the plan names and the ring lacks, or has only for a cipher of another key length."""
    ciphers = {each.key: each.cipher for each in plan.objects if isinstance(each, XfrmState)}
    lengths = {name: len(key) for name, key in ring.items()}
    return {name: cipher for name, cipher in ciphers.items() if lengths.get(name) != CIPHERS[cipher].key_bytes}
