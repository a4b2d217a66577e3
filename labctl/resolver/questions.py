"""How a client's question comes to its answer: zones, copies, what other servers said, and asking them.

An alias is followed wherever it leads: from a zone to other servers and back, if need be.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import assert_never

from dnslib import RCODE, RR, DNSLabel

from labctl.model.services import Resolver
from labctl.resolver.buffer import Key, key_of
from labctl.resolver.cache import Cache, Hit, Outcome, Servers
from labctl.resolver.exchanges import Exchanges
from labctl.resolver.lookups import Answered, Lookup, Patience, onward
from labctl.resolver.secondaries import Copy
from labctl.resolver.visibility import Place, View
from labctl.resolver.wire import Query, Transport
from labctl.resolver.zonedata import ZoneData

CHAIN_LIMIT = 16
"""Aliases followed in one answer; a longer chain is taken for a loop."""
MOST_LOOKUPS = 300
"""Questions asked of other servers at a time; SERVFAIL beyond."""
MOST_WAITING = 256
"""Clients who wait for one of them; SERVFAIL beyond."""

_EVER = float("inf")


@dataclass(slots=True, eq=False)
class Question:
    """A question, who put it, and how far it has been answered: `name` is what has to be found out now."""

    query: Query
    source: IPv4Address
    view: View
    client: Hashable
    transport: Transport
    name: DNSLabel
    answers: list[RR] = field(default_factory=list)
    authoritative: bool | None = None
    until: float = _EVER
    expires: float = _EVER
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a question. From `until` on all its time-to-lives are less, from `expires` on it may be another."""

    rcode: int
    answers: tuple[RR, ...] = ()
    authority: tuple[RR, ...] = ()
    authoritative: bool = False
    until: float = _EVER
    expires: float = _EVER


@dataclass(frozen=True, slots=True)
class _Step:
    """What is known about the name that a question has come to."""

    rcode: int
    answers: tuple[RR, ...] = ()
    authority: tuple[RR, ...] = ()
    onward: DNSLabel | None = None
    authoritative: bool = False
    until: float = 0.0
    expires: float = 0.0


@dataclass(slots=True, eq=False)
class _Pending:
    lookup: Lookup
    waiting: dict[tuple[Hashable, int], Question] = field(default_factory=dict)


_UNKNOWN = _Step(RCODE.SERVFAIL)


