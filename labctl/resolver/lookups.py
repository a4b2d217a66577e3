"""One question asked of other servers, one after the other until one of them answers, for as long as patience lasts.

An answer counts from every server that was asked, also when the next one is being asked already; it must repeat the
question and the number of the query, which nobody else can know (RFC 5452). SERVFAIL, REFUSED and the like are no
answers: whoever says so is not asked again, and the next server is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from dnslib import OPCODE, QTYPE, RCODE, RR, DNSLabel
from dnslib.label import BufferError as WireError

from labctl.resolver.buffer import Key, key_of
from labctl.resolver.cache import Outcome, Servers
from labctl.resolver.exchanges import Exchanges
from labctl.resolver.wire import Message, Transport, read_message, write_query

ROUNDS = 2
"""How often a server that is silent is asked in one lookup: a datagram may get lost."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for one server, for all of them together."""

    attempt: float
    whole: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What a lookup found, and who said so."""

    outcome: Outcome
    server: IPv4Address
    authoritative: bool


@dataclass(frozen=True, slots=True)
class _Attempt:
    server: IPv4Address
    transport: Transport
    id: int
    options: bool
    message: bytes


Done = Callable[[Answered | None, float], None]


class Lookup:
    """A question on its way. `done` is called once, with None where nobody gave an answer."""

    def __init__(
        self, exchanges: Exchanges, question: tuple[DNSLabel, int], servers: Servers, patience: Patience, done: Done
    ) -> None:
        self.servers = servers
        self._exchanges = exchanges
        self._name, self._qtype = question
        self._key: Key = key_of(self._name)
        self._patience = patience
        self._done = done
        self._turns = iter(servers * ROUNDS)
        self._open: dict[int, _Attempt] = {}
        self._useless: set[IPv4Address] = set()
        self._deadline = 0.0

    def start(self, now: float) -> None:
        """Ask the first server."""
        self._deadline = now + self._patience.whole
        self._turn(now)

    def abandon(self) -> None:
        """Ask no more, and call nobody."""
        for exchange in self._open:
            self._exchanges.close(exchange)
        self._open.clear()
        self._exchanges.wake(self, None)

    def heard(self, exchange: int, message: bytes, now: float) -> None:
        """An answer, a forgery, or anything else."""
        attempt = self._open[exchange]
        if message[:2] != attempt.id.to_bytes(2, "big") or len(message) < 3 or not message[2] & 0x80:
            return
        try:
            read = read_message(message)
        except WireError:
            self._lose(exchange, now)
            return
        if not self._is_ours(read):
            return
        if read.truncated and attempt.transport == "udp":
            self._replace(exchange, attempt.server, "tcp", attempt.options, now)
        elif attempt.options and not read.has_options and read.rcode in (RCODE.FORMERR, RCODE.NOTIMP):
            self._replace(exchange, attempt.server, attempt.transport, False, now)  # RFC 6891 section 6.2.2
        elif (outcome := self._outcome(read)) is None:
            self._lose(exchange, now)
        else:
            self._end(Answered(outcome, attempt.server, read.authoritative), now)

    def failed(self, exchange: int, now: float) -> None:
        """A server cannot be reached."""
        self._lose(exchange, now)

    def woken(self, now: float) -> None:
        """A server was silent for too long, or all of them were."""
        if now >= self._deadline:
            self._end(None, now)
        else:
            self._turn(now)

    def _is_ours(self, read: Message) -> bool:
        if read.name is None:  # as a server that did not understand the question may answer it
            return read.rcode in (RCODE.FORMERR, RCODE.NOTIMP, RCODE.SERVFAIL, RCODE.REFUSED)
        return (read.name, read.qtype, read.opcode) == (self._key, self._qtype, OPCODE.QUERY)

    def _turn(self, now: float) -> None:
        """Ask the next server; where there is none, wait for those that were asked, if any."""
        for server in self._turns:
            if server not in self._useless and self._ask(server, now):
                return
        if self._open:
            self._exchanges.wake(self, self._deadline)
        else:
            self._end(None, now)

    def _ask(self, server: IPv4Address, now: float) -> bool:
        for exchange, attempt in self._open.items():
            if attempt.server == server:
                if attempt.transport == "udp":  # the same query again: whoever answers both says the same
                    self._exchanges.again(exchange, server, attempt.message)
                self._await(now)
                return True
        return self._begin(server, "udp", True, now)

    def _begin(self, server: IPv4Address, transport: Transport, options: bool, now: float) -> bool:
        identity = self._exchanges.draw()
        message = write_query(identity, self._name, self._qtype, options=options)
        exchange = self._exchanges.open(self, server, transport, message)
        if exchange is None:
            return False
        self._open[exchange] = _Attempt(server, transport, identity, options, message)
        self._await(now)
        return True

    def _await(self, now: float) -> None:
        self._exchanges.wake(self, min(now + self._patience.attempt, self._deadline))

    def _replace(self, exchange: int, server: IPv4Address, transport: Transport, options: bool, now: float) -> None:
        """Ask the same server in another way."""
        del self._open[exchange]
        self._exchanges.close(exchange)
        if not self._begin(server, transport, options, now):
            self._turn(now)

    def _lose(self, exchange: int, now: float) -> None:
        self._exchanges.close(exchange)
        self._useless.add(self._open.pop(exchange).server)
        self._turn(now)

    def _end(self, answered: Answered | None, now: float) -> None:
        self.abandon()
        self._done(answered, now)

    def _outcome(self, read: Message) -> Outcome | None:
        """What an answer says about the question alone; None where it is no answer, or points to other servers."""
        if read.rcode not in (RCODE.NOERROR, RCODE.NXDOMAIN):
            return None
        answers = tuple(_chain(self._name, self._qtype, read.answers))
        ends = any(rr.rtype == self._qtype for rr in answers) or self._qtype == QTYPE.ANY
        denials = () if answers and ends else tuple(_denial(rr) for rr in read.authority if rr.rtype == QTYPE.SOA)
        referral = any(rr.rtype == QTYPE.NS for rr in read.authority) and not read.authoritative
        if referral and not answers and not denials and read.rcode == RCODE.NOERROR:
            return None
        return Outcome(read.rcode, answers, denials[:1])


def _denial(soa: RR) -> RR:
    """An SOA record with the time for which a denial holds (RFC 2308 section 3)."""
    return RR(soa.rname, soa.rtype, soa.rclass, min(soa.ttl, soa.rdata.times[4]), soa.rdata)


def _chain(name: DNSLabel, qtype: int, answers: tuple[RR, ...]) -> list[RR]:
    """The aliases that lead away from `name`, in order, and the records asked for at their end."""
    chain: list[RR] = []
    at: dict[Key, list[RR]] = {}
    for record in answers:
        at.setdefault(key_of(record.rname), []).append(record)
    key = key_of(name)
    while key in at:
        here = at.pop(key)
        wanted = [rr for rr in here if qtype in (rr.rtype, QTYPE.ANY)]
        alias = [rr for rr in here if rr.rtype == QTYPE.CNAME][:1]
        chain += wanted or alias
        if wanted or not alias:
            break
        key = key_of(alias[0].rdata.label)
    return chain


def onward(qtype: int, outcome: Outcome) -> DNSLabel | None:
    """The name that an outcome leads to without saying anything about it: an alias that its server did not follow."""
    if outcome.rcode != RCODE.NOERROR or outcome.authority or not outcome.answers:
        return None
    last = outcome.answers[-1]
    return last.rdata.label if last.rtype == QTYPE.CNAME and qtype not in (QTYPE.CNAME, QTYPE.ANY) else None
