"""What the lab's DNS server answers: bytes in, bytes out, without sockets, clock or chance.

Every sequence of bytes has an outcome, an answer or silence; none raises.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal, assert_never

from dnslib import CLASS, EDNS0, OPCODE, QTYPE, RCODE, DNSHeader, DNSLabel, DNSQuestion, DNSRecord
from dnslib.label import BufferError as WireError
from dnslib.label import DNSBuffer

from labctl.model.services import Resolver
from labctl.services.zonedata import Found, View, ZoneData

Transport = Literal["udp", "tcp"]

PAYLOAD = 1232
"""Bytes of a UDP message that we take and, at most, send: never fragmented on any path of a lab (RFC 9715)."""
PLAIN_PAYLOAD = 512
"""Bytes of a UDP message for a client without EDNS (RFC 1035 section 4.2.1)."""
TCP_PAYLOAD = 65535
CACHE_SIZE = 4096
"""Entries of each cache. A full one is emptied: a flood of ever new questions costs time and no memory."""
CACHED_QUERY = 512
"""Bytes of the longest query whose answer is kept."""

_BADVERS = 16
_HEADER = 12


@dataclass(frozen=True, slots=True)
class _Options:
    """The OPT record of a query (RFC 6891 section 6.1): the client's payload size, version, DNSSEC OK bit."""

    payload: int
    version: int
    dnssec_ok: bool


@dataclass(frozen=True, slots=True)
class _Query:
    id: int
    recursion_desired: bool
    name: DNSLabel
    qtype: int
    qclass: int
    options: _Options | None


class Resolution:
    """The answers of one DNS server (RFC 1034, 1035, 2308, 6891, 8482)."""

    def __init__(self, config: Resolver) -> None:
        """DescriptionError where a record cannot be served."""
        self._otherwise = config.otherwise
        self._zones = tuple(ZoneData(zone) for zone in config.zones)
        self._views: dict[tuple[int, ...], View] = {}
        self._visible: dict[IPv4Address, tuple[int, ...]] = {}
        self._cache: dict[tuple[bytes, tuple[int, ...], Transport], bytes] = {}

    def answer(self, query: bytes, source: IPv4Address, transport: Transport) -> bytes | None:
        """The answer to a client at `source`, None where silence is the right one (no id, or itself an answer)."""
        visible = self._visible.get(source)
        if visible is None:
            visible = self._see(source)
        key = (query[2:], visible, transport)
        cached = self._cache.get(key)
        if cached is not None:
            return query[:2] + cached
        answer = self._answer(query, self._views[visible], transport)
        if answer is not None and _HEADER <= len(query) <= CACHED_QUERY:
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[key] = answer[2:]
        return answer

    def _see(self, source: IPv4Address) -> tuple[int, ...]:
        """The numbers of the zones that `source` sees, narrowest permission first."""
        breadths = {number: zone.breadth(source) for number, zone in enumerate(self._zones)}
        seen = {number: breadth for number, breadth in breadths.items() if breadth is not None}
        visible = tuple(sorted(seen, key=lambda number: -seen[number]))
        if visible not in self._views:
            self._views[visible] = View(self._zones[number] for number in visible)
        if len(self._visible) >= CACHE_SIZE:
            self._visible.clear()
        self._visible[source] = visible
        return visible

    def _answer(self, query: bytes, view: View, transport: Transport) -> bytes | None:
        if len(query) < 2 or (len(query) > 2 and query[2] & 0x80):
            return None
        if len(query) > 2 and (query[2] >> 3) & 0xF != OPCODE.QUERY:
            return _refusal(query, RCODE.NOTIMP)
        try:
            parsed = _parse(query)
        except (WireError, RecursionError):  # dnslib follows a chain of pointers by recursion
            return _refusal(query, RCODE.FORMERR)
        limit = TCP_PAYLOAD if transport == "tcp" else _payload(parsed.options)
        return self._encode(parsed, self._found(parsed, view), limit)

    def _found(self, query: _Query, view: View) -> Found:
        if query.options is not None and query.options.version > 0:
            return Found(_BADVERS, authoritative=False)
        if query.qclass != CLASS.IN or query.qtype in (QTYPE.AXFR, QTYPE.IXFR):
            return Found(RCODE.REFUSED, authoritative=False)
        found = view.find(query.name, query.qtype)
        if found is not None:
            return found
        match self._otherwise:
            case "nxdomain":
                return Found(RCODE.NXDOMAIN, authoritative=False)
            case "refused":
                return Found(RCODE.REFUSED, authoritative=False)
            case never:
                assert_never(never)

    def _encode(self, query: _Query, found: Found, limit: int) -> bytes:
        message = self._message(query, found)
        message.rr.extend(found.answers)
        message.auth.extend(found.authority)
        wire = bytes(message.pack())
        if len(wire) <= limit:
            return wire
        short = self._message(query, found)
        short.header.tc = 1
        return bytes(short.pack())

    def _message(self, query: _Query, found: Found) -> DNSRecord:
        """The answer without its records. Recursion is available where every name gets a definite answer."""
        header = DNSHeader(id=query.id, bitmap=0, qr=1, rcode=found.rcode & 0xF)
        header.aa = int(found.authoritative)
        header.rd = int(query.recursion_desired)
        header.ra = int(self._otherwise == "nxdomain")
        message = DNSRecord(header, q=DNSQuestion(query.name, query.qtype, query.qclass))
        if query.options is not None:
            flags = "do" if query.options.dnssec_ok else ""
            message.add_ar(EDNS0(udp_len=PAYLOAD, ext_rcode=found.rcode >> 4, flags=flags))
        return message


