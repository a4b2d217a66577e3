"""Arguments to lab to report to exit code. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import json
import signal
import sys
from types import FrameType

from labctl.errors import LabError


def main() -> None:
    """The `labctl` command. Only here does an error become a message and an exit status."""
    from labctl.cli.app import app

    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        app()
    except LabError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
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
    """SIGTERM ends a command as Ctrl-C does: what was begun is undone."""
    raise KeyboardInterrupt
