"""Breaks a lab in one way after another and writes down what `labctl verify` says of it. Runs on the lab's kernel.

    saboteur.py LAB RESULTS TIME_SCALE [SABOTAGE]

RESULTS becomes a JSON object: `before` (the verdict on the sound lab), `after` (the same once all is mended), for each
sabotage of `sabotages.py` the verdicts by id and the exit status, and `differences`: what is not as before on the
machine once the lab is down.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from sabotages import SABOTAGES, Sabotage

LABCTL = [sys.executable, "-m", "labctl"]


def labctl(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([*LABCTL, *arguments], capture_output=True, text=True)
    sys.stderr.write(done.stderr)
    return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else {}


def in_lab(lab: str, commands: list[str]) -> None:
    for command in commands:
        words = command.replace("@", f"{lab}-").split()
        subprocess.run(words, check=True, stdout=sys.stderr)


def kill_programs(pattern: str) -> int:
    """Kill every process whose command line or title matches; how many."""
    killed = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
            words += entry.joinpath("comm").read_text()
        except (OSError, UnicodeDecodeError):
            continue
        if re.search(pattern, words) and int(entry.name) != os.getpid():
            os.kill(int(entry.name), signal.SIGKILL)
            killed += 1
    return killed


def verify(lab: str, sabotage: Sabotage) -> dict[str, Any]:
    stop = threading.Event()
    hunter = threading.Thread(target=hunt, args=(sabotage.hunt, stop))
    hunter.start()
    status, data = labctl("verify", lab, "--json", "--only", ",".join(sabotage.only))
    stop.set()
    hunter.join()
    verdicts = {each["id"]: each for each in [*data.get("checks", []), *data.get("drills", [])]}
    return {"status": status, "verdict": data.get("verdict", ""), "checks": verdicts}


def hunt(pattern: str, stop: threading.Event) -> None:
    while pattern and not stop.wait(0.05):
        kill_programs(pattern)


def run_edited(lab: str, sabotage: Sabotage, scale: str) -> dict[str, Any]:
    """A lab of another description: here it is the evidence that is looked for in the wrong place."""
    text = Path(sabotage.file).read_text()
    old, new = sabotage.edit
    assert text.count(old) >= 1, old
    edited = Path("/tmp") / f"{lab}-edited.yaml"
    edited.write_text(text.replace(old, new).replace(f"lab: {lab}", f"lab: {lab}-edited"))
    only = ",".join(sabotage.only)
    status, data = labctl("run", str(edited), "--on", "host", "--json", "--only", only, "--time-scale", scale)
    return {"status": status, "verdict": data["verdict"], "checks": {each["id"]: each for each in data["checks"]}}


def main() -> None:
    lab, results, scale, *chosen = sys.argv[1:]
    report: dict[str, Any] = {"sabotages": {}}
    status, _ = labctl("up", lab, "--on", "host", "--time-scale", scale)
    assert status == 0, "the lab does not come up"
    wanted = [each for each in SABOTAGES if each.lab == lab and (not chosen or each.name in chosen)]
    every = Sabotage(lab, "none", sorted({word for each in wanted for word in each.only}), "pass")
    report["before"] = verify(lab, every)
    for sabotage in wanted:
        print(f"{lab}: {sabotage.name}", file=sys.stderr, flush=True)
        if sabotage.edit:
            report["sabotages"][sabotage.name] = run_edited(lab, sabotage, scale)
            continue
        in_lab(lab, sabotage.do)
        if sabotage.kill:
            assert kill_programs(sabotage.kill), f"nothing to kill: {sabotage.kill}"
            time.sleep(0.2)
        report["sabotages"][sabotage.name] = verify(lab, sabotage)
        in_lab(lab, sabotage.undo)
        if sabotage.kill or (sabotage.do and not sabotage.undo):
            labctl("down", lab)
            labctl("up", lab, "--on", "host", "--time-scale", scale)
    report["after"] = verify(lab, every)
    _, data = labctl("down", lab, "--verify", "--json")
    report["differences"] = data["differences"][lab]
    Path(results).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
