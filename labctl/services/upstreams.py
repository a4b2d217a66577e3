"""The sockets towards other servers: one for each exchange, at a port that the kernel draws (RFC 5452 section 9.2).

A socket is connected: the kernel drops what comes from anywhere else, and tells of a server that does not listen.
"""

from __future__ import annotations

import functools
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Protocol

from labctl.resolver.exchanges import Send
from labctl.resolver.wire import Transport
from labctl.services.streams import framed, whole

PORT = 53
_MOST_AT_ONCE = 16


class Listener(Protocol):
    """Who is told what comes: `Exchanges`."""

    def heard(self, exchange: int, message: bytes, now: float) -> None:
        """A message."""

    def failed(self, exchange: int, now: float) -> None:
        """The end."""


@dataclass(slots=True, eq=False)
class _Line:
    exchange: int
    transport: Transport
    socket: socket.socket
    unsent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


class Upstreams:
    """The sockets of the exchanges that are open."""

    def __init__(self, selector: selectors.BaseSelector, listener: Listener, clock: Callable[[], float]) -> None:
        self._selector = selector
        self._listener = listener
        self._clock = clock
        self._lines: dict[int, _Line] = {}
        self.source: IPv4Address | None = None

    def send(self, order: Send) -> None:
        """Send a message, by a new socket if need be; what fails is told to the listener."""
        try:
            line = self._lines.get(order.exchange) or self._open(order)
            if order.transport == "udp":
                line.socket.send(order.message)
            else:
                line.unsent += framed(order.message)
        except BlockingIOError:
            return  # no room: as good as lost
        except OSError:
            self._fail(order.exchange)

    def close(self, exchange: int) -> None:
        """Close the socket of an exchange."""
        line = self._lines.pop(exchange, None)
        if line is not None:
            self._selector.unregister(line.socket)
            line.socket.close()

    def _open(self, order: Send) -> _Line:
        kind = socket.SOCK_DGRAM if order.transport == "udp" else socket.SOCK_STREAM
        opened = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
        try:
            if self.source is not None:
                opened.bind((str(self.source), 0))
            opened.connect((str(order.server), PORT))
        except BlockingIOError:
            pass  # TCP: it is being connected
        except OSError:
            opened.close()
            raise
        line = _Line(order.exchange, order.transport, opened)
        self._lines[order.exchange] = line
        datagrams = order.transport == "udp"
        events = selectors.EVENT_READ if datagrams else selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.register(opened, events, functools.partial(self._serve, line))
        return line

    def _serve(self, line: _Line, _: socket.socket, events: int) -> None:
        if line.exchange not in self._lines:
            return  # closed since the selector named it
        try:
            if line.transport == "udp":
                self._read_datagrams(line)
            else:
                self._read_stream(line, events)
        except BlockingIOError:
            return
        except OSError:
            self._fail(line.exchange)

    def _read_datagrams(self, line: _Line) -> None:
        for _ in range(_MOST_AT_ONCE):
            message = line.socket.recv(65535)
            self._listener.heard(line.exchange, message, self._clock())

    def _read_stream(self, line: _Line, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            del line.unsent[: line.socket.send(line.unsent)]
            if not line.unsent:
                self._selector.modify(line.socket, selectors.EVENT_READ, functools.partial(self._serve, line))
        if events & selectors.EVENT_READ:
            chunk = line.socket.recv(1 << 16)
            line.received += chunk
            for message in whole(line.received):
                self._listener.heard(line.exchange, message, self._clock())
            if not chunk:
                self._fail(line.exchange)

    def _fail(self, exchange: int) -> None:
        self.close(exchange)
        self._listener.failed(exchange, self._clock())
