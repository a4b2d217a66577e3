"""What the taps of one probe saw, as numbers a frame, and how that becomes flows: pure."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from itertools import pairwise

from labctl.probes.packets import Identity, describe, dissect, ports
from labctl.probes.ways import Track
from labctl.probes.wire import Flow, Tap

Own = frozenset[tuple[int, int, int]]
"""(IP protocol, source port, destination port) of the probe's own connections, as the sender opened them."""

_DNS_PORT = 53
MARKED, OUTGOING = 1, 2
"""Flags of a frame: the marker is in it; it left by the device rather than arrived."""


class Series:
    """The frames of one flow at one tap, one entry each."""

    __slots__ = ("flags", "hop_limit", "lengths", "times")

    def __init__(self, hop_limit: int) -> None:
        self.hop_limit = hop_limit
        self.times = array("d")
        self.lengths = array("I")
        self.flags = bytearray()


Frames = dict[Identity, Series]


class Watch:
    """Sorts the frames of one tap, of link type `link`, by flow, and looks for the marker."""

    __slots__ = ("_link", "_marker", "frames")

    def __init__(self, marker: bytes, link: int) -> None:
        self.frames: Frames = {}
        self._marker, self._link = marker, link

    def take(self, data: bytes, at_ns: int, leaving: bool) -> None:
        """A frame that begins with `data`, as it passed at this instant."""
        identity, length, hop_limit = dissect(data, self._link)
        series = self.frames.get(identity)
        if series is None:
            series = self.frames[identity] = Series(hop_limit)
        series.times.append(at_ns / 1e6)
        series.lengths.append(length)
        series.flags.append((self._marker in data) * MARKED | leaving * OUTGOING)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The frames at each tap. `fault` says what makes it no evidence; "" where it is sound.

    `tracks` are the numbered packets at each tap that took those alone, by the tap's name; `track_fault` says what else
    makes them no evidence of a way.
    """

    taps: tuple[tuple[Tap, Frames], ...]
    fault: str
    tracks: tuple[tuple[str, Track], ...] = ()
    track_fault: str = ""

    def parts(self, own: Own, marks_ms: Sequence[float] = ()) -> tuple[tuple[Flow, ...], ...]:
        """The flows between the marks, one tuple a part: one more than there are marks."""
        edges = [float("-inf"), *marks_ms, float("inf")]
        return tuple(tuple(self._flows(own, *part)) for part in pairwise(edges))

    def sent(self, own: Own, name: str) -> int:
        """How many of the probe's packets left by the taps `name`: the most that one device saw.

        Not the sum, since a packet that leaves by a tunnel leaves by the device beneath it as well.
        """
        return max((_left(frames, own) for tap, frames in self.taps if tap.name == name), default=0)

    def asked(self, servers: Collection[IPv4Address], name: str) -> Own:
        """The DNS questions to `servers` that left by the taps `name`, whichever program asked them."""
        wanted = {server.packed for server in servers}
        found = (identity for tap, frames in self.taps if tap.name == name for identity in frames)
        asked = ((each, ports(each)) for each in found if each.addresses[4:8] in wanted)
        return frozenset((each.protocol, here, there) for each, (here, there) in asked if there == _DNS_PORT)

    def _flows(self, own: Own, since: float, until: float) -> Iterator[Flow]:
        for tap, frames in self.taps:
            for identity, series in frames.items():
                chosen = [i for i, at in enumerate(series.times) if since <= at < until]
                if chosen:
                    flow = describe(identity, tap.name, tap.namespace, tap.device)
                    yield _counted(flow, series, chosen, _is_own(identity, own))


def _counted(flow: Flow, series: Series, chosen: Sequence[int], own: bool) -> Flow:
    marked = [i for i in chosen if own or series.flags[i] & MARKED]
    return replace(
        flow,
        packets=len(chosen),
        marked=len(marked),
        data=sum(series.lengths[i] for i in chosen),
        longest=max(series.lengths[i] for i in chosen),
        hop_limit=series.hop_limit,
        first_ms=min(series.times[i] for i in chosen),
        last_ms=max(series.times[i] for i in chosen),
        first_marked_ms=min((series.times[i] for i in marked), default=0.0),
    )


def _left(frames: Frames, own: Own) -> int:
    total = 0
    for identity, series in frames.items():
        wanted = OUTGOING if _is_own(identity, own) else OUTGOING | MARKED
        total += sum(flags & wanted == wanted for flags in series.flags)
    return total


def _is_own(identity: Identity, own: Own) -> bool:
    """Whether the packet, or one inside it, belongs to a connection of the probe, in either direction."""
    here, there = ports(identity)
    if (identity.protocol, here, there) in own or (identity.protocol, there, here) in own:
        return True
    return identity.inner is not None and _is_own(identity.inner, own)
