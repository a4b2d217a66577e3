"""Nonsense from clients and from other servers: every query is answered or rightly not, and nothing is left behind.

LABCTL_TEST_LONG=1: a million packets in place of three thousand, and an eye on the memory.
"""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from dnslib import CNAME, EDNS0, QTYPE, RR, SOA, A, DNSHeader, DNSLabel, DNSQuestion, DNSRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.packet import fuzz

from labctl.model.services import Forward, Record, Resolver, Secondary, Zone
from labctl.resolver.buffer import key_of
from labctl.resolver.cache import MOST_ENTRIES
from labctl.resolver.exchanges import MOST_EXCHANGES, Close, Reply, Send
from labctl.resolver.resolution import NoAnswer, Resolution
from labctl.resolver.visibility import CACHE_SIZE
from labctl.resolver.wire import Transport, read_message, read_query

LONG = os.environ.get("LABCTL_TEST_LONG") == "1"
PACKETS = 1_000_000 if LONG else 3000
UP, ORIGIN = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
NAMES = ["www.here.test", "alias.here.test", "x.far.test", "copy.test", "a.b.c.copy.test", "", "here.test", "y.else"]
TYPES = ["A", "TXT", "SOA", "ANY", "AXFR", "IXFR", "CNAME", "MX"]
CONFIG = Resolver(
    (IPv4Address("192.0.2.9"),),
    (
        Zone(
            "here.test",
            (
                Record("www.here.test", "A", "192.0.2.7"),
                Record("alias.here.test", "CNAME", "x.far.test"),
                Record("*.here.test", "MX", "10 www.here.test"),
            ),
            transfer_to=(IPv4Address("10.0.0.1"),),
        ),
    ),
    forwards=(Forward("far.test", (UP, ORIGIN)), Forward("", (UP,))),
    secondaries=(Secondary("copy.test", (ORIGIN,)),),
    attempt_ms=30,
    patience_ms=90,
)


class Bench:
    """A resolver among liars. The clock moves on with each packet, by little or much."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.resolution = Resolution(lambda: self.chance.getrandbits(16), 0)
        self.resolution.adopt(self.resolution.plan(CONFIG), 0.0)
        self.open: dict[int, Send] = {}
        self.waiting: set[int] = set()
        self.sent = 0

    def hear(self, query: bytes) -> None:
        """A client's packet, and what comes of it."""
        self.sent += 1
        self.now += self.chance.choice((0.001, 0.001, 0.005, 0.2))
        source = f"10.0.{self.chance.getrandbits(2)}.{self.chance.getrandbits(8)}"
        transport: Transport = "tcp" if self.chance.getrandbits(1) else "udp"
        answer = self.resolution.ask(query, source, transport, self.sent, self.now)
        if isinstance(answer, bytes):
            assert answer[:2] == query[:2]
            assert answer[2] & 0x80
            if len(answer) > 12:
                read_message(answer)
        elif answer is NoAnswer.YET:
            self.waiting.add(self.sent)
        else:
            assert len(query) < 2 or (len(query) > 2 and query[2] & 0x80)
        self.go_on()

    def go_on(self) -> None:
        """Let others answer as they like."""
        exchanges = self.resolution.exchanges
        self.carry_out()
        for number, order in list(self.open.items()):
            if self.chance.random() < 0.5:
                exchanges.heard(number, self.lie(order.message), self.now)
            elif self.chance.random() < 0.05:
                exchanges.failed(number, self.now)
        exchanges.pass_time(self.now)
        self.carry_out()

    def carry_out(self) -> None:
        for effect in self.resolution.exchanges.take():
            match effect:
                case Send(exchange):
                    self.open[exchange] = effect
                case Close(exchange):
                    self.open.pop(exchange, None)
                case Reply(client):
                    assert isinstance(client, int)
                    self.waiting.discard(client)

    def lie(self, query: bytes) -> bytes:
        """Something like an answer to `query`."""
        if self.chance.random() < 0.1:
            return self.chance.randbytes(self.chance.randrange(60))
        asked = read_query(query)
        header = DNSHeader(id=asked.id, qr=1, aa=1, opcode=asked.opcode)
        reply = DNSRecord(header, q=DNSQuestion(asked.name, asked.qtype))
        names = [asked.name, *NAMES]
        if asked.qtype in (QTYPE.SOA, QTYPE.AXFR, QTYPE.IXFR) and self.chance.random() < 0.7:
            return mutated(self.copy(reply), self.chance, 0.3)
        for section in (reply.rr, reply.auth):
            for _ in range(self.chance.randrange(3)):
                section.append(self.record(self.chance.choice(names)))
        reply.header.rcode = self.chance.choice((0, 0, 0, 3, 2, 5, 1))
        reply.header.tc = int(self.chance.random() < 0.1)
        return mutated(bytes(reply.pack()), self.chance, 0.5)

    def copy(self, reply: DNSRecord) -> bytes:
        """The version of a zone, or the zone, or what may be differences."""
        first, second = (
            RR("copy.test", QTYPE.SOA, rdata=SOA("a", "b", (self.chance.randrange(4), 1, 1, 9, 1))) for _ in "12"
        )
        inside = [RR(self.chance.choice(NAMES[3:5]), rdata=A("192.0.2.5")) for _ in range(self.chance.randrange(3))]
        if reply.q.qtype == QTYPE.SOA:
            reply.rr = [first]
        elif reply.q.qtype == QTYPE.AXFR or self.chance.getrandbits(1):
            reply.rr = [first, *inside, first]
        else:
            reply.rr = [first, second, *inside, first, *inside, first]
        return bytes(reply.pack())

    def record(self, name: str | DNSLabel) -> RR:
        kind = self.chance.randrange(3)
        ttl = self.chance.choice((0, 1, 60, 2**31, 2**32 - 1))
        if kind == 0:
            return RR(name, QTYPE.A, ttl=ttl, rdata=A("192.0.2.66"))
        if kind == 1:
            return RR(name, QTYPE.CNAME, ttl=ttl, rdata=CNAME(self.chance.choice(NAMES)))
        numbers = tuple(self.chance.choice((0, 1, 2**32 - 1)) for _ in range(5))
        return RR(name, QTYPE.SOA, ttl=ttl, rdata=SOA("a.test", "b.test", numbers))

    def end(self) -> None:
        """Nobody answers any more: after all patience nothing is left of clients or exchanges."""
        self.open.clear()
        for _ in range(20):
            self.now += 0.05
            self.resolution.exchanges.pass_time(self.now)
            self.carry_out()
        assert self.waiting == set()
        assert self.resolution._questions._pending == {}
        assert len(self.open) <= 2  # of the copy, and a notice
        self.bounded()

    def bounded(self) -> None:
        resolution = self.resolution
        kept = [each for view in resolution._visibility._views.values() for each in view.kept.values()]
        assert sum(map(len, kept)) <= CACHE_SIZE
        assert len(resolution._visibility.seen) <= CACHE_SIZE
        assert len(resolution._questions._cache._entries) <= MOST_ENTRIES
        assert len(resolution.exchanges._owners) <= MOST_EXCHANGES
        assert len(resolution.exchanges._queue) <= 8 * MOST_EXCHANGES