def _payload(options: _Options | None) -> int:
    return PLAIN_PAYLOAD if options is None else min(max(options.payload, PLAIN_PAYLOAD), PAYLOAD)


def _refusal(query: bytes, rcode: int) -> bytes:
    """An answer that is a header only, for a query that was not understood: its id, opcode and RD bit come back."""
    kept = query[2] & 0x79 if len(query) > 2 else 0
    return query[:2] + struct.pack("!BBHHHH", 0x80 | kept, rcode, 0, 0, 0, 0)


def _parse(query: bytes) -> _Query:
    """WireError where `query` is not one question, perhaps with an OPT record among the additional ones."""
    buffer = DNSBuffer(query)
    identity, flags, questions, answers, authorities, additional = buffer.unpack("!HHHHHH")
    if questions != 1:
        raise WireError("not one question")  # RFC 9619
    name = _question_name(buffer)
    qtype, qclass = buffer.unpack("!HH")
    for _ in range(answers + authorities):
        _parse_record(buffer)
    options = [found for _ in range(additional) if (found := _parse_record(buffer)) is not None]
    if len(options) > 1:
        raise WireError("more than one OPT record")  # RFC 6891 section 6.1.1
    return _Query(identity, bool(flags & 0x0100), name, qtype, qclass, options[0] if options else None)


def _question_name(buffer: DNSBuffer) -> DNSLabel:
    start = buffer.offset
    name = buffer.decode_name()
    length = sum(len(label) + 1 for label in name.label) + 1
    # Nothing stands before the question that a pointer could mean; dnslib does not mind lengths (RFC 1035 3.1).
    if buffer.offset - start != length or length > 255 or any(len(label) > 63 for label in name.label):
        raise WireError("not a name")
    return name


def _parse_record(buffer: DNSBuffer) -> _Options | None:
    """Step over one record; what it says if it is an OPT record."""
    owner = buffer.decode_name()
    rtype, rclass, ttl, length = buffer.unpack("!HHIH")
    buffer.get(length)
    if rtype != QTYPE.OPT:
        return None
    if owner.label:
        raise WireError("an OPT record with an owner")
    return _Options(payload=rclass, version=(ttl >> 16) & 0xFF, dnssec_ok=bool(ttl & 0x8000))
