"""Many exchanges with a test server at once, alike but for their source ports.

All of them share one deadline. They start in waves, as many at a time as a server's queues hold, so that none is lost
to the probe's own haste; the next starts as soon as one has ended, or when for a while none has.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import assert_never

from labctl.kernel.netns import enter
from labctl.probes.actions_dialogue import Greeting, compare, datagram, echoed, greeting
from labctl.probes.actions_transport import established, is_too_big
from labctl.probes.attempt import Attempt, Complaint, IcmpListener
from labctl.probes.wire import Flows, Reply

_WAVE = 64
_PATIENCE_S = 0.05  # without any end, before the next wave starts all the same

End = Greeting | Complaint | int | str
"""How a flow ended: who answered; an ICMP error; the errno of a system call; or what was wrong with the answer."""


class _Datagram:
    """A datagram and its echo."""

    def __init__(self, sock: socket.socket, payload: bytes) -> None:
        self.sock = sock
        self._payload = payload

    def start(self, to: tuple[str, int]) -> End | None:
        """Send. What is wrong if that fails."""
        code = self.sock.connect_ex(to)
        if code:
            return code
        try:
            self.sock.send(self._payload)
        except OSError as error:
            return error.errno or 0
        return None

    def turn(self) -> End | None:
        """Take what came, if that ends it."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return None
        except OSError as error:
            return error.errno or 0
        return echoed(data, self._payload) or "what came back is not what was sent"

    def give_up(self) -> End | None:
        """What can be said of it at the deadline, None: nothing came."""
        return None


class _Connection:
    """A connection: greeting, marked bytes, digest."""

    def __init__(self, sock: socket.socket, payload: bytes) -> None:
        self.sock = sock
        self._payload = payload
        self._received = b""
        self._by: Greeting | None = None

    def start(self, to: tuple[str, int]) -> End | None:
        """Send the SYN. What is wrong if that fails."""
        code = self.sock.connect_ex(to)
        return None if code in (0, errno.EINPROGRESS) else code

    def turn(self) -> End | None:
        """Take what came, if that ends it."""
        open_ = established(self.sock)
        try:
            data = self.sock.recv(65536)
            self._received += data
            if self._by is None:
                return self._greet(ended=not data)
        except BlockingIOError:
            return None
        except OSError as error:
            return f"connected, then {os.strerror(error.errno or 0)}" if open_ else error.errno or 0
        return None if data else self._compare()

    def give_up(self) -> End | None:
        """What can be said of it at the deadline, None: nothing came."""
        return "connected, then no more within the time" if established(self.sock) else None

    def _greet(self, *, ended: bool) -> End | None:
        line, found, rest = self._received.partition(b"\n")
        if not found and not ended:
            return None
        self._by, self._received = greeting(line), rest
        if self._by is None:
            return "connected, but to no labctl test server"
        self.sock.sendall(self._payload)
        self.sock.shutdown(socket.SHUT_WR)
        return None

    def _compare(self) -> End:
        outcome, reason = compare(self._received, self._payload)
        return self._by if self._by is not None and outcome == "ok" else reason


_Flow = _Datagram | _Connection


def flows(attempt: Attempt, action: Flows) -> Reply:
    """Carry out all of them. "ok": all were answered; any other than corrupt: none was, and all for one reason."""
    kind = socket.SOCK_DGRAM if action.proto == "udp" else socket.SOCK_STREAM
    try:
        with ExitStack() as undo:
            with enter(attempt.namespace):
                errors = undo.enter_context(closing(IcmpListener()))
                opened = [undo.enter_context(_opened(kind)) for _ in range(action.count)]
            return _judge(attempt, action.count, _Run(attempt, action, opened).carry_out(errors))
    except OSError as error:
        return attempt.reply("error", f"{action.count} flows cannot be opened: {os.strerror(error.errno or 0)}")


def _opened(kind: socket.SocketKind) -> socket.socket:
    """A socket with a source port of its own."""
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.bind(("", 0))
    except OSError:
        sock.close()
        raise
    return sock


