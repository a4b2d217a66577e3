"""A clock that somebody sets meanwhile, for an hour or back: nothing that is measured or ordered may come out wrong.

Only in a guest, whose clock is its own.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import lies_servers as servers
import pytest
from kernel_lab import Lab
from lies_bench import bench_of, verdict
from lies_claims import CLAIMS
from lies_drills import DRILL, NOTICED_MS, Watched, drilled
from lies_lab import build
from lies_ways import Way, meanwhile
from test_lies import WATCHED

from labctl.claims.expectations import Check, Hop
from labctl.claims.verdicts import Word
from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.prove.bench import Bench

pytestmark = [
    pytest.mark.needs("iptables"),
    pytest.mark.skipif(os.environ.get("LABCTL_WHERE", "host") == "host", reason="the machine's clock is not ours"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("lies")
    lab = Lab(Paths("liesc", run=place / "run", netns=place / "netns"))
    try:
        build(lab)
        yield lab
    finally:
        netns.destroy(lab.paths)


@pytest.fixture(scope="module")
def bench(lab: Lab) -> Iterator[Bench]:
    with bench_of(lab) as bench:
        bench.session()
        yield bench


def stepped(seconds: float) -> Callable[[Lab], None]:
    """Sets the clock by so much."""
    return lambda lab: time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) + seconds)


@contextlib.contextmanager
def restless(lab: Lab) -> Iterator[None]:
    """The clock goes to and fro all the time."""
    over = False

    def rock() -> None:
        while not over:
            stepped(1000)(lab)
            stepped(-1000)(lab)
            time.sleep(0.002)

    thread = servers.spawn(rock)
    try:
        yield
    finally:
        over = True
        thread.join()


STEPS: dict[str, Way] = {
    "an hour ahead": meanwhile(0.15, stepped(3600)),
    "an hour back": meanwhile(0.15, stepped(-3600)),
    "to and fro": restless,
}
SLOW = replace(WATCHED["silent"], timeout_ms=600)


@pytest.mark.parametrize("way", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("check", [SLOW, CLAIMS["tcp-ok"], CLAIMS["udp-no_route"]], ids=lambda check: check.id)
def test_a_true_claim_does_not_fail_for_the_clock(lab: Lab, bench: Bench, check: Check, way: Way) -> None:
    bench.session()
    with way(lab):
        found = verdict(bench, check)
    assert found.verdict == "pass" or "clock" in found.reason, f"{found.verdict}: {found.reason}"
    assert found.verdict != "fail"


@pytest.mark.parametrize("way", STEPS.values(), ids=STEPS)
def test_an_order_that_is_false_does_not_pass_by_the_clock(lab: Lab, bench: Bench, way: Way) -> None:
    path = tuple(Hop(node, f"@{node}") for node in ("c", "w", "r", "s"))
    for _ in range(10):
        with way(lab):
            found = verdict(bench, replace(CLAIMS["tcp-ok"], path=path))
        assert found.verdict != "pass"


@pytest.mark.parametrize(
    ("noticed_ms", "words"), [(NOTICED_MS, ("pass", "inconclusive")), (1200, ("fail", "inconclusive"))]
)
@pytest.mark.parametrize("seconds", [3600, -3600, 0.5, -0.5])
def test_a_drill_is_measured_by_another_clock(
    lab: Lab, bench: Bench, noticed_ms: float, words: tuple[Word, ...], seconds: float
) -> None:
    bench.breaker = Watched(lab, noticed_ms)
    with meanwhile(1.2, stepped(seconds))(lab):
        found = drilled(bench, DRILL)
    assert found.verdict in words, f"{found.verdict}: {found.reason}"
    assert found.verdict != "inconclusive" or "clock" in found.reason, found.reason
