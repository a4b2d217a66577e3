"""The TCP byte stream beside the numbers: paced pieces of a pattern, and a digest at both ends."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from ipaddress import IPv4Address
from pathlib import Path

from labctl.probes.attempt import pattern
from labctl.probes.ends import READ_S, Worker, opened
from labctl.probes.wire import TcpReport

_WRITE_S = 0.05
_CONNECT_S = 5.0
_PACE_S = 0.01  # between two pieces


class Bytes:
    """A connection from the namespace `source` to `to` in `target`, about `rate` bytes a second; OSError: none."""

    def __init__(self, source: Path, target: Path, to: IPv4Address, rate: int, marker: bytes) -> None:
        self.began = threading.Event()
        self._body = pattern(marker, max(256, int(rate * _PACE_S)))
        self._sent = self._received = 0
        self._digests = hashlib.sha256(), hashlib.sha256()
        self._stall_ms = 0.0
        self._last = 0.0
        self._clean = False
        self._outlet, self._inlet = _connected(source, target, to)
        self.own = (socket.IPPROTO_TCP, self._outlet.getsockname()[1], self._outlet.getpeername()[1])
        self._sender = Worker(self._send, "the sender")
        self._receiver = Worker(self._receive, "the receiver")

    def start(self) -> None:
        """Start both ends."""
        self._receiver.start()
        self._sender.start()

    def finish(self) -> None:
        """No more sending: the receiver sees the end once everything is through."""
        self._sender.end()

    def close(self, drain_s: float = 0.0) -> None:
        """Let the receiver read to the end, at most `drain_s` seconds."""
        self.finish()
        self._receiver.wait(drain_s)
        self._receiver.end()
        self._outlet.close()
        self._inlet.close()

    def report(self) -> TcpReport:
        """After `close`."""
        same = self._sent == self._received and self._digests[0].digest() == self._digests[1].digest()
        faults = [fault for fault in (self._sender.fault, self._receiver.fault) if fault]
        if not same and not faults:
            faults.append(f"{self._sent} bytes were sent and {self._received} came out")
        if not self._clean and not faults:
            faults.append("the end of the stream did not arrive in time")
        return TcpReport(self._sent, self._received, not faults, self._stall_ms, "; ".join(faults))

    def _send(self, over: threading.Event) -> None:
        self._outlet.settimeout(_WRITE_S)
        start, pieces = time.monotonic(), 0
        while not over.wait(start + pieces * _PACE_S - time.monotonic()):
            pieces += 1
            self._write()
            self.began.set()
        self._outlet.shutdown(socket.SHUT_WR)

    def _write(self) -> None:
        """One piece, from where the last one ended in the pattern; as much of it as the socket takes in time."""
        at = self._sent % len(self._body)
        with contextlib.suppress(TimeoutError):
            count = self._outlet.send(self._body[at:] + self._body[:at])
            self._digests[0].update((self._body[at:] + self._body[:at])[:count])
            self._sent += count

    def _receive(self, over: threading.Event) -> None:
        self._inlet.settimeout(READ_S)
        self._last = time.monotonic()
        try:
            while not over.is_set() and not self._clean:
                with contextlib.suppress(TimeoutError):
                    self._take(self._inlet.recv(1 << 16))
        finally:
            if not self._clean:
                self._stall_ms = max(self._stall_ms, (time.monotonic() - self._last) * 1000)

    def _take(self, data: bytes) -> None:
        now = time.monotonic()
        self._stall_ms = max(self._stall_ms, (now - self._last) * 1000)
        self._last = now
        self._clean = not data
        self._received += len(data)
        self._digests[1].update(data)


def _connected(source: Path, target: Path, to: IPv4Address) -> tuple[socket.socket, socket.socket]:
    """Both ends of a new TCP connection."""
    with contextlib.ExitStack() as undo, opened(target, socket.SOCK_STREAM) as listener:
        listener.settimeout(_CONNECT_S)
        listener.bind((str(to), 0))
        listener.listen(1)
        outlet = undo.enter_context(opened(source, socket.SOCK_STREAM))
        outlet.settimeout(_CONNECT_S)
        outlet.connect(listener.getsockname())
        inlet, _ = listener.accept()
        undo.pop_all()
    return outlet, inlet
