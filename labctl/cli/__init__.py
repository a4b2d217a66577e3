"""Arguments to lab to report to exit code. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import json
import os
import signal
import sys
from types import FrameType

from labctl.errors import LabError


def main() -> None:
    """The `labctl` command. Only here does an error become a message and an exit status."""
    from labctl.cli.app import app
    from labctl.cli.terminal import mute

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _as_interrupt)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    try:
        app()
        sys.stdout.flush()
    except LabError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except OSError as error:
        # Every other OSError is translated where it happens: this is our own output.
        print(f"labctl: the output cannot be written: {error.strerror}", file=sys.stderr)
        mute()
        sys.exit(3)
    except KeyboardInterrupt:
        print("labctl: interrupted", file=sys.stderr)
        sys.exit(130)


def _tell(error: LabError) -> None:
    from labctl.errors import DescriptionError
    from labctl.report.data import error_data
    from labctl.report.text import fault_lines

    if _as_json(sys.argv):
        print(json.dumps(error_data(error)))
    if isinstance(error, DescriptionError):
        for line in fault_lines(error.faults):
            print(line, file=sys.stderr)
    print(f"labctl: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"labctl: hint: {error.hint}", file=sys.stderr)


def _as_json(words: list[str]) -> bool:
    """Whether a program reads our output; what follows `--` is another program's."""
    return "--json" in words[: words.index("--") if "--" in words else None]


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM and SIGHUP end a command as Ctrl-C does: what was begun is undone."""
    raise KeyboardInterrupt
