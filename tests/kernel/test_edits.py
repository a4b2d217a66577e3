"""Whichever one thing of a shipped topology is changed: to apply that to the running lab leaves the kernel as a lab
that was brought up like that from the start.

The quick form takes some edits of each topology; LABCTL_TEST_LONG=1 takes all.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from apply_lab import Converging, watched
from edits import NAMES, Edit, base, edits
from reading import differing, reading

from labctl import state
from labctl.errors import KernelError, LabError
from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.plan.needs import needs
from labctl.plan.reasons import Difference
from labctl.plan.render import render_step
from labctl.services.keeper import Keeper

EVERY = os.environ.get("LABCTL_TEST_LONG") == "1"
OF_EACH = 2
"""Edits of a topology in the quick form: of other sorts in each, so that every sort has its turn in several."""
SEED = 20
SHORT, LONG = 2, 30
"""So many edits follow each other, each of the topology as it is shipped."""
MOST = 40
"""More faults than this say nothing more."""
PROBED = ("gre", "geneve", "esp", "xfrm-interface", "netem", "tbf", "iptables")
"""The mechanisms that are tried, each by the beginning of its name."""


def marked(topology: str) -> object:
    """A topology, and what it cannot do without."""
    wanted = needs(base(topology).plan)
    found = [probed for probed in PROBED if any(each.startswith(probed) for each in wanted)]
    return pytest.param(topology, marks=pytest.mark.needs(*found))


TOPOLOGIES = [marked(name) for name in NAMES]


def chosen(topology: str) -> list[Edit]:
    """All edits, or one of each of some sorts, the same each time."""
    every = edits(topology)
    if EVERY:
        return list(every)
    sorts: dict[str, Edit] = {}
    for each in random.Random(SEED).sample(every, len(every)):
        sorts.setdefault(each.kind, each)
    turn = OF_EACH * NAMES.index(topology)
    return [sorts[kind] for kind in itertools.islice(itertools.cycle(sorted(sorts)), turn, turn + OF_EACH)]


@pytest.fixture
def lab(paths: Paths, request: pytest.FixtureRequest) -> Iterator[Converging]:
    made = Converging(paths, base(request.param))
    yield made
    made.end()


@pytest.mark.parametrize("lab", TOPOLOGIES, indirect=True)
def test_an_edit_that_is_applied_leaves_the_kernel_as_if_it_had_always_been_so(
    lab: Converging, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    topology = request.node.callspec.params["lab"]
    usual = base(topology)
    faults: list[str] = []
    for edit in chosen(topology):
        faults += [f"{edit.words}: {each}" for each in applied(lab, edit, tmp_path)]
        if lab.described != usual:
            lab.apply(usual)
        faults += [f"{edit.words}, taken back: {told(each)}" for each in lab.differences()]
        assert len(faults) < MOST, "\n".join(faults)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("lab", TOPOLOGIES, indirect=True)
def test_edits_that_follow_each_other_leave_nothing_of_the_earlier_ones(
    lab: Converging, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    every = edits(request.node.callspec.params["lab"])
    wrong: list[str] = []
    for edit in random.Random(SEED).sample(every, LONG if EVERY else SHORT):
        wrong += [f"{edit.words}: {each}" for each in applied(lab, edit, tmp_path)]
    assert not wrong, "\n".join(wrong)


def applied(lab: Converging, edit: Edit, place: Path) -> list[str]:
    """What is wrong after `edit` is applied; nothing of one that makes a lab that cannot be brought up at all."""
    paths = Paths("t", place / "fresh", place / "fresh-netns")
    try:
        fresh = Converging(paths, edit.described)
    except KernelError:
        Keeper(paths).shutdown()
        netns.destroy(paths)
        state.remove(paths)
        return []
    try:
        lab.apply(edit.described)
        wrong = [f"a second time: {told(each)}" for each in lab.differences()]
        apart = watched(edit.described.plan)
        return wrong + differing(reading(lab.paths, apart), reading(fresh.paths, apart))
    except LabError as error:
        return [f"{type(error).__name__}: {error.message}"]
    finally:
        fresh.end()


def told(each: Difference) -> str:
    return f"{render_step(each.step)} ({each.reason})"
