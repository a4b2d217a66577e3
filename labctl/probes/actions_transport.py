"""Connections and datagrams by the kernel's own TCP and UDP, with a deadline and an ear for ICMP errors."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from contextlib import closing
from ipaddress import IPv4Address

from labctl.probes.attempt import TOO_BIG, UNREACHABLE, Attempt, Complaint, IcmpListener, wait
from labctl.probes.wire import Reply

_AGAIN_S = 1.0  # between two datagrams of an exchange that repeats itself


def connect(attempt: Attempt, to: IPv4Address, port: int) -> socket.socket | Reply:
    """A connected socket, or why there is none. The source port is chosen first, for the taps to know it."""
    sock, errors = attempt.sockets(socket.SOCK_STREAM)
    sock.bind(("", 0))
    attempt.own.add((socket.IPPROTO_TCP, sock.getsockname()[1], port))
    attempt.begin()
    with closing(errors):
        failure = _connect(attempt, sock, errors, (to, port))
    if failure is None:
        return sock
    sock.close()
    return failure


def _connect(attempt: Attempt, sock: socket.socket, errors: IcmpListener, to: tuple[IPv4Address, int]) -> Reply | None:
    start = struct.pack("!HH", sock.getsockname()[1], to[1])
    code = sock.connect_ex((str(to[0]), to[1]))
    for seconds in attempt.rounds():
        if code not in (0, errno.EINPROGRESS):
            break
        wait(seconds, errors.socket, writable=sock)
        for said in errors.complaints():
            if said.about(socket.IPPROTO_TCP, to[0], start) and not is_too_big(said):
                return attempt.complaint(said)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0 and established(sock):
            return None
    return attempt.local(code) if code not in (0, errno.EINPROGRESS) else attempt.silence("no answer to the SYN")


def is_too_big(said: Complaint) -> bool:
    """TCP makes its segments smaller by itself: no outcome of a connection."""
    return (said.type, said.code) == (UNREACHABLE, TOO_BIG)


def established(sock: socket.socket) -> bool:
    """Whether the handshake of a non-blocking connection is over."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def read_until(attempt: Attempt, sock: socket.socket, buffer: bytearray, enough: Callable[[], bool]) -> bytearray:
    """Read into `buffer` until there is enough or the stream ends."""
    while not enough():
        if not attempt.left():
            raise TimeoutError
        sock.settimeout(attempt.left() or 1e-3)
        data = sock.recv(65536)
        if not data:
            break
        buffer += data
    return buffer


def exchange(
    attempt: Attempt,
    to: tuple[IPv4Address, int],
    payload: bytes,
    judge: Callable[[bytes], Reply | None],
    *,
    again: bool,
) -> Reply:
    """Send a datagram, `again` every second, until `judge` takes an answer, an ICMP error comes or time is up."""
    sock, errors = attempt.sockets(socket.SOCK_DGRAM)
    with closing(sock), closing(errors):
        code = sock.connect_ex((str(to[0]), to[1]))
        if code:
            return attempt.local(code)
        start = struct.pack("!HH", sock.getsockname()[1], to[1])
        attempt.own.add((socket.IPPROTO_UDP, sock.getsockname()[1], to[1]))
        attempt.begin()
        reply = None
        while reply is None:
            code = _send(sock, payload)
            if code:
                return attempt.local(code)
            until = max(0.0, attempt.left() - _AGAIN_S) if again else 0.0
            reply = _await(attempt, (sock, errors), until, (to[0], start), judge)
            if reply is None and not attempt.left():
                return attempt.silence("no answer")
    return reply


def _send(sock: socket.socket, payload: bytes) -> int:
    try:
        sock.send(payload)
    except OSError as error:
        return error.errno or 0
    return 0


def _await(
    attempt: Attempt,
    ears: tuple[socket.socket, IcmpListener],
    until: float,
    mine: tuple[IPv4Address, bytes],
    judge: Callable[[bytes], Reply | None],
) -> Reply | None:
    """What comes in while more than `until` seconds are left; None where nothing does that counts."""
    sock, errors = ears
    for seconds in attempt.rounds(until):
        wait(seconds, sock, errors.socket)
        for said in errors.complaints():
            if said.about(socket.IPPROTO_UDP, *mine):
                return attempt.complaint(said)
        try:
            reply = judge(sock.recv(65536))
        except BlockingIOError:
            continue
        except OSError as error:
            return attempt.local(error.errno or 0)
        if reply is not None:
            return reply
    return None
