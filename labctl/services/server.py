"""The test server: it tells whoever connects who it is and whom it sees, and what it received.

A thread for each TCP connection, so that a slow client holds up nobody; datagrams are answered by the main loop.
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

from labctl.model.services import Listen, Server
from labctl.services.sockets import tcp, udp

IDLE_S = 120.0
"""A connection that is silent for so long is closed."""
_CONNECTIONS = 400  # well below the usual limit of 1024 open files
_CHUNK = 1 << 18
_ANY = IPv4Address("0.0.0.0")
_IP_PKTINFO = 8  # linux/in.h; not in the socket module before Python 3.14
_PKTINFO = struct.Struct("=I4s4s")


class BannerServer:
    """A test server, listening from its construction on. KernelError where a port cannot be had."""

    def __init__(self, config: Server) -> None:
        self._name = config.name
        self._selector = selectors.DefaultSelector()
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        for listen in config.listens:
            self._selector.register(*self._open(listen))

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for key, _ in self._selector.select():
                key.data(key.fileobj)

    def _open(self, listen: Listen) -> tuple[socket.socket, int, Callable[[socket.socket], None]]:
        match listen.proto:
            case "tcp":
                return tcp(_ANY, listen.port), selectors.EVENT_READ, self._accept
            case "udp":
                opened = udp(_ANY, listen.port)
                opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
                return opened, selectors.EVENT_READ, self._return_datagram

    def _greeting(self, peer: tuple[str, int]) -> bytes:
        return f"labctl {self._name} {peer[0]} {peer[1]}\n".encode()

    def _return_datagram(self, opened: socket.socket) -> None:
        """Send one datagram back, from the address it was sent to: a node may have several."""
        with contextlib.suppress(OSError):  # gone, or too long with the greeting: as good as lost
            data, control, _, peer = opened.recvmsg(65535, socket.CMSG_SPACE(_PKTINFO.size))
            opened.sendmsg([self._greeting(peer), data], _from_same(control), 0, peer)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, peer = listener.accept()
        except OSError:
            return  # the client has gone already
        if self._free.acquire(blocking=False):
            threading.Thread(target=self._serve, args=(connection, peer), daemon=True).start()
        else:
            connection.close()

    def _serve(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        """One connection, to its end; a client that resets it or falls silent ends it as well."""
        try:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(IDLE_S)
                connection.sendall(self._greeting(peer))
                connection.sendall(_digest(connection))
        finally:
            self._free.release()


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
