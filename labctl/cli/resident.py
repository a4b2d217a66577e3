"""`python -m labctl.cli.resident CHANNEL WORKSPACE`: labctl within a guest, loaded once, forked for every command."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from labctl import interrupts
from labctl.cli import main as command
from labctl.guest.agent import Agent, open_channel
from labctl.guest.jobs import HELD
from labctl.guest.link import Link

# What the commands import when they are called: here it is loaded before the first one.
LOADED = (
    *("labctl.cli.app", "labctl.cli.files", "labctl.cli.inside", "labctl.cli.looking"),
    *("labctl.cli.outputs", "labctl.cli.proving", "labctl.cli.taking_down", "labctl.cli.terminal", "labctl.cli.where"),
    *("labctl.kernel.observe", "labctl.lab", "labctl.services.keeper", "labctl.report.data", "labctl.report.text"),
    *("rich.console", "rich.progress", "rich.text"),
)


def main(arguments: list[str]) -> None:
    """Serve commands; in the child for one of them, carry it out."""
    for name in LOADED:
        importlib.import_module(name)
    channel, workspace = arguments
    gc.collect()
    gc.freeze()  # children share these pages as long as nobody writes to them
    start = Agent(Link(open_channel(channel)), Path(workspace)).serve()
    if start is None:
        return
    sys.argv = ["labctl", *start.words]
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        command()
    except KeyboardInterrupt:  # it came before there was anything to undo
        _leave(interrupts.STATUS)
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else int(end.code is not None))
    _leave(0)


def _leave(status: int) -> NoReturn:
    """End at once: the interpreter, before its end, would touch all that is shared, and so copy it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
