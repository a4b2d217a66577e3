"""A described lab brought up under temporary paths, and made like another description as `labctl apply` does it."""

from __future__ import annotations

from labctl import state
from labctl.describe import Described
from labctl.drift import compare
from labctl.kernel import keys, netns
from labctl.kernel.apply import apply
from labctl.kernel.execute import execute
from labctl.kernel.paths import Paths
from labctl.model.services import PathWatcher
from labctl.plan.diff import diff
from labctl.plan.held import held_by_programs
from labctl.plan.objects import Plan, Process, XfrmState
from labctl.plan.reasons import Difference
from labctl.services.keeper import Keeper


class Converging:
    """The lab of `described` at `paths`, up; whether its paths come up as well is not waited for."""

    def __init__(self, paths: Paths, described: Described) -> None:
        self.paths = paths
        self.keeper = Keeper(paths)
        self.described = described
        written = {"source": "test", "time_scale": 1, "where": "host", "created_at": "now"}
        state.create(paths, described.plan, described.text.decode(), **written)  # type: ignore[arg-type]
        ring = keys.generate({each.key: each.cipher for each in described.plan.objects if isinstance(each, XfrmState)})
        keys.save(paths, ring)
        execute(diff(None, described.plan), paths, ring, self.keeper, lambda step: None)
        state.mark_up(paths)

    def differences(self, wanted: Plan | None = None) -> tuple[Difference, ...]:
        """What separates the kernel from `wanted`, or from what was written down."""
        saved = state.load(self.paths)
        return compare(self.paths, saved, wanted or saved.plan)[1]

    def apply(self, described: Described) -> tuple[Difference, ...]:
        """Make it like `described`, in one round; what was done."""
        saved = state.load(self.paths)
        present, found = compare(self.paths, saved, described.plan)
        apply(present, described.plan, self.paths, self.keeper)
        state.rewrite(self.paths, described.plan, described.text.decode(), source="test", time_scale=1)
        state.mark_up(self.paths)
        self.described = described
        return found

    def end(self) -> None:
        """Take it down."""
        self.keeper.shutdown()
        netns.destroy(self.paths)
        state.remove(self.paths)


def watched(plan: Plan) -> set[tuple[str, str, int]]:
    """The routes that come and go with the health of a path, or with an address that a program may hold."""
    held = {(namespace, f"{address.ip}/32", 0) for namespace, _, address in held_by_programs(plan.objects)}
    return held | {
        (each.namespace, str(prefix), path.metric)
        for each in plan.objects
        if isinstance(each, Process) and isinstance(each.program, PathWatcher)
        for path in each.program.paths
        for prefix in path.prefixes
    }
