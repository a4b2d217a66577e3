"""What a node's tables hold, in the words of the distribution's own tools. No key is ever among them.

Nothing here fails: what cannot be read is said in its place.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence

from labctl.errors import LabError
from labctl.kernel import netns
from labctl.kernel.paths import Paths

Table = tuple[str, tuple[str, ...]]
"""A heading, and the command that prints what belongs under it."""

TABLES: tuple[Table, ...] = (
    ("addresses, and links with their counters", ("ip", "-details", "-statistics", "address", "show")),
    ("routes of all tables", ("ip", "-details", "route", "show", "table", "all")),
    ("rules", ("ip", "rule", "show")),
    ("neighbours", ("ip", "-statistics", "neighbour", "show", "nud", "all")),
    ("forwarding of bridges", ("bridge", "fdb", "show")),
    ("IPsec states, their keys left out", ("ip", "-statistics", "xfrm", "state", "list", "nokeys")),
    ("IPsec policies", ("ip", "-statistics", "xfrm", "policy", "list")),
    ("IPsec errors", ("cat", "/proc/net/xfrm_stat")),
    ("rules of iptables, with their counters", ("iptables-save", "-c")),
    ("tracked connections", ("conntrack", "-L")),
    # Not --info: to root it prints the keys of TCP's MD5 signatures.
    ("sockets", ("ss", "--tcp", "--udp", "--raw", "--all", "--numeric", "--processes")),
    ("counters of the protocols", ("nstat", "--ignore", "--noupdate")),
)
"""What is asked for, and how. See ip(8), bridge(8), iptables-save(8), conntrack(8), ss(8), nstat(8), tc(8)."""

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_TIMEOUT_S = 20
_QUEUES: Table = ("queues", ("tc", "-statistics", "-details", "qdisc", "show"))
_QUEUE = re.compile(r"^qdisc (\S+) \S+ dev (\S+)", re.MULTILINE)
_FILTERED = ("clsact", "ingress")


def read(paths: Paths, node: str, tables: Sequence[Table] = TABLES) -> str:
    """The `tables` of `node` as text, and its queues with their filters, each under its heading and its command."""
    try:
        with netns.enter(paths.namespace(node)):
            return "\n".join((*map(_part, tables), *_queues()))
    except LabError as error:
        return f"nothing can be read: {error.message}\n"


def _queues() -> Iterator[str]:
    shown = _part(_QUEUES)
    yield shown
    for kind, device in _QUEUE.findall(shown):
        # tc(8) wants to be asked for each device, and for each side of one.
        for side in ("ingress", "egress") if kind in _FILTERED else ():
            command = ("tc", "-statistics", "-details", "filter", "show", "dev", device, side)
            yield _part((f"filters at {device}, {side}", command))


def _part(table: Table) -> str:
    heading, command = table
    return f"# {heading}\n$ {' '.join(command)}\n{_run(command) or '(nothing)'}\n"


def _run(command: Sequence[str]) -> str:
    """What `command` prints in the present namespace, complaints included."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_ENVIRONMENT,
            timeout=_TIMEOUT_S,
        )
    except FileNotFoundError:
        return f"({command[0]} is not installed)"
    except OSError as error:
        return f"({command[0]} cannot be run: {error.strerror})"
    except subprocess.TimeoutExpired:
        return f"({command[0]} did not end within {_TIMEOUT_S} s)"
    text = done.stdout.decode(errors="replace").rstrip()
    return f"{text}\n({command[0]} ended with status {done.returncode})".lstrip() if done.returncode else text
