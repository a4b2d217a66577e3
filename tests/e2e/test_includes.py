"""A lab of several files and with variables is run, brought up, proved and applied, here and in a guest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl import guest
from labctl.cli.files import read
from labctl.cli.where import lacking

pytestmark = pytest.mark.e2e

BASE = """
variables: {port: 8080}
resources:
  vpc1: {kind: vpc, subnets: {app: {zone: a, prefix: 10.77.1.0/24}}}
  inc-web: {kind: instance, subnet: vpc1.app, address: 10.77.1.10}
  inc-db: {kind: instance, subnet: vpc1.app, address: 10.77.1.11, serves: ["tcp/${port}"]}
checks:
  - {id: P1, from: inc-web, do: {tcp: {to: inc-db, port: "${port}"}}, expect: ok}
"""
MAIN = """lab: ${name}
include: parts/base.yaml
checks:
  - {id: P2, from: inc-db, do: {ping: {to: inc-web}}, expect: ok}
"""


@pytest.fixture(name="lab")
def lab_of_two_files() -> Iterator[Path]:
    """The lab's file, directly below /tmp, which a guest covers with its own."""
    folder = Path(tempfile.mkdtemp(prefix="includes-", dir="/tmp"))
    (folder / "parts").mkdir()
    (folder / "parts" / "base.yaml").write_text(BASE)
    (folder / "lab.yaml").write_text(MAIN)
    yield folder / "lab.yaml"
    shutil.rmtree(folder)


def labctl(*arguments: str, fails: bool = False) -> str:
    done = subprocess.run([sys.executable, "-m", "labctl", *arguments], capture_output=True, text=True, timeout=300)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(name="engine", params=["host", "uml"])
def engine_that_can(request: pytest.FixtureRequest, lab: Path) -> str:
    if request.param == "host" and (missing := lacking(read(str(lab), variables=["name=inc"]))):
        pytest.skip(f"the host lacks {', '.join(missing)}")
    if request.param != "host" and not (found := guest.available(request.param)).ok:
        pytest.skip(f"{request.param}: {found.detail}")
    return str(request.param)


def test_a_lab_of_two_files_is_run(lab: Path, engine: str) -> None:
    told = labctl("run", str(lab), "--on", engine, "--var", f"name=inc-{os.getpid()}", "--var", "port=9000")
    assert "2 pass" in told


def test_a_lab_of_two_files_is_proved_and_changed_while_it_is_up(lab: Path, engine: str) -> None:
    name = f"inc-{os.getpid()}"
    given = ("--var", f"name={name}", "--var=port=9001")
    labctl("up", str(lab), "--on", engine, *given)
    try:
        base = lab.parent / "parts" / "base.yaml"
        base.write_text(BASE.replace("10.77.1.10", "10.77.1.20"))
        assert "2 pass" in labctl("verify", name)
        assert "10.77.1.20" in labctl("apply", str(lab), *given)
        shutil.rmtree(base.parent)
        assert "2 pass" in labctl("verify", name)
        assert "cannot be included: there is no such file" in labctl("apply", str(lab), *given, fails=True)
    finally:
        labctl("down", name)
