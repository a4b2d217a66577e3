"""`labctl plan --commands` is true: a shell that carries it out builds a lab that passes the same checks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kernels import TOPOLOGIES, full_kernel, run_on

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_commands_of_a_plan_build_the_same_lab_which_passes(topology: str, tmp_path: Path) -> None:
    engine = full_kernel()
    if engine == "host":
        pytest.skip("the script builds under /run/netns, where others may be")
    command = [sys.executable, str(HERE / "built_by_hand.py"), topology]
    status = run_on(engine, command, tmp_path, timeout=600)
    said = (tmp_path / "stderr").read_text()
    assert status == 0, said
    found = json.loads((tmp_path / "stdout").read_text())
    assert found["differing"] == []
    assert {id: reason for id, (verdict, reason) in found["checks"].items() if verdict != "pass"} == {}
    assert len(found["checks"]) > 3


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_commands_hold_no_key_and_are_sound_for_a_shell(topology: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "labctl", "plan", topology, "--commands"], capture_output=True, text=True, check=True
    )
    assert subprocess.run(["sh", "-n"], input=done.stdout, text=True).returncode == 0
    keys = [line for line in done.stdout.splitlines() if line.startswith("key_")]
    assert all("/dev/urandom" in line for line in keys)
