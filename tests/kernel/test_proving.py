"""Drills and live changes of a small lab, by the commands: what they show, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.needs("drop")

LABCTL = [sys.executable, "-m", "labctl"]

LAB = """
lab: provable
resources:
  vpc1:
    kind: vpc
    subnets: {web: {zone: a, prefix: 10.0.1.0/24}, db: {zone: b, prefix: 10.0.2.0/24}}
  web1: {kind: instance, subnet: vpc1.web, address: 10.0.1.10}
  db1: {kind: instance, subnet: vpc1.db, address: 10.0.2.10, serves: [tcp/5432]}
checks:
  - {id: P1, from: web1, do: {tcp: {to: db1, port: 5432}}, expect: ok, path: [web1, vpc1, db1]}
"""

REPAIRED = "bounds: {after: repair, restore: 1s, failback_lost: 0}"
DRILLS = {
    "link-down": f"fault: {{link_down: vpc1.db}}, for: 300ms, {REPAIRED}",
    "blackhole": f"fault: {{blackhole: vpc1.db}}, for: 300ms, {REPAIRED}",
    "blackhole-udp": f"fault: {{blackhole: {{link: vpc1.db, proto: udp}}}}, for: 300ms, {REPAIRED}",
    "one-way": f"fault: {{one_way: {{link: vpc1.db, source: vpc1}}}}, for: 300ms, {REPAIRED}",
    "kill": f"fault: {{kill: vpc1}}, for: 300ms, {REPAIRED}",
    "freeze": f"fault: {{freeze: vpc1}}, for: 300ms, {REPAIRED}",
    "drop": "fault: {drop: {link: vpc1.web, packets: 3, proto: udp}}, for: 1s, bounds: {lost: 3}",
    "flap": "fault: {flap: {link: vpc1.db, times: 3, down: 50ms, up: 50ms}}, bounds: {lost: 60, gap: 1s}",
    "zone-off": f"fault: {{zone_off: b}}, for: 300ms, {REPAIRED}",
    "program": "fault: {kill: {node: db1, program: server}}, for: 300ms, bounds: {lost: 0}",
}
"""Faults of a lab with a single way, which is whole again only after the repair."""

CHANGE = """
changes:
  - id: C1
    during: P1
    set: {db1.serves: [tcp/5432, tcp/5433]}
    add: {vpc1.subnets: {more: {zone: a, prefix: 10.0.3.0/24}}}
    bounds: {lost: 0, path_changes: 0, reach: 2s}
    then: [{id: C1-then, from: web1, do: {tcp: {to: db1, port: 5433}}, expect: ok}]
"""


def labctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LABCTL, *arguments], capture_output=True, text=True, timeout=300, env={**os.environ})


def verified(name: str, *only: str) -> dict[str, Any]:
    done = labctl("verify", name, "--json", *(["--only", ",".join(only)] if only else []))
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("proving") / "provable.yaml"
    drills = [f"  - {{id: {word}, during: P1, {body}}}\n" for word, body in DRILLS.items()]
    endless = "  - {id: endless, during: P1, fault: {%s}, for: 1h, bounds: {restore: 2h}}\n"
    lasting = {"lasting-link": "link_down: vpc1.db", "lasting-freeze": "freeze: db1"}
    drills += [endless.replace("endless", word) % fault for word, fault in lasting.items()]
    file.write_text(LAB + "drills:\n" + "".join(drills) + CHANGE)
    done = labctl("up", str(file))
    assert done.returncode == 0, done.stderr
    yield "provable"
    done = labctl("down", "provable", "--verify", "--json")
    assert (done.returncode, json.loads(done.stdout)["differences"]) == (0, {"provable": []}), done.stdout


@pytest.fixture(scope="module")
def found(lab: str) -> dict[str, Any]:
    """What all drills that end by themselves, and the change, came to: by their ids."""
    results = verified(lab, *DRILLS, "C1", "P1")
    return {each["id"]: each for each in (*results["checks"], *results["drills"], *results["changes"])}


@pytest.mark.parametrize("word", DRILLS)
def test_each_fault_is_felt_as_it_should_be_and_no_longer_than_it_lasts(found: dict[str, Any], word: str) -> None:
    assert found[word]["verdict"] == "pass", found[word]["reason"]


def test_the_lab_is_whole_after_all_its_faults(found: dict[str, Any], lab: str) -> None:
    assert verified(lab, "P1")["verdict"] == "pass"


def test_a_drop_loses_exactly_what_was_asked_for(found: dict[str, Any]) -> None:
    assert (found["drop"]["lost"], found["drop"]["path_changes"]) == (3, 0)


def test_the_way_of_the_stream_is_told(found: dict[str, Any]) -> None:
    way = found["blackhole"]["way"]
    assert way["before"] == way["after"] == "web1 > vpc1 > db1"
    assert "meanwhile" not in way


def test_a_live_change_is_felt_by_nobody_and_its_promise_comes_true(found: dict[str, Any], lab: str) -> None:
    change = found["C1"]
    assert change["verdict"] == "pass", change["reason"]
    assert (change["lost"], [each["verdict"] for each in change["then"]]) == (0, ["pass"])
    assert change["reach_ms"] < 2000
    command = ["ip", "netns", "exec", f"{lab}-db1", "ss", "-Hltn", "sport = :5433"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == ""


def is_down() -> bool:
    shown = subprocess.run(["ip", "-n", "provable-vpc1.db", "-br", "link"], capture_output=True, text=True)
    states = {line.split("@")[0]: line.split()[1] for line in shown.stdout.splitlines() if "@" in line}
    return states["db1"] != "UP"


def stands_still() -> bool:
    pids = subprocess.run(["ip", "netns", "pids", "provable-db1"], capture_output=True, text=True).stdout.split()
    return any(Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] == "T" for pid in pids)


STRUCK: dict[str, Callable[[], bool]] = {"lasting-link": is_down, "lasting-freeze": stands_still}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("word", STRUCK)
def test_what_a_drill_broke_is_repaired_when_it_is_interrupted(lab: str, word: str, number: signal.Signals) -> None:
    with subprocess.Popen([*LABCTL, "verify", lab, "--only", word], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not STRUCK[word]():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(60) == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    if number != signal.SIGKILL:
        assert not STRUCK[word]()
    assert verified(lab, "P1")["verdict"] == "pass"
    assert not STRUCK[word]()
