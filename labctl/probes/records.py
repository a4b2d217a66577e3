"""Numbered records in one TCP connection to a test server, and when each was acknowledged.

A record has arrived when the far end's kernel has acknowledged its last byte, which it may put off for 40 ms (RFC 1122
section 4.2.3.2), so that nothing of the prober's has to run at the far end: the connection may lead to any place, by
whatever translation. In the end the server's digest says whether it got every byte.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
import threading
import time
from itertools import pairwise
from pathlib import Path

from labctl.errors import ProbeError
from labctl.probes.actions_dialogue import Greeting, compare_digest, greeting
from labctl.probes.attempt import Attempt
from labctl.probes.dialing import dial
from labctl.probes.ends import Worker
from labctl.probes.ways import NUMBER
from labctl.probes.wire import Reply, StartRecords, TcpReport

_CONNECT_MS = 5000
_LOOK_S = 0.002
_SIZE = 64  # bytes of a record, at least
_BUFFER = 4 << 20
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h
_LEFT = struct.Struct("i")


class Records:
    """A connection from the namespace of a node, `rate` records a second. ProbeError: there is none, or to nobody who
    would tell in the end what came.

    `sent` holds instants by number, `received` numbers with the instants by which they were acknowledged, in
    milliseconds of CLOCK_MONOTONIC.
    """

    def __init__(self, source: Path, request: StartRecords) -> None:
        self.sent: list[float] = []
        self.received: list[tuple[float, float]] = []
        self.began = threading.Event()
        marker = request.marker.encode()
        self._fill = marker.ljust(_SIZE - NUMBER.size, b".")
        self._interval = 1 / request.rate
        self._socket = _dialled(source, marker, request)
        self.own = (socket.IPPROTO_TCP, self._socket.getsockname()[1], request.port)
        self._bytes = bytearray()
        self._given = 0
        self._fault = ""
        self._ended_ms: float | None = None
        self._said = b""
        self.server = _greeted(self._socket)
        self._socket.setblocking(False)
        self._sender = Worker(self._send, "the sender of the stream")

    def start(self) -> None:
        """Begin."""
        self._sender.start()

    def close(self, drain_s: float) -> None:
        """No more records; those under way have so many seconds to be acknowledged, and the server to say what came."""
        self._sender.end()
        over = time.monotonic() + drain_s
        while not self._fault and self._given < len(self._bytes) and time.monotonic() < over:
            self._turn()
            time.sleep(_LOOK_S)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        while not self._fault and b"\n" not in self._said and time.monotonic() < over:
            self._turn()
            time.sleep(_LOOK_S)
        self._socket.close()

    def report(self) -> TcpReport:
        """After `close`."""
        came = compare_digest(self._said, bytes(self._bytes)) if self._said else None
        reason = self._sender.fault or self._fault
        if not reason and came is None:
            reason = "the end of the stream did not arrive in time"
        elif not reason and came is not None and came[0] != len(self._bytes):
            reason = f"{len(self._bytes)} bytes were sent and {came[0]} came out"
        elif not reason and came is not None and not came[1]:
            reason = "other bytes came out than were sent"
        arrived = came[0] if came else len(self.received) * (NUMBER.size + len(self._fill))
        return TcpReport(len(self._bytes), arrived, not reason, self._stall_ms(), reason, self._ended_ms)

    @property
    def fault(self) -> str:
        """What makes the records no evidence; "" where nothing does. A connection that breaks is evidence."""
        return self._sender.fault

    def _stall_ms(self) -> float:
        """The longest time between two acknowledgements, or from the last to the end where something was left."""
        instants = [self.sent[0], *(at for _, at in self.received)] if self.sent else []
        if len(self.received) < len(self.sent):
            instants.append(max(self.sent[-1], instants[-1]))
        return max((there - here for here, there in pairwise(instants)), default=0.0)

    def _send(self, over: threading.Event) -> None:
        start = time.monotonic()
        while not over.wait(min(_LOOK_S, max(0.0, start + len(self.sent) * self._interval - time.monotonic()))):
            if time.monotonic() >= start + len(self.sent) * self._interval:
                self._bytes += NUMBER.pack(len(self.sent)) + self._fill
                self.sent.append(time.monotonic() * 1000)
                self.began.set()
            self._turn()

    def _turn(self) -> None:
        """Give the socket what it takes, note what has been acknowledged, and take what the server says."""
        if self._fault:
            return
        try:
            self._give()
            self._note()
            if not self._heard():
                return
            self._fault = "" if self._given == len(self._bytes) and self._said else "the server ended the connection"
        except OSError as error:
            self._fault = os.strerror(error.errno or 0)
        self._ended_ms = time.monotonic() * 1000 if self._fault else None

    def _give(self) -> None:
        if self._given < len(self._bytes):
            with contextlib.suppress(BlockingIOError):
                self._given += self._socket.send(self._bytes[self._given :])

    def _note(self) -> None:
        """Whatever is not in the send queue any more has been acknowledged (tcp(7), SIOCOUTQ)."""
        queued = _LEFT.unpack(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(_LEFT.size)))[0]
        now = time.monotonic() * 1000
        whole = (self._given - queued) // (NUMBER.size + len(self._fill))
        self.received += [(float(number), now) for number in range(len(self.received), whole)]

    def _heard(self) -> bool:
        """Whether the server has ended its side."""
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return False
        self._said += data
        return not data


def _dialled(source: Path, marker: bytes, request: StartRecords) -> socket.socket:
    dialled = dial(Attempt(source, marker, _CONNECT_MS), request.to, request.named, request.port)
    if isinstance(dialled, Reply):
        raise ProbeError(f"the stream cannot be opened: {dialled.reason}")
    dialled.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    dialled.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    with contextlib.suppress(PermissionError):  # root of a user namespace only: as much as the machine allows
        dialled.socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
    return dialled.socket


def _greeted(sock: socket.socket) -> Greeting:
    """Who is at the other end, from its first line."""
    sock.settimeout(_CONNECT_MS / 1000)
    line = b""
    try:
        while not line.endswith(b"\n") and (piece := sock.recv(1)):
            line += piece
    except OSError as error:
        sock.close()
        raise ProbeError(f"the stream cannot be opened: connected, then {error.strerror or 'silence'}") from error
    greeted = greeting(line.rstrip(b"\n"))
    if greeted is None:
        sock.close()
        raise ProbeError("the stream cannot be opened: connected, but to no labctl test server")
    return greeted
