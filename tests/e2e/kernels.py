"""Which kernel the end-to-end tests use, and how they run a program on it."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labctl import guest
from labctl.cli.files import read, shipped
from labctl.cli.where import SLOW_SCALE, lacking
from labctl.errors import HostError

TOPOLOGIES = sorted(shipped())
HERE = Path(__file__).parent


@functools.cache
def full_kernel() -> str:
    """The first of host, kvm, uml and tcg that has what every shipped topology needs."""
    missing = {each for name in TOPOLOGIES for each in lacking(read(name))}
    try:
        return guest.choose("auto", sorted(missing), guest.available).engine
    except HostError as error:
        pytest.fail(f"no kernel for the labs: {error.message}; {error.hint}")


def time_scale(engine: str) -> int:
    """How much slower than real time the labs of an engine run."""
    return SLOW_SCALE if engine == "tcg" else 1


def run_on(engine: str, argv: list[str], results: Path, timeout: float, **variables: str) -> int:
    """Run `argv` on a kernel, with `results` writable; its exit status. Its output is that of the test."""
    environment = {"LABCTL_WHERE": engine, "PYTHONPATH": str(HERE), **variables}
    if engine == "host":
        return subprocess.run(argv, env={**os.environ, **environment}, timeout=timeout).returncode
    with (results / "stdout").open("wb") as out, (results / "stderr").open("wb") as err:
        status = guest.run(
            engine, argv, timeout=timeout, writable=[results], environment=environment, stdout=out, stderr=err
        )
    sys.stdout.write((results / "stdout").read_text())
    sys.stderr.write((results / "stderr").read_text())
    return status
