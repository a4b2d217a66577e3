"""A zone that this server is the origin of: its versions, who sees it, and how another server gets a copy.

The serial of a zone that nobody copies is the one configured, counted up when records change while the program runs.
That of a zone that is copied begins with the program's start, in seconds since 1970: copies that were taken before a
restart are older, whatever happened meanwhile (RFC 1912 section 2.2 leaves the choice to the operator).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from dnslib import QTYPE, RR

from labctl.model.services import Record, Zone
from labctl.resolver.buffer import Buffer, key_of
from labctl.resolver.wire import TCP_PAYLOAD, Head, Query, Transport, write_answer, write_records
from labctl.resolver.zonedata import ZoneData, zone_data

MESSAGE = 16000
"""Bytes of one message of a transfer: pointers reach no further."""
MOST_CHANGES = 50
"""Versions back to which another server can be told the differences alone; an older one gets everything."""

_HEAD = Head(authoritative=True)
_HALF = 1 << 31
_WHOLE = 1 << 32


@dataclass(frozen=True, slots=True)
class Change:
    """From one version to the next: the SOA record of each, and the records that went and came."""

    before: RR
    after: RR
    gone: tuple[RR, ...]
    come: tuple[RR, ...]


@dataclass(frozen=True, slots=True)
class Primary:
    """A zone with its contents and its last changes, oldest first."""

    zone: Zone
    data: ZoneData
    changes: tuple[Change, ...] = ()

    def breadth(self, source: IPv4Address) -> int | None:
        """The longest permitted prefix around `source`, 0 where everyone is permitted, None where `source` is not."""
        if not self.zone.permitted or source in self.zone.transfer_to:
            return 0
        return max((net.prefixlen for net in self.zone.permitted if source in net), default=None)


def is_newer(serial: int, than: int) -> bool:
    """Whether `serial` comes after `than` (RFC 1982 section 3.2)."""
    return 0 < (serial - than) % _WHOLE < _HALF


def succeed(zone: Zone, before: Primary | None, epoch: int) -> Primary:
    """`zone` as the successor of what was served under its name. DescriptionError where it cannot be served.

    `epoch`: when the program started, seconds since 1970.
    """
    if before is None:
        start = (zone.serial + epoch) % _WHOLE if zone.transfer_to else zone.serial
        return Primary(zone, zone_data(_completed(zone), start))
    last = before.data.serial
    same = _contents(zone) == _contents(before.zone)
    serial = last if same else (last + 1) % _WHOLE
    if is_newer(zone.serial, serial):
        serial = zone.serial
    data = zone_data(_completed(zone), serial)
    if serial == last:
        return Primary(zone, data, before.changes)
    return Primary(zone, data, (*before.changes, _difference(before.data, data))[-MOST_CHANGES:])


def _contents(zone: Zone) -> tuple[object, ...]:
    """What a copy of the zone holds."""
    return tuple((each.name, each.type, each.value, each.ttl) for each in _completed(zone).records)


def _completed(zone: Zone) -> Zone:
    """A zone that is copied needs an NS record at its apex; others may do without (RFC 1034 section 4.2.1)."""
    apex = zone.name.rstrip(".")
    if not zone.transfer_to or any(each.type == "NS" and each.name.rstrip(".") == apex for each in zone.records):
        return zone
    records = (*zone.records, Record(apex, "NS", f"ns.{apex}"))
    return Zone(zone.name, records, zone.permitted, zone.order, zone.serial, zone.transfer_to)


Identity = tuple[tuple[bytes, ...], int, int, bytes]


def identity(record: RR) -> Identity:
    """Name, type, time-to-live and data: what makes a record the same as another."""
    buffer = Buffer()
    record.rdata.pack(buffer)
    return key_of(record.rname), record.rtype, record.ttl, bytes(buffer.data)


def _difference(old: ZoneData, new: ZoneData) -> Change:
    before, after = ({identity(rr): rr for rr in each.records} for each in (old, new))
    gone = tuple(rr for each, rr in before.items() if each not in after)
    come = tuple(rr for each, rr in after.items() if each not in before)
    return Change(old.soa, new.soa, gone, come)


def transfer(primary: Primary, query: Query, transport: Transport) -> tuple[bytes, ...]:
    """The messages that answer AXFR (RFC 5936), or IXFR (RFC 1995) from the version that the query names.

    By UDP one message: the differences, or the SOA record alone, which says to ask by TCP.
    """
    soa = primary.data.soa
    records = [soa, *primary.data.records, soa]
    if query.qtype == QTYPE.IXFR and query.serial is not None:
        records = list(_news(primary, query.serial)) or records
    if transport == "tcp":
        return tuple(write_records(query, records, MESSAGE))
    whole = write_answer(query, _HEAD, records, (), TCP_PAYLOAD)
    return (whole if len(whole) <= query.limit else write_answer(query, _HEAD, [soa], (), query.limit),)


def _news(primary: Primary, serial: int) -> Iterator[RR]:
    """The SOA record alone where there is nothing new, the changes since `serial`, or nothing if they are forgotten."""
    soa = primary.data.soa
    if not is_newer(primary.data.serial, serial):
        yield soa
        return
    numbers = [each.before.rdata.times[0] for each in primary.changes]
    if serial not in numbers:
        return
    yield soa
    for change in primary.changes[numbers.index(serial) :]:
        yield from (change.before, *change.gone, change.after, *change.come)
    yield soa


def chosen(primaries: Iterable[Primary], apex: tuple[bytes, ...], source: IPv4Address) -> Primary | None:
    """The zone of that name that `source` may copy."""
    for each in primaries:
        if each.data.apex == apex and source in each.zone.transfer_to:
            return each
    return None
