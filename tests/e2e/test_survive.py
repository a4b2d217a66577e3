"""Whatever ends a command, at whatever instant, and whatever stands in its way: a lab can be taken away whole.

`survivor.py` stops commands, `adversities.py` makes life hard for them; each in a machine of its own. With
LABCTL_TEST_LONG=1 commands are killed at hundreds of instants, and labs go up and down a hundred times.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import adversities
import pytest
import survivor
from kernels import full_kernel, run_on

from labctl import guest
from labctl.cli.files import read
from labctl.cli.where import lacking

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
TOP = HERE.parents[1]
LONG = os.environ.get("LABCTL_TEST_LONG") == "1"
TIMES = 26 if LONG else 1

SMALL = """
lab: survivor
resources:
  vpc1: {kind: vpc, subnets: {web: {zone: a, prefix: 10.0.1.0/24}, db: {zone: b, prefix: 10.0.2.0/24}}}
  web1: {kind: instance, subnet: vpc1.web, address: 10.0.1.10}
  db1: {kind: instance, subnet: vpc1.db, address: 10.0.2.10, serves: [tcp/5432]}
checks:
  - {id: P1, from: web1, do: {tcp: {to: db1, port: 5432}}, expect: ok, path: [web1, vpc1, db1]}
"""
OTHER = SMALL.replace("[tcp/5432]", "[tcp/5432, tcp/80]").replace(
    "  db1:", "  web2: {kind: instance, subnet: vpc1.web, address: 10.0.1.20}\n  db1:"
)
LEAKS = ("cycles",)
ALONE = "-alone"
"""Measured where nobody else makes namespaces, too."""

VPN = "vpn-dc-failover"
"""It has programs, keys and IPsec, and with them what the machine's own kernel may lack."""


@dataclass(frozen=True)
class Trial:
    """A way to stop a verb, so many times. `whole`: in a lab with everything, on a kernel that has it."""

    mode: str
    verb: str
    many: int
    whole: bool = False

    def __str__(self) -> str:
        return f"{self.mode}-{self.verb}{'-whole' if self.whole else ''}"


TRIALS = [
    Trial("kill", "up", 8),
    Trial("kill", "apply", 8),
    Trial("kill", "down", 8),
    Trial("random", "up", 3),
    Trial("random", "apply", 3),
    Trial("random", "down", 3),
    Trial("random", "run", 3),
    Trial("once", "up", 5),
    Trial("once", "apply", 4),
    Trial("once", "down", 3),
    Trial("once", "run", 3),
    Trial("twice", "up", 5),
    Trial("twice", "apply", 3),
    Trial("twice", "down", 3),
    Trial("kill", "up", 2, whole=True),
    Trial("kill", "apply", 2, whole=True),
    Trial("kill", "down", 2, whole=True),
    Trial("once", "up", 2, whole=True),
]


@functools.cache
def outcomes() -> dict[str, str]:
    """What each trial and each adversity printed if it failed, "" if not; those of one kernel beside another's."""
    with tempfile.TemporaryDirectory(prefix="survive-") as directory, ThreadPoolExecutor(2) as pool:
        place = Path(directory)
        files = write(place)
        engine = small_kernel(files[False][0])
        slower = 1 if engine == "host" else 3
        hard = {name: adversities.isolated(name) for name in adversities.ADVERSITIES}
        jobs = {str(each): survivor.isolated(*arguments(each, files, slower)) for each in TRIALS}
        whole = {str(each): jobs.pop(str(each)) for each in TRIALS if each.whole}
        whole |= {f"{name}{ALONE}": hard[name] for name in LEAKS}
        kernels = [(engine, "small", jobs | hard), (full_kernel(), "whole", whole)]
        return {name: text for found in pool.map(lambda job: run(place, *job), kernels) for name, text in found.items()}


def write(place: Path) -> dict[bool, list[str]]:
    """The descriptions, and what `apply` makes of each: of the small lab, and of the whole one."""
    whole = Path(read(VPN).source).read_text()
    for name, text, other in (("small", SMALL, OTHER), ("whole", whole, whole.replace("[tcp/80]", "[tcp/80, tcp/81]"))):
        (place / name).mkdir()
        (place / name / "lab.yaml").write_text(text)
        (place / name / "other.yaml").write_text(other)
    kinds = ((False, "small"), (True, "whole"))
    return {which: [str(place / name / file) for file in ("lab.yaml", "other.yaml")] for which, name in kinds}


def arguments(trial: Trial, files: dict[bool, list[str]], slower: int) -> list[str]:
    many = trial.many * TIMES if trial.whole else max(2, trial.many * TIMES // slower)
    return [trial.mode, trial.verb, str(many), "7", *files[trial.whole]]


def small_kernel(file: str) -> str:
    """The kernel for the small lab: the machine's own where one may have namespaces of it, and it has what it takes."""
    can = not lacking(read(file))
    return "host" if can and subprocess.run([*survivor.ISOLATION, "true"]).returncode == 0 else full_kernel()


def run(place: Path, engine: str, name: str, jobs: dict[str, list[str]]) -> dict[str, str]:
    """Do each job; a guest is booted once for all of them."""
    results = place / name
    (results / "jobs.json").write_text(json.dumps(jobs))
    workers = os.cpu_count() or 1 if engine == "host" else 1
    command = [sys.executable, str(HERE / "endurance.py"), str(results), str(workers)]
    search = os.pathsep.join([str(TOP), str(HERE)])
    run_on(engine, command, results, timeout=4 * 3600, PYTHONPATH=search, LABCTL_TEST_CYCLES="100" if LONG else "8")
    found: dict[str, str] = json.loads((results / "outcomes.json").read_text())
    return found


@pytest.mark.parametrize("trial", TRIALS, ids=str)
def test_a_command_is_stopped_at_any_instant_and_nothing_is_left(trial: Trial) -> None:
    assert outcomes()[str(trial)] == ""


@pytest.mark.parametrize("name", [*adversities.ADVERSITIES, *(f"{name}{ALONE}" for name in LEAKS)])
def test_a_lab_survives_or_is_taken_away_whatever_stands_in_its_way(name: str) -> None:
    assert outcomes()[name] == ""


def test_what_a_killed_guest_leaves_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    found = guest.available("uml")
    if not found.ok:
        pytest.skip(f"uml: {found.detail}; {found.remedy}")
    (tmp_path / "lab.yaml").write_text(SMALL)
    command = [sys.executable, "-m", "labctl", "run", str(tmp_path / "lab.yaml"), "--on", "uml", "--junit", "x.xml"]
    command += ["--only", "P1"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    first = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("labctl-guest-*/started")):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    left = {each.name for each in tmp_path.glob("labctl-[gr]*")}
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert {each.name for each in tmp_path.glob("labctl-[gr]*")} == left
    assert len(left) == 2, "the guest's, and that of its reports"
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("labctl-[gr]*")) == []
