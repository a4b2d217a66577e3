"""Attributes of netlink listings, found fast. Pure parsing.

There are thousands of devices, addresses and routes in a large lab, and those of a kind are alike in where their
attributes lie: that is worked out once for each layout, and recognised by the headers of all attributes at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass

_HEADER = struct.Struct("=HH")
_KIND = 0x3FFF


@dataclass(frozen=True, slots=True)
class _Layout:
    """Bits of `mask` are those of the headers of all attributes, and those of `headers` what stands there."""

    mask: int
    headers: int
    places: tuple[tuple[int, slice], ...]


class Layouts:
    """Reads messages whose attributes begin at `start`; of those the kinds `used` are told."""

    def __init__(self, start: int, used: Collection[int]) -> None:
        self._start = start
        self._used = frozenset(used)
        self._by_length: dict[int, list[_Layout]] = {}

    def attributes(self, body: bytes) -> dict[int, bytes]:
        """The attributes that are used here, by their kind."""
        bits = int.from_bytes(body, "little")
        layouts = self._by_length.setdefault(len(body), [])
        for each in layouts:
            if bits & each.mask == each.headers:
                return {kind: body[place] for kind, place in each.places}
        layouts.append(self._layout(body, bits))
        return self.attributes(body)

    def _layout(self, body: bytes, bits: int) -> _Layout:
        mask, places, offset = 0, [], self._start
        while offset + _HEADER.size <= len(body):
            size, kind = _HEADER.unpack_from(body, offset)
            mask |= 0xFFFFFFFF << 8 * offset
            if kind & _KIND in self._used:
                places.append((kind & _KIND, slice(offset + _HEADER.size, offset + size)))
            offset += max((size + 3) & ~3, _HEADER.size)
        return _Layout(mask, bits & mask, tuple(places))
