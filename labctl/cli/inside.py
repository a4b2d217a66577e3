"""`labctl exec` and `labctl shell`: this process becomes a program inside a node."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from labctl import state
from labctl.description.faults import did_you_mean
from labctl.errors import UsageError
from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.plan.objects import Namespace


def become(lab: str, node: str, command: Sequence[str]) -> NoReturn:
    """Replace this process by `command` in the network namespace of `node`."""
    paths = Paths(lab)
    nodes = [each.name for each in state.load(paths).plan.objects if isinstance(each, Namespace)]
    if node not in nodes:
        raise UsageError(f"lab {lab} has no node {node}", hint=did_you_mean(node, nodes))
    with netns.enter(paths.namespace(node)):
        try:
            os.execvp(command[0], list(command))
        except OSError as error:
            raise UsageError(f"{command[0]}: {error.strerror}") from None
