"""What was taken of the address space, and by whom: prefixes in realms of routing, and which addresses are for hosts.

Two prefixes overlap where one lies inside the other, so that neither question needs a look at all of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from ipaddress import IPv4Network

from labctl.description.faults import Path
from labctl.model.network import TRANSIT

BITS = 32
UNUSABLE = {
    IPv4Network("0.0.0.0/8"): "which means this host (RFC 1122)",
    IPv4Network("127.0.0.0/8"): "which is loopback (RFC 1122)",
    IPv4Network("224.0.0.0/3"): "which is multicast or reserved (RFC 1112)",
    TRANSIT: "from which the lab numbers its own links",
}
"""What no host of a lab can have as its address."""

OPEN = (
    *(IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),  # private (RFC 1918)
    *(IPv4Network(each) for each in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")),  # examples (RFC 5737)
    IPv4Network("100.64.0.0/10"),  # shared (RFC 6598)
    IPv4Network("169.254.0.0/16"),  # link-local (RFC 3927)
    IPv4Network("192.0.0.0/24"),  # protocol assignments (RFC 6890)
    IPv4Network("198.18.0.0/15"),  # benchmarks (RFC 2544)
    *(IPv4Network(each) for each in ("161.26.0.0/16", "166.8.0.0/14")),  # IBM Cloud's own services
)
"""The address space that belongs to nobody in particular, or to a provider whose services a lab has."""
OWNED = "is a public address space of somebody else's"
INSTEAD = (
    "public ones for examples are 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24; `allow_public: true` at the top of "
    "the file lets a lab have any"
)

_CLOSED = [(int(each[0]), int(each[-1]), f"{each}, {what}") for each, what in UNUSABLE.items()]

Span = tuple[int, int]
"""A prefix by its first address as a number and its length."""
Taken = tuple[object, Path]
"""A prefix as people write it, and where it is written."""


def span(number: int, length: int) -> Span:
    """The prefix of this length that an address lies in."""
    return number >> BITS - length << BITS - length, length


def last(prefix: Span) -> int:
    """The last address of a prefix."""
    start, length = prefix
    return start + (1 << BITS - length) - 1


def closed(prefix: Span) -> str:
    """The part of the address space that a prefix overlaps and that is for no host, with the reason; "" if none."""
    first, end = prefix[0], last(prefix)
    return next((what for low, high, what in _CLOSED if first <= high and end >= low), "")


_FREE = [(int(each[0]), int(each[-1])) for each in OPEN]


def owned(prefix: Span) -> bool:
    """Whether a prefix has addresses of the real Internet, outside of `OPEN`."""
    first, end = prefix[0], last(prefix)
    return not any(low <= first and end <= high for low, high in _FREE)


class Realm:
    """A realm of routing: what was taken in it, and where each was written."""

    def __init__(self) -> None:
        self._taken: dict[Span, list[Taken]] = {}
        self._lengths: set[int] = set()

    def overlapping(self, prefix: Span) -> Iterator[Taken]:
        """What was taken and overlaps `prefix`."""
        start, length = prefix
        narrower = False
        for other in self._lengths:
            if other <= length:
                yield from self._taken.get(span(start, other), ())
            narrower = narrower or other > length
        if narrower:
            starts = sorted(self._taken)
            inside = starts[bisect_left(starts, (start, 0)) : bisect_right(starts, (last(prefix), BITS))]
            for key in inside:
                if key[1] > length:
                    yield from self._taken[key]

    def take(self, prefix: Span, words: object, path: Path) -> None:
        """Take `prefix`, which is written at `path`."""
        self._lengths.add(prefix[1])
        self._taken.setdefault(prefix, []).append((words, path))
