"""How much gets through to a receiver that is opened at the target: datagrams at a stated rate, or one connection.

Both ends are served in turn by one thread: the kernel keeps what has come, with the instant at which it came. The first
quarter does not count: until then buffers fill and credit is used up. Whatever keeps the sender from offering what it
should, or the receiver from taking what came, is an error: nothing was measured.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from labctl.kernel.netns import enter
from labctl.probes.actions_transport import connect, is_too_big
from labctl.probes.attempt import Attempt, IcmpListener, pattern, wait
from labctl.probes.clock import clock_offset
from labctl.probes.mmsg import Volley
from labctl.probes.throughput import Arrivals
from labctl.probes.urgency import urgent
from labctl.probes.wire import Outcome, Rate, Reply

# linux/in.h, asm-generic/socket.h
_IP_MTU_DISCOVER, _IP_MTU, _PMTUDISC_DO = 10, 14, 2
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_RXQ_OVFL = 32, 33, 35, 40
_TIME, _COUNT = struct.Struct("qq"), struct.Struct("I")
_ANCILLARY = socket.CMSG_SPACE(_TIME.size) + socket.CMSG_SPACE(_COUNT.size)
_SEND_BUFFER, _RECEIVE_BUFFER = 4 << 20, 64 << 20
_HEADERS = 28  # IPv4 and UDP
_PEEK = 128  # bytes of a datagram that are looked at
_KNOCK_S = 0.2  # between two first datagrams
_OVERHEAD = 1024  # of a packet in the receiver's buffer, at most
_FIRST, _MOST = 64, 1024  # datagrams at once: before all others, and at any time
_TICK_S = 0.002
_DRAIN_S = 0.1
_LATE_S = 0.005  # by which a datagram may be late without being held up
_IDLE = 0.04  # share of the time for which nothing may arrive because the sender is held up
_SHORT = 0.98  # share of what should be offered that must be
_STEP_NS = 5_000_000  # by which the clock may go wrong meanwhile
_PIECE = 1 << 18
_SAMPLE_MS = 5
_SEGMENTS = struct.Struct("=152xI")  # tcpi_data_segs_in of struct tcp_info, linux/tcp.h
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, socket(7): nothing goes on under way after the measurement


def rate(attempt: Attempt, action: Rate) -> Reply:
    """Measure. "ok": the target is reached, after `elapsed_ms`, and `rate_bit` is what got through.

    A measurement that failed is repeated while there is time.
    """
    kind = socket.SOCK_DGRAM if action.proto == "udp" else socket.SOCK_STREAM
    try:
        inlet = _inlet(attempt.namespace.with_name(action.target_node), action.to, kind)
    except OSError as error:
        return attempt.reply("error", f"no receiver on {action.target_node}: {os.strerror(error.errno or 0)}")
    with closing(inlet):
        return _datagrams(attempt, action, inlet) if action.proto == "udp" else _connection(attempt, action, inlet)


def _inlet(namespace: Path, to: IPv4Address, kind: socket.SocketKind) -> socket.socket:
    """The receiver, at `to` or, where an address is translated on the way, at any address."""
    with enter(namespace):
        inlet = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    with ExitStack() as undo:
        undo.callback(inlet.close)
        try:
            inlet.bind((str(to), 0))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            inlet.bind(("", 0))
        if kind is socket.SOCK_STREAM:
            inlet.listen(1)
        undo.pop_all()
    return inlet


def _forced(sock: socket.socket, option: int, forced: int, size: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, option, size)
    with contextlib.suppress(PermissionError):  # root of a user namespace only: as much as the machine allows
        sock.setsockopt(socket.SOL_SOCKET, forced, size)


def _datagrams(attempt: Attempt, action: Rate, inlet: socket.socket) -> Reply:
    for option in (_SO_TIMESTAMPNS, _SO_RXQ_OVFL):
        inlet.setsockopt(socket.SOL_SOCKET, option, 1)
    _forced(inlet, socket.SO_RCVBUF, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    outlet, errors = attempt.sockets(socket.SOCK_DGRAM)
    with closing(outlet), closing(errors):
        outlet.bind(("", 0))
        _forced(outlet, socket.SO_SNDBUF, _SO_SNDBUFFORCE, _SEND_BUFFER)
        outlet.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DO)
        to = (str(action.to), inlet.getsockname()[1])
        attempt.own.add((socket.IPPROTO_UDP, outlet.getsockname()[1], to[1]))
        code = outlet.connect_ex(to)
        if code:
            return attempt.local(code)
        attempt.begin()
        size = _open_way(attempt, action, (outlet, inlet, errors))
        if isinstance(size, Reply):
            return size
        reached = attempt.reply("ok", "").elapsed_ms
        reply = _Stream(attempt, action, outlet, inlet, size).measure()
        while reply.outcome == "error" and attempt.left() > action.for_ms / 1000 + _DRAIN_S:
            reply = _Stream(attempt, action, outlet, inlet, size).measure()
        return replace(reply, elapsed_ms=reached)


def _open_way(attempt: Attempt, action: Rate, ends: tuple[socket.socket, socket.socket, IcmpListener]) -> int | Reply:
    """The size of the largest datagram that arrives, or why none does. The first ones learn addresses and MTUs."""
    outlet, inlet, errors = ends
    while attempt.left():
        size = outlet.getsockopt(socket.IPPROTO_IP, _IP_MTU) - _HEADERS
        try:
            outlet.send(pattern(attempt.marker, size))
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                continue  # the path MTU has changed since it was asked for
            return attempt.local(error.errno or 0)
        wait(min(_KNOCK_S, attempt.left()), inlet, errors.socket)
        for said in errors.complaints():
            if said.about(socket.IPPROTO_UDP, action.to, b"") and not is_too_big(said):
                return attempt.complaint(said)
        with contextlib.suppress(BlockingIOError):
            inlet.recv(_PEEK)
            return size
    return attempt.silence(f"nothing arrived on {action.target_node}")


class _Stream:
    """Datagrams on their way, each at its instant."""

    def __init__(self, attempt: Attempt, action: Rate, outlet: socket.socket, inlet: socket.socket, size: int) -> None:
        self._attempt, self._action, self._inlet, self._size = attempt, action, inlet, size
        self._seconds = action.for_ms / 1000
        self._interval = 8 * (size + _HEADERS) / action.offer_bit
        self._volley = Volley(outlet, pattern(attempt.marker, size))
        self._arrivals = Arrivals()
        self._room = inlet.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // (size + _OVERHEAD) // 2
        self._offset = clock_offset()
        self._lost = self._offered = self._untaken = 0
        self._held_up: list[tuple[float, float]] = []

    def measure(self) -> Reply:
        """Send for the time asked for, and judge whether that was a measurement."""
        attempt = self._attempt
        self._take()
        self._arrivals = Arrivals()
        try:
            with urgent():
                self._send()
        except OSError as error:
            return attempt.local(error.errno or 0)
        time.sleep(_DRAIN_S)
        self._take()
        fault = self._fault()
        if fault:
            return attempt.reply("error", fault)
        through = self._arrivals.rate(self._seconds / 4, self._seconds)
        offer, packet = _said(self._action.offer_bit), self._size + _HEADERS
        words = f"{_said(through)} of {offer} got through, in packets of {packet} B"
        return attempt.reply("ok" if through else "corrupt", words, rate_bit=through)

    def _send(self) -> None:
        """A volley first, to use up the credit of a slow link; then each at its instant."""
        start = time.monotonic()
        self._volley.send(_FIRST)
        self._untaken = _FIRST
        while (at := time.monotonic() - start) < self._seconds:
            due = min(_MOST, int(at / self._interval) + 1 - self._offered)
            if due > 0:
                planned = self._offered * self._interval + _TICK_S
                if at > planned + _LATE_S:
                    self._held_up.append((start + planned, start + at))
                self._volley.send(due)
                self._offered += due
                self._untaken += due
            if self._untaken > self._room:
                self._take()
            after = max(0.0, self._offered * self._interval - (time.monotonic() - start))
            time.sleep(max(0.0, min(after + _TICK_S, start + self._seconds - time.monotonic())))

    def _take(self) -> None:
        """Read what has come: seldom, since every datagram may have to wait for the thread that serves the taps."""
        self._untaken = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                data, control, _, _ = self._inlet.recvmsg(self._size + 1, _ANCILLARY)
                told = {kind: value for _, kind, value in control}
                if _SO_RXQ_OVFL in told:
                    self._lost = _COUNT.unpack(told[_SO_RXQ_OVFL])[0]
                if data.startswith(self._attempt.marker):
                    seconds, nanoseconds = _TIME.unpack(told[_SO_TIMESTAMPNS])
                    at = (seconds * 1_000_000_000 + nanoseconds + self._offset) / 1e9
                    self._arrivals.add(at, len(data) + _HEADERS)

    def _fault(self) -> str:
        """What keeps it from being a measurement, "" if nothing does."""
        offered = 8 * self._offered * (self._size + _HEADERS) / self._seconds
        if offered < _SHORT * self._action.offer_bit:
            return f"the sender could offer only {_said(offered)} of {_said(self._action.offer_bit)}"
        # Held up for less than a queue on the way lasts, it did no harm.
        least = 2 * self._interval + _LATE_S
        idle = sum(self._arrivals.silent(since, until, least) for since, until in self._held_up)
        if idle > _IDLE * self._seconds:
            return f"the sender was held up, and nothing arrived for {idle * 1000:.0f} ms of {self._action.for_ms} ms"
        if self._lost:
            return f"the receiver had no room for {self._lost} packets that arrived"
        stepped = abs(clock_offset() - self._offset) > _STEP_NS
        return "the clock was set while it was needed" if stepped else ""


def _connection(attempt: Attempt, action: Rate, inlet: socket.socket) -> Reply:
    outlet = connect(attempt, action.to, inlet.getsockname()[1])
    if isinstance(outlet, Reply):
        return outlet
    reached = attempt.reply("ok", "").elapsed_ms
    wait(attempt.left(), inlet)
    try:
        arriving, _ = inlet.accept()
    except BlockingIOError:
        outlet.close()
        return attempt.reply("corrupt", f"connected, but not to {action.target_node}")
    with closing(outlet), closing(arriving):
        for each in (outlet, arriving):
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        try:
            with urgent():
                arrivals = _pour(outlet, arriving, pattern(attempt.marker, _PIECE), action.for_ms / 1000)
        except OSError as error:
            return attempt.reply("corrupt", f"connected, then {os.strerror(error.errno or 0)}")
    through = arrivals.rate(action.for_ms / 4000, action.for_ms / 1000)
    outcome: Outcome = "ok" if through else "corrupt"
    reply = attempt.reply(outcome, f"{_said(through)} got through, in one connection", rate_bit=through)
    return replace(reply, elapsed_ms=reached)


def _pour(outlet: socket.socket, arriving: socket.socket, body: bytes, seconds: float) -> Arrivals:
    """Send as much as the connection takes, and read it at once.

    Segments are counted as they arrive, in whichever order: what waits for a lost one has got through.
    """
    poll, arrivals, until, sent, seen = select.poll(), Arrivals(), time.monotonic() + seconds, 0, 0
    segment = outlet.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    poll.register(outlet, select.POLLOUT)
    poll.register(arriving, select.POLLIN)
    while time.monotonic() < until:
        ready = dict(poll.poll(_SAMPLE_MS))
        if outlet.fileno() in ready:
            sent += outlet.send(body[sent % len(body) :])
        if arriving.fileno() in ready and not arriving.recv(_PIECE):
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        count = _SEGMENTS.unpack_from(arriving.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SEGMENTS.size))[0]
        if count != seen:
            arrivals.add(time.monotonic(), (count - seen) * segment)
            seen = count
    return arrivals


def _said(bits: float) -> str:
    return f"{bits / 1e6:.3g} Mbit/s"
