"""The linters find nothing: style and types are tests like any other."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
SCRIPTS = ["scripts/lab", "scripts/test", "scripts/setup", "scripts/build-uml", ".ci/run", "labctl/guest/uml/build-uml"]


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "--quiet", "labctl", "tests"], ["mypy", "--no-error-summary"]],
    ids=["ruff", "mypy"],
)
def test_the_linter_finds_nothing(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_bash_without_errors(script: str) -> None:
    done = subprocess.run(["bash", "-n", script], cwd=TOP, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    done = subprocess.run(["shellcheck", "-x", *SCRIPTS], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
