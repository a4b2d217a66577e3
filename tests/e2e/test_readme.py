"""What the README shows is true: its smallest topology passes, and every command that it names exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kernels import full_kernel

pytestmark = pytest.mark.e2e

README = (Path(__file__).parents[2] / "README.md").read_text()
LABCTL = [sys.executable, "-m", "labctl"]


def test_the_smallest_topology_of_the_readme_passes(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(lab: hello.*?)```", README, re.DOTALL)
    assert block
    file = tmp_path / "hello.yaml"
    file.write_text(block[1])
    command = [*LABCTL, "run", str(file), "--json", "--on", full_kernel()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {each["id"]: each["verdict"] for each in json.loads(done.stdout)["checks"]} == {"P1": "pass", "N1": "pass"}


COMMANDS = sorted(set(re.findall(r"labctl ([a-z]+)(?= [A-Z]| vpe| \[)", README)))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_exists(command: str) -> None:
    done = subprocess.run([*LABCTL, command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_shipped_topology_is_in_the_readme() -> None:
    shipped = {path.stem for path in (Path(__file__).parents[2] / "topologies").glob("*.yaml")}
    assert shipped <= set(re.findall(r"^\| `([a-z0-9-]+)` \|", README, re.MULTILINE))
