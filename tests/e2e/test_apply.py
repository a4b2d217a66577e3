"""`labctl apply`, `plan` and `inspect --drift` as users and programs meet them, on this machine's own kernel."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl import state
from labctl.cli.files import read
from labctl.cli.where import lacking
from labctl.kernel.paths import Paths

pytestmark = pytest.mark.e2e

LAB = "applied"
TEXT = """\
lab: applied
resources:
  vpc1:
    kind: vpc
    subnets:
      web: {zone: a, prefix: 10.0.1.0/24}
      db: {zone: b, prefix: 10.0.2.0/24}
  web1: {kind: instance, subnet: vpc1.web, address: 10.0.1.10}
  db1: {kind: instance, subnet: vpc1.db, address: 10.0.2.10, serves: [tcp/5432]}
checks:
  - id: P1
    from: web1
    do: {tcp: {to: db1, port: 5432}}
    expect: {ok: {source: 10.0.1.10}}
"""


def labctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "labctl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def data(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def inside(node: str, *command: str) -> str:
    done = subprocess.run(["ip", "netns", "exec", f"{LAB}-{node}", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A description; the lab of its name is gone afterwards."""
    file = tmp_path / "applied.yaml"
    file.write_text(TEXT)
    missing = lacking(read(str(file)))
    if missing:
        pytest.skip(f"this machine's kernel lacks {', '.join(missing)}")
    yield file
    done = labctl("down", LAB)
    assert done.returncode == 0, done.stderr


def test_what_is_not_up_is_brought_up_and_then_there_is_nothing_to_do(file: Path) -> None:
    first = labctl("apply", str(file))
    assert (first.returncode, "was not up, and is now" in first.stderr) == (0, True), first.stderr
    second = labctl("apply", str(file))
    assert (second.returncode, second.stdout, "nothing differs" in second.stderr) == (0, "", True)
    assert labctl("inspect", LAB, "--drift").stdout == f"{LAB}: nothing differs\n"
    assert labctl("up", str(file)).returncode == 3


def test_a_plan_is_told_whole_without_a_lab_and_as_a_difference_with_one(file: Path) -> None:
    assert labctl("plan", str(file)).stdout.startswith(f"lab {LAB}: ")
    labctl("apply", str(file))
    assert labctl("plan", str(file)).stdout == f"{LAB}: nothing differs\n"
    assert labctl("plan", str(file), "--whole").stdout.startswith(f"lab {LAB}: ")
    file.write_text(TEXT.replace("tcp/5432", "tcp/5433").replace("port: 5432", "port: 5433"))
    told = labctl("plan", str(file)).stdout
    assert told == (
        "~ db1: process server: listens on tcp/5433  (the description asks for other settings for it now)\n"
        f"{LAB}: 1 to change\n"
    )
    dry = labctl("apply", str(file), "--dry-run", "--json")
    assert data(dry)["done"] is False
    assert [each["sign"] for each in data(dry)["differences"]] == ["~"]
    assert labctl("inspect", LAB, "--drift").returncode == 0


def test_an_edit_is_applied_and_the_lab_is_proved_as_it_is_now(file: Path) -> None:
    labctl("apply", str(file))
    file.write_text(TEXT.replace("10.0.2.10", "10.0.2.20"))
    done = labctl("apply", str(file), "--json")
    assert (done.returncode, data(done)["done"], data(done)["brought_up"]) == (0, True, False)
    assert {each["sign"] for each in data(done)["differences"]} == {"+", "-"}
    assert labctl("verify", LAB).returncode == 0
    assert labctl("apply", str(file)).stdout == ""


