"""The shipped labs pass on the distribution's own kernel, too, in a guest: hardware-assisted where that works."""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from kernels import TOPOLOGIES, run_on

from labctl import guest
from labctl.cli.files import read
from labctl.cli.where import SLOW_SCALE
from labctl.plan.needs import needs

pytestmark = [pytest.mark.e2e, pytest.mark.smoke]

LONG = os.environ.get("LABCTL_TEST_LONG") == "1"
SCRIPT = """
import subprocess, sys
directory, scale, *labs = sys.argv[1:]
for lab, only in (word.split("=") for word in labs):
    with open(f"{directory}/{lab}.json", "wb") as out:
        command = [sys.executable, "-m", "labctl", "run", lab, "--on", "host", "--time-scale", scale, "--json"]
        subprocess.run([*command, "--only", only], stdout=out)
"""


@functools.cache
def reports() -> dict[str, dict[str, Any]]:
    """What each lab said of itself, all of them in one life of the stock kernel."""
    found = [each for each in (guest.available("kvm"), guest.available("tcg")) if each.ok]
    if not found:
        pytest.skip("; ".join(f"{name}: {guest.available(name).detail}" for name in ("kvm", "tcg")))
    engine, scale = found[0].name, 1 if found[0].name == "kvm" else SLOW_SCALE
    with tempfile.TemporaryDirectory(prefix="stock-") as directory:
        labs = (f"{lab}={smoke(lab, engine)}" for lab in SHOWN[engine])
        command = [sys.executable, "-c", SCRIPT, directory, str(scale), *labs]
        run_on(engine, command, Path(directory), timeout=1500)
        texts = {lab: Path(directory, f"{lab}.json").read_text() for lab in SHOWN[engine] if ran(directory, lab)}
        return {lab: json.loads(text) for lab, text in texts.items()}


def telling() -> list[str]:
    """The labs that need something of the kernel, or of the machine, that none before them does: most needs first."""
    wanted = {lab: set(needs(read(lab).plan)) for lab in TOPOLOGIES}
    known: set[str] = set()
    found = []
    for lab in sorted(TOPOLOGIES, key=lambda each: -len(wanted[each])):
        if not wanted[lab] <= known:
            found.append(lab)
            known |= wanted[lab]
    return found


SHOWN = {"kvm": TOPOLOGIES, "tcg": TOPOLOGIES if LONG else telling()}
"""The labs that are brought up; emulated, each takes minutes."""


def smoke(lab: str, engine: str) -> str:
    """What is proved there: every check, two drills and a change; emulated, where each takes half a minute, less."""
    described = read(lab)
    checks, drills, changes = (None, 2, 1) if engine == "kvm" or LONG else (2, 0, 0)
    chosen = (*described.checks[:checks], *described.drills[:drills], *described.changes[:changes])
    return ",".join(each.id for each in chosen)


def ran(directory: str, lab: str) -> bool:
    """Whether the lab wrote a report; without one its test has nothing to look at and fails."""
    file = Path(directory, f"{lab}.json")
    return file.exists() and file.stat().st_size > 0


@pytest.mark.parametrize("lab", TOPOLOGIES)
def test_a_lab_passes_on_the_stock_kernel(lab: str) -> None:
    if not guest.available("kvm").ok and lab not in SHOWN["tcg"]:
        pytest.skip(f"emulated: {', '.join(SHOWN['tcg'])} need all that {lab} does")
    found = reports()[lab]
    claims = [each for part in ("checks", "drills", "changes") for each in found[part]]
    assert {each["id"]: each["reason"] for each in claims if each["verdict"] != "pass"} == {}
    proved = [each["id"] for each in claims]
    assert (found["verdict"], [word for word in smoke(lab, found["where"]).split(",") if word not in proved]) == (
        "pass",
        [],
    )
    assert found["where"] in ("kvm", "tcg")
