"""What the lab's DNS server answers: bytes and the time in, bytes out, without sockets, clock or chance.

Every sequence of bytes has an outcome, at once or later: an answer or silence; none raises. What there is to send to
other servers, and the answers that came later, are taken from `Resolution.exchanges`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address

from dnslib import CLASS, OPCODE, QTYPE, RCODE, RR
from dnslib.label import BufferError as WireError

from labctl.model.services import Resolver, Zone
from labctl.resolver.buffer import Key, key_of
from labctl.resolver.exchanges import Exchanges, Reply
from labctl.resolver.lookups import Patience
from labctl.resolver.notices import Notice
from labctl.resolver.questions import Question, Questions, Result
from labctl.resolver.secondaries import Copy
from labctl.resolver.transfers import Primary, chosen, succeed, transfer
from labctl.resolver.visibility import Kept, View, Visibility
from labctl.resolver.wire import (
    BADVERS,
    NOTAUTH,
    TCP_PAYLOAD,
    Head,
    Query,
    Transport,
    read_query,
    write_answer,
    write_refusal,
)
from labctl.resolver.zonedata import apex_key

KEPT_QUERY = 512
"""Bytes of the longest query whose answer is kept."""
KEPT_ANSWER = 4096
"""Bytes of the longest answer that is kept."""

_HEADER = 12
_OPCODES = (OPCODE.QUERY, OPCODE.NOTIFY)
_EVER = float("inf")


class NoAnswer(Enum):
    """Why there is no answer: silence is right (no number, or itself an answer), or it comes as an effect."""

    EVER = "ever"
    YET = "yet"


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration that can be served."""

    config: Resolver
    primaries: tuple[Primary, ...]


