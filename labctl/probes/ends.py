"""The ends of a stream: a socket each in its own namespace, and the threads that serve them."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from labctl.kernel.netns import enter

READ_S = 0.05
"""How soon a reader notices that it should end."""


class Worker:
    """A thread that does `work`, which is given the event to end by. `fault` says how it ended; "" for well."""

    def __init__(self, work: Callable[[threading.Event], None], who: str) -> None:
        self.fault = f"{who} did not run to its end"
        self._work, self._who = work, who
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=who, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Tell it to end, and wait until it has. Safe to call twice, and where it never began."""
        self._over.set()
        self.wait(None)

    def wait(self, seconds: float | None) -> None:
        """Wait until it ends by itself, at most so long."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._work(self._over)
        except OSError as error:
            self.fault = f"{self._who}: {os.strerror(error.errno or 0)}"
        else:
            self.fault = ""


def opened(namespace: Path, kind: int) -> socket.socket:
    """An IPv4 socket of that namespace."""
    with enter(namespace):
        return socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
