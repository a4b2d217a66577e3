"""Who may ask, and what a client sees: clients of whom the same holds share a view, and the answers kept for it.

Rules: a client sees only the zones that permit its address. Of what it sees the longest name that contains the
question decides; of two zones of one name the one that permits the narrower network; of equals a zone before a
secondary before a forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from labctl.model.services import Resolver
from labctl.resolver.buffer import Key
from labctl.resolver.cache import Servers
from labctl.resolver.secondaries import Copy
from labctl.resolver.transfers import Primary
from labctl.resolver.wire import Transport, times_to_live
from labctl.resolver.zonedata import Near, ZoneData, apex_key

CACHE_SIZE = 4096
"""Entries of each cache. A full one is emptied: a flood of ever new questions costs time and no memory."""

_NO_NUMBER = bytes(2)

Place = ZoneData | Copy | Servers
"""What decides about a name: a zone, the copy of one, or the servers to ask."""


@dataclass(slots=True, eq=False)
class Kept:
    """An encoded answer, all but the number of the query, which holds until `until`.

    From then to `expires` it is the same with time-to-lives less by one for each second.
    """

    wire: bytes
    until: float
    expires: float
    _times: tuple[tuple[int, int], ...] | None = None
    _first: float = 0.0

    def renew(self, now: float) -> None:
        """Make it hold at `now`."""
        if self._times is None:
            self._times, self._first = times_to_live(_NO_NUMBER + self.wire), self.until
        seconds = int(now - self._first) + 1
        wire = bytearray(self.wire)
        for place, ttl in self._times:
            start = place - len(_NO_NUMBER)
            wire[start : start + 4] = max(ttl - seconds, 0).to_bytes(4, "big")
        self.wire = bytes(wire)
        self.until = self._first + seconds


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one kind of client sees. `kept`: encoded answers by the bytes of the query after its number."""

    places: Mapping[Key, Place]
    near: Near
    is_client: bool
    kept: dict[Transport, dict[bytes, Kept]] = field(default_factory=lambda: {"udp": {}, "tcp": {}})

    def place(self, key: Key) -> Place | None:
        """What decides about a name."""
        for depth in range(len(key) + 1):
            found = self.places.get(key[depth:])
            if found is not None:
                return found
        return None


class Visibility:
    """The views of one configuration."""

    def __init__(self, config: Resolver, primaries: tuple[Primary, ...], copies: Mapping[Key, Copy]) -> None:
        """DescriptionError where a zone's name cannot be one."""
        self._config = config
        self._primaries = primaries
        self._places: dict[Key, Place] = {apex_key(each.zone): each.to for each in reversed(config.forwards)}
        self._places |= copies
        self._partners = {address for each in config.zones for address in each.transfer_to}
        self._partners |= {address for each in config.secondaries for address in each.primaries}
        self._nets = {net for each in config.zones for record in each.records for net in record.near}
        self._views: dict[tuple[tuple[int, ...], Near, bool], View] = {}
        self.seen: dict[str, View] = {}
        """By their addresses, the clients who have asked lately."""
        self.datagrams: dict[bytes, dict[bytes, Kept]] = {}
        """What is kept for them to be answered by UDP, by their addresses in four bytes."""
        self._size = 0

    def of(self, source: str) -> View:
        """What the client at the address `source` sees."""
        view = self.seen.get(source)
        return view if view is not None else self._look(source)

    def keep(self, view: View, transport: Transport, query: bytes, kept: Kept) -> None:
        """Keep the answer to the bytes of a query without its number."""
        if self._size >= CACHE_SIZE:
            self.forget()
        self._size += query not in view.kept[transport]
        view.kept[transport][query] = kept

    def forget(self) -> None:
        """Drop all encoded answers."""
        self._size = 0
        for view in self._views.values():
            for kept in view.kept.values():
                kept.clear()

    def _look(self, source: str) -> View:
        address = IPv4Address(source)
        breadths = {number: each.breadth(address) for number, each in enumerate(self._primaries)}
        permitted = {number: breadth for number, breadth in breadths.items() if breadth is not None}
        visible = tuple(sorted(permitted, key=lambda number: -permitted[number]))
        near = frozenset(net for net in self._nets if address in net)
        is_client = self._is_client(address)
        view = self._views.get((visible, near, is_client))
        if view is None:
            zones = {self._primaries[each].data.apex: self._primaries[each].data for each in reversed(visible)}
            view = View({**self._places, **zones}, near, is_client)
            self._views[visible, near, is_client] = view
        if len(self.seen) >= CACHE_SIZE:
            self.seen.clear()
            self.datagrams.clear()
        self.seen[source] = view
        self.datagrams[address.packed] = view.kept["udp"]
        return view

    def _is_client(self, address: IPv4Address) -> bool:
        clients = self._config.clients
        return not clients or address in self._partners or _within(address, clients)


def _within(address: IPv4Address, networks: Iterable[IPv4Network]) -> bool:
    return any(address in each for each in networks)
