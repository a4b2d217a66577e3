"""`labctl exec` and `labctl shell`: this process becomes a program inside a node."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import NoReturn

from labctl import state
from labctl.describe import describe
from labctl.description.faults import did_you_mean
from labctl.errors import UsageError
from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.plan.objects import Namespace

RESOLV_CONF = Path("/etc/resolv.conf")


def become(lab: str, node: str, command: Sequence[str]) -> NoReturn:
    """Replace this process by `command` in the network namespace of `node`, where names resolve as the node's do."""
    paths = Paths(lab)
    saved = state.load(paths)
    nodes = [each.name for each in saved.plan.objects if isinstance(each, Namespace)]
    if node not in nodes:
        raise UsageError(f"lab {lab} has no node {node}", hint=did_you_mean(node, nodes))
    described = describe(saved.description.encode(), saved.journal.source, saved.journal.time_scale)
    with netns.enter(paths.namespace(node)):
        netns.settle(_resolv_conf(paths, node, described.stubs.get(node, ())))
        try:
            os.execvp(command[0], list(command))
        except OSError as error:
            raise UsageError(f"{command[0]}: {error.strerror}") from None


def _resolv_conf(paths: Paths, node: str, servers: Sequence[IPv4Address]) -> dict[Path, Path]:
    """The node's own resolv.conf(5), to be seen in place of the host's."""
    if not servers or not RESOLV_CONF.exists():
        return {}
    file = paths.root / f"resolv.conf.{node}"
    file.write_text("".join(f"nameserver {address}\n" for address in servers))
    file.chmod(0o644)
    return {RESOLV_CONF: file}