class _Run:
    """The flows under way."""

    def __init__(self, attempt: Attempt, action: Flows, opened: Iterable[socket.socket]) -> None:
        payload = datagram(attempt.marker)
        make = _Datagram if action.proto == "udp" else _Connection
        self._attempt, self._to, self._port = attempt, action.to, action.port
        self._protocol = socket.IPPROTO_UDP if action.proto == "udp" else socket.IPPROTO_TCP
        self._flows: dict[int, _Flow] = {sock.getsockname()[1]: make(sock, payload) for sock in opened}
        self._ports = {flow.sock.fileno(): port for port, flow in self._flows.items()}
        self._unstarted = list(self._flows)
        self._ends: dict[int, End] = {}
        self._room = _WAVE
        self._poll = select.poll()

    def carry_out(self, errors: IcmpListener) -> list[End | None]:
        """How each of them ended; None: nothing came within the time."""
        attempt = self._attempt
        attempt.own.update((self._protocol, port, self._port) for port in self._flows)
        attempt.begin()
        self._poll.register(errors.socket, select.POLLIN)
        patience = min(_PATIENCE_S, attempt.due() / 2 / (len(self._flows) / _WAVE + 1))
        for seconds in attempt.rounds():
            if len(self._ends) == len(self._flows):
                break
            self._start_some()
            ready = self._poll.poll(int((min(seconds, patience) if self._unstarted else seconds) * 1000) + 1)
            if not ready:
                self._room = _WAVE
            self._take([number for number, _ in ready], errors)
        return [self._ends.get(port) or flow.give_up() for port, flow in self._flows.items()]

    def _start_some(self) -> None:
        while self._unstarted and self._room > 0:
            port = self._unstarted.pop()
            self._room -= 1
            self._poll.register(self._flows[port].sock, select.POLLIN)
            self._end(port, self._flows[port].start((str(self._to), self._port)))

    def _take(self, ready: Iterable[int], errors: IcmpListener) -> None:
        """The ICMP errors first: the sockets they are about only know an errno."""
        for said in errors.complaints():
            if said.about(self._protocol, self._to, b"") and not is_too_big(said):
                self._end(_source_port(said), said)
        for number in ready:
            port = self._ports.get(number)
            if port is not None and port not in self._ends:
                self._end(port, self._flows[port].turn())

    def _end(self, port: int, end: End | None) -> None:
        if end is not None and port in self._flows and port not in self._ends:
            self._ends[port] = end
            self._room += 1
            self._poll.unregister(self._flows[port].sock)


def _source_port(said: Complaint) -> int:
    at = (said.quote[0] & 15) * 4
    return int.from_bytes(said.quote[at : at + 2], "big")


def _judge(attempt: Attempt, count: int, ends: Iterable[End | None]) -> Reply:
    by, failed = [], set()
    for end in ends:
        if isinstance(end, Greeting):
            by.append(end)
        else:
            failed.add(end)
    if not failed:
        return _all_answered(attempt, by)
    failures = [_failure(attempt, end) for end in failed]
    reasons = "; ".join(sorted({each.reason for each in failures}))
    if any(each.outcome == "error" for each in failures):
        return attempt.reply("error", reasons)
    if not by and len({each.outcome for each in failures}) == 1:
        return replace(failures[0], reason=f"none of {count} flows was answered: {reasons}")
    return attempt.reply(
        "corrupt", f"{len(by)} of {count} flows were answered, not the others: {reasons}", answered=len(by)
    )


def _all_answered(attempt: Attempt, by: list[Greeting]) -> Reply:
    """`server` and `peer` are told where all flows have the same."""
    servers, peers = Counter(each.server for each in by), {each.peer for each in by}
    told = ", ".join(f"{server} {number}" for server, number in sorted(servers.items()))
    return attempt.reply(
        "ok",
        f"all {len(by)} flows were answered ({told})",
        server=by[0].server if len(servers) == 1 else "",
        peer=by[0].peer if len(peers) == 1 else "",
        answered=len(by),
    )


def _failure(attempt: Attempt, end: Complaint | int | str | None) -> Reply:
    match end:
        case None:
            return attempt.silence("no answer")
        case int():
            return attempt.local(end)
        case str():
            return attempt.reply("corrupt", end)
        case Complaint():
            return attempt.complaint(end)
        case _:
            assert_never(end)
