"""Copies of zones that other servers are the origin of, kept up to date (RFC 1034 section 4.3.5, 1996).

A primary is asked for its serial at the start, at every NOTIFY, and at the times of the SOA record; a newer version is
taken over by TCP, the differences alone where the primary has them. A copy that no primary has confirmed for the time
`expire` is answered from no more.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Literal

from dnslib import CLASS, QTYPE, RR, DNSLabel

from labctl.resolver.buffer import key_of
from labctl.resolver.cache import Servers
from labctl.resolver.copying import Transfer, TransferFault
from labctl.resolver.exchanges import Exchanges
from labctl.resolver.lookups import Answered, Lookup, Patience
from labctl.resolver.transfers import is_newer
from labctl.resolver.wire import write_query
from labctl.resolver.zonedata import ZoneData

FIRST_RETRY_S = 0.1
"""Without any copy yet the primaries are asked again after this time, then after twice as long, and so on."""
LAST_RETRY_S = 60.0
PROMPT_RETRIES = 4
"""So often a primary is expected to be about to start; one that still says nothing is away."""
IDLE_S = 5.0
"""A transfer that brings nothing for so long has failed."""


class Copy:
    """One zone of which this server is a secondary. `data` is None while there is no copy to answer from."""

    def __init__(self, exchanges: Exchanges, name: str, changed: Callable[[], None]) -> None:
        self.name = name
        self.data: ZoneData | None = None
        self._exchanges = exchanges
        self._apex = DNSLabel(name)
        self._changed = changed
        self._primaries: Servers = ()
        self._patience = Patience(0.3, 1.5)
        self._lookup: Lookup | None = None
        self._exchange: int | None = None
        self._source: IPv4Address | None = None
        self._transfer: Transfer | None = None
        self._again = False
        self._failures = 0
        self._next = 0.0
        self._expires = float("inf")

    def configure(self, primaries: Servers, patience: Patience, now: float) -> None:
        """Take the zone from `primaries` from now on; what there is of it stays until they have confirmed it."""
        self._patience = patience
        if primaries != self._primaries:
            self._primaries = primaries
            self.check(now)

    @property
    def state(self) -> Literal["copying", "current", "missing"]:
        """Whether it is about to change; else whether there is a copy to answer from."""
        asking = self._lookup is not None or self._exchange is not None or self.data is None
        if asking and self._failures < PROMPT_RETRIES:
            return "copying"
        return "missing" if self.data is None else "current"

    def stop(self) -> None:
        """Ask nobody any more."""
        if self._lookup is not None:
            self._lookup.abandon()
        self._end_transfer()
        self._exchanges.wake(self, None)

    def notified(self, source: IPv4Address, now: float) -> bool:
        """A NOTIFY; whether it came from a primary, and so counts (RFC 1996 section 3.10)."""
        if source in self._primaries:
            self.check(now)
        return source in self._primaries

    def check(self, now: float) -> None:
        """Ask for the serial of the zone, now or once what is under way has ended."""
        if self._lookup is not None or self._exchange is not None:
            self._again = True
            return
        self._again = False
        turn = self._failures % max(len(self._primaries), 1)
        servers = self._primaries[turn:] + self._primaries[:turn]
        question = (self._apex, QTYPE.SOA)
        self._lookup = Lookup(self._exchanges, question, servers, self._patience, self._answered)
        self._lookup.start(now)

    def heard(self, exchange: int, message: bytes, now: float) -> None:
        """A part of the transfer."""
        assert self._transfer is not None
        try:
            data = self._transfer.feed(message)
        except TransferFault:
            self._give_up(now)
            return
        if data is None:
            self._exchanges.wake(self, min(now + IDLE_S, self._expires))
            return
        self._end_transfer()
        if data is not self.data:
            self.data = data
            self._changed()
        self._confirmed(now)

    def failed(self, exchange: int, now: float) -> None:
        """The transfer broke off."""
        self._exchange = None
        self._give_up(now)

    def woken(self, now: float) -> None:
        """Time to ask for news, to stop waiting for them, or to forget."""
        if now >= self._expires:
            self.data = None
            self._expires = float("inf")
            self._changed()
        if self._exchange is not None:
            self._give_up(now)
        elif now >= self._next and self._lookup is None:
            self.check(now)
        else:
            self._rest(now)

    def _answered(self, answered: Answered | None, now: float) -> None:
        self._lookup = None
        soa = _soa(answered, self._apex) if answered is not None else None
        if answered is None or soa is None:
            self._retry(now)
        elif self.data is not None and not is_newer(soa.rdata.times[0], self.data.serial):
            self._confirmed(now)
        else:
            self._begin(answered.server, self.data, now)

    def _begin(self, server: IPv4Address, base: ZoneData | None, now: float) -> None:
        identity = self._exchanges.draw()
        qtype, soa = (QTYPE.AXFR, None) if base is None else (QTYPE.IXFR, base.soa)
        message = write_query(identity, self._apex, qtype, recursion=False, options=False, soa=soa)
        self._source, self._transfer = server, Transfer(key_of(self._apex), identity, base)
        self._exchange = self._exchanges.open(self, server, "tcp", message)
        if self._exchange is None:
            self._retry(now)
        else:
            self._exchanges.wake(self, min(now + IDLE_S, self._expires))

    def _give_up(self, now: float) -> None:
        """A transfer failed: after one of differences the whole zone is asked for, after another comes a pause."""
        partial, server = self._transfer, self._source
        self._end_transfer()
        if partial is not None and partial.partial and server is not None:
            self._begin(server, None, now)
        else:
            self._retry(now)

    def _end_transfer(self) -> None:
        if self._exchange is not None:
            self._exchanges.close(self._exchange)
        self._exchange = self._transfer = None

    def _confirmed(self, now: float) -> None:
        assert self.data is not None
        _, refresh, _, expire, _ = self.data.soa.rdata.times
        self._failures = 0
        self._expires = now + max(expire, 1)
        self._pause(max(refresh, 1), now)

    def _retry(self, now: float) -> None:
        first = FIRST_RETRY_S * 2 ** min(self._failures, 10)
        self._failures += 1
        self._pause(min(first, LAST_RETRY_S) if self.data is None else max(self.data.soa.rdata.times[2], 1), now)

    def _pause(self, seconds: float, now: float) -> None:
        self._next = now + seconds
        if self._again:
            self.check(now)
        else:
            self._rest(now)

    def _rest(self, now: float) -> None:
        self._exchanges.wake(self, min(self._next, self._expires) if self._lookup is None else self._expires)


def _soa(answered: Answered, apex: DNSLabel) -> RR | None:
    """The SOA record, if the server that was asked answers for the zone."""
    if not answered.authoritative:
        return None
    found = [rr for rr in answered.outcome.answers if rr.rtype == QTYPE.SOA and rr.rclass == CLASS.IN]
    return found[0] if found and key_of(found[0].rname) == key_of(apex) else None
