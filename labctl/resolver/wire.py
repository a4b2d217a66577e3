"""DNS messages to data and back: strict about what is read, whoever sent it, and never fooled by it into an exception.

The records of a message that was read hold no pointers any more, so they can be written into another one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dnslib import CLASS, CNAME, EDNS0, MX, NS, OPCODE, PTR, QTYPE, RCODE, RD, RR, SOA, SRV, DNSError, DNSLabel
from dnslib.label import BufferError as WireError

from labctl.resolver.buffer import HEADER, Buffer, Key, key_of

Transport = Literal["udp", "tcp"]

PAYLOAD = 1232
"""Bytes of a UDP message that we take and, at most, send: never fragmented on any path of a lab (RFC 9715)."""
PLAIN_PAYLOAD = 512
"""Bytes of a UDP message for a client without EDNS (RFC 1035 section 4.2.1)."""
TCP_PAYLOAD = 65535
BADVERS = 16
"""RFC 6891 section 6.1.3."""
NOTAUTH = 9
"""RFC 2136 section 2.2: not a zone of this server."""

_NAMED: dict[int, type[RD]] = {
    QTYPE.NS: NS,
    QTYPE.CNAME: CNAME,
    QTYPE.SOA: SOA,
    QTYPE.PTR: PTR,
    QTYPE.MX: MX,
    QTYPE.SRV: SRV,
}
"""The types whose data may hold compressed names (RFC 3597 section 4, RFC 2782); of all others the data are bytes."""
_SIZES = {QTYPE.A: 4, QTYPE.AAAA: 16}
_LONGEST_TTL = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Options:
    """The OPT record of a message (RFC 6891 section 6.1): payload size, upper bits of the rcode, version, DO bit."""

    payload: int
    rcode: int
    version: int
    dnssec_ok: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A question as a client put it; `serial` is that of the SOA that comes with an IXFR or a NOTIFY."""

    id: int
    opcode: int
    recursion_desired: bool
    name: DNSLabel
    qtype: int
    qclass: int
    options: Options | None = None
    serial: int | None = None

    @property
    def limit(self) -> int:
        """Bytes of an answer by UDP."""
        return PLAIN_PAYLOAD if self.options is None else min(max(self.options.payload, PLAIN_PAYLOAD), PAYLOAD)


@dataclass(frozen=True, slots=True)
class Message:
    """An answer of another server. `name` and `qtype` are None where it repeats no question (RFC 5936 section 2.2)."""

    id: int
    opcode: int
    rcode: int
    authoritative: bool
    truncated: bool
    name: Key | None
    qtype: int | None
    answers: tuple[RR, ...]
    authority: tuple[RR, ...]
    has_options: bool


# -- reading


def read_query(wire: bytes) -> Query:
    """WireError where `wire` is not one question, perhaps with an OPT record among the additional ones."""
    buffer = Buffer(wire)
    identity, flags, questions, answers, authorities, additional = buffer.unpack("!HHHHHH")
    if questions != 1:
        raise WireError("not one question")  # RFC 9619
    name = buffer.decode_name()
    qtype, qclass = buffer.unpack("!HH")
    serials: list[int] = []
    for _ in range(answers + authorities):
        _serial_of_next(buffer, serials)
    options = [found for _ in range(additional) if (found := _step_over(buffer)) is not None]
    if len(options) > 1:
        raise WireError("more than one OPT record")  # RFC 6891 section 6.1.1
    return Query(
        identity,
        (flags >> 11) & 0xF,
        bool(flags & 0x0100),
        name,
        qtype,
        qclass,
        options[0] if options else None,
        serials[0] if serials else None,
    )


def _serial_of_next(buffer: Buffer, serials: list[int]) -> None:
    start = buffer.offset
    buffer.decode_name()
    rtype = buffer.unpack("!H")[0]
    buffer.offset = start
    if rtype == QTYPE.SOA:
        serials.append(_record(buffer).rdata.times[0])
    else:
        _step_over(buffer)


def _step_over(buffer: Buffer) -> Options | None:
    """Go past one record; what it says if it is an OPT record."""
    owner = buffer.decode_name()
    rtype, rclass, ttl, length = buffer.unpack("!HHIH")
    buffer.get(length)
    if rtype != QTYPE.OPT:
        return None
    if owner.label:
        raise WireError("an OPT record with an owner")
    return Options(rclass, ttl >> 24, (ttl >> 16) & 0xFF, bool(ttl & 0x8000))


def read_message(wire: bytes) -> Message:
    """WireError where `wire` is no answer, or one that cannot be read as far as its authority section."""
    buffer = Buffer(wire)
    identity, flags, questions, answers, authorities, additional = buffer.unpack("!HHHHHH")
    if not flags & 0x8000 or questions > 1:
        raise WireError("not an answer")
    name, qtype = (key_of(buffer.decode_name()), buffer.unpack("!HH")[0]) if questions else (None, None)
    truncated = bool(flags & 0x0200)
    # What a truncated answer holds is not used, and may end anywhere.
    answer = () if truncated else tuple(_record(buffer) for _ in range(answers))
    authority = () if truncated else tuple(_record(buffer) for _ in range(authorities))
    options = None if truncated else _options(buffer, additional)
    rcode = flags & 0xF | (options.rcode << 4 if options else 0)
    return Message(
        *(identity, (flags >> 11) & 0xF, rcode, bool(flags & 0x0400), truncated, name, qtype, answer, authority),
        has_options=options is not None,
    )


