"""Within a kernel: `labctl plan TOPOLOGY --commands` is given to a shell, and the lab that it builds is proved.

Checks that edit the lab are left out: the script builds one lab, and nobody is there to change it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from labctl.cli.files import read
from labctl.cli.terminal import Terminal
from labctl.describe import Described
from labctl.kernel.paths import Paths
from labctl.plan.objects import Namespace, Plan
from labctl.prove.bundle import Bundles
from labctl.prove.prover import Prover

LABCTL = [sys.executable, "-m", "labctl"]
READY_S = 60.0


def main(topology: str) -> None:
    """Print the verdicts as JSON: by check, its verdict and its reason."""
    described = read(topology)
    script = subprocess.run([*LABCTL, "plan", topology, "--commands"], capture_output=True, text=True, check=True)
    done = subprocess.run(["sh"], input=script.stdout, text=True, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"the script ended with {done.returncode}")
    run = Path(tempfile.mkdtemp())  # with mounts in it; all of this kernel goes
    paths = known(described.plan, run)
    deadline = time.monotonic() + READY_S
    while True:
        prover = Prover(described, paths, {}, Terminal(quiet=True), waiting, Bundles(paths, run, "lab"))
        checks, _, _ = prover.prove(plain(described))
        if all(each.verdict == "pass" for each in checks) or time.monotonic() > deadline:
            break  # until then its programs may just be starting
    print(json.dumps({each.id: [each.verdict, each.reason] for each in checks}))


def known(plan: Plan, run: Path) -> Paths:
    """The lab where the prover looks for it: its namespaces bound a second time."""
    paths = Paths(plan.lab, run)
    paths.namespaces.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", paths.namespaces], check=True)
    for each in plan.objects:
        if isinstance(each, Namespace):
            paths.namespace(each.name).touch()
            subprocess.run(["mount", "--bind", paths.link(each.name), paths.namespace(each.name)], check=True)
    return paths


def plain(described: Described) -> list[str]:
    """The checks of the lab as it is, that stand on no others."""
    own = {each.id for each in described.checks if each.id not in described.changed}
    return [each.id for each in described.checks if {each.id, *each.control} <= own]


def waiting(paths: Paths, within_ms: float) -> None:
    """Nothing is changed, so nothing is to be waited for."""


if __name__ == "__main__":
    main(sys.argv[1])
