"""NOTIFY: other servers are told of a zone's new version, again until they say that they know (RFC 1996)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

from dnslib import RR

from labctl.resolver.exchanges import Exchanges
from labctl.resolver.wire import write_notify

TIMES = 6
"""How often a server that says nothing is told, in all."""
FIRST_PAUSE_S = 0.1
"""Before it is told again, and twice as long each time: the servers of a lab start all at once."""


class Notice:
    """One server and one version of a zone. `done` is called once the server knows, or will not be told again."""

    def __init__(self, exchanges: Exchanges, server: IPv4Address, soa: RR, done: Callable[[], None]) -> None:
        self._exchanges = exchanges
        self._server = server
        self._id = exchanges.draw()
        self._message = write_notify(self._id, soa)
        self._done = done
        self._left = TIMES
        self._exchange: int | None = None

    def woken(self, now: float) -> None:
        """Tell the server, for the first time or again."""
        if self._left == 0:
            self.stop()
            self._done()
            return
        self._left -= 1
        if self._exchange is None:
            self._exchange = self._exchanges.open(self, self._server, "udp", self._message)
        else:
            self._exchanges.again(self._exchange, self._server, self._message)
        self._exchanges.wake(self, now + FIRST_PAUSE_S * 2 ** (TIMES - 1 - self._left))

    def heard(self, exchange: int, message: bytes, now: float) -> None:
        """Any answer to the message will do: a server that refuses it will not like it better the next time."""
        if len(message) > 2 and message[:2] == self._id.to_bytes(2, "big") and message[2] & 0x80:
            self.stop()
            self._done()

    def failed(self, exchange: int, now: float) -> None:
        """The server does not listen, or not yet."""
        self._exchange = None

    def stop(self) -> None:
        """Tell the server no more."""
        if self._exchange is not None:
            self._exchanges.close(self._exchange)
        self._exchange = None
        self._exchanges.wake(self, None)
