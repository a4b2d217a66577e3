"""Virtual routers by keepalived under the supervisor, in real namespaces."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from kernel_lab import Lab

from labctl.errors import KernelError
from labctl.kernel.paths import Paths
from labctl.model.services import Vrrp
from labctl.plan.objects import Process
from labctl.services.inhabitants import inhabitants
from labctl.services.supervisor import Keeper, start

ADDRESSES = {"eth0": IPv4Interface("10.0.0.9/32"), "eth1": IPv4Interface("10.0.1.9/32")}
INTERVAL = 100


@pytest.fixture
def routers(lab: Lab) -> Iterator[Lab]:
    """Two nodes, joined by `eth0` and by `eth1`, and their supervisor."""
    if shutil.which("keepalived") is None:
        reason = "this machine has no keepalived"
        if os.environ.get("LABCTL_TEST_REQUIRE_ALL") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    lab.nodes("left", "right")
    lab.wire("left", "eth0", "10.0.0.1/24", "right", "eth0", "10.0.0.2/24")
    lab.wire("left", "eth1", "10.0.1.1/24", "right", "eth1", "10.0.1.2/24")
    lab.paths.root.mkdir(parents=True, exist_ok=True)
    start(lab.paths)
    yield lab
    Keeper(lab.paths).shutdown()


def router(node: str, priority: int, *, preempt: bool = False) -> Process:
    return Process(node, "vrrp", Vrrp(10, priority, INTERVAL, tuple(ADDRESSES.items()), preempt))


LEFT, RIGHT = router("left", 200), router("right", 100)


def eventually(holds: Callable[[], object], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def states(paths: Paths) -> dict[str, str]:
    return {each.namespace: each.paths["vrrp"] for each in Keeper(paths).status() if each.state == "running"}


def held(lab: Lab, node: str) -> set[str]:
    """The devices of a node that have an address of the virtual router."""
    found = {device: lab.run(node, "ip", "-4", "addr", "show", "dev", device) for device in ADDRESSES}
    return {device for device, text in found.items() if str(ADDRESSES[device].ip) in text}


def settled(lab: Lab, **wanted: str) -> None:
    eventually(lambda: states(lab.paths) == wanted)
    for node, state in wanted.items():
        eventually(lambda node=node, state=state: held(lab, node) == (set(ADDRESSES) if state == "MASTER" else set()))


def begun(lab: Lab) -> Keeper:
    keeper = Keeper(lab.paths)
    keeper.start(LEFT)
    keeper.start(RIGHT)
    settled(lab, left="MASTER", right="BACKUP")
    return keeper


def test_the_higher_priority_has_the_addresses_of_both_devices_and_says_so(routers: Lab) -> None:
    keeper = begun(routers)
    detail = {each.namespace: each.detail for each in keeper.status()}
    assert detail["left"].startswith("MASTER since ")
    assert detail["right"].startswith("BACKUP since ")
    (place,) = routers.paths.root.glob("programs/left-*")
    assert {each.name for each in place.iterdir()} >= {"keepalived.conf", "pid", "vrrp.pid"}


def test_one_that_is_killed_dies_with_its_keepalived_and_without_a_farewell(routers: Lab) -> None:
    keeper = begun(routers)
    before = time.monotonic()
    keeper.signal(LEFT, signal.SIGKILL)
    eventually(lambda: states(routers.paths) == {"right": "MASTER"})
    assert time.monotonic() - before > 2 * INTERVAL / 1000, "a farewell would have told the other at once (RFC 5798)"
    assert held(routers, "left") == set(ADDRESSES), "nobody took them away"
    eventually(lambda: sum(each.name == "keepalived" for each in inhabitants(routers.paths)) == 2)
    keeper.start(LEFT)
    settled(routers, left="BACKUP", right="MASTER")


def test_one_that_is_frozen_is_taken_for_dead_and_comes_back(routers: Lab) -> None:
    keeper = begun(routers)
    keeper.signal(LEFT, signal.SIGSTOP)
    eventually(lambda: states(routers.paths)["right"] == "MASTER")
    keeper.signal(LEFT, signal.SIGCONT)
    settled(routers, left="MASTER", right="BACKUP")


def test_loss_of_one_device_moves_the_addresses_of_both(routers: Lab) -> None:
    begun(routers)
    routers.run("left", "ip", "link", "set", "dev", "eth1", "down")
    eventually(lambda: states(routers.paths)["left"] == "FAULT")
    assert held(routers, "left") == set()


def test_a_new_configuration_is_taken_without_a_new_start(routers: Lab) -> None:
    keeper = begun(routers)
    pids = {each.pid for each in keeper.status()}
    keeper.change(RIGHT, router("right", 250, preempt=True))
    settled(routers, left="BACKUP", right="MASTER")
    other = IPv4Interface("10.0.1.99/32")
    moved = replace(RIGHT, program=Vrrp(10, 250, INTERVAL, (*ADDRESSES.items(), ("eth1", other)), True))
    keeper.change(router("right", 250, preempt=True), moved)
    eventually(lambda: "10.0.1.99" in routers.run("right", "ip", "addr"))
    assert {each.pid for each in keeper.status()} == pids


def test_what_was_stopped_gives_its_addresses_away_at_once_and_leaves_no_process(routers: Lab) -> None:
    keeper = begun(routers)
    keeper.stop(LEFT)
    assert held(routers, "left") == set()
    settled(routers, right="MASTER")
    keeper.shutdown()
    eventually(lambda: not inhabitants(routers.paths))


def test_a_device_that_is_not_there_is_told(routers: Lab) -> None:
    nowhere = Process("left", "vrrp", Vrrp(10, 100, INTERVAL, (("eth7", IPv4Interface("10.0.0.9/32")),)))
    with pytest.raises(KernelError, match="no device eth7"):
        Keeper(routers.paths).start(nowhere)


def test_its_files_lie_in_the_directory_of_the_lab_alone(routers: Lab, tmp_path: Path) -> None:
    begun(routers)
    outside = [each for each in Path("/run").glob("keepalived*") if each.stat().st_mtime > tmp_path.stat().st_mtime]
    assert outside == []
