"""What stands at the names of one zone, for one kind of client: answers, aliases, denials (RFC 1034 section 4.3.2).

A zone is whole: NS records below its apex are records like others, nothing is delegated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Literal

from dnslib import AAAA, CNAME, MX, NS, PTR, QTYPE, RCODE, RD, RR, SOA, SRV, TXT, A, DNSError, DNSLabel, DNSRecord
from dnslib.label import DNSLabelError

from labctl.errors import DescriptionError
from labctl.model.services import Record, Zone
from labctl.resolver.buffer import Key, key_of

NEGATIVE_TTL = 60
"""Seconds for which a client may remember that something does not exist (RFC 2308 section 5)."""
TIMES = (3600, 600, 86400)
"""Seconds: a secondary asks for news, asks again where it got no answer, and forgets (RFC 1035 section 3.3.13)."""

_WILD = (b"*",)

Near = frozenset[IPv4Network]
"""The networks named in records that a client is in."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a zone knows about a question. `onward`: the answers end with an alias to this name of another zone.

    `lasting` where the next answer will be the same.
    """

    rcode: int
    answers: tuple[RR, ...] = ()
    authority: tuple[RR, ...] = ()
    onward: DNSLabel | None = None
    lasting: bool = True


class ZoneData:
    """The contents of a zone: every name, those without records between its apex and a record included (RFC 8020)."""

    def __init__(self, soa: RR, records: Iterable[RR], order: Literal["given", "near", "rotate"] = "given") -> None:
        """`records` without the SOA record. DescriptionError where one lies outside the zone."""
        self.soa = soa
        self.apex = key_of(soa.rname)
        self.records = tuple(records)
        self._order = order
        self._names: dict[Key, dict[int, list[RR]]] = {self.apex: {QTYPE.SOA: [soa]}}
        self._near: dict[tuple[Key, int], list[tuple[IPv4Network, ...]]] = {}
        self._turns: dict[tuple[Key, int], int] = {}
        for record in self.records:
            self._add(record)

    @property
    def serial(self) -> int:
        """The version."""
        return int(self.soa.rdata.times[0])

    def _add(self, resource: RR) -> None:
        key = key_of(resource.rname)
        if key[len(key) - len(self.apex) :] != self.apex:
            raise DescriptionError(f"the record {resource.rname} lies outside the zone {self.soa.rname}")
        for depth in range(len(key) - len(self.apex)):
            self._names.setdefault(key[depth:], {})
        self._names[key].setdefault(resource.rtype, []).append(resource)

    def prefer(self, records: Iterable[Record]) -> None:
        """Take over for whom each record comes first; `records` are those of the zone, in the same order."""
        for record, resource in zip(records, self.records, strict=False):
            self._near.setdefault((key_of(resource.rname), resource.rtype), []).append(record.near)

    def find(self, name: DNSLabel, qtype: int, near: Near) -> Found:
        """The answer to a question about a name inside the zone; aliases are followed as far as the zone reaches."""
        key = key_of(name)
        sets = self._at(key)
        if sets is None:
            return Found(RCODE.NXDOMAIN, (), (self.soa,))
        alias = sets.get(QTYPE.CNAME)
        if alias and qtype not in (QTYPE.CNAME, QTYPE.ANY):
            return Found(RCODE.NOERROR, (_renamed(alias[0], name),), onward=alias[0].rdata.label)
        if qtype == QTYPE.ANY:  # one of the sets is enough (RFC 8482 section 4.1)
            qtype = next(iter(sets), qtype)
        chosen = self._ordered((key, qtype), sets.get(qtype, []), near)
        answers = tuple(_renamed(rr, name) for rr in chosen)
        lasting = self._order != "rotate" or len(answers) < 2
        return Found(RCODE.NOERROR, answers, () if answers else (self.soa,), lasting=lasting)

    def _at(self, key: Key) -> dict[int, list[RR]] | None:
        """The sets at a name, or those of the wildcard that stands for it (RFC 4592 section 3.3.1)."""
        sets = self._names.get(key)
        if sets is not None:
            return sets
        for depth in range(1, len(key) - len(self.apex) + 1):
            if key[depth:] in self._names:
                return self._names.get(_WILD + key[depth:])
        return None

    def _ordered(self, place: tuple[Key, int], records: list[RR], near: Near) -> Sequence[RR]:
        if len(records) < 2 or self._order == "given":
            return records
        if self._order == "rotate":
            turn = self._turns.get(place, 0) % len(records)
            self._turns[place] = turn + 1
            return records[turn:] + records[:turn]
        nets = self._near.get(place, ())
        preferred = [not near.isdisjoint(each) for each in nets]
        return [
            rr for wanted in (True, False) for rr, is_near in zip(records, preferred, strict=False) if is_near is wanted
        ]


def zone_data(zone: Zone, serial: int) -> ZoneData:
    """A zone as it is served. DescriptionError where a record lies outside it or has no form on the wire."""
    apex = _label(zone.name, f"the zone {zone.name}")
    times = (serial, *TIMES, NEGATIVE_TTL)
    soa = RR(apex, QTYPE.SOA, ttl=NEGATIVE_TTL, rdata=SOA(apex.add("ns"), apex.add("hostmaster"), times))
    data = ZoneData(soa, [_resource(record) for record in zone.records], zone.order)
    data.prefer(zone.records)
    return data


def _label(name: str, what: str) -> DNSLabel:
    try:
        return DNSLabel(name)
    except ValueError as error:
        raise DescriptionError(f"{what}: {error}") from None


def apex_key(name: str) -> Key:
    """The form in which the zone `name` is looked up. DescriptionError."""
    return key_of(_label(name, f"the zone {name}"))


def _renamed(resource: RR, name: DNSLabel) -> RR:
    """`resource` under the name as it was asked for, so that its case is kept and it compresses to a pointer."""
    return RR(name, resource.rtype, resource.rclass, resource.ttl, resource.rdata)


def _resource(record: Record) -> RR:
    try:
        resource = RR(record.name, getattr(QTYPE, record.type), ttl=record.ttl, rdata=_rdata(record))
        DNSRecord(rr=[resource]).pack()
    except (DNSError, DNSLabelError, ValueError, IndexError) as error:
        raise DescriptionError(f"the record {record.name} {record.type} {record.value}: {error}") from None
    return resource


def _rdata(record: Record) -> RD:
    value = record.value
    match record.type:
        case "A":
            return A(str(IPv4Address(value)))
        case "AAAA":
            return AAAA(tuple(IPv6Address(value).packed))
        case "CNAME":
            return CNAME(value)
        case "MX":
            preference, exchange = value.split()
            return MX(exchange, int(preference))
        case "NS":
            return NS(value)
        case "PTR":
            return PTR(value)
        case "SRV":
            priority, weight, port, target = value.split()
            return SRV(int(priority), int(weight), int(port), DNSLabel(target))
        case "TXT":
            text = value.encode()
            return TXT([text[at : at + 255] for at in range(0, len(text), 255)] or [b""])
