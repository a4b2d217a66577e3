"""What the name server's pure parts ask of the loop around them: messages to send, and to be woken at a time.

An exchange is one conversation with one other server, by one socket of its own. Who opened it hears what comes of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from labctl.resolver.wire import Transport

MOST_EXCHANGES = 400
"""Open at a time: each has a socket, and a process usually may have 1024 files open."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send `message` to port 53 of `server`, from the socket of `exchange`, a new one where it has none."""

    exchange: int
    server: IPv4Address
    transport: Transport
    message: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Nothing more is expected of `exchange`."""

    exchange: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Send `messages` to the client that was told to wait; none: it gets no answer."""

    client: Hashable
    messages: tuple[bytes, ...]


Effect = Send | Close | Reply


class Owner(Protocol):
    """Who opens exchanges."""

    def heard(self, exchange: int, message: bytes, now: float) -> None:
        """A message came; nobody has looked at it."""

    def failed(self, exchange: int, now: float) -> None:
        """The exchange came to an end: refused by the host, connection lost, no route. It is closed already."""

    def woken(self, now: float) -> None:
        """The time has come that was asked for."""


class Exchanges:
    """The exchanges that are open, the times that are awaited, and the effects not yet carried out."""

    def __init__(self, draw: Callable[[], int]) -> None:
        """`draw` gives a number below 65536 that nobody can foresee (RFC 5452 section 9.2)."""
        self.draw = draw
        self.effects: list[Effect] = []
        self._owners: dict[int, Owner] = {}
        self._last = 0
        self._times: dict[Owner, float] = {}
        self._queue: list[tuple[float, int, Owner]] = []

    def open(self, owner: Owner, server: IPv4Address, transport: Transport, message: bytes) -> int | None:
        """A new exchange that begins with `message`; None where too many are open."""
        if len(self._owners) >= MOST_EXCHANGES:
            return None
        self._last += 1
        self._owners[self._last] = owner
        self.effects.append(Send(self._last, server, transport, message))
        return self._last

    def again(self, exchange: int, server: IPv4Address, message: bytes) -> None:
        """Send another datagram from the socket of an exchange that is open."""
        self.effects.append(Send(exchange, server, "udp", message))

    def close(self, exchange: int) -> None:
        """End an exchange; one that has ended already is no fault."""
        if self._owners.pop(exchange, None) is not None:
            self.effects.append(Close(exchange))

    def wake(self, owner: Owner, when: float | None) -> None:
        """Wake `owner` at `when`, and not at the time it asked for before; None or infinity: never."""
        if when is None or when == float("inf"):
            self._times.pop(owner, None)
            return
        self._times[owner] = when
        self._last += 1  # owners have no order among themselves
        heapq.heappush(self._queue, (when, self._last, owner))
        if len(self._queue) > 4 * MOST_EXCHANGES + 2 * len(self._times):
            self._queue = [each for each in self._queue if self._times.get(each[2]) == each[0]]
            heapq.heapify(self._queue)

    # -- for the loop

    def heard(self, exchange: int, message: bytes, now: float) -> None:
        """Hand a message to whom it concerns, if it still concerns anybody."""
        owner = self._owners.get(exchange)
        if owner is not None:
            owner.heard(exchange, message, now)

    def failed(self, exchange: int, now: float) -> None:
        """Say that an exchange came to an end by itself."""
        owner = self._owners.get(exchange)
        if owner is not None:
            self.close(exchange)
            owner.failed(exchange, now)

    def due(self) -> float | None:
        """When `pass_time` has something to do next."""
        while self._queue and self._times.get(self._queue[0][2]) != self._queue[0][0]:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def has_work(self) -> bool:
        """Whether there may be something to carry out or somebody to wake."""
        return bool(self.effects or self._queue)

    def pass_time(self, now: float) -> None:
        """Wake all who wanted to be woken by now."""
        while (when := self.due()) is not None and when <= now:
            owner = heapq.heappop(self._queue)[2]
            del self._times[owner]
            owner.woken(now)

    def take(self) -> list[Effect]:
        """The effects to carry out now, in their order."""
        taken, self.effects = self.effects, []
        return taken
