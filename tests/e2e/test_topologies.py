"""Every shipped topology proves itself, on a kernel that has what it needs, and leaves the host as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernels import TOPOLOGIES, full_kernel, time_scale

from labctl import lab, state
from labctl.cli.files import find, read
from labctl.cli.terminal import Terminal
from labctl.cli.where import lacking
from labctl.codec import encode
from labctl.describe import Described, describe
from labctl.kernel import fingerprint
from labctl.kernel.paths import Paths

pytestmark = pytest.mark.e2e

LONG = os.environ.get("LABCTL_TEST_LONG") == "1"
PROVIDER = {
    "vpe-custom-resolver": ("window=75s", "broken=9s", "lookup=7s", "second=2s"),
    "vpe-nsxt-overlay": ("takeover=4s", "unnoticed=1900ms", "resent=7s", "broken=8s"),
}
"""What a topology is told with the provider's own times, as its head says."""


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_topology_passes_and_the_host_is_as_before(name: str) -> None:
    proved(name)


@pytest.mark.skipif(not LONG, reason="long: a provider's times are minutes")
@pytest.mark.parametrize("name", PROVIDER)
def test_a_topology_passes_with_the_providers_times(name: str) -> None:
    proved(name, "profile=provider", *PROVIDER[name])


def proved(name: str, *variables: str) -> None:
    engine = full_kernel()
    before = fingerprint.take()
    command = [sys.executable, "-m", "labctl", "run", name, "--json", "--on", engine]
    command += ["--time-scale", str(time_scale(engine)), *(word for each in variables for word in ("--var", each))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.stderr and done.stdout[:1] == "{", done.stdout + done.stderr
    data = json.loads(done.stdout)
    claims = [each for part in ("checks", "drills", "changes") for each in data[part]]
    unproved = {each["id"]: each["reason"] for each in claims if each["verdict"] != "pass"}
    assert (done.returncode, unproved) == (0, {})
    described = read(name)
    assert [each["id"] for each in data["checks"]] == [check.id for check in described.checks]
    assert [each["id"] for each in data["drills"]] == [drill.id for drill in described.drills]
    assert [each["id"] for each in data["changes"]] == [change.id for change in described.changes]
    assert (data["lab"], data["where"], data["verdict"]) == (name, engine, "pass")
    assert set(data["seconds"]) == {"up", "verify", "down"}
    assert encode(lab.restored(Paths(name), before)) == []


def test_two_labs_live_side_by_side_and_each_goes_alone(tmp_path: Path) -> None:
    described = read("vpe-subnet")
    if missing := lacking(described):
        pytest.skip(f"this machine lacks {', '.join(missing)}")
    before = fingerprint.take()
    twin = read_renamed("vpe-subnet", "vpe-twin")
    try:
        for each in (described, twin):
            lab.up(each, Paths(each.name), Terminal(quiet=True))
        assert {each.lab for each in state.labs()} >= {"vpe-subnet", "vpe-twin"}
        lab.down(Paths("vpe-subnet"), Terminal(quiet=True))
        results = lab.verify(twin, Paths("vpe-twin"), ["P2"], Terminal(quiet=True), evidence=tmp_path)
        assert results.verdict == "pass"
    finally:
        for name in ("vpe-subnet", "vpe-twin"):
            lab.down(Paths(name), Terminal(quiet=True))
    assert encode(lab.restored(Paths("vpe-subnet"), before)) == []


def read_renamed(name: str, other: str) -> Described:
    """A shipped topology under another name, equal in every address."""
    return describe(find(name).read_bytes().replace(f"lab: {name}".encode(), f"lab: {other}".encode()), other)
