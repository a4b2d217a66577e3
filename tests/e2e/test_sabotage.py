"""A broken lab never passes: each way of breaking one makes the checks that claim the contrary fail."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kernels import HERE, TOPOLOGIES, full_kernel, run_on, time_scale
from sabotages import SABOTAGES, Sabotage

pytestmark = pytest.mark.e2e

AT_ONCE = 2
"""Machines at a time: most of what is proved on each waits for something most of the time."""

Report = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """What the saboteur wrote of a lab: of each that a test of this run asks for, in one life of a kernel."""
    params = [each.callspec.params for each in request.session.items if hasattr(each, "callspec")]
    wanted = {each["lab"] for each in params if "lab" in each} | {
        each["sabotage"].lab for each in params if "sabotage" in each
    }
    with ThreadPoolExecutor(AT_ONCE) as machines:
        runs = {lab: machines.submit(sabotaged, lab) for lab in TOPOLOGIES if lab in wanted}

        def found(lab: str) -> dict[str, Any]:
            status, report = runs[lab].result()
            assert status == 0 and report, f"the saboteur of {lab} ended with status {status}"
            return report

        yield found


def sabotaged(lab: str) -> tuple[int, dict[str, Any]]:
    """All sabotages of one lab."""
    engine = full_kernel()
    with tempfile.TemporaryDirectory(prefix="sabotage-") as directory:
        results = Path(directory) / "report.json"
        command = [sys.executable, str(HERE / "saboteur.py"), lab, str(results), str(time_scale(engine))]
        status = run_on(engine, command, Path(directory), timeout=900.0 * time_scale(engine))
        return status, json.loads(results.read_text()) if results.exists() else {}


@pytest.mark.parametrize("lab", TOPOLOGIES)
def test_a_sound_lab_passes_before_and_after_and_goes_without_a_trace(lab: str, report: Report) -> None:
    found = report(lab)
    assert found["before"]["verdict"] == "pass", found["before"]
    assert found["after"]["verdict"] == "pass", found["after"]
    assert found["differences"] == []


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: f"{each.lab}: {each.name}")
def test_a_broken_lab_does_not_pass(sabotage: Sabotage, report: Report) -> None:
    found = report(sabotage.lab)["sabotages"][sabotage.name]
    assert found["status"] in (1, 4)
    verdicts = {word: found["checks"][word]["verdict"] for word in sabotage.only}
    assert set(verdicts.values()) == {sabotage.verdict}, found


@pytest.mark.parametrize("lab", TOPOLOGIES)
def test_every_lab_is_sabotaged_in_at_least_four_ways(lab: str) -> None:
    assert sum(each.lab == lab for each in SABOTAGES) >= 4
