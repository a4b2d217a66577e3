"""Within a kernel: `labctl plan TOPOLOGY --commands` builds a lab, which is read back and proved.

Checks that edit the lab are left out: the script builds one lab, and nobody is there to change it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from labctl.cli.files import read
from labctl.cli.terminal import Terminal
from labctl.describe import Described
from labctl.kernel.observe import observe
from labctl.kernel.paths import NETNS, Paths
from labctl.plan.diff import diff
from labctl.plan.held import without_held
from labctl.plan.objects import Delete, Namespace, Plan, Process, XfrmState
from labctl.plan.render import render_step
from labctl.prove.bundle import Bundles
from labctl.prove.prover import Prover

LABCTL = [sys.executable, "-m", "labctl"]
READY_S = 60.0


def main(topology: str) -> None:
    """Print as JSON how the lab differs from one that labctl made, and by check its verdict and its reason."""
    described = read(topology)
    script = subprocess.run([*LABCTL, "plan", topology, "--commands"], capture_output=True, text=True, check=True)
    done = subprocess.run(["sh"], input=script.stdout, text=True, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"the script ended with {done.returncode}")
    run = Path(tempfile.mkdtemp())  # with mounts in it; all of this kernel goes
    paths = known(described.plan, run)
    differing = list(differences(described.plan, paths))
    deadline = time.monotonic() + READY_S
    while True:
        prover = Prover(described, paths, {}, Terminal(quiet=True), waiting, Bundles(paths, run, "lab"))
        checks, _, _ = prover.prove(plain(described))
        if all(each.verdict == "pass" for each in checks) or time.monotonic() > deadline:
            break  # until then its programs may just be starting
    print(json.dumps({"differing": differing, "checks": {each.id: [each.verdict, each.reason] for each in checks}}))


def known(plan: Plan, run: Path) -> Paths:
    """The lab where the prover looks for it: its namespaces bound a second time."""
    paths = Paths(plan.lab, run, run / "netns")
    paths.namespaces.mkdir(parents=True)
    paths.netns.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", paths.namespaces], check=True)
    for each in plan.objects:
        if isinstance(each, Namespace):
            paths.namespace(each.name).touch()
            made = NETNS / paths.link(each.name).name
            subprocess.run(["mount", "--bind", made, paths.namespace(each.name)], check=True)
            paths.link(each.name).symlink_to(paths.namespace(each.name))
    return paths


def differences(plan: Plan, paths: Paths) -> Iterator[str]:
    """What would be done to make the lab as the plan has it. It has other keys, and no supervisor."""
    for step in diff(without_held(observe(paths, (plan,), {}, ()), (plan,)), plan):
        subject = step.old if isinstance(step, Delete) else step.new
        if not isinstance(subject, Process | XfrmState):
            yield render_step(step)


def plain(described: Described) -> list[str]:
    """The checks of the lab as it is, that stand on no others."""
    own = {each.id for each in described.checks if each.id not in described.changed}
    return [each.id for each in described.checks if {each.id, *each.control} <= own]


def waiting(paths: Paths, within_ms: float) -> None:
    """Nothing is changed, so nothing is to be waited for."""


if __name__ == "__main__":
    main(sys.argv[1])
