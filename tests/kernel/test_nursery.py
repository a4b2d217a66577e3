"""Namespaces that are begun ahead are like any other; those that nobody asked for leave no trace."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel_lab import Lab

from labctl.errors import HostError, StateError
from labctl.kernel import netns
from labctl.kernel.aside import Child
from labctl.kernel.making import Making
from labctl.kernel.nursery import Nursery
from labctl.kernel.paths import Paths
from labctl.plan.objects import Namespace

ENOUGH = 40
"""So many are worth a process."""


def make(paths: Paths, items: list[Namespace], guess: int, *, forwarding: bool = False) -> None:
    with Nursery(guess, forwarding=forwarding) as nursery:
        Making(nursery, paths, items).finish()


def named(count: int, *, forwarding: Callable[[int], bool] = lambda i: False) -> list[Namespace]:
    return [Namespace(f"n{i}", forwarding(i)) for i in range(count)]


def inode(path: Path) -> int:
    return path.stat().st_ino


@pytest.mark.parametrize("guess", [0, ENOUGH, 100])
def test_every_node_has_a_namespace_of_its_own_however_many_were_guessed(paths: Paths, guess: int) -> None:
    make(paths, named(60), guess)
    assert len({inode(paths.namespace(f"n{i}")) for i in range(60)} | {inode(netns.MINE)}) == 61
    assert sorted(each.name for each in paths.netns.iterdir()) == sorted(f"t-n{i}" for i in range(60))


@pytest.mark.parametrize(("guess", "forwarding"), [(0, False), (ENOUGH, False), (ENOUGH, True)])
def test_all_have_the_settings_of_the_first(lab: Lab, guess: int, forwarding: bool) -> None:
    """The first is read and written with care, the others are only written, and what was guessed wrongly is put right:
    of these, nodes 0 and 1 are begun with, 78 and 79 are not.
    """
    make(lab.paths, named(80, forwarding=lambda i: i % 2 == 1), guess, forwarding=forwarding)
    # Counted per namespace, drawn at random, or of the last one only.
    command = "cd /proc/sys/net && grep -rs . ipv4 ipv6 | grep -v 'secret\\|nf_conntrack_count\\|fastopen_key'"
    values = [lab.run(f"n{i}", "sh", "-c", command, check=False) for i in (0, 1, 2, 3, 78, 79)]
    assert values[0] == values[2] == values[4] != values[1] == values[3] == values[5]


@pytest.mark.parametrize("guess", [0, ENOUGH])
def test_nothing_is_left_of_what_nobody_asks_for(paths: Paths, guess: int) -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with Nursery(guess):
        pass
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert not paths.run.exists()


def test_a_name_that_is_taken_meanwhile_is_told(paths: Paths) -> None:
    with Nursery(ENOUGH) as nursery:
        making = Making(nursery, paths, named(ENOUGH))
        making.finish()
    with Nursery(ENOUGH) as nursery, pytest.raises(StateError, match="namespace t-n0 exists already"):
        Making(nursery, paths, named(8)).finish()


def test_an_early_end_is_told(paths: Paths) -> None:
    with Nursery(10_000) as nursery:
        assert isinstance(nursery.maker, Child)
        os.kill(nursery.maker.pid, signal.SIGKILL)
        os.waitid(os.P_PID, nursery.maker.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(HostError):
            Making(nursery, paths, named(3)).finish()


def test_a_namespace_that_cannot_be_bound_is_told_by_its_name(paths: Paths) -> None:
    netns.make_ready(paths, [])
    paths.namespace("n3").symlink_to("/nowhere")
    with pytest.raises(HostError, match="cannot make namespace t-n3"):
        make(paths, named(8), 0)
    assert [netns.exists(paths, f"n{i}") for i in (2, 4)] == [True, False]
