"""A name looked up by an ordinary program inside the node, with the node's own resolv.conf, and no shell."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from labctl.probes.actions_dns import dns
from labctl.probes.attempt import Attempt
from labctl.probes.lookups import PACKAGES, Finding, command, finding
from labctl.probes.session import environment
from labctl.probes.wire import Dns, Lookup, Reply

_KEPT = 2000  # characters of what a program printed
_ASK_S = 1.0  # for one server to tell why there is no answer


class _Run(NamedTuple):
    """How a program ended: its exit status, None where it was still at it when time was up; and its outputs."""

    status: int | None
    printed: str
    complained: str


def lookup(attempt: Attempt, action: Lookup) -> Reply:
    """Run the program to its end. "error": it is not there, or it failed in a way that says nothing of the name."""
    if shutil.which(action.by) is None:
        return attempt.reply("error", f"the program {action.by} is not on this machine (package {PACKAGES[action.by]})")
    missing = [path for path, _ in action.files if not Path(path).exists()]
    if missing or not action.files:
        return attempt.reply("error", f"the host has no {' and no '.join(missing) or 'servers to ask'}")
    ran = _ran(attempt, action)
    if isinstance(ran, str):
        return attempt.reply("error", f"{action.by} could not be run: {ran}")
    said = f"{ran.printed}{ran.complained}".strip()[:_KEPT]
    if ran.status is None:
        return attempt.reply("filtered", f"{action.by} was still waiting", said=said)
    found = finding(action.by, ran.status, ran.printed, ran.complained)
    return replace(_outcome(attempt, action, found, ran.status), said=said)


def _ran(attempt: Attempt, action: Lookup) -> _Run | str:
    """The program's end, or why it never began."""
    with tempfile.TemporaryDirectory(prefix="labctl-") as folder, contextlib.ExitStack() as undo:
        table = _written(Path(folder), action.files)
        reading, telling = os.pipe()
        undo.callback(os.close, reading)
        arguments = (str(telling), str(attempt.namespace), str(table), *command(action.by, action.name, attempt.due()))
        process = undo.enter_context(
            subprocess.Popen(
                [sys.executable, "-P", "-m", "labctl.probes.within", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(telling,),
                env={**environment(), "LC_ALL": "C"},
                encoding="utf-8",
                errors="replace",
            )
        )
        undo.callback(process.kill)
        os.close(telling)
        if trouble := os.read(reading, 4096):
            return trouble.decode(errors="replace")
        attempt.begin()
        try:
            printed, complained = process.communicate(timeout=attempt.left())
        except subprocess.TimeoutExpired:
            process.kill()
            return _Run(None, *process.communicate())
        return _Run(process.returncode, printed, complained)


def _written(folder: Path, files: tuple[tuple[str, str], ...]) -> Path:
    """The contents as files that every program may read, and the table that names them."""
    folder.chmod(0o755)
    rows = []
    for place, text in files:
        content = folder / Path(place).name
        content.write_text(text)
        content.chmod(0o644)
        rows.append(f"{place}\t{content}\n")
    table = folder / "files"
    table.write_text("".join(rows))
    return table


def _outcome(attempt: Attempt, action: Lookup, found: Finding, status: int) -> Reply:
    match found.told:
        case "ok":
            reply = attempt.reply("ok", f"{action.by} found it", answers=found.answers, ttl_s=found.ttl_s)
            return reply if found.took_ms is None else replace(reply, elapsed_ms=found.took_ms)
        case "nxdomain" | "nodata" | "servfail" | "refused":
            return attempt.reply(found.told, f"{action.by} says so")
        case "nothing":
            return _why(attempt, action)
        case "silence":
            return attempt.silence(f"{action.by} got no answer")
        case "broken":
            return attempt.reply("error", f"{action.by} ended with status {status}")


def _why(attempt: Attempt, action: Lookup) -> Reply:
    """Why there is no address, by the servers that the program asked: the first that knows, else one that refuses."""
    refused: Reply | None = None
    for server in action.servers:
        said = dns(attempt.part(min(_ASK_S, attempt.left())), Dns(server, action.name))
        if said.outcome == "ok":
            return attempt.reply("corrupt", f"{action.by} found nothing, and {server} has an answer")
        reason = f"{action.by} found nothing, and {server} says {said.reason}"
        if said.outcome in ("nxdomain", "nodata"):
            return attempt.reply(said.outcome, reason)
        if said.outcome != "filtered":
            refused = refused or attempt.reply(said.outcome, reason)
    return refused or attempt.silence(f"{action.by} found nothing, and no server answers")
