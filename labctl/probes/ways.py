"""By which places each packet of a numbered stream went, from the instants at which it passed them. Pure.

The kernel stamps a frame when it passes a device, by one clock, so that the instants of one packet are in its order.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

from labctl.probes.packets import ARPHRD_ETHER
from labctl.probes.wire import Way

NUMBER = struct.Struct("!Q")
"""What a packet of the stream begins with; the marker follows."""

_UDP_HEADER = 8


class Track:
    """The packets of a numbered stream that passed one tap, of link type `link`: four columns, 18 bytes a packet."""

    __slots__ = ("_at", "_marker", "hop_limits", "instants", "leaving", "numbers")

    def __init__(self, marker: bytes, link: int) -> None:
        self._at = 14 if link == ARPHRD_ETHER else 0
        self._marker = marker
        self.numbers, self.instants = array("Q"), array("q")
        self.hop_limits, self.leaving = bytearray(), bytearray()

    def take(self, data: bytes, at_ns: int, leaving: bool) -> None:
        """A datagram to the stream's port; it is left out unless the marker follows the number."""
        body = self._at + (data[self._at] & 15) * 4 + _UDP_HEADER
        if data.startswith(self._marker, body + NUMBER.size):
            self.numbers.append(NUMBER.unpack_from(data, body)[0])
            self.instants.append(at_ns)
            self.hop_limits.append(data[self._at + 8])
            self.leaving.append(leaving)


def ways(tracks: Sequence[tuple[str, Track]], arrived: Iterable[int]) -> tuple[Way, ...]:
    """The ways of the packets that `arrived`, in the order of their numbers, those of one way after the other in one.

    `tracks` are places by name. A packet that passes a place in and out, or in several copies, was there once; one that
    comes by again with a lower TTL was there again.
    """
    names = [name for name, _ in tracks]
    found = []
    for places, group in groupby(_each(names, tracks, sorted(set(arrived))), key=lambda each: each[1]):
        numbers = [number for number, _ in group]
        found.append(Way(numbers[0], numbers[-1], len(numbers), places))
    return tuple(found)


_Order = tuple[int, ...]
"""Passings in the order of their instants: twice the track's index, and one more where the frame arrived."""


def _each(
    names: Sequence[str], tracks: Sequence[tuple[str, Track]], numbers: Sequence[int]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Each number with its places. Where instants are equal, the order is that of a packet whose instants differ."""
    orders: list[_Order] = []
    doubtful = set()
    same: dict[_Order, _Order] = {}  # one tuple for all packets of a way
    told: set[_Order] = set()
    certain: dict[_Order, _Order] = {}
    for order, tied in _orders([track for _, track in tracks], numbers):
        if tied:
            doubtful.add(len(orders))
        elif order not in told:
            told.add(order)
            certain.setdefault(tuple(sorted(order)), order)
        orders.append(same.setdefault(order, order))
    places = {order: _places(order, names) for order in same}
    for i, number in enumerate(numbers):
        order = orders[i]
        yield number, places[certain.get(tuple(sorted(order)), order) if i in doubtful else order]


def _places(order: _Order, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name, _ in groupby(names[passing >> 1] for passing in order))


def _orders(tracks: Sequence[Track], numbers: Iterable[int]) -> Iterator[tuple[_Order, bool]]:
    """The order of each number's passings, and whether two of them were at one instant.

    Of one instant leaving comes first: from leaving a device to arriving at the far end a frame takes less time than to
    cross a node, and so less than a coarse clock can tell.
    """
    cursors = [_Cursor(track, 2 * i) for i, track in enumerate(tracks) if track.numbers]
    for number in numbers:
        passed: list[tuple[int, int, int]] = []
        for cursor in cursors:
            cursor.pass_on(number, passed)
        passed.sort()
        tied = any(one[0] == other[0] for one, other in pairwise(passed))
        yield tuple(passing for _, _, passing in passed), tied


class _Cursor:
    """Reads one track in the order of the numbers. `code` is its passing by which a frame leaves."""

    __slots__ = ("_code", "_next", "_rows", "_track")

    def __init__(self, track: Track, code: int) -> None:
        numbers = track.numbers
        in_order = all(one <= other for one, other in pairwise(numbers))
        self._rows = range(len(numbers)) if in_order else sorted(range(len(numbers)), key=numbers.__getitem__)
        self._track, self._code, self._next = track, code, 0

    def pass_on(self, number: int, passed: list[tuple[int, int, int]]) -> None:
        """Add the passings of `number`, each as (instant, 1 where it arrived, passing); numbers must not decrease."""
        track, rows = self._track, self._rows
        copies = set()
        while self._next < len(rows) and track.numbers[rows[self._next]] <= number:
            row = rows[self._next]
            self._next += 1
            copy = track.leaving[row], track.hop_limits[row]
            if track.numbers[row] == number and copy not in copies:
                copies.add(copy)
                arrived = 1 - track.leaving[row]
                passed.append((track.instants[row], arrived, self._code + arrived))
