"""What is true stays proved on a machine that has no time: a busy process for each processor, and no false verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from kernel_lab import Lab
from lies_bench import bench_of, verdicts
from lies_claims import CLAIMS
from lies_drills import DRILL, NOTICED_MS, Watched, drilled
from lies_lab import build

from labctl.claims.resolve import ANSWER_MS
from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.prove.bench import Bench
from labctl.prove.prover import measured

pytestmark = pytest.mark.needs("iptables")

ANSWERED = ("tcp-ok", "udp-ok", "ping-ok", "dns-ok", "dns-nxdomain", "http-ok", "trace-udp", "flows-udp")
CHECKS = [
    *(replace(CLAIMS[id], timeout_ms=ANSWER_MS) for id in ANSWERED),
    CLAIMS["ping-filtered"],
    CLAIMS["udp-no_route"],
]
REPEATS = 20


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    place = tmp_path_factory.mktemp("load")
    lab = Lab(Paths("load", run=place / "run", netns=place / "netns"))
    try:
        build(lab)
        with bench_of(lab) as bench:
            bench.breaker = Watched(lab, NOTICED_MS)
            yield bench
    finally:
        netns.destroy(lab.paths)


@pytest.fixture
def load() -> Iterator[None]:
    """Every processor has something better to do."""
    endless = [sys.executable, "-c", "while True: pass"]
    hogs = [subprocess.Popen(endless) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for each in hogs:
            each.kill()
            each.wait()


@pytest.mark.usefixtures("load")
def test_200_checks_that_are_true_pass_under_load(bench: Bench) -> None:
    found = [each for _ in range(REPEATS) for each in verdicts(bench, CHECKS)]
    assert len(found) == 200
    assert Counter((each.verdict, each.reason) for each in found) == {("pass", ""): 200}


@pytest.mark.usefixtures("load")
def test_drills_that_are_true_pass_under_load(bench: Bench) -> None:
    bounds = replace(DRILL.bounds, restore_ms=1800)
    drill = replace(DRILL, hold_ms=2500, bounds=bounds)
    found = [measured(lambda: drilled(bench, drill)) for _ in range(3)]
    assert Counter((each.verdict, each.reason) for each in found) == {("pass", ""): 3}
