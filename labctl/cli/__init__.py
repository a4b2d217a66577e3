"""Arguments to lab to report to exit code. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import contextlib
import json
import os
import sys

from labctl import interrupts
from labctl.errors import LabError


def main() -> None:
    """The `labctl` command. Only here does an error become a message and an exit status."""
    from labctl.cli.terminal import mute

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    try:
        interrupts.install()
        _carry_out(sys.argv[1:])
        sys.stdout.flush()
    except LabError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except OSError as error:
        # Every other OSError is translated where it happens: this is our own output.
        with contextlib.suppress(OSError):
            print(f"labctl: the output cannot be written: {error.strerror}", file=sys.stderr)
        mute()
        sys.exit(3)
    except KeyboardInterrupt:  # `interrupts` has said so
        sys.exit(interrupts.STATUS)
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # while a class was made (Python 3.11, object.__set_name__)
            sys.exit(interrupts.STATUS)
        raise


def _carry_out(words: list[str]) -> None:
    """The commonest commands in their plainest form without typer, which takes longer to import than they take."""
    match words:
        case ["up", topology] if topology[:1] not in ("", "-"):
            from labctl.cli import raising

            sys.exit(raising.up(topology, "host", 0))
        case ["down", name] if name[:1] not in ("", "-"):
            from labctl.cli import taking_down

            sys.exit(taking_down.take_down([name], check=False, as_json=False))
        case ["exec", name, node, "--", program, *further] if "-" not in (name[:1], node[:1]):
            from labctl.cli import guests

            guests.pass_on(name, heard=True)
            from labctl.cli import inside

            inside.become(name, node, [program, *further])
        case ["inspect", name, "--drift"] if name[:1] not in ("", "-"):
            from labctl.cli import guests

            guests.pass_on(name)
            from labctl.cli import looking

            sys.exit(looking.inspect_drift(name, as_json=False))
        case ["list"]:
            from labctl.cli import looking

            looking.show_labs(as_json=False)
        case _:
            from labctl.cli.app import app

            app()


def _tell(error: LabError) -> None:
    from labctl.cli.terminal import tell_faults
    from labctl.errors import DescriptionError
    from labctl.report.data import error_data

    if _as_json(sys.argv):
        print(json.dumps(error_data(error)))
    if isinstance(error, DescriptionError):
        tell_faults(error.faults)
    print(f"labctl: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"labctl: hint: {error.hint}", file=sys.stderr)


def _as_json(words: list[str]) -> bool:
    """Whether a program reads our output; what follows `--` is another program's."""
    return "--json" in words[: words.index("--") if "--" in words else None]