class Resolution:
    """The answers of one DNS server (RFC 1034, 1035, 1995, 1996, 2308, 5936, 6891, 7766, 8482)."""

    def __init__(self, draw: Callable[[], int], epoch: int) -> None:
        """It serves nothing before `adopt`. `draw` as in Exchanges; `epoch`: now, in seconds since 1970."""
        self.exchanges = Exchanges(draw)
        self._epoch = epoch
        self._questions = Questions(self.exchanges, self._answer_late)
        self._copies: dict[Key, Copy] = {}
        self._notices: dict[tuple[Key, IPv4Address], Notice] = {}
        self._take(Plan(Resolver((), ()), ()))

    def plan(self, config: Resolver) -> Plan:
        """`config` made ready, as what follows what is served now. DescriptionError where it cannot be served."""
        for name in (*(each.zone for each in config.forwards), *(each.zone for each in config.secondaries)):
            apex_key(name)
        return Plan(config, tuple(succeed(zone, self._predecessor(zone), self._epoch) for zone in config.zones))

    def adopt(self, plan: Plan, now: float) -> None:
        """Serve `plan` from now on; what was learnt stays, and so do copies, and questions under way."""
        told = _versions(self._plan)
        self._take_copies(plan.config, now)
        self._take(plan)
        for (apex, server), version in _versions(plan).items():
            known = told.get((apex, server))
            if known is None or known.rdata != version.rdata:
                self._notify(version, server, now)

    def copies(self) -> dict[str, str]:
        """The zones of other servers that are copied, each with its state (`Copy.state`)."""
        return {each.name: each.state for each in self._copies.values()}

    @property
    def datagrams(self) -> Mapping[bytes, Mapping[bytes, Kept]]:
        """The answers by UDP that are kept, by the client's address and by the query without its number."""
        return self._visibility.datagrams

    def known(self, query: bytes, source: str, transport: Transport, now: float) -> bytes | None:
        """The answer to a query that came in just these bytes before, if it is kept."""
        view = self._visibility.seen.get(source)
        kept = None if view is None else view.kept[transport].get(query[2:])
        if kept is None:
            return None
        if now >= kept.until:
            if now >= kept.expires:
                return None
            kept.renew(now)
        return query[:2] + kept.wire

    def ask(self, query: bytes, source: str, transport: Transport, client: Hashable, now: float) -> bytes | NoAnswer:
        """The answer to a query from the address `source`; where it comes later, it is a Reply to `client`."""
        known = self.known(query, source, transport, now)
        if known is not None:
            return known
        view = self._visibility.of(source)
        if len(query) < 2 or (len(query) > 2 and query[2] & 0x80):
            return NoAnswer.EVER
        if not view.is_client and self._plan.config.strangers == "silence":
            return NoAnswer.EVER
        answer, until, expires = self._answer(query, Asker(view, IPv4Address(source), transport, client), now)
        is_kept = isinstance(answer, bytes) and _HEADER <= len(query) <= KEPT_QUERY and len(answer) <= KEPT_ANSWER
        if isinstance(answer, bytes) and is_kept and expires > now:
            self._visibility.keep(view, transport, query[2:], Kept(answer[2:], until, expires))
        return answer

    def _answer(self, wire: bytes, asker: Asker, now: float) -> tuple[bytes | NoAnswer, float, float]:
        """The answer, until when it is the same, and until when it differs only as Kept says."""
        try:
            query = read_query(wire)
        except WireError:
            known = len(wire) < 3 or (wire[2] >> 3) & 0xF in _OPCODES
            return write_refusal(wire, RCODE.FORMERR if known else RCODE.NOTIMP), _EVER, _EVER
        rcode = self._objection(query, asker)
        if rcode is not None:
            return self._encode(query, Result(rcode), asker.transport), _EVER, _EVER
        if query.opcode == OPCODE.NOTIFY:
            return self._encode(query, self._notified(query, asker.source, now), asker.transport), now, now
        if query.qtype in (QTYPE.AXFR, QTYPE.IXFR):
            return self._transferred(query, asker), now, now
        question = Question(query, asker.source, asker.view, asker.client, asker.transport, query.name)
        result = self._questions.resolve(question, now)
        if result is None:
            return NoAnswer.YET, now, now
        return self._encode(query, result, asker.transport), result.until, result.expires

    def _objection(self, query: Query, asker: Asker) -> int | None:
        if query.options is not None and query.options.version > 0:
            return BADVERS
        if query.opcode not in _OPCODES:
            return int(RCODE.NOTIMP)
        if not asker.view.is_client or query.qclass != CLASS.IN:
            return int(RCODE.REFUSED)
        return None

    def _notified(self, query: Query, source: IPv4Address, now: float) -> Result:
        copy = self._copies.get(key_of(query.name))
        if copy is None:
            return Result(NOTAUTH)
        return Result(RCODE.NOERROR, authoritative=True) if copy.notified(source, now) else Result(RCODE.REFUSED)

    def _transferred(self, query: Query, asker: Asker) -> bytes | NoAnswer:
        primary = chosen(self._plan.primaries, key_of(query.name), asker.source)
        if primary is None:
            return self._encode(query, Result(RCODE.REFUSED), asker.transport)
        if asker.transport == "udp" and query.qtype == QTYPE.AXFR:  # RFC 5936 section 4.2
            return self._encode(query, Result(RCODE.FORMERR), asker.transport)
        self.exchanges.effects.append(Reply(asker.client, transfer(primary, query, asker.transport)))
        return NoAnswer.YET

    def _answer_late(self, question: Question, result: Result) -> None:
        wire = self._encode(question.query, result, question.transport)
        self.exchanges.effects.append(Reply(question.client, (wire,)))

    def _encode(self, query: Query, result: Result, transport: Transport) -> bytes:
        """Recursion is available where every name gets a definite answer."""
        config = self._plan.config
        available = config.otherwise == "nxdomain" or bool(config.forwards)
        limit = TCP_PAYLOAD if transport == "tcp" else query.limit
        head = Head(result.rcode, result.authoritative, available)
        return write_answer(query, head, result.answers, result.authority, limit)

    # -- from one configuration to the next

    def _take(self, plan: Plan) -> None:
        self._plan = plan
        self._questions.configure(plan.config)
        self._visibility = Visibility(plan.config, plan.primaries, self._copies)

    def _take_copies(self, config: Resolver, now: float) -> None:
        wanted = {apex_key(each.zone): each for each in config.secondaries}
        for key in self._copies.keys() - wanted.keys():
            self._copies.pop(key).stop()
        patience = Patience(config.attempt_ms / 1000, config.patience_ms / 1000)
        for key, each in wanted.items():
            copy = self._copies.setdefault(key, Copy(self.exchanges, each.zone, self._forget))
            copy.configure(each.primaries, patience, now)

    def _forget(self) -> None:
        self._visibility.forget()

    def _predecessor(self, zone: Zone) -> Primary | None:
        """What was served under the name of `zone`, to the same clients if there is such a one."""
        apex = apex_key(zone.name)
        before = [each for each in self._plan.primaries if each.data.apex == apex]
        same = [each for each in before if each.zone.permitted == zone.permitted]
        return next(iter(same or before), None)

    def _notify(self, version: RR, server: IPv4Address, now: float) -> None:
        place = key_of(version.rname), server
        earlier = self._notices.pop(place, None)
        if earlier is not None:
            earlier.stop()
        notice = Notice(self.exchanges, server, version, functools.partial(self._notices.__delitem__, place))
        self._notices[place] = notice
        self.exchanges.wake(notice, now)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and how it can be answered."""

    view: View
    source: IPv4Address
    transport: Transport
    client: Hashable


def _versions(plan: Plan) -> dict[tuple[Key, IPv4Address], RR]:
    """The SOA record of every zone for each server that copies it."""
    return {(each.data.apex, server): each.data.soa for each in plan.primaries for server in each.zone.transfer_to}