class Questions:
    """The questions that are under way, and what was learnt from earlier ones."""

    def __init__(self, exchanges: Exchanges, answered: Callable[[Question, Result], None]) -> None:
        """`answered` is called for every question for which `resolve` gave no result at once."""
        self._exchanges = exchanges
        self._answered = answered
        self._cache = Cache()
        self._pending: dict[tuple[Servers, Key, int], _Pending] = {}
        self._config = Resolver((), ())

    def configure(self, config: Resolver) -> None:
        """Go on as `config` says; questions that are under way end as they began."""
        self._config = config

    def resolve(self, question: Question, now: float) -> Result | None:
        """The answer, or None where it has to be waited for."""
        result = None
        while result is None:
            if question.steps >= CHAIN_LIMIT:
                return Result(RCODE.SERVFAIL, until=question.until, expires=question.until)
            question.steps += 1
            key = key_of(question.name)
            step = self._step(question, question.view.place(key), key, now)
            if step is None:
                return None
            result = _taken(question, step)
        return result

    def _step(self, question: Question, place: Place | None, key: Key, now: float) -> _Step | None:
        match place:
            case None:
                return self._nobody(question)
            case ZoneData():
                return _found(place, question, now)
            case Copy():
                return _found(place.data, question, now) if place.data is not None else _UNKNOWN
            case tuple():
                return self._from_others(question, place, key, now)
            case never:
                assert_never(never)

    def _nobody(self, question: Question) -> _Step:
        """No zone and no server is responsible. What an alias points to is not ours to deny (RFC 6604 section 3)."""
        if question.answers:
            return _Step(RCODE.NOERROR, until=_EVER, expires=_EVER)
        match self._config.otherwise:
            case "nxdomain":
                return _Step(RCODE.NXDOMAIN, until=_EVER, expires=_EVER)
            case "refused":
                return _Step(RCODE.REFUSED, until=_EVER, expires=_EVER)
            case never:
                assert_never(never)

    def _from_others(self, question: Question, servers: Servers, key: Key, now: float) -> _Step | None:
        config, qtype = self._config, question.query.qtype
        hit = self._cache.get((servers, key), qtype, now, config.positive_s, config.negative_s)
        if hit is not None:
            return _told(hit, question)
        if not question.query.recursion_desired:
            return _Step(RCODE.NOERROR if question.answers else RCODE.REFUSED)
        pending = self._pending.get((servers, key, qtype))
        if pending is not None:
            # The server that we are asking asks us the same: waiting for each other would end when patience does.
            return _UNKNOWN if question.source in servers else _join(pending, question)
        return self._ask(question, servers, key, now)

    def _ask(self, question: Question, servers: Servers, key: Key, now: float) -> _Step | None:
        if len(self._pending) >= MOST_LOOKUPS:
            return _UNKNOWN
        place = (servers, key, question.query.qtype)

        def done(answered: Answered | None, then: float) -> None:
            self._learn(place, answered, then)

        patience = Patience(self._config.attempt_ms / 1000, self._config.patience_ms / 1000)
        lookup = Lookup(self._exchanges, (question.name, question.query.qtype), servers, patience, done)
        self._pending[place] = pending = _Pending(lookup)
        _join(pending, question)
        lookup.start(now)
        return None

    def _learn(self, place: tuple[Servers, Key, int], answered: Answered | None, now: float) -> None:
        """A lookup has ended: all who waited for it go on."""
        pending = self._pending.pop(place)
        servers, key, qtype = place
        hit = None
        if answered is not None:
            self._cache.put((servers, key), qtype, answered.outcome, now)
            hit = self._cache.get((servers, key), qtype, now, self._config.positive_s, self._config.negative_s)
            hit = hit or Hit(answered.outcome, now, now)  # not to be kept, yet true for those who asked
        for question in pending.waiting.values():
            result = _taken(question, _told(hit, question) if hit is not None else _UNKNOWN)
            result = result if result is not None else self.resolve(question, now)
            if result is not None:
                self._answered(question, result)


def _join(pending: _Pending, question: Question) -> _Step | None:
    """Wait for a lookup. Who asks again, having lost patience, gets one answer."""
    if len(pending.waiting) >= MOST_WAITING:
        return _UNKNOWN
    pending.waiting[question.client, question.query.id] = question
    return None


def _found(zone: ZoneData, question: Question, now: float) -> _Step:
    found = zone.find(question.name, question.query.qtype, question.view.near)
    until = _EVER if found.lasting else now
    return _Step(found.rcode, found.answers, found.authority, found.onward, True, until, until)


def _told(hit: Hit, question: Question) -> _Step:
    outcome: Outcome = hit.outcome
    alias = onward(question.query.qtype, outcome)
    return _Step(outcome.rcode, outcome.answers, outcome.authority, alias, until=hit.until, expires=hit.expires)


def _taken(question: Question, step: _Step) -> Result | None:
    """Add what is known; the result, or None where an alias leads on."""
    question.answers += step.answers
    question.until = min(question.until, step.until)
    question.expires = min(question.expires, step.expires)
    if question.authoritative is None:  # it is the first name of an answer that AA speaks of (RFC 1035 section 4.1.1)
        question.authoritative = step.authoritative
    if step.onward is not None:
        question.name = step.onward
        return None
    # Time-to-lives of zones do not shrink: together with others they are told only as long as both stay the same.
    expires = question.until if question.authoritative else question.expires
    if step.rcode in (RCODE.SERVFAIL, RCODE.REFUSED):
        return Result(step.rcode, until=question.until, expires=expires)
    answers = tuple(question.answers)
    return Result(step.rcode, answers, step.authority, question.authoritative, question.until, expires)
