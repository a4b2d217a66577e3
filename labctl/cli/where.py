"""Where a lab runs: on this machine, or in a guest kernel that runs this same labctl."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labctl.cli.outputs import Outputs
    from labctl.cli.terminal import Waiting
    from labctl.describe import Described
    from labctl.guest.choice import Choice

WHERE = "LABCTL_WHERE"
"""Set inside a guest, so that reports name the kernel that they speak of."""

ATTENDED = "LABCTL_ATTENDED"
"""Set inside a guest whose input and output are those of a terminal."""

SLOW_SCALE = 5
"""An emulated processor jitters by hundreds of milliseconds: timers and bounds are stretched by this there."""

GUEST_TIMEOUT_S = 1800.0
PAUSING_TIMEOUT_S = 7 * 86400.0


def here() -> str:
    """The name of the kernel that this process runs on."""
    return os.environ.get(WHERE, "host")


def decide(wanted: str, described: Described) -> Choice:
    """Choose the kernel for `--on wanted`; HostError with every remedy where none will do.

    `host` is taken at its word here: the lab's `up` examines the machine, and once is enough.
    """
    from labctl.guest.choice import choose
    from labctl.guest.engines import available

    return choose(wanted, lacking(described) if wanted == "auto" else (), available)


def lacking(described: Described) -> tuple[str, ...]:
    """What this machine lacks for the lab; nothing is tried without root, as nothing would work."""
    if os.geteuid() != 0:
        return ("root privileges",)
    from labctl.building import mechanisms
    from labctl.kernel import doctor

    return tuple(each.mechanism for each in doctor.missing(mechanisms(described)))


class _Errors:
    """Standard error for a guest: a spinner there would write over what the guest says."""

    def __init__(self, out: Waiting) -> None:
        self._out = out

    def write(self, data: bytes) -> None:
        """Pass `data` on."""
        self._out.write(b"")  # it stops spinning
        sys.stderr.buffer.write(data)

    def flush(self) -> None:
        """Pass on what is held back."""
        sys.stderr.buffer.flush()


def run_in_guest(
    engine: str, read: Sequence[Path], time_scale: int, arguments: Sequence[str], outputs: Outputs, *, pausing: bool
) -> int:
    """`labctl run` in a guest of the topology `read[0]`, which includes the others; its output is ours, and so is its
    exit status. `pausing`: our input is its own, too.
    """
    from labctl import guest
    from labctl.cli.terminal import FORCE_COLOR, Waiting, width

    command = [sys.executable, "-m", "labctl", "run", str(read[0]), "--on", "host", "--time-scale", str(time_scale)]
    environment = {WHERE: engine, **({FORCE_COLOR: "1", "COLUMNS": str(width())} if sys.stdout.isatty() else {})}
    environment |= {ATTENDED: "1"} if pausing else {}
    environment |= {name: os.environ[name] for name in ("NO_COLOR",) if name in os.environ}
    with outputs.lent() as lent, Waiting(f"starting a kernel ({engine}), and the lab in it") as out:
        return guest.run(
            engine,
            [*command, *arguments, *lent.arguments],
            timeout=PAUSING_TIMEOUT_S if pausing else GUEST_TIMEOUT_S,
            writable=lent.writable,
            readable=read,
            environment=environment,
            stdout=out,
            stderr=_Errors(out),
            stdin=sys.stdin.fileno() if pausing else None,
        )
