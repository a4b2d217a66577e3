"""What users feel during a fault: a numbered UDP stream at a constant rate, and a TCP byte stream beside it.

Every packet has its instant of sending on an absolute schedule, so that a late one delays none of those after it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

from labctl.errors import ProbeError
from labctl.kernel.netns import enter
from labctl.kernel.paths import Paths
from labctl.probes.attempt import pattern
from labctl.probes.capture import ANCILLARY, SO_TIMESTAMPNS, Captures, Recording, clock_offset, monotonic_ms
from labctl.probes.wire import StartStream, StopStream, StreamReport, TcpReport

_NUMBER = struct.Struct("!Q")
_READ_S = 0.05  # how soon a reader notices that it should end
_WRITE_S = 0.05
_CONNECT_S = 5.0
_FIRST_S = 2.0
_PACE_S = 0.01  # between two pieces of the TCP stream
_RECEIVE_BUFFER = 4 << 20


_T = TypeVar("_T")


class _Numbers:
    """The UDP stream: a sender and a receiver, a thread each."""

    def __init__(self, source: Path, target: Path, to: IPv4Address, rate: int, marker: bytes) -> None:
        self.sent: list[float] = []
        self.received: list[tuple[float, float]] = []
        self.began = threading.Event()
        self._marker, self._interval = marker, 1 / rate
        with contextlib.ExitStack() as undo:
            self._inlet = undo.enter_context(_opened(target, socket.SOCK_DGRAM))
            self._inlet.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._inlet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._inlet.bind((str(to), 0))
            self._outlet = undo.enter_context(_opened(source, socket.SOCK_DGRAM))
            undo.pop_all()
        self._sending, self._receiving = threading.Event(), threading.Event()
        self._sender = _thread(self._send)
        self._receiver = _thread(self._receive)

    def start(self) -> None:
        """Start both ends, the receiver first."""
        self._receiver.start()
        self._sender.start()

    def finish(self) -> None:
        """No more sending."""
        self._sending.set()
        _join(self._sender)

    def close(self) -> None:
        """No more receiving either."""
        self.finish()
        self._receiving.set()
        _join(self._receiver)
        self._outlet.close()
        self._inlet.close()

    def _send(self) -> None:
        to, start = self._inlet.getsockname(), time.monotonic()
        while not self._sending.wait(start + len(self.sent) * self._interval - time.monotonic()):
            self.sent.append(time.monotonic() * 1000)
            with contextlib.suppress(OSError):  # no route, no carrier: a packet lost like any other
                self._outlet.sendto(_NUMBER.pack(len(self.sent) - 1) + self._marker, to)
            self.began.set()

    def _receive(self) -> None:
        self._inlet.settimeout(_READ_S)
        offset = clock_offset()
        while not self._receiving.is_set():
            with contextlib.suppress(TimeoutError):
                data, ancillary, _, _ = self._inlet.recvmsg(2048, ANCILLARY)
                if data[_NUMBER.size :] == self._marker:
                    self.received.append((_NUMBER.unpack_from(data)[0], monotonic_ms(ancillary, offset)))


class _Bytes:
    """The TCP stream: a sender and a receiver, a thread each, and a digest at both ends."""

    def __init__(self, source: Path, target: Path, to: IPv4Address, rate: int, marker: bytes) -> None:
        self.began = threading.Event()
        self._body = pattern(marker, max(256, int(rate * _PACE_S)))
        self._sent = self._received = 0
        self._digests = hashlib.sha256(), hashlib.sha256()
        self._stall_ms = 0.0
        self._last = 0.0
        self._faults: list[str] = []
        self._clean = False
        self._outlet, self._inlet = _connected(source, target, to)
        self.own = (socket.IPPROTO_TCP, self._outlet.getsockname()[1], self._outlet.getpeername()[1])
        self._sending, self._receiving = threading.Event(), threading.Event()
        self._sender = _thread(self._send)
        self._receiver = _thread(self._receive)

    def start(self) -> None:
        """Start both ends."""
        self._receiver.start()
        self._sender.start()

    def finish(self) -> None:
        """No more sending: the receiver sees the end once everything is through."""
        self._sending.set()
        _join(self._sender)

    def close(self, drain_s: float = 0.0) -> None:
        """Let the receiver read to the end, at most `drain_s` seconds."""
        self.finish()
        _join(self._receiver, drain_s)
        self._receiving.set()
        _join(self._receiver)
        self._outlet.close()
        self._inlet.close()

    def report(self) -> TcpReport:
        """After `close`."""
        same = self._sent == self._received and self._digests[0].digest() == self._digests[1].digest()
        if not same and not self._faults:
            self._faults.append(f"{self._sent} bytes were sent and {self._received} came out")
        if not self._clean and not self._faults:
            self._faults.append("the end of the stream did not arrive in time")
        intact = same and self._clean and not self._faults
        return TcpReport(self._sent, self._received, intact, self._stall_ms, "; ".join(self._faults))

    def _send(self) -> None:
        self._outlet.settimeout(_WRITE_S)
        start, pieces = time.monotonic(), 0
        try:
            while not self._sending.wait(start + pieces * _PACE_S - time.monotonic()):
                pieces += 1
                self._write()
                self.began.set()
            self._outlet.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._faults.append(f"the sender: {os.strerror(error.errno or 0)}")

    def _write(self) -> None:
        """One piece, from where the last one ended in the pattern; as much of it as the socket takes in time."""
        at = self._sent % len(self._body)
        with contextlib.suppress(TimeoutError):
            count = self._outlet.send(self._body[at:] + self._body[:at])
            self._digests[0].update((self._body[at:] + self._body[:at])[:count])
            self._sent += count

    def _receive(self) -> None:
        self._inlet.settimeout(_READ_S)
        self._last = time.monotonic()
        try:
            while not self._receiving.is_set() and not self._clean:
                with contextlib.suppress(TimeoutError):
                    self._take(self._inlet.recv(1 << 16))
        except OSError as error:
            self._faults.append(f"the receiver: {os.strerror(error.errno or 0)}")
        if not self._clean:
            self._stall_ms = max(self._stall_ms, (time.monotonic() - self._last) * 1000)

    def _take(self, data: bytes) -> None:
        now = time.monotonic()
        self._stall_ms = max(self._stall_ms, (now - self._last) * 1000)
        self._last = now
        self._clean = not data
        self._received += len(data)
        self._digests[1].update(data)


class Stream:
    """A running stream, from `start` to `stop` or `close`."""

    def __init__(self, recording: Recording, numbers: _Numbers, flow: _Bytes | None) -> None:
        self._recording = recording
        self._numbers = numbers
        self._bytes = flow

    @classmethod
    def start(cls, paths: Paths, captures: Captures, request: StartStream) -> Stream:
        """Taps first, then the receivers, then the senders. ProbeError: an end cannot be opened, or nothing leaves."""
        marker = request.marker.encode()
        source, target = paths.namespace(request.node), paths.namespace(request.target_node)
        recording = captures.record(request.taps, marker)
        with contextlib.ExitStack() as undo:
            undo.callback(recording.stop)
            numbers = _failing(lambda: _Numbers(source, target, request.target, request.rate, marker))
            undo.callback(numbers.close)
            flow = None
            if request.tcp:
                flow = _failing(lambda: _Bytes(source, target, request.target, request.tcp_rate, marker))
                undo.callback(flow.close)
            for each in (numbers, flow):
                if each is not None:
                    each.start()
                    if not each.began.wait(_FIRST_S):
                        raise ProbeError("the stream sent nothing")
            undo.pop_all()
        return cls(recording, numbers, flow)

    def stop(self, request: StopStream) -> StreamReport:
        """Stop sending, let what is under way arrive, and report."""
        self._numbers.finish()
        drained = time.monotonic() + request.drain_ms / 1000
        if self._bytes is not None:
            self._bytes.close(request.tcp_drain_ms / 1000)
        time.sleep(max(0.0, drained - time.monotonic()))
        self._numbers.close()
        evidence = self._recording.stop()
        own = frozenset() if self._bytes is None else frozenset({self._bytes.own})
        return StreamReport(
            ready=not evidence.fault,
            sent=tuple(self._numbers.sent),
            received=tuple(self._numbers.received),
            tcp=None if self._bytes is None else self._bytes.report(),
            parts=evidence.parts(own, request.marks_ms),
            reason=evidence.fault,
        )

    def close(self) -> None:
        """End it without a report."""
        self.stop(StopStream((), drain_ms=0, tcp_drain_ms=0))


def _failing(make: Callable[[], _T]) -> _T:
    try:
        return make()
    except OSError as error:
        raise ProbeError(
            f"the stream cannot be opened: {os.strerror(error.errno or 0) if error.errno else error}"
        ) from error


def _opened(namespace: Path, kind: int) -> socket.socket:
    with enter(namespace):
        return socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)


def _connected(source: Path, target: Path, to: IPv4Address) -> tuple[socket.socket, socket.socket]:
    """Both ends of a new TCP connection."""
    with contextlib.ExitStack() as undo, _opened(target, socket.SOCK_STREAM) as listener:
        listener.settimeout(_CONNECT_S)
        listener.bind((str(to), 0))
        listener.listen(1)
        outlet = undo.enter_context(_opened(source, socket.SOCK_STREAM))
        outlet.settimeout(_CONNECT_S)
        outlet.connect(listener.getsockname())
        inlet, _ = listener.accept()
        undo.pop_all()
    return outlet, inlet


def _thread(work: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=work, daemon=True)


def _join(thread: threading.Thread, seconds: float | None = None) -> None:
    if thread.ident is not None:
        thread.join(seconds)
