"""Many connections to one test server, held open together.

A connection counts once the server has greeted it: the kernel of a machine takes connections for a server that is dead
to the world. All that count are open still a while after the last of them is decided.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import IPv4Address

from labctl.kernel.netns import enter
from labctl.probes.actions_dialogue import Greeting, greeting
from labctl.probes.actions_transport import established, is_too_big
from labctl.probes.attempt import Attempt, Complaint, IcmpListener
from labctl.probes.dialing import resolve
from labctl.probes.wire import Connect, Reply

_HOLD_S, _CLOSE_S = 0.1, 1.0

End = Complaint | int | str
"""Why a connection is none: an ICMP error; the errno of a system call; or what was wrong with the server."""


class _Held:
    """One connection: under way, greeted, or at its end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.by: Greeting | None = None
        self.end: End | None = None
        self._received = b""

    @property
    def decided(self) -> bool:
        return self.by is not None or self.end is not None

    def start(self, to: tuple[str, int]) -> None:
        """Send the SYN."""
        code = self.sock.connect_ex(to)
        if code not in (0, errno.EINPROGRESS):
            self.end = code

    def turn(self) -> None:
        """Take what came."""
        open_ = established(self.sock)
        try:
            data = self.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError as error:
            self.end = f"connected, then {os.strerror(error.errno or 0)}" if open_ else error.errno or 0
            return
        self._received += data
        if b"\n" in self._received or not data:
            self.by = greeting(self._received.partition(b"\n")[0])
            if self.by is None:
                self.end = "connected, but to no labctl test server"

    def look(self) -> None:
        """Whether what was greeted is open still."""
        if self.by is None:
            return
        try:
            ended = not self.sock.recv(4096, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self.by, self.end = None, "greeted, then closed by the server"

    def why(self) -> End | None:
        """What became of one that is not open, None: nothing came."""
        return self.end or ("connected, but never greeted" if established(self.sock) else None)


def connect_many(attempt: Attempt, action: Connect) -> Reply:
    """Open, hold and close them. "ok": one at least was held; else none was, and if all for one reason, that."""
    addresses = resolve(attempt, action.to, action.named)
    if isinstance(addresses, Reply):
        return addresses
    to = addresses[0]
    try:
        with ExitStack() as undo:
            with enter(attempt.namespace):
                errors = undo.enter_context(closing(IcmpListener()))
                opened = [undo.enter_context(_opened()) for _ in range(action.count)]
            held = [_Held(each) for each in opened]
            last_ms = _open(attempt, held, errors, (to, action.port))
            time.sleep(_HOLD_S if any(each.by for each in held) else 0.0)
            for each in held:
                each.look()
            reply = _judge(attempt, held)
            _close([each.sock for each in held if each.by])
    except OSError as error:
        return attempt.reply("error", f"{action.count} connections cannot be opened: {os.strerror(error.errno or 0)}")
    elapsed = last_ms if reply.outcome == "ok" else reply.elapsed_ms
    return replace(reply, elapsed_ms=elapsed, tried=(str(to),) if action.named else ())


def _opened() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.bind(("", 0))
    except OSError:
        sock.close()
        raise
    return sock


def _open(attempt: Attempt, held: Sequence[_Held], errors: IcmpListener, to: tuple[IPv4Address, int]) -> float:
    """Connect until every one is decided or time is up; after how many milliseconds the last one was greeted."""
    by_port = {each.sock.getsockname()[1]: each for each in held}
    attempt.own.update((socket.IPPROTO_TCP, port, to[1]) for port in by_port)
    attempt.begin()
    poll = select.poll()
    poll.register(errors.socket, select.POLLIN)
    for each in held:
        each.start((str(to[0]), to[1]))
        poll.register(each.sock, select.POLLIN)
    waiting = {each.sock.fileno(): each for each in held}
    last_ms = 0.0
    for seconds in attempt.rounds(attempt.left() - attempt.due()):
        for number in [number for number, each in waiting.items() if each.decided]:
            poll.unregister(number)
            del waiting[number]
        if not waiting:
            break
        ready = [number for number, _ in poll.poll(int(seconds * 1000) + 1)]
        for said in errors.complaints():
            if said.about(socket.IPPROTO_TCP, to[0], b"") and not is_too_big(said):
                _complain(by_port, said)
        for each in (waiting[number] for number in ready if number in waiting):
            if not each.decided:
                each.turn()
            if each.by:
                last_ms = attempt.reply("ok", "").elapsed_ms
    return last_ms


def _complain(by_port: dict[int, _Held], said: Complaint) -> None:
    at = (said.quote[0] & 15) * 4
    each = by_port.get(int.from_bytes(said.quote[at : at + 2], "big"))
    if each is not None and not each.decided:
        each.end = said


def _judge(attempt: Attempt, held: Sequence[_Held]) -> Reply:
    greeted = [each.by for each in held if each.by]
    ends = [each.why() for each in held if not each.by]
    failures = {end: _failure(attempt, end) for end in set(ends)}
    counts = Counter(_fate(failures[end]) for end in ends)
    rest = ", ".join(f"{number} of {len(held)} {what}" for what, number in sorted(counts.items()))
    if any(each.outcome == "error" for each in failures.values()):
        return attempt.reply("error", rest)
    if greeted:
        servers, peers = {each.server for each in greeted}, {each.peer for each in greeted}
        return attempt.reply(
            "ok",
            f"{len(greeted)} of {len(held)} connections were open together",
            established=len(greeted),
            rest=rest,
            server=servers.pop() if len(servers) == 1 else "",
            peer=peers.pop() if len(peers) == 1 else "",
        )
    if len({each.outcome for each in failures.values()}) == 1:
        return replace(next(iter(failures.values())), reason=f"none of {len(held)} connections: {rest}")
    return attempt.reply("corrupt", f"none of {len(held)} connections: {rest}")


def _fate(failure: Reply) -> str:
    """What became of a connection, after its number."""
    match failure.outcome:
        case "filtered":
            return "got no answer"
        case "refused":
            return f"refused ({failure.reason})"
        case outcome:
            return f"{outcome} ({failure.reason})"


def _failure(attempt: Attempt, end: End | None) -> Reply:
    match end:
        case None:
            return attempt.reply("filtered", "no answer to the SYN")
        case int():
            return attempt.local(end)
        case str():
            return attempt.reply("corrupt", end)
        case Complaint():
            return attempt.complaint(end)


def _close(sockets: Iterable[socket.socket]) -> None:
    """End each as a client does that has nothing more to say, and wait for the server to end it too."""
    waiting = list(sockets)
    for each in waiting:
        each.shutdown(socket.SHUT_WR)
    for each in waiting:
        each.settimeout(_CLOSE_S)
        while each.recv(4096):
            pass
