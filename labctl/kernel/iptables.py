"""A Ruleset becomes the whole of a namespace's iptables rules by one `iptables-restore`: all of it or nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from labctl.errors import HostError, KernelError
from labctl.kernel import netns
from labctl.kernel.words import describe
from labctl.plan.objects import Ruleset

_CHAINS = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
_COMMAND = ("iptables-restore", "--wait", "10")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_TIMEOUT_S = 120


def restore(namespace: Path, new: Ruleset, old: Ruleset | None = None) -> None:
    """Make `new` the rules of `namespace`, and empty the tables that only `old` had.

    KernelError with the line that was refused; HostError where iptables is missing.
    """
    _run(namespace, new, render(new, old))


def clear(namespace: Path, old: Ruleset) -> None:
    """Empty the tables of `old`: no rules, no chains, everything accepted."""
    _run(namespace, old, render(Ruleset(old.namespace, ()), old))


def render(new: Ruleset, old: Ruleset | None = None) -> str:
    """The input of iptables-restore. Every built-in chain is given a policy, since an absent one would keep its own."""
    wanted = dict(new.tables)
    for table, _ in old.tables if old else ():
        wanted.setdefault(table, ())
    return "".join(_table(table, lines) for table, lines in wanted.items())


def _table(table: str, lines: tuple[str, ...]) -> str:
    named = {line[1:].split()[0] for line in lines if line.startswith(":")}
    policies = [f":{chain} ACCEPT [0:0]" for chain in _CHAINS.get(table, ()) if chain not in named]
    return "\n".join([f"*{table}", *policies, *lines, "COMMIT", ""])


def _run(namespace: Path, subject: Ruleset, script: str) -> None:
    if not script:
        return
    try:
        with netns.enter(namespace):
            done = subprocess.run(
                _COMMAND,
                input=script,
                capture_output=True,
                text=True,
                env=ENVIRONMENT,
                timeout=_TIMEOUT_S,
                start_new_session=True,  # Ctrl-C waits for it
            )
    except OSError as error:
        raise HostError(f"cannot run {_COMMAND[0]}: {error.strerror}", hint="install the package iptables") from error
    except subprocess.TimeoutExpired as error:
        raise KernelError(f"{_COMMAND[0]} did not end in {_TIMEOUT_S} s", subject=subject) from error
    if done.returncode:
        raise KernelError(f"cannot set {describe(subject)}: {_reason(done.stderr, script)}", subject=subject)


def _reason(complaint: str, script: str) -> str:
    """What iptables-restore says, with the line that it only numbers."""
    words = "; ".join(line.strip() for line in complaint.splitlines() if line and not line.startswith("Try "))
    number = re.search(r"line:? (\d+)", complaint)
    lines = script.splitlines()
    if number and 0 < int(number[1]) <= len(lines):
        words += f": {lines[int(number[1]) - 1]}"
    return words or "iptables-restore failed"
