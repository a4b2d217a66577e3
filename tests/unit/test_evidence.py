"""A marked packet is known as one in the part of it that is captured, whatever carries it and wherever it was cut."""

from __future__ import annotations

import pytest
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.packet import Packet, Raw

from labctl.probes.attempt import pattern
from labctl.probes.evidence import MARKED, Watch
from labctl.probes.listener import SNAP
from labctl.probes.packets import ARPHRD_ETHER

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
MARKER = b"labctl:" + b"i" * 32 + b":0123456789abcdef"
"""As long as one can be: `labctl.description.types` has names of at most 32 letters."""

OPTION = GeneveOptions(classid=0x0102, type=1, data=bytes(16))


def marked(frame: bytes) -> bool:
    watch = Watch(MARKER, ARPHRD_ETHER)
    watch.take(frame[:SNAP], 1, leaving=False)
    (series,) = watch.frames.values()
    return series.flags[0] & MARKED == MARKED


def geneve(inside: Packet) -> Packet:
    return IP() / UDP(dport=6081) / GENEVE(proto=0x6558, options=[OPTION]) / ETHER / Dot1Q() / inside


def gre(inside: Packet) -> Packet:
    return IP(ihl=6, options=bytes(4)) / GRE(key_present=1, seqnum_present=1, chksum_present=1) / inside


CARRIERS = [
    lambda inside: inside,
    lambda inside: Dot1Q(type=0x8100) / Dot1Q() / inside,
    gre,
    geneve,
    lambda inside: gre(gre(inside)),
    lambda inside: Dot1Q(type=0x8100) / Dot1Q() / gre(geneve(inside)),
    lambda inside: Dot1Q() / geneve(geneve(inside)),
]


@pytest.mark.parametrize("carry", CARRIERS)
@pytest.mark.parametrize("start", [*range(0, 128, 9), 127])
def test_a_piece_of_a_stream_shows_its_marker_inside_any_tunnels(carry: object, start: int) -> None:
    assert callable(carry)
    stream = pattern(MARKER, 4000)
    segment = IP(ihl=15, options=bytes(40)) / UDP(dport=9) / Raw(stream[start : start + 1300])
    assert marked(bytes(ETHER / carry(segment)))


def test_a_fragment_that_is_not_the_first_shows_it_too() -> None:
    body = pattern(MARKER, 3000)
    for at in (1480, 2960 - 1480 + 8):
        fragment = IP(proto=1, frag=at // 8) / Raw(body[at : at + 1480])
        assert marked(bytes(ETHER / fragment))


def test_what_has_no_marker_is_not_marked() -> None:
    other = pattern(b"labctl:" + b"i" * 32 + b":0123456789abcdee", 1300)
    assert not marked(bytes(ETHER / IP() / UDP(dport=9) / Raw(other)))
