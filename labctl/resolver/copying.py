"""The messages of a zone transfer, one after the other, to the zone that they make (RFC 5936, RFC 1995)."""

from __future__ import annotations

from collections.abc import Sequence

from dnslib import QTYPE, RCODE, RR
from dnslib.label import BufferError as WireError

from labctl.errors import DescriptionError
from labctl.resolver.buffer import Key, key_of
from labctl.resolver.transfers import identity as identity_of
from labctl.resolver.transfers import is_newer
from labctl.resolver.wire import read_message
from labctl.resolver.zonedata import ZoneData

MOST_RECORDS = 200_000
"""A zone with more is refused: it would take hundreds of megabytes."""


class TransferFault(Exception):
    """What came is no transfer of the zone that was asked for."""


class Transfer:
    """One transfer that is under way: AXFR, or IXFR on top of `base`."""

    def __init__(self, apex: Key, identity: int, base: ZoneData | None) -> None:
        self._apex = apex
        self._id = identity
        self._base = base
        self._records: list[RR] = []

    @property
    def partial(self) -> bool:
        """Whether the differences were asked for."""
        return self._base is not None

    def feed(self, wire: bytes) -> ZoneData | None:
        """Take a message; the zone once it is whole, `base` itself where there is nothing newer. TransferFault."""
        try:
            message = read_message(wire)
        except WireError as error:
            raise TransferFault(str(error)) from None
        if message.id != self._id or message.rcode != RCODE.NOERROR or message.name not in (None, self._apex):
            raise TransferFault(f"refused: {message.rcode}")
        self._records += message.answers
        if len(self._records) > MOST_RECORDS or not message.answers:
            raise TransferFault("too many records, or none")
        return self._finished()

    def _finished(self) -> ZoneData | None:
        records = self._records
        if not self._is_soa(records[0]):
            raise TransferFault("a transfer begins with the SOA record")
        serial = _serial(records[0])
        if self._base is not None and not is_newer(serial, self._base.serial):
            return self._base
        if len(records) < 2:
            return None
        differences = self._base is not None and self._is_soa(records[1]) and _serial(records[1]) != serial
        if not self._is_soa(records[-1]) or _serial(records[-1]) != serial:
            return None
        if not differences:
            return _zone(records[0], records[1:-1])
        # The last version's SOA record stands at the front, before what came with it, and at the end.
        ends = sum(self._is_soa(rr) and _serial(rr) == serial for rr in records)
        return None if ends < 3 else self._patched(records[1:-1])

    def _patched(self, parts: Sequence[RR]) -> ZoneData:
        """`base` with the differences: each time the SOA of a version, what went, that of the next, what came."""
        assert self._base is not None
        contents = {identity_of(rr): rr for rr in self._base.records}
        soa, adding = self._base.soa, True
        for record in parts:
            if self._is_soa(record):
                adding = not adding
                if not adding and _serial(record) != _serial(soa):
                    raise TransferFault("differences from a version that we do not have")
                soa = record
            elif adding:
                contents[identity_of(record)] = record
            elif contents.pop(identity_of(record), None) is None:
                raise TransferFault("differences from other contents than ours")
        return _zone(soa, list(contents.values()))

    def _is_soa(self, record: RR) -> bool:
        return record.rtype == QTYPE.SOA and key_of(record.rname) == self._apex


def _serial(soa: RR) -> int:
    return int(soa.rdata.times[0])


def _zone(soa: RR, records: Sequence[RR]) -> ZoneData:
    try:
        return ZoneData(soa, records)
    except DescriptionError as error:
        raise TransferFault(error.message) from None
