"""A broken lab never passes: each way of breaking one makes the checks that claim the contrary fail."""

from __future__ import annotations

import functools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from kernels import HERE, TOPOLOGIES, full_kernel, run_on, time_scale
from sabotages import SABOTAGES, Sabotage

pytestmark = pytest.mark.e2e


def report(lab: str) -> dict[str, Any]:
    """What the saboteur wrote of one lab."""
    status, found = sabotaged(lab)
    assert status == 0 and found, f"the saboteur of {lab} ended with status {status}"
    return found


@functools.cache
def sabotaged(lab: str) -> tuple[int, dict[str, Any]]:
    """All sabotages of one lab, in one life of a kernel, and never a second time."""
    engine = full_kernel()
    with tempfile.TemporaryDirectory(prefix="sabotage-") as directory:
        results = Path(directory) / "report.json"
        command = [sys.executable, str(HERE / "saboteur.py"), lab, str(results), str(time_scale(engine))]
        status = run_on(engine, command, Path(directory), timeout=900.0 * time_scale(engine))
        return status, json.loads(results.read_text()) if results.exists() else {}


@pytest.mark.parametrize("lab", TOPOLOGIES)
def test_a_sound_lab_passes_before_and_after_and_goes_without_a_trace(lab: str) -> None:
    found = report(lab)
    assert found["before"]["verdict"] == "pass", found["before"]
    assert found["after"]["verdict"] == "pass", found["after"]
    assert found["differences"] == []


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: f"{each.lab}: {each.name}")
def test_a_broken_lab_does_not_pass(sabotage: Sabotage) -> None:
    found = report(sabotage.lab)["sabotages"][sabotage.name]
    assert found["status"] in (1, 4)
    verdicts = {word: found["checks"][word]["verdict"] for word in sabotage.only}
    assert set(verdicts.values()) == {sabotage.verdict}, found


@pytest.mark.parametrize("lab", TOPOLOGIES)
def test_every_lab_is_sabotaged_in_at_least_four_ways(lab: str) -> None:
    assert sum(each.lab == lab for each in SABOTAGES) >= 4
