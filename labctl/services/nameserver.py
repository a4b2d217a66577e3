"""The DNS server's sockets around `Resolution`: one loop, UDP and TCP port 53 of each address it listens at.

One socket per address: an answer leaves from the address that was asked.
"""

from __future__ import annotations

import contextlib
import functools
import selectors
import socket
import time
from collections.abc import Callable
from ipaddress import IPv4Address

from labctl.model.services import Resolver
from labctl.services.resolution import Resolution, Transport
from labctl.services.sockets import every, tcp, udp

Answer = Callable[[bytes, IPv4Address, Transport], bytes | None]

PORT = 53
IDLE_S = 10.0
"""A TCP connection without a whole query for so long is closed (RFC 7766 section 6.2.3)."""
_CONNECTIONS = 200
_UNSENT = 1 << 18
_DRAIN = 128

_address = functools.lru_cache(maxsize=4096)(IPv4Address)


class NameServer:
    """A DNS server, listening from its construction on. KernelError where an address cannot be had."""

    def __init__(self, config: Resolver) -> None:
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[tuple[Transport, IPv4Address], socket.socket] = {}
        self._streams: dict[_Stream, None] = {}  # in the order of their last use
        self._later: list[Callable[[], None]] = []
        self.reconfigure(config)

    def reconfigure(self, config: Resolver) -> None:
        """Answer as `config` says from the next query on, also on connections that are open.

        DescriptionError, KernelError: nothing has changed.
        """
        resolution = Resolution(config)
        wanted: dict[tuple[Transport, IPv4Address], Callable[[], socket.socket]] = {}
        for address in config.listen:
            wanted["udp", address] = functools.partial(udp, address, PORT)
            wanted["tcp", address] = functools.partial(tcp, address, PORT)
        opened = every({key: make for key, make in wanted.items() if key not in self._sockets})
        self._resolution = resolution
        for key in self._sockets.keys() - wanted.keys():
            gone = self._sockets.pop(key)
            self._selector.unregister(gone)
            gone.close()
        for key, made in opened.items():
            self._sockets[key] = made
            act = self._accept if key[0] == "tcp" else self._serve_datagrams
            self._selector.register(made, selectors.EVENT_READ, act)

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for key, events in self._selector.select(IDLE_S if self._streams else None):
                key.data(key.fileobj, events)
            while self._later:
                self._later.pop()()
            self._close_idle(time.monotonic() - IDLE_S)

    def also(self, source: int, act: Callable[[], None]) -> None:
        """`run` calls `act` when `source` can be read, once all else that was ready has had its turn."""
        self._selector.register(source, selectors.EVENT_READ, lambda *_: self._later.append(act))

    def _answer(self, query: bytes, client: IPv4Address, transport: Transport) -> bytes | None:
        return self._resolution.answer(query, client, transport)

    def _serve_datagrams(self, opened: socket.socket, _: int) -> None:
        """Answer what waits, at most so much that the other sockets get their turn."""
        answer = self._resolution.answer
        with contextlib.suppress(BlockingIOError):
            for _turn in range(_DRAIN):
                query, client = opened.recvfrom(65535)
                reply = answer(query, _address(client[0]), "udp")
                if reply is not None:
                    with contextlib.suppress(OSError):  # no way back to this client: as good as a lost datagram
                        opened.sendto(reply, client)

    def _accept(self, listener: socket.socket, _: int) -> None:
        try:
            connection, client = listener.accept()
        except OSError:
            return  # the client has gone already
        if len(self._streams) >= _CONNECTIONS:
            self._close(next(iter(self._streams)))
        connection.setblocking(False)
        stream = _Stream(connection, _address(client[0]), self._answer)
        self._streams[stream] = None
        self._selector.register(connection, selectors.EVENT_READ, lambda _, events: self._serve_stream(stream, events))

    def _serve_stream(self, stream: _Stream, events: int) -> None:
        if stream not in self._streams:
            return  # closed for another client since the selector named it
        self._streams[stream] = self._streams.pop(stream)
        try:
            wanted = stream.turn(events)
        except OSError:
            wanted = 0
        if wanted:
            key = self._selector.get_key(stream.connection)
            if key.events != wanted:
                self._selector.modify(stream.connection, wanted, key.data)
        else:
            self._close(stream)

    def _close_idle(self, before: float) -> None:
        while self._streams and (oldest := next(iter(self._streams))).used < before:
            self._close(oldest)

    def _close(self, stream: _Stream) -> None:
        del self._streams[stream]
        self._selector.unregister(stream.connection)
        stream.connection.close()


class _Stream:
    """One TCP connection: messages with two bytes of length before each (RFC 1035 section 4.2.2)."""

    def __init__(self, connection: socket.socket, client: IPv4Address, answer: Answer) -> None:
        self.connection = connection
        self.used = time.monotonic()
        self._client = client
        self._answer = answer
        self._received = bytearray()
        self._unsent = bytearray()
        self._ended = False

    def turn(self, events: int) -> int:
        """Read, answer and write what can be; the events to wait for next, 0 when all is done. OSError: broken."""
        if events & selectors.EVENT_READ:
            chunk = self.connection.recv(65536)
            self._ended = not chunk
            self._received += chunk
        self._answer_all()
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                del self._unsent[: self.connection.send(self._unsent)]
        reading = not self._ended and len(self._unsent) < _UNSENT
        return (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if self._unsent else 0)

    def _answer_all(self) -> None:
        """Answer the whole queries received, as long as the client takes the answers."""
        start = 0
        while len(self._received) - start >= 2 and len(self._unsent) < _UNSENT:
            end = start + 2 + int.from_bytes(self._received[start : start + 2], "big")
            if end > len(self._received):
                break
            reply = self._answer(bytes(self._received[start + 2 : end]), self._client, "tcp")
            start = end
            self.used = time.monotonic()
            if reply is not None:
                self._unsent += len(reply).to_bytes(2, "big") + reply
        del self._received[:start]
