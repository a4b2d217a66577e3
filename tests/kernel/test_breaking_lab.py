"""Faults of whole nodes and connections, in a lab as it is shipped: felt while they last, and then all is as before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_lab import Stream, eventually, state
from kernel_lab import Lab

from labctl.breaking import Breaker
from labctl.describe import Described, describe
from labctl.kernel import keys
from labctl.kernel.execute import execute
from labctl.kernel.paths import Paths
from labctl.plan.diff import diff
from labctl.plan.objects import Namespace, XfrmState
from labctl.services.supervisor import Keeper, start

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "vpn-dc-failover.yaml"
FAULTS = {
    "kill": ("{kill: gw}", True),
    "freeze": ("{freeze: cgw}", True),
    "zone-off": ("{zone_off: a}", True),
    "rekey": ("{rekey: t1}", False),
}
"""Each fault, and whether it interrupts what there is only one way for."""

pytestmark = [pytest.mark.needs("esp", "xfrm-interface", "netem", "drop", "iptables")]


def described() -> Described:
    resources = TOPOLOGY.read_text().split("\nchecks:")[0]
    text = resources + "\nchecks: [{id: P1, from: dc-host, do: {ping: {to: ecs1}}, expect: ok}]\ndrills:\n"
    for word, (fault, _) in FAULTS.items():
        text += f"  - {{id: {word}, during: P1, fault: {fault}, bounds: {{lost: 0}}}}\n"
    return describe(text.encode(), "x.yaml")


def works(keeper: Keeper) -> bool:
    """Whether every program runs and every watched path is up."""
    services = keeper.status()
    paths = [condition for each in services for condition in each.paths.values()]
    return all(each.state == "running" for each in services) and bool(paths) and set(paths) == {"up"}


@pytest.fixture
def keeper(paths: Paths) -> Iterator[Keeper]:
    paths.root.mkdir(parents=True, exist_ok=True)
    start(paths)
    keeper = Keeper(paths)
    yield keeper
    keeper.shutdown()


def test_what_a_fault_breaks_is_whole_after_its_repair(lab: Lab, keeper: Keeper) -> None:
    found = described()
    ring = keys.generate({each.key: each.cipher for each in found.plan.objects if isinstance(each, XfrmState)})
    execute(diff(None, found.plan), lab.paths, ring, keeper, lambda step: None)
    eventually(lambda: works(keeper), 20)
    nodes = [each.name for each in found.plan.objects if isinstance(each, Namespace)]
    before = state(lab, *nodes)
    breaker = Breaker(lab.paths, ring)
    for drill in found.drills:
        stream = Stream(lab, "dc-host", "ecs1", "10.0.1.10", rate=200)
        eventually(lambda: stream.arrived_since(0) > 20)  # noqa: B023 - called at once
        breaker.inject(drill.fault)
        time.sleep(0.3)
        assert (stream.arrived_since(now_ms() - 200) == 0) == FAULTS[drill.id][1], drill.what
        breaker.repair(drill.fault)
        eventually(lambda: works(keeper), 20)
        since = now_ms()
        eventually(lambda: stream.arrived_since(since) > 20)  # noqa: B023
        lost = stream.stop()
        assert bool(lost) == FAULTS[drill.id][1], drill.what
        assert state(lab, *nodes) == before, drill.what


def now_ms() -> float:
    return time.monotonic() * 1000
