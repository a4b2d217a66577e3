"""Probes by the kernel's own TCP and UDP: connect and compare digests, echo a datagram, ask a resolver."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import socket
import struct
from collections.abc import Callable
from contextlib import closing
from ipaddress import IPv4Address
from typing import Any

from dnslib import CLASS, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from dnslib.dns import DNSError

from labctl.probes.attempt import TOO_BIG, UNREACHABLE, Attempt, Complaint, IcmpListener, pattern, wait
from labctl.probes.wire import Dns, Outcome, Reply, Tcp, Udp

_AGAIN_S = 1.0  # between two DNS queries
_DNS_PORT = 53
_TIMESTAMPS, _TIMESTAMP_BYTES = 1, 12  # TCPI_OPT_TIMESTAMPS (linux/tcp.h), RFC 7323 section 3.2 with padding

_RCODES: dict[int, Outcome] = {RCODE.NXDOMAIN: "nxdomain", RCODE.REFUSED: "refused"}


def tcp(attempt: Attempt, action: Tcp) -> Reply:
    """Resolve where a name is given, connect, send, and compare what the server says it got with what was sent."""
    to = action.to
    if action.name and action.server is not None:
        found = dns(attempt, Dns(action.server, action.name))
        if found.outcome != "ok":
            return found
        attempt.own.clear()  # the lookup was a means: from here on the connection alone is the probe
        to = IPv4Address(found.answers[0])
    if to is None:
        return attempt.reply("error", "neither an address nor a name with its server")
    connected = connect(attempt, to, action.port)
    if isinstance(connected, Reply):
        return connected
    with closing(connected):
        return _converse(attempt, connected, pattern(attempt.marker, action.send))


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
    while code in (0, errno.EINPROGRESS) and attempt.left():
        wait(attempt.left(), errors.socket, writable=sock)
        for said in errors.complaints():
            if said.about(socket.IPPROTO_TCP, to[0], start) and not _is_too_big(said):
                return attempt.complaint(said)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0 and _established(sock):
            return None
    return attempt.local(code) if code not in (0, errno.EINPROGRESS) else attempt.silence("no answer to the SYN")


def _is_too_big(said: Complaint) -> bool:
    """TCP makes its segments smaller by itself: no outcome of a connection."""
    return (said.type, said.code) == (UNREACHABLE, TOO_BIG)


def _established(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _converse(attempt: Attempt, sock: socket.socket, body: bytes) -> Reply:
    """The dialogue with a test server, see `labctl.model.services.Server`. After the handshake silence is no filter."""
    buffer = bytearray()
    more: dict[str, Any] = {"mss": _largest_segment(sock)}
    try:
        greeting = _until(attempt, sock, buffer, lambda: b"\n" in buffer)
        words = bytes(greeting).split(b"\n")[0].decode(errors="replace").split(" ")
        if len(words) != 4 or words[0] != "labctl":
            return attempt.reply("corrupt", "connected, but to no labctl test server", **more)
        more |= {"server": words[1], "peer": words[2]}
        del buffer[: buffer.index(b"\n") + 1]
        sock.settimeout(attempt.left() or 1e-3)
        sock.sendall(body)
        sock.shutdown(socket.SHUT_WR)
        _until(attempt, sock, buffer, lambda: False)
    except TimeoutError:
        return attempt.reply("corrupt", f"connected, then no more within the time (got {len(buffer)} bytes)", **more)
    except OSError as error:
        return attempt.reply("corrupt", f"connected, then {os.strerror(error.errno or 0)}", **more)
    return attempt.reply(*_compare(bytes(buffer), body), **more)


def _until(attempt: Attempt, sock: socket.socket, buffer: bytearray, enough: Callable[[], bool]) -> bytearray:
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


def _compare(said: bytes, body: bytes) -> tuple[Outcome, str]:
    try:
        digest = json.loads(said)
        same = digest["bytes"] == len(body) and digest["sha256"] == hashlib.sha256(body).hexdigest()
    except (ValueError, KeyError, TypeError):
        return "corrupt", "the server's digest is unreadable"
    if same:
        return "ok", f"{len(body)} bytes arrived intact"
    return "corrupt", f"sent {len(body)} bytes, the server got {digest['bytes']} or others"


def _largest_segment(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
    segment = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    return segment + (_TIMESTAMP_BYTES if info[5] & _TIMESTAMPS else 0)


def udp(attempt: Attempt, action: Udp) -> Reply:
    """One datagram; its echo is the answer."""
    payload = pattern(attempt.marker, max(64, len(attempt.marker)))

    def judge(data: bytes) -> Reply:
        line, _, echo = data.partition(b"\n")
        words = line.decode(errors="replace").split(" ")
        if echo != payload or len(words) != 4 or words[0] != "labctl":
            return attempt.reply("corrupt", "what came back is not what was sent")
        return attempt.reply("ok", "the datagram came back", server=words[1], peer=words[2])

    return _exchange(attempt, (action.to, action.port), payload, judge, again=False)


def dns(attempt: Attempt, action: Dns) -> Reply:
    """Ask, by UDP again every second; by TCP where that is wanted or the answer was truncated (RFC 7766 section 5)."""
    question = DNSQuestion(action.name, getattr(QTYPE, action.type), CLASS.IN)
    header = DNSHeader(id=random.randrange(65536), rd=1)
    query = DNSRecord(header, questions=[question])
    if action.transport == "tcp":
        return _dns_over_tcp(attempt, action, query)
    cut: list[bool] = []

    def judge(data: bytes) -> Reply | None:
        answer = _parsed(data, query)
        if answer is not None and answer.header.tc:
            cut.append(True)
        return None if answer is None else _answered(attempt, answer, query)

    reply = _exchange(attempt, (action.server, _DNS_PORT), query.pack(), judge, again=True)
    return _dns_over_tcp(attempt, action, query) if cut else reply


def _dns_over_tcp(attempt: Attempt, action: Dns, query: Any) -> Reply:
    connected = connect(attempt, action.server, _DNS_PORT)
    if isinstance(connected, Reply):
        return connected
    packed, buffer = query.pack(), bytearray()
    with closing(connected) as sock:
        try:
            sock.sendall(struct.pack("!H", len(packed)) + packed)
            _until(attempt, sock, buffer, lambda: len(buffer) >= 2 and len(buffer) >= 2 + (buffer[0] << 8 | buffer[1]))
        except TimeoutError:
            return attempt.reply("corrupt", "connected, but no answer in time")
        except OSError as error:
            return attempt.reply("corrupt", f"connected, then {os.strerror(error.errno or 0)}")
    answer = _parsed(bytes(buffer[2:]), query)
    return attempt.reply("corrupt", "no DNS answer") if answer is None else _answered(attempt, answer, query)


def _parsed(data: bytes, query: Any) -> Any:
    """The DNS message, None where it is none or answers something else."""
    try:
        answer = DNSRecord.parse(data)
    except (DNSError, ValueError, IndexError, UnicodeDecodeError):
        return None
    ours = answer.header.id == query.header.id and answer.header.qr and answer.questions == query.questions
    return answer if ours else None


def _answered(attempt: Attempt, answer: Any, query: Any) -> Reply:
    authoritative = bool(answer.header.aa)
    wanted = [str(each.rdata).rstrip(".") for each in answer.rr if each.rtype == query.q.qtype]
    code = answer.header.rcode
    if code == RCODE.NOERROR:
        outcome: Outcome = "ok" if wanted else "nodata"
        return attempt.reply(outcome, "NOERROR", answers=tuple(wanted), authoritative=authoritative)
    outcome = _RCODES.get(code, "servfail")
    return attempt.reply(outcome, str(RCODE.get(code)), authoritative=authoritative)


def _exchange(
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
        while attempt.left():
            code = _send(sock, payload)
            if code:
                return attempt.local(code)
            until = max(0.0, attempt.left() - _AGAIN_S) if again else 0.0
            reply = _await(attempt, (sock, errors), until, (to[0], start), judge)
            if reply is not None:
                return reply
    return attempt.silence("no answer")


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
    while attempt.left() > until:
        wait(attempt.left() - until, sock, errors.socket)
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
