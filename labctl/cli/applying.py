"""`labctl apply` and `labctl plan`: what separates a lab from its description, and the lab made as described."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from labctl import state
from labctl.cli import files, guests
from labctl.cli.looking import show
from labctl.cli.terminal import Terminal, put
from labctl.codec import encode
from labctl.describe import Described
from labctl.drift import drift
from labctl.kernel.paths import Paths
from labctl.kernel.sysctl import NEW_NAMESPACE
from labctl.plan.commands import Means, script
from labctl.plan.objects import Plan
from labctl.plan.reasons import Difference
from labctl.plan.render import render_plan
from labctl.report.differences import counted, difference_data


def apply(topology: str, *, dry_run: bool, time_scale: int, variables: Sequence[str], as_json: bool) -> None:
    """Make the lab as its file describes it, and say what was done; with `dry_run` only what would be."""
    described = _read(topology, time_scale, variables)
    guests.pass_on(described.name, described=described)
    if dry_run:
        _tell(described, _wanting(described), as_json=as_json)
        return
    from labctl import interrupts, lab
    from labctl.cli import where

    with Terminal(quiet=as_json) as terminal, interrupts.held():
        done = lab.apply(described, Paths(described.name), terminal, where.here())
        interrupts.forget()
    if as_json:
        found = difference_data(done or ())
        print(json.dumps({"lab": described.name, "brought_up": done is None, "done": True, "differences": found}))
    elif done is None:
        terminal.say(f"{described.name} was not up, and is now: `labctl down {described.name}` takes it down")
    else:
        show(done)
        terminal.say(f"{described.name} is as described: {counted(done, done=True)}")


def plan(topology: str, *, whole: bool, variables: Sequence[str], as_json: bool) -> None:
    """What must exist for a topology; of a lab that is up what differs from that, unless `whole`."""
    described = _read(topology, 0, variables)
    if not whole:
        guests.pass_on(described.name, described=described)
    if not whole and _is_there(described.name):
        _tell(described, _wanting(described), as_json=as_json)
    else:
        print(json.dumps(encode(described.plan)) if as_json else render_plan(described.plan).rstrip())


def print_commands(topology: str, variables: Sequence[str]) -> None:
    """A script for a root shell that builds the same lab with the system's own tools."""
    serve = (sys.executable, "-P", "-m", "labctl.services.alone")
    sys.stdout.write(script(files.read(topology, variables=variables).plan, Means(NEW_NAMESPACE, serve)))


def _read(topology: str, time_scale: int, variables: Sequence[str]) -> Described:
    """The description, its timers stretched as they are in the lab that is up, unless `time_scale` says how."""
    described = files.read(topology, time_scale or 1, variables)
    if not time_scale and _is_there(described.name):
        there = next((each for each in state.labs() if each.lab == described.name), None)
        scale = state.load(Paths(described.name)).journal.time_scale if there and there.status != "unreadable" else 1
        return described if scale == 1 else files.read(topology, scale, variables)
    return described


def _is_there(name: str) -> bool:
    """Whether the lab is on this machine, for those who may know: root."""
    return os.geteuid() == 0 and state.present(Paths(name))


def _wanting(described: Described) -> tuple[Difference, ...]:
    from labctl.plan.reasons import differences

    if _is_there(described.name):
        return drift(Paths(described.name), described.plan)
    return differences(None, Plan(described.name, ()), described.plan)


def _tell(described: Described, found: Sequence[Difference], *, as_json: bool) -> None:
    if as_json:
        data = {"lab": described.name, "brought_up": False, "done": False, "differences": difference_data(found)}
        print(json.dumps(data))
        return
    show(found)
    put(f"{described.name}: {counted(found)}")
