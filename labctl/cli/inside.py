"""`labctl exec` and `labctl shell`: this process becomes a program inside a node."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from labctl import state
from labctl.describe import describe
from labctl.description.faults import did_you_mean
from labctl.errors import UsageError
from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.model import stubs
from labctl.model.network import Network
from labctl.plan.objects import Namespace


def become(lab: str, node: str, command: Sequence[str]) -> NoReturn:
    """Replace this process by `command` in the network namespace of `node`, where names resolve as the node's do."""
    paths = Paths(lab)
    saved = state.load(paths)
    nodes = [each.name for each in saved.plan.objects if isinstance(each, Namespace)]
    if node not in nodes:
        raise UsageError(f"lab {lab} has no node {node}", hint=did_you_mean(node, nodes))
    described = describe(saved.description.encode(), saved.journal.source, saved.journal.time_scale)
    with netns.enter(paths.namespace(node)):
        netns.settle(_files(paths, node, described.network))
        try:
            os.execvp(command[0], list(command))
        except OSError as error:
            raise UsageError(f"{command[0]}: {error.strerror}") from None


def _files(paths: Paths, node: str, net: Network) -> dict[Path, Path]:
    """The node's own files of /etc, to be seen in place of those that the host has."""
    found = {}
    for name, text in stubs.files(net, node).items():
        if (place := Path(name)).exists():
            found[place] = paths.root / f"{place.name}.{node}"
            found[place].write_text(text)
            found[place].chmod(0o644)
    return found
