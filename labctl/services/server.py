"""The test server: it tells whoever connects who it is and whom it sees, and what it received.

A thread for each connection, TCP or HTTP, so that a slow client holds up nobody; the main loop answers datagrams.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Literal

from labctl.model.services import Listen, Server
from labctl.services.sockets import every, tcp, udp
from labctl.services.webanswer import HEAD_SIZE, answer

IDLE_S = 120.0
"""A connection that is silent for so long is closed."""
_CONNECTIONS = 400  # well below the usual limit of 1024 open files
_CHUNK = 1 << 18
_LEAVE_S = 2.0  # for a client that goes on sending after its answer
_ANY = IPv4Address("0.0.0.0")
_IP_PKTINFO = 8  # linux/in.h; not in the socket module before Python 3.14
_PKTINFO = struct.Struct("=I4s4s")
Port = tuple[Literal["tcp", "udp"], int]
Peer = tuple[str, int]
Dialogue = Callable[[socket.socket, Peer], None]


class BannerServer:
    """A test server, listening from its construction on. KernelError where a port cannot be had."""

    def __init__(self, config: Server) -> None:
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[Port, socket.socket] = {}
        self._later: list[Callable[[], None]] = []
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self.reconfigure(config)

    def reconfigure(self, config: Server) -> None:
        """Serve as `config` says; connections live on. KernelError where a port cannot be had: nothing has changed."""
        wanted = {_port(listen): listen for listen in config.listens}
        opened = every({port: functools.partial(_opened, *port) for port in wanted if port not in self._sockets})
        self._name = config.name
        for port in self._sockets.keys() - wanted.keys():
            gone = self._sockets.pop(port)
            self._selector.unregister(gone)
            gone.close()
        for port, kept in self._sockets.items():
            self._selector.modify(kept, selectors.EVENT_READ, self._serving(wanted[port]))
        for port, made in opened.items():
            self._selector.register(made, selectors.EVENT_READ, self._serving(wanted[port]))
        self._sockets |= opened

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for key, _ in self._selector.select():
                key.data(key.fileobj)
            while self._later:
                self._later.pop()()

    def also(self, source: int, act: Callable[[], None]) -> None:
        """`run` calls `act` when `source` can be read, once all else that was ready has had its turn."""
        self._selector.register(source, selectors.EVENT_READ, lambda _: self._later.append(act))

    def _serving(self, listen: Listen) -> Callable[[socket.socket], None]:
        match listen.proto:
            case "tcp":
                return functools.partial(self._accept, self._report)
            case "http":
                return functools.partial(self._accept, self._respond)
            case "udp":
                return self._return_datagram

    def _greeting(self, peer: Peer) -> bytes:
        return f"labctl {self._name} {peer[0]} {peer[1]}\n".encode()

    def _return_datagram(self, opened: socket.socket) -> None:
        """Send one datagram back, from the address it was sent to: a node may have several."""
        with contextlib.suppress(OSError):  # gone, or too long with the greeting: as good as lost
            data, control, _, peer = opened.recvmsg(65535, socket.CMSG_SPACE(_PKTINFO.size))
            opened.sendmsg([self._greeting(peer), data], _from_same(control), 0, peer)

    def _accept(self, dialogue: Dialogue, listener: socket.socket) -> None:
        try:
            connection, peer = listener.accept()
        except OSError:
            return  # the client has gone already
        if self._free.acquire(blocking=False):
            threading.Thread(target=self._serve, args=(dialogue, connection, peer), daemon=True).start()
        else:
            connection.close()

    def _serve(self, dialogue: Dialogue, connection: socket.socket, peer: Peer) -> None:
        """One connection, to its end; a client that resets it or falls silent ends it as well."""
        try:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(IDLE_S)
                dialogue(connection, peer)
        finally:
            self._free.release()

    def _report(self, connection: socket.socket, peer: Peer) -> None:
        connection.sendall(self._greeting(peer))
        connection.sendall(_digest(connection))

    def _respond(self, connection: socket.socket, peer: Peer) -> None:
        """One request, one answer. What the client still sends is read, or its reset would destroy the answer."""
        connection.sendall(answer(_head(connection), self._name, peer))
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(_LEAVE_S)
        while connection.recv(_CHUNK):
            pass


def _port(listen: Listen) -> Port:
    return ("udp" if listen.proto == "udp" else "tcp"), listen.port


def _opened(transport: Literal["tcp", "udp"], port: int) -> socket.socket:
    if transport == "tcp":
        return tcp(_ANY, port)
    opened = udp(_ANY, port)
    opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    return opened


def _head(connection: socket.socket) -> bytes:
    """A request up to its empty line, or as much of it as there is. Empty lines before it do not count."""
    head, end = b"", -1
    while end < 0 and len(head) < HEAD_SIZE:
        data = connection.recv(HEAD_SIZE - len(head))
        if not data:
            break
        head = (head + data).lstrip(b"\r\n")  # RFC 9112 section 2.2
        end = head.find(b"\r\n\r\n")
    return head if end < 0 else head[: end + 4]


def _digest(connection: socket.socket) -> bytes:
    """Read to the client's end of stream; the line that says what came."""
    total, digest = 0, hashlib.sha256()
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    for size in iter(functools.partial(connection.recv_into, buffer), 0):
        digest.update(view[:size])
        total += size
    return json.dumps({"bytes": total, "sha256": digest.hexdigest()}).encode() + b"\n"


def _from_same(control: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The control data that makes the address a datagram was sent to the source of the next one (ip(7), IP_PKTINFO)."""
    return [
        (level, kind, _PKTINFO.pack(0, _PKTINFO.unpack(data)[2], bytes(4)))
        for level, kind, data in control
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO)
    ]
