"""Guest kernels that run this same labctl over the host's own files: no root, no network, no disk image.

Three engines: `uml` (User-Mode Linux, a kernel as an ordinary process), `kvm` and `tcg` (the distribution's
stock kernel in QEMU through virtme-ng, on the processor or emulated). Nothing else in labctl knows of them:
`choice` decides which one is needed, `engines` says which can be had, `runner` boots one for a single program and
brings everything back. A guest may also stay, with a lab in it:

    staying, record   on the host: its start and end, and what is written down of it
    monitor           the process on the host that keeps it, and passes frames between commands and jobs
    client            a command on the host, whose streams, terminal, signals and status are those of its job
    agent, jobs       in the guest: labctl, loaded once, forked for each job
    frames, link      what they say to each other, on one byte stream: a serial line (uml) or a virtio port

`run` and `available` are loaded at their first use, so that the decision alone costs no start-up time.
"""

from typing import TYPE_CHECKING

from labctl.guest.choice import Availability, Choice, choose

if TYPE_CHECKING:
    from labctl.guest.engines import available
    from labctl.guest.runner import run

__all__ = ["Availability", "Choice", "available", "choose", "run"]


def __getattr__(name: str) -> object:
    """The two functions that need the machinery (PEP 562)."""
    if name == "run":
        from labctl.guest.runner import run

        return run
    if name == "available":
        from labctl.guest.engines import available

        return available
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
