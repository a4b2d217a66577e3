"""`labctl up`: while the description is read, child processes have a look at the machine and make namespaces."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from labctl.cli import files
from labctl.kernel import survey
from labctl.kernel.nursery import Nursery
from labctl.kernel.paths import Paths


def guess(topology: str) -> int:
    """How many nodes there will be, more or less: of everything but the links themselves one."""
    try:
        text = files.find(topology).read_bytes() if os.geteuid() == 0 else b""
    except (OSError, ValueError):  # said by whoever reads it in earnest
        return 0
    return text.count(b"kind:") - text.count(b"kind: link")


def up(topology: str, on: str, time_scale: int, variables: Sequence[str] = ()) -> int:
    """Bring the lab up, here or in a guest. The exit status."""
    gc.disable()  # what is made here is needed until the end
    with ExitStack() as stack:
        looking = stack.enter_context(survey.begin())
        # Few labs have so many nodes that they are begun with already, except those of nothing but routers.
        nursery = stack.enter_context(Nursery(guess(topology), forwarding=True)) if on == "host" else None

        from labctl import building, interrupts
        from labctl.cli import guests, where
        from labctl.cli.terminal import Terminal

        described = files.read(topology, time_scale or 1, variables)
        guests.refuse_in_guest(described.name)
        choice = where.decide(on, described)
        if on != "host":
            print(f"{described.name}: {choice.reason}", file=sys.stderr, flush=True)
        if choice.engine != "host":
            return guests.up(choice, described, time_scale)
        with Terminal() as terminal, interrupts.held():
            start = building.Start(looking, nursery)
            building.up(described, Paths(described.name), terminal, where.here(), start)
            terminal.say(f"{described.name} is up: `labctl verify {described.name}`, `labctl down {described.name}`")
            interrupts.forget()
    gc.freeze()  # the interpreter would look through all of it before it ends
    return 0