def test_drift_is_reported_with_status_1_and_repaired(file: Path) -> None:
    labctl("apply", str(file))
    inside("web1", "ip", "route", "del", "default")
    inside("db1", "ip", "link", "set", "lo", "down")
    found = labctl("inspect", LAB, "--drift", "--json")
    assert found.returncode == 1
    told = [(each["sign"], each["namespace"], each["why"]) for each in data(found)["differences"]]
    assert told == [("~", "db1", "the kernel has it so that lo is down"), ("+", "web1", "it is gone from the kernel")]
    assert labctl("verify", LAB).returncode != 0
    assert labctl("apply", str(file)).returncode == 0
    assert labctl("inspect", LAB, "--drift").returncode == 0
    assert labctl("verify", LAB).returncode == 0


def test_an_apply_that_is_killed_anywhere_is_finished_by_the_next_or_taken_down(file: Path) -> None:
    labctl("apply", str(file))
    other = TEXT.replace("10.0.1", "10.9.1").replace("zone: b, prefix", "zone: c, prefix")
    for delay_ms in (150, 250, 350, 450, 600):
        file.write_text(other if file.read_text() == TEXT else TEXT)
        killed = subprocess.Popen(
            [sys.executable, "-m", "labctl", "apply", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        time.sleep(delay_ms / 1000)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        done = labctl("apply", str(file))
        assert done.returncode == 0, done.stderr
        assert labctl("apply", str(file)).stdout == ""
        assert state.load(Paths(LAB)).status == "up"
    assert labctl("verify", LAB).returncode == 0


def test_an_apply_that_is_interrupted_leaves_one_of_the_two_labs_whole(file: Path) -> None:
    labctl("apply", str(file))
    other = TEXT.replace("10.0.1", "10.9.1").replace("zone: b, prefix", "zone: c, prefix")
    ends = set()
    for delay_ms in (300, 500, 700, 900):
        file.write_text(other if file.read_text() == TEXT else TEXT)
        begun = subprocess.Popen(
            [sys.executable, "-m", "labctl", "apply", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        time.sleep(delay_ms / 1000)
        begun.send_signal(signal.SIGINT)
        _, said = begun.communicate()
        ends.add(begun.returncode)
        assert b"Traceback" not in said
        found = labctl("inspect", LAB, "--drift")
        assert (found.returncode, state.load(Paths(LAB)).status) == (0, "up"), found.stdout
    assert ends <= {0, 130, -signal.SIGINT}, ends
    assert labctl("apply", str(file)).returncode == 0


def test_a_lab_that_was_left_half_made_is_finished(file: Path) -> None:
    labctl("apply", str(file))
    (Paths(LAB).root / "up").unlink()
    inside("web1", "ip", "link", "del", "vpc1-web")
    assert labctl("inspect", LAB, "--drift").returncode == 1
    assert labctl("apply", str(file)).returncode == 0
    assert state.load(Paths(LAB)).status == "up"
    assert labctl("verify", LAB).returncode == 0


def test_an_apply_that_fails_leaves_the_lab_as_it_was(file: Path) -> None:
    """A port that the node's other program holds: the program that is to listen there cannot, and all is taken back."""
    labctl("apply", str(file))
    before = inside("db1", "ip", "-4", "address")
    squatter = subprocess.Popen(
        ["ip", "netns", "exec", f"{LAB}-db1", sys.executable, "-c", _SQUAT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert squatter.stdout is not None
    squatter.stdout.readline()
    try:
        file.write_text(TEXT.replace("[tcp/5432]", "[tcp/5432, tcp/7777]").replace("10.0.2.10", "10.0.2.20"))
        done = labctl("apply", str(file))
        assert (done.returncode, "7777" in done.stderr) == (3, True), done.stderr
    finally:
        squatter.kill()
        squatter.communicate()
    assert inside("db1", "ip", "-4", "address") == before
    assert labctl("inspect", LAB, "--drift").stdout == f"{LAB}: nothing differs\n"
    assert labctl("verify", LAB).returncode == 0


_SQUAT = "import socket,sys; s = socket.create_server(('', 7777)); print('held', flush=True); sys.stdin.read()"
