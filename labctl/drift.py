"""What the kernel holds of a lab, compared with what it is to hold: read anew each time, since what was written down
tells only how the lab was meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from labctl import state
from labctl.errors import StateError
from labctl.kernel import keys
from labctl.kernel.observe import Program, observe
from labctl.kernel.paths import Paths
from labctl.plan.held import without_held
from labctl.plan.objects import Plan
from labctl.plan.reasons import Difference, differences
from labctl.services.keeper import Keeper


def drift(paths: Paths, wanted: Plan | None = None) -> tuple[Difference, ...]:
    """What separates the lab from what it was made like, or from `wanted`: the steps that `apply` would take, and why.

    StateError where there is no lab, or where another command works on it.
    """
    with state.lock(paths, "inspect"):
        saved = state.load(paths)
        if saved.status == "stale":
            raise StateError(
                f"nothing of lab {paths.lab} is left: the machine was started anew since",
                hint=f"labctl apply {saved.journal.source}",
            )
        return compare(paths, saved, wanted or saved.plan)[1]


def compare(paths: Paths, saved: state.Saved, wanted: Plan) -> tuple[Plan, tuple[Difference, ...]]:
    """What the kernel holds of the lab, but for what its programs put there and take away, and what separates that from
    `wanted`. LabError where it cannot be read.
    """
    plans = (saved.plan, wanted) if saved.plan != wanted else (wanted,)
    present = without_held(observed(paths, plans), plans)
    applied = None if saved.status == "starting" else saved.plan
    return present, differences(applied, present, wanted)


def observed(paths: Paths, plans: Sequence[Plan]) -> Plan:
    """What the kernel holds of the lab at `paths`, which `plans` speak of."""
    programs = [Program(process, pid) for process, pid in Keeper(paths).programs()]
    ring = keys.load(paths) if paths.keyring.exists() else {}
    return observe(paths, plans, ring, programs)
