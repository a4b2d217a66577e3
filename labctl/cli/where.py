"""Where a lab runs: on this machine, or in a guest kernel that runs this same labctl."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from labctl.describe import Described
from labctl.guest.choice import Choice, choose

WHERE = "LABCTL_WHERE"
"""Set inside a guest, so that reports name the kernel that they speak of."""

SLOW_SCALE = 5
"""An emulated processor jitters by hundreds of milliseconds: timers and bounds are stretched by this there."""

GUEST_TIMEOUT_S = 1800.0


def here() -> str:
    """The name of the kernel that this process runs on."""
    return os.environ.get(WHERE, "host")


def decide(wanted: str, described: Described) -> Choice:
    """Choose the kernel for `--on wanted`; HostError with every remedy where none will do.

    `host` is taken at its word here: the lab's `up` examines the machine, and once is enough.
    """
    from labctl.guest.engines import available

    return choose(wanted, lacking(described) if wanted == "auto" else (), available)


def lacking(described: Described) -> tuple[str, ...]:
    """What this machine lacks for the lab; nothing is tried without root, as nothing would work."""
    if os.geteuid() != 0:
        return ("root privileges",)
    from labctl.kernel import doctor
    from labctl.lab import mechanisms

    return tuple(each.mechanism for each in doctor.missing(mechanisms(described)))


def run_in_guest(engine: str, topology: Path, time_scale: int, arguments: Sequence[str]) -> int:
    """`labctl run` of `topology` in a guest; its output is ours, and so is its exit status."""
    from labctl import guest
    from labctl.cli.terminal import FORCE_COLOR, Waiting

    command = [sys.executable, "-m", "labctl", "run", str(topology.resolve()), "--on", "host"]
    command += ["--time-scale", str(time_scale), *arguments]
    environment = {WHERE: engine, **({FORCE_COLOR: "1"} if sys.stdout.isatty() else {})}
    file = topology.resolve()
    with Waiting(f"starting a kernel ({engine}), and the lab in it") as out:
        return guest.run(
            engine, command, timeout=GUEST_TIMEOUT_S, readable=[file], environment=environment, stdout=out
        )
