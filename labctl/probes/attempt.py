"""One probe under way: where it is sent from, how long it may take, and what comes back as an ICMP error."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from labctl.kernel.netns import enter
from labctl.probes.wire import Outcome, Reply

UNREACHABLE, TOO_BIG = 3, 4  # ICMP type 3; its code 4 (RFC 792, RFC 1191)
_SOL_RAW, _ICMP_FILTER = 255, 1  # linux/icmp.h
_UNIT = 128  # bytes between two markers, so that every captured piece of a stream holds one

_BY_CODE: dict[int, Outcome] = {2: "refused", 3: "refused", TOO_BIG: "too_big"}
_PROHIBITED = (9, 10, 13)  # RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1
_WORDS = {
    0: "net unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    3: "port unreachable",
    TOO_BIG: "fragmentation needed",
    9: "network administratively prohibited",
    10: "host administratively prohibited",
    13: "communication administratively prohibited",
}

_LOCAL: dict[int, tuple[Outcome, str]] = {
    errno.ENETUNREACH: ("no_route", "the sender has no route"),
    errno.EHOSTUNREACH: ("no_route", "the sender's own route says unreachable, or nobody answers its ARP"),
    errno.EACCES: ("prohibited", "the sender's own route prohibits it"),
    errno.ECONNREFUSED: ("refused", "TCP RST"),
    errno.ECONNRESET: ("corrupt", "connected, then reset"),
}
_DROPPED = (errno.EPERM, errno.EINVAL)  # iptables OUTPUT, a blackhole route: silence, at the sender itself


def pattern(marker: bytes, size: int) -> bytes:
    """`size` bytes, no two stretches alike, in which the marker comes back at least every 128 + its own length."""
    width = max(_UNIT, len(marker) + 12)
    units = (b"%s %010d" % (marker, number) for number in range(-(-size // width)))
    return b"".join(unit.ljust(width, b".") for unit in units)[:size]


class Attempt:
    """A probe on its way. The clock starts with `begin`, at the first packet.

    An answer is due within `timeout_ms`; for `late_ms` longer it is waited for, to be told from silence.
    """

    def __init__(self, namespace: Path, marker: bytes, timeout_ms: int, late_ms: int = 0) -> None:
        self.namespace = namespace
        self.marker = marker
        self.own: set[tuple[int, int, int]] = set()
        self._due_s = timeout_ms / 1000
        self._late_s = late_ms / 1000
        self._started: float | None = None

    def begin(self) -> None:
        """The first packet leaves now; later calls change nothing."""
        if self._started is None:
            self._started = time.monotonic()

    def part(self, seconds: float) -> Attempt:
        """An attempt of its own within this one, as long as this; its packets are this one's."""
        self.begin()
        part = Attempt(self.namespace, self.marker, int(seconds * 1000))
        part.own = self.own
        return part

    def due(self) -> float:
        """Seconds in which an answer is in time; never below 0."""
        return max(0.0, self._remaining())

    def left(self) -> float:
        """Seconds until the probe is over; never below 0."""
        return max(0.0, self._remaining() + self._late_s)

    def rounds(self, until: float = 0.0) -> Iterator[float]:
        """How long to wait for something before each look at what has come, until `until` seconds are left.

        The last look is after that: an answer that came while this process was held up is no silence.
        """
        seconds = 1.0
        while seconds > 0:
            seconds = self.left() - until
            yield max(0.0, seconds)

    def _remaining(self) -> float:
        return self._due_s if self._started is None else self._started + self._due_s - time.monotonic()

    def reply(self, outcome: Outcome, reason: str, **more: Any) -> Reply:
        """The answer, timed from the first packet to now."""
        elapsed = 0.0 if self._started is None else (time.monotonic() - self._started) * 1000
        return Reply(outcome, reason, elapsed_ms=elapsed, **more)

    def silence(self, reason: str) -> Reply:
        """`filtered`: nothing came back, which only the whole time can tell."""
        time.sleep(self.left())
        return self.reply("filtered", reason)

    def local(self, code: int) -> Reply:
        """What the kernel itself said to a system call: errno `code`."""
        if code in _DROPPED:
            return self.silence(f"the sender's own rules or routes dropped it ({os.strerror(code)})")
        if code == errno.ETIMEDOUT:
            return self.silence("the kernel gave up waiting")
        outcome, reason = _LOCAL.get(code, ("error", os.strerror(code)))
        return self.reply(outcome, reason)

    def complaint(self, said: Complaint) -> Reply:
        """What an ICMP error says, and who said it."""
        outcome, words = _meaning(said)
        mtu = said.mtu if outcome == "too_big" else 0
        reason = f"ICMP {words} from {said.reporter}" + (f", mtu {mtu}" if mtu else "")
        return self.reply(outcome, reason, reporter=said.reporter, mtu=mtu)

    def sockets(self, kind: int, protocol: int = 0) -> tuple[socket.socket, IcmpListener]:
        """A non-blocking IPv4 socket in the sender's namespace, and a listener for ICMP there."""
        with enter(self.namespace):
            listener = IcmpListener()
            return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol), listener


@dataclass(frozen=True, slots=True)
class Complaint:
    """An ICMP error. `quote` is the packet it is about, as much of it as came back, IP header first."""

    type: int
    code: int
    mtu: int
    reporter: str
    quote: bytes

    def about(self, protocol: int, to: IPv4Address, start: bytes) -> bool:
        """Whether it is about a packet of `protocol` to `to` whose header begins with `start`."""
        if len(self.quote) < 20 or self.quote[9] != protocol or self.quote[16:20] != to.packed:
            return False
        return self.quote[(self.quote[0] & 15) * 4 :].startswith(start)


def _meaning(said: Complaint) -> tuple[Outcome, str]:
    if said.type != UNREACHABLE:
        return "expired", "time exceeded in transit"
    words = _WORDS.get(said.code, f"unreachable, code {said.code}")
    if said.code in _PROHIBITED:
        return "prohibited", words
    return _BY_CODE.get(said.code, "no_route"), words


class IcmpListener:
    """A raw socket of the current namespace for echo replies and errors (raw(7), ICMP_FILTER).

    It hears of an error even where the kernel drops it because the socket concerned is busy.
    """

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.socket = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
        unwanted = ~(1 << 0 | 1 << 3 | 1 << 11) & 0xFFFFFFFF
        self.socket.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", unwanted))

    def messages(self) -> Iterator[tuple[str, bytes]]:
        """Source address and ICMP message of whatever has come."""
        while True:
            try:
                data, (source, _) = self.socket.recvfrom(65536)
            except BlockingIOError:
                return
            yield source, data[(data[0] & 15) * 4 :]

    def complaints(self) -> Iterator[Complaint]:
        """The errors among them."""
        for source, message in self.messages():
            said = as_complaint(source, message)
            if said is not None:
                yield said

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


def as_complaint(source: str, message: bytes) -> Complaint | None:
    """The error that an ICMP message is, None where it is none or too short."""
    if len(message) < 8 or message[0] == 0:
        return None
    return Complaint(message[0], message[1], int.from_bytes(message[6:8], "big"), source, message[8:])


def wait(seconds: float, *readable: socket.socket, writable: socket.socket | None = None) -> None:
    """Until one of the sockets has something to tell, at most `seconds`; rounded up, so that nobody spins."""
    poll = select.poll()
    for each in readable:
        poll.register(each, select.POLLIN)
    if writable is not None:
        poll.register(writable, select.POLLOUT)
    poll.poll(int(seconds * 1000) + 1)
