"""Zones made ready for questions: which zone a name belongs to for one client, and what stands at that name.

Rules: a client sees only the zones that permit its address; of those the most specific decides about a name, and of
two of the same name the one that permits the narrower network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from dnslib import CNAME, QTYPE, RCODE, RD, RR, SOA, TXT, A, DNSError, DNSLabel, DNSRecord
from dnslib.label import DNSLabelError

from labctl.errors import DescriptionError
from labctl.model.services import Record, Zone

NEGATIVE_TTL = 60
"""Seconds for which a client may remember that something does not exist (RFC 2308 section 5)."""
CHAIN_LIMIT = 16
"""CNAMEs followed in one answer; a longer chain is taken for a loop."""

Key = tuple[bytes, ...]
"""A name's labels in lower case: the form in which names are compared (RFC 4343)."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known about a question: response code, answer and authority sections, and whether zone data said so."""

    rcode: int
    answers: tuple[RR, ...] = ()
    authority: tuple[RR, ...] = ()
    authoritative: bool = True


def key_of(name: DNSLabel) -> Key:
    """The form of `name` to compare and to look up."""
    return tuple(label.lower() for label in name.label)


class ZoneData:
    """One zone: every name in it, those without records between its apex and a record included (RFC 8020)."""

    def __init__(self, zone: Zone) -> None:
        """DescriptionError where a record lies outside the zone or has no form on the wire."""
        self.permitted = zone.permitted
        apex = _apex(zone)
        self.apex = key_of(apex)
        self.names: dict[Key, dict[int, list[RR]]] = {self.apex: {}}
        for record in zone.records:
            self._add(_resource(record), zone.name)
        self.soa = _start_of_authority(apex)
        self.names[self.apex][QTYPE.SOA] = [self.soa]

    def _add(self, resource: RR, zone_name: str) -> None:
        key = key_of(resource.rname)
        if key[len(key) - len(self.apex) :] != self.apex:
            raise DescriptionError(f"the record {resource.rname} lies outside the zone {zone_name}")
        for depth in range(len(key) - len(self.apex)):
            self.names.setdefault(key[depth:], {})
        self.names[key].setdefault(resource.rtype, []).append(resource)

    def breadth(self, source: IPv4Address) -> int | None:
        """The longest permitted prefix around `source`, 0 where everyone is permitted, None where `source` is not."""
        if not self.permitted:
            return 0
        return max((net.prefixlen for net in self.permitted if source in net), default=None)


class View:
    """The zones that one kind of client sees."""

    def __init__(self, zones: Iterable[ZoneData]) -> None:
        """`zones`: of two of the same name the first one counts."""
        self._zones: dict[Key, ZoneData] = {}
        for zone in zones:
            self._zones.setdefault(zone.apex, zone)

    def find(self, name: DNSLabel, qtype: int) -> Found | None:
        """The answer from zone data, CNAMEs followed inside the view; None where no zone of the view has `name`."""
        chain: list[RR] = []
        for _ in range(CHAIN_LIMIT):
            key = key_of(name)
            zone = self._zone(key)
            if zone is None:
                # What the last alias points to is not ours to deny (RFC 6604 section 3).
                return Found(RCODE.NOERROR, tuple(chain)) if chain else None
            sets = zone.names.get(key)
            if sets is None:
                return Found(RCODE.NXDOMAIN, tuple(chain), (zone.soa,))
            alias = sets.get(QTYPE.CNAME)
            if alias is None or qtype in (QTYPE.CNAME, QTYPE.ANY):
                answers = [_renamed(rr, name) for rr in _chosen(sets, qtype)]
                return Found(RCODE.NOERROR, (*chain, *answers), () if answers else (zone.soa,))
            chain.append(_renamed(alias[0], name))
            name = alias[0].rdata.label
        return Found(RCODE.SERVFAIL, authoritative=False)

    def _zone(self, key: Key) -> ZoneData | None:
        for depth in range(len(key) + 1):
            zone = self._zones.get(key[depth:])
            if zone is not None:
                return zone
        return None


def _apex(zone: Zone) -> DNSLabel:
    try:
        return DNSLabel(zone.name)
    except ValueError as error:
        raise DescriptionError(f"the zone {zone.name}: {error}") from None


def _chosen(sets: dict[int, list[RR]], qtype: int) -> list[RR]:
    if qtype == QTYPE.ANY:  # one of the sets is enough (RFC 8482 section 4.1)
        return next(iter(sets.values()), [])
    return sets.get(qtype, [])


def _renamed(resource: RR, name: DNSLabel) -> RR:
    """`resource` under the name as it was asked for, so that its case is kept and it compresses to a pointer."""
    return RR(name, resource.rtype, resource.rclass, resource.ttl, resource.rdata)


def _resource(record: Record) -> RR:
    try:
        resource = RR(record.name, getattr(QTYPE, record.type), ttl=record.ttl, rdata=_rdata(record))
        DNSRecord(rr=[resource]).pack()
    except (DNSError, DNSLabelError, ValueError) as error:
        raise DescriptionError(f"the record {record.name} {record.type} {record.value}: {error}") from None
    return resource


def _rdata(record: Record) -> RD:
    match record.type:
        case "A":
            return A(str(IPv4Address(record.value)))
        case "CNAME":
            return CNAME(record.value)
        case "TXT":
            text = record.value.encode()
            return TXT([text[at : at + 255] for at in range(0, len(text), 255)] or [b""])


def _start_of_authority(apex: DNSLabel) -> RR:
    times = (1, 3600, 600, 86400, NEGATIVE_TTL)  # serial, refresh, retry, expire, minimum (RFC 1035 section 3.3.13)
    return RR(apex, QTYPE.SOA, ttl=NEGATIVE_TTL, rdata=SOA(apex.add("ns"), apex.add("hostmaster"), times))
