"""One program of a lab without a supervisor, for a lab that was built by hand: `python -m labctl.services.alone`.

It reads its configuration from standard input, serves in the namespace of its caller, and ends with a signal.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from labctl.codec import decode
from labctl.errors import LabError
from labctl.plan.objects import Process
from labctl.services.programs import open_program


def main() -> None:
    """Serve, or say in one line why that cannot be."""
    try:
        with tempfile.TemporaryDirectory(prefix="labctl-") as place:
            open_program(decode(Process, json.load(sys.stdin)), lambda detail, paths: None, Path(place) / "own").run()
    except LabError as error:
        sys.exit(error.message)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
