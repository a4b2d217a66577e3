"""Guests that stay: started in the background, out of reach of our terminal, and ended with all that they left."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from labctl.errors import GuestError
from labctl.guest import record
from labctl.guest.client import beside, reached
from labctl.guest.frames import Frame, Kind
from labctl.guest.link import Link, wait
from labctl.guest.record import Place, Record
from labctl.services import processes

_PATIENCE_S = 5.0
_KILL_S = 5.0


@contextlib.contextmanager
def raised(place: Place, written: Record) -> Iterator[socket.socket]:
    """Start a guest. It yields the connection for its first job, at once: what is sent there waits for the boot.

    Unless that job has succeeded when the block ends, nothing is left of the guest. Raises GuestError where there is
    one of that name.
    """
    record.create(place, written)
    try:
        with _monitored(place, written.engine) as connection:
            yield connection
    finally:
        if not record.is_up(place):
            end(place)


@contextlib.contextmanager
def _monitored(place: Place, engine: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with beside(place) as name:
            listener.bind(name)
        listener.listen(64)
        # First of all connections is ours: should we be killed, the monitor sees its end and gives up the guest.
        with reached(place) as connection:
            program = [sys.executable, "-m", "labctl.guest.monitor"]
            with place.log.open("wb") as log:
                subprocess.Popen(
                    [*program, place.lab, str(place.home), engine, str(listener.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=[listener.fileno()],
                )
            listener.close()
            yield connection


def end(place: Place) -> None:
    """End the guest, whatever state it is in, and take away all that it left; nothing to do where there is none.

    It powers off by itself if it does so in time, and is killed else. GuestError where a process outlives that.
    """
    if record.process(place, "monitor"):
        _ask(place)
    for role in ("monitor", "guest"):
        if found := record.process(place, role):
            processes.kill(found)
            if not processes.wait_gone(found, time.monotonic() + _KILL_S):
                raise GuestError(f"process {found.pid} of the guest of lab {place.lab} does not end")
    record.remove(place)


def _ask(place: Place) -> None:
    """Ask the monitor to end the guest, and wait until it has, or has not in time."""
    deadline = time.monotonic() + _PATIENCE_S
    with contextlib.suppress(GuestError, EOFError), reached(place) as connection:
        link = Link(connection.fileno())
        link.send(Frame(0, Kind.STOP))
        while wait({link.fd: link.events}, deadline - time.monotonic()):
            link.flush()
            link.receive()
