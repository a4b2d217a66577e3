"""Every shipped topology has its plan, as text, beside this file: NAME.plan, and with it what its changes change.

After a deliberate change: LABCTL_GOLDEN=write pytest tests/golden, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labctl.describe import Described, describe
from labctl.plan.diff import diff
from labctl.plan.render import render_plan, render_step

HERE = Path(__file__).parent
TOPOLOGIES = sorted((HERE.parents[1] / "topologies").glob("*.yaml"))


def compare(found: str, golden: Path) -> None:
    if os.environ.get("LABCTL_GOLDEN") == "write":
        golden.write_text(found)
    assert found == golden.read_text()


def changes(described: Described) -> str:
    """For each check with a change of the lab: the steps to it."""
    lines = []
    for check, plan in described.changed.items():
        lines += [check, *(f"  {render_step(step)}" for step in diff(described.plan, plan))]
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_a_topology_becomes_exactly_this_plan(topology: Path) -> None:
    described = describe(topology.read_bytes(), topology.name)
    compare(render_plan(described.plan), HERE / f"{topology.stem}.plan")


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_the_changes_of_its_checks_are_exactly_these_steps(topology: Path) -> None:
    described = describe(topology.read_bytes(), topology.name)
    compare(changes(described), HERE / f"{topology.stem}.changes")


def test_every_golden_plan_belongs_to_a_topology() -> None:
    names = {topology.stem for topology in TOPOLOGIES}
    assert {path.stem for path in HERE.glob("*.plan")} == names
    assert {path.stem for path in HERE.glob("*.changes")} == names