def _options(buffer: Buffer, additional: int) -> Options | None:
    for _ in range(additional):
        found = _step_over(buffer)
        if found is not None:
            return found
    return None


def _record(buffer: Buffer) -> RR:
    """The record at the offset, without pointers. WireError."""
    owner = buffer.decode_name()
    rtype, rclass, ttl, length = buffer.unpack("!HHIH")
    end = buffer.offset + length
    if end > len(buffer.data) or length != _SIZES.get(rtype, length) or rtype == QTYPE.OPT:
        raise WireError("not a record")
    try:
        rdata = _NAMED.get(rtype, RD).parse(buffer, length)
    except DNSError as error:
        raise WireError(str(error)) from None
    if buffer.offset != end:
        raise WireError("data that are shorter or longer than their length")
    return RR(owner, rtype, rclass, ttl if ttl <= _LONGEST_TTL else 0, rdata)  # RFC 2181 section 8


def times_to_live(wire: bytes) -> tuple[tuple[int, int], ...]:
    """Where in an answer of ours each time-to-live stands, and which it is."""
    buffer = Buffer(wire)
    _, _, questions, *counts = buffer.unpack("!HHHHHH")
    found = []
    for _ in range(questions):
        buffer.decode_name()
        buffer.unpack("!HH")
    for _ in range(sum(counts)):
        buffer.decode_name()
        rtype, _, ttl, length = buffer.unpack("!HHIH")
        if rtype != QTYPE.OPT:
            found.append((buffer.offset - 6, ttl))
        buffer.get(length)
    return tuple(found)


# -- writing


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the records of an answer."""

    rcode: int = RCODE.NOERROR
    authoritative: bool = False
    available: bool = False
    truncated: bool = False


def write_answer(query: Query, head: Head, answers: Iterable[RR], authority: Iterable[RR], limit: int) -> bytes:
    """The answer to `query`; one without records and with the TC bit where all would be longer than `limit` bytes."""
    wire = _answer(query, head, tuple(answers), tuple(authority))
    if len(wire) <= limit:
        return wire
    return _answer(query, Head(head.rcode, head.authoritative, head.available, truncated=True), (), ())


def _answer(query: Query, head: Head, answers: Sequence[RR], authority: Sequence[RR]) -> bytes:
    flags = 0x8000 | query.opcode << 11 | head.authoritative << 10 | head.truncated << 9
    flags |= query.recursion_desired << 8 | head.available << 7 | head.rcode & 0xF
    options = query.options
    buffer = Buffer()
    buffer.pack("!HHHHHH", query.id, flags, 1, len(answers), len(authority), int(options is not None))
    buffer.encode_name(query.name)
    buffer.pack("!HH", query.qtype, query.qclass)
    for record in (*answers, *authority):
        record.pack(buffer)
    if options is not None:
        EDNS0(udp_len=PAYLOAD, ext_rcode=head.rcode >> 4, flags="do" if options.dnssec_ok else "").pack(buffer)
    return bytes(buffer.data)


def write_refusal(wire: bytes, rcode: int) -> bytes:
    """An answer that is a header only, for a query that was not understood: its id, opcode and RD bit come back."""
    kept = wire[2] & 0x79 if len(wire) > 2 else 0
    return wire[:2] + struct.pack("!BBHHHH", 0x80 | kept, rcode, 0, 0, 0, 0)


def write_query(
    identity: int, name: DNSLabel, qtype: int, *, recursion: bool = True, options: bool = True, soa: RR | None = None
) -> bytes:
    """A query; with `soa`, the version that one has, among the authority records (RFC 1995 section 3)."""
    buffer = Buffer()
    buffer.pack("!HHHHHH", identity, recursion << 8, 1, 0, int(soa is not None), int(options))
    buffer.encode_name(name)
    buffer.pack("!HH", qtype, CLASS.IN)
    if soa is not None:
        soa.pack(buffer)
    if options:
        EDNS0(udp_len=PAYLOAD).pack(buffer)
    return bytes(buffer.data)


def write_notify(identity: int, soa: RR) -> bytes:
    """The message that a zone has the version `soa` (RFC 1996 section 3.7)."""
    buffer = Buffer()
    buffer.pack("!HHHHHH", identity, OPCODE.NOTIFY << 11 | 0x0400, 1, 1, 0, 0)
    buffer.encode_name(soa.rname)
    buffer.pack("!HH", QTYPE.SOA, CLASS.IN)
    soa.pack(buffer)
    return bytes(buffer.data)


def write_records(query: Query, records: Iterable[RR], limit: int) -> Iterator[bytes]:
    """Messages of at most `limit` bytes that hold `records` in their order: a zone transfer (RFC 5936 section 2.2)."""
    head = Head(authoritative=True)
    waiting = list(records)
    while waiting:
        count = _fitting(waiting, limit)
        yield _answer(query, head, waiting[:count], ())
        del waiting[:count]


def _fitting(records: Sequence[RR], limit: int) -> int:
    """How many of the first records certainly fit, at least one: counted without what pointers spare."""
    size = HEADER + 255 + 4 + 11
    for count, record in enumerate(records):
        buffer = Buffer()
        record.pack(buffer)
        size += buffer.offset
        if size > limit:
            return max(count, 1)
    return len(records)