def mutated(wire: bytes, chance: random.Random, often: float) -> bytes:
    """`wire`, and with this probability some bytes of it changed, or an end cut off or added."""
    if chance.random() > often:
        return wire
    changed = bytearray(wire)
    for _ in range(chance.randrange(1, 5)):
        changed[chance.randrange(len(changed))] = chance.choice((0, 1, 0xC0, 0x0C, 0xFF, chance.getrandbits(8)))
    if chance.random() < 0.3:
        del changed[chance.randrange(len(changed)) :]
    return bytes(changed) + chance.randbytes(chance.choice((0, 0, 0, 20)))


def packets(chance: random.Random, number: int) -> Iterator[bytes]:
    """Queries that are right, nearly right, and scapy's idea of a DNS packet, which takes long to make."""
    pool: list[bytes] = []
    random.seed(chance.getrandbits(32))  # scapy draws from there
    for turn in range(number):
        if turn % 50 == 0:
            shapes = (fuzz(DNS()), fuzz(DNS(qd=DNSQR(), qdcount=1)), fuzz(DNS(qd=DNSQR(), an=DNSRR(), opcode=4)))
            pool = [each for each in map(_built, shapes) if each][-50:]
        if turn % 4 == 0 and pool:
            yield mutated(chance.choice(pool), chance, 0.5)
            continue
        name = chance.choice(NAMES) if chance.random() < 0.7 else f"n{chance.getrandbits(20)}.far.test"
        query = DNSRecord.question(name, chance.choice(TYPES))
        if chance.random() < 0.5:
            query.add_ar(EDNS0(udp_len=chance.getrandbits(16), version=chance.choice((0, 0, 0, 1))))
        query.header.rd = chance.getrandbits(1)
        query.header.opcode = chance.choice((0, 0, 0, 0, 0, 4, 5))
        yield mutated(bytes(query.pack()), chance, 0.5)


def _built(packet: DNS) -> bytes:
    try:
        return bytes(packet)
    except Exception:  # fuzz draws values that scapy itself cannot write
        return b""


@pytest.mark.parametrize("seed", [1])
def test_nonsense_from_both_sides_is_survived_and_leaves_nothing(seed: int) -> None:
    bench = Bench(seed)
    settled = 0
    for number, packet in enumerate(packets(random.Random(seed), PACKETS)):
        bench.hear(packet)
        if number == PACKETS // 4:
            settled = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bench.end()
    if LONG:
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - settled < 20_000  # kilobytes


WIRE = bytes(DNSRecord.question("x.far.test").pack())


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_of_a_client_are_answered_or_rightly_not(query: bytes) -> None:
    bench = Bench(0)
    bench.hear(query)
    bench.end()


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=4))
def test_any_bytes_of_a_server_end_in_an_answer(answers: list[bytes]) -> None:
    resolution = Resolution(lambda: 7, 0)
    resolution.adopt(resolution.plan(CONFIG), 0.0)
    assert resolution.ask(WIRE, "10.0.0.1", "udp", "client", 0.0) is NoAnswer.YET
    for answer in answers:
        for effect in resolution.exchanges.take():
            if isinstance(effect, Send):
                resolution.exchanges.heard(effect.exchange, answer, 0.0)
                resolution.exchanges.heard(effect.exchange, b"\0\7" + answer, 0.0)
                resolution.exchanges.heard(effect.exchange, b"\0\7\x84\0" + effect.message[4:] + answer, 0.0)
    replies = []
    for now in (0.03, 0.06, 0.09, 0.12):
        resolution.exchanges.pass_time(now)
        replies += [each for each in resolution.exchanges.take() if isinstance(each, Reply)]
    assert len(replies) <= 1
    assert resolution._questions._pending == {}


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3))
def test_names_of_any_bytes_come_back_as_they_were_asked(labels: list[bytes]) -> None:
    name = b"".join(bytes([len(each)]) + each for each in labels) + b"\4here\4test\0"
    query = b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1"
    resolution = Resolution(lambda: 7, 0)
    resolution.adopt(resolution.plan(CONFIG), 0.0)
    answer = resolution.ask(query, "10.0.0.1", "udp", "client", 0.0)
    assert isinstance(answer, bytes)
    assert answer[12 : 12 + len(name)] == name
    assert read_message(answer).name == key_of(read_query(query).name)
