"""Packets that shall die on their way: one for each TTL, by UDP, TCP or ICMP, and how to know their answers.

An ICMP error is known by the ports, or the identifier, of the packet that it quotes. Its addresses do not count: where
an address is translated on the way, the quotation may have either.
"""

from __future__ import annotations

import errno
import random
import select
import socket
import struct
from collections.abc import Iterator
from typing import Protocol

from labctl.probes import echo
from labctl.probes.actions_dialogue import Greeting, datagram, greeting
from labctl.probes.actions_transport import established
from labctl.probes.attempt import Attempt, Complaint
from labctl.probes.wire import Trace

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, socket(7)


class Asker(Protocol):
    """What sends the packets of a trace. Its sockets are opened in the calling thread's namespace."""

    def ask(self, ttl: int) -> int:
        """Send the packet that dies after `ttl` hops, or send it again; the errno that hinders it, or 0."""
        ...

    def waiting(self) -> Iterator[tuple[socket.socket, int]]:
        """The sockets to wait for, and the events of poll(2)."""
        ...

    def about(self, said: Complaint) -> int:
        """The TTL of the packet that `said` is about, 0 where it is none of ours."""
        ...

    def echo(self, source: str, message: bytes) -> int:
        """The TTL of the packet that this ICMP message of the target's answers, 0 where it does not."""
        ...

    def arrived(self) -> Iterator[tuple[int, Greeting | None]]:
        """The TTLs of the packets that the target has answered itself, and its greeting where it is a test server."""
        ...

    def close(self) -> None:
        """Close every socket."""
        ...


class _ByPorts:
    """A socket for each TTL: its source port tells the packet."""

    kind = socket.SOCK_DGRAM
    protocol = socket.IPPROTO_UDP
    events = select.POLLIN

    def __init__(self, attempt: Attempt, action: Trace) -> None:
        self._attempt = attempt
        self._to = (str(action.to), action.port)
        self._open: dict[int, socket.socket] = {}
        self._ttls: dict[int, int] = {}
        for ttl in range(1, action.most + 1):
            sock = socket.socket(socket.AF_INET, self.kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            self._open[ttl] = sock
            sock.bind(("", 0))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            self._ttls[sock.getsockname()[1]] = ttl

    def _own(self, sock: socket.socket) -> None:
        self._attempt.own.add((self.protocol, sock.getsockname()[1], self._to[1]))

    def waiting(self) -> Iterator[tuple[socket.socket, int]]:
        for sock in self._open.values():
            yield sock, self.events

    def about(self, said: Complaint) -> int:
        if len(said.quote) < 20 or said.quote[9] != self.protocol:
            return 0
        at = (said.quote[0] & 15) * 4
        ttl = self._ttls.get(int.from_bytes(said.quote[at : at + 2], "big"), 0)
        self._done(ttl)
        return ttl

    def echo(self, source: str, message: bytes) -> int:
        return 0

    def close(self) -> None:
        for ttl in list(self._open):
            self._done(ttl)

    def _done(self, ttl: int) -> None:
        if ttl in self._open:
            self._open.pop(ttl).close()


class UdpAsker(_ByPorts):
    """Marked datagrams; a closed port answers with ICMP, a test server with their echo."""

    def ask(self, ttl: int) -> int:
        sock = self._open[ttl]
        self._own(sock)
        code = sock.connect_ex(self._to)
        if code:
            return code
        try:
            sock.send(datagram(self._attempt.marker))
        except OSError as error:
            return error.errno or 0
        return 0

    def arrived(self) -> Iterator[tuple[int, Greeting | None]]:
        for ttl, sock in list(self._open.items()):
            try:
                data = sock.recv(65536)
            except OSError:
                continue  # nothing there, or an error that was told by ICMP
            self._done(ttl)
            yield ttl, greeting(data.partition(b"\n")[0])


class TcpAsker(_ByPorts):
    """Connections: the kernel sends a SYN again by itself, and ends at the first ICMP error."""

    kind = socket.SOCK_STREAM
    protocol = socket.IPPROTO_TCP
    events = select.POLLIN | select.POLLOUT

    def __init__(self, attempt: Attempt, action: Trace) -> None:
        super().__init__(attempt, action)
        self._asked: set[int] = set()

    def waiting(self) -> Iterator[tuple[socket.socket, int]]:
        for ttl in self._asked & set(self._open):
            yield self._open[ttl], self.events

    def ask(self, ttl: int) -> int:
        sock = self._open[ttl]
        if ttl in self._asked:
            return 0
        self._asked.add(ttl)
        self._own(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        code = sock.connect_ex(self._to)
        return 0 if code == errno.EINPROGRESS else code

    def arrived(self) -> Iterator[tuple[int, Greeting | None]]:
        for ttl in sorted(self._asked & set(self._open)):
            code = self._open[ttl].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            answered = established(self._open[ttl]) or code == errno.ECONNREFUSED
            if answered or code:
                self._done(ttl)
            if answered:
                yield ttl, None


class IcmpAsker:
    """Echo requests, the TTL for a sequence number."""

    def __init__(self, attempt: Attempt, action: Trace) -> None:
        self._to = action.to
        self._id = random.randrange(65536)
        self._payload = datagram(attempt.marker)
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)

    def ask(self, ttl: int) -> int:
        request = echo.request(self._id, ttl, self._payload)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        try:
            self._socket.sendto(request, (str(self._to), 0))
        except OSError as error:
            return error.errno or 0
        return 0

    def waiting(self) -> Iterator[tuple[socket.socket, int]]:
        """Nothing: the listener hears of all answers."""
        yield from ()

    def about(self, said: Complaint) -> int:
        if len(said.quote) < 20 or said.quote[9] != socket.IPPROTO_ICMP:
            return 0
        return self._ttl(said.quote[(said.quote[0] & 15) * 4 :], echo.REQUEST)

    def echo(self, source: str, message: bytes) -> int:
        if source != str(self._to) or message[8:] != self._payload:
            return 0
        return self._ttl(message, echo.REPLY)

    def _ttl(self, message: bytes, kind: int) -> int:
        if message[:1] != bytes([kind]) or message[4:6] != self._id.to_bytes(2, "big"):
            return 0
        return int.from_bytes(message[6:8], "big")

    def arrived(self) -> Iterator[tuple[int, Greeting | None]]:
        yield from ()

    def close(self) -> None:
        self._socket.close()


def asker(attempt: Attempt, action: Trace) -> Asker:
    """The asker for the protocol that `action` names."""
    match action.proto:
        case "udp":
            return UdpAsker(attempt, action)
        case "tcp":
            return TcpAsker(attempt, action)
        case "icmp":
            return IcmpAsker(attempt, action)
