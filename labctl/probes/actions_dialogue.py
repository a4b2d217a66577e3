"""The dialogue with a labctl test server, see `labctl.model.services.Server`: over a connection, and by a datagram."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

from labctl.probes.actions_transport import exchange, read_until
from labctl.probes.attempt import Attempt, pattern
from labctl.probes.dialing import dial
from labctl.probes.wire import Outcome, Reply, Tcp, Udp

_TIMESTAMPS, _TIMESTAMP_BYTES = 1, 12  # TCPI_OPT_TIMESTAMPS (linux/tcp.h), RFC 7323 section 3.2 with padding
_LEAST = 64  # bytes of a datagram


class Greeting(NamedTuple):
    """A test server's first line: its name, and the address that it sees."""

    server: str
    peer: str


def greeting(line: bytes) -> Greeting | None:
    """What the first line of a stream or datagram says, without its end; None where no test server speaks so."""
    words = line.decode(errors="replace").split(" ")
    return Greeting(words[1], words[2]) if len(words) == 4 and words[0] == "labctl" else None


def tcp(attempt: Attempt, action: Tcp) -> Reply:
    """Resolve where a name is given, connect, send, and compare what the server says it got with what was sent."""
    dialled = dial(attempt, action.to, action.named, action.port)
    if isinstance(dialled, Reply):
        return dialled
    with closing(dialled.socket) as sock:
        return replace(_converse(attempt, sock, pattern(attempt.marker, action.send)), tried=dialled.tried)


def _converse(attempt: Attempt, sock: socket.socket, body: bytes) -> Reply:
    """The whole dialogue. After the handshake silence is no filter."""
    buffer = bytearray()
    more: dict[str, Any] = {"mss": _largest_segment(sock)}
    try:
        read_until(attempt, sock, buffer, lambda: b"\n" in buffer)
        line, _, rest = bytes(buffer).partition(b"\n")
        greeted = greeting(line)
        if greeted is None:
            return attempt.reply("corrupt", "connected, but to no labctl test server", **more)
        more |= greeted._asdict()
        buffer[:] = rest
        sock.settimeout(attempt.left() or 1e-3)
        sock.sendall(body)
        sock.shutdown(socket.SHUT_WR)
        read_until(attempt, sock, buffer, lambda: False)
    except TimeoutError:
        return attempt.reply("corrupt", f"connected, then no more within the time (got {len(buffer)} bytes)", **more)
    except OSError as error:
        return attempt.reply("corrupt", f"connected, then {os.strerror(error.errno or 0)}", **more)
    return attempt.reply(*compare(bytes(buffer), body), **more)


def compare(said: bytes, body: bytes) -> tuple[Outcome, str]:
    """Whether a server that ends with the line `said` got `body`, and that in words."""
    found = compare_digest(said, body)
    if found is None:
        return "corrupt", "the server's digest is unreadable"
    if found[1]:
        return "ok", f"{len(body)} bytes arrived intact"
    return "corrupt", f"sent {len(body)} bytes, the server got {found[0]} or others"


def compare_digest(said: bytes, body: bytes) -> tuple[int, bool] | None:
    """How many bytes the line `said` claims, and whether they are those of `body`; None where it says neither."""
    try:
        digest = json.loads(said)
        count, same = int(digest["bytes"]), digest["sha256"] == hashlib.sha256(body).hexdigest()
    except (ValueError, KeyError, TypeError):
        return None
    return count, same and count == len(body)


def _largest_segment(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
    segment = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    return segment + (_TIMESTAMP_BYTES if info[5] & _TIMESTAMPS else 0)


def udp(attempt: Attempt, action: Udp) -> Reply:
    """One datagram; its echo is the answer."""
    payload = datagram(attempt.marker)

    def judge(data: bytes) -> Reply:
        greeted = echoed(data, payload)
        if greeted is None:
            return attempt.reply("corrupt", "what came back is not what was sent")
        return attempt.reply("ok", "the datagram came back", server=greeted.server, peer=greeted.peer)

    return exchange(attempt, (action.to, action.port), payload, judge, again=False)


def datagram(marker: bytes) -> bytes:
    """What a marked datagram to a test server holds."""
    return pattern(marker, max(_LEAST, len(marker)))


def echoed(data: bytes, payload: bytes) -> Greeting | None:
    """Who returned `payload` as a test server does; None where `data` is anything else."""
    line, _, echo = data.partition(b"\n")
    return greeting(line) if echo == payload else None
