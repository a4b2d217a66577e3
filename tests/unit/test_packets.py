"""The fast dissection says what scapy says, and nothing makes it raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import ARP, GRE, Ether
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw

from labctl.probes.evidence import _is_own
from labctl.probes.packets import ARPHRD_ETHER, describe, dissect
from labctl.probes.wire import Flow

ARPHRD_IPGRE = 778

address = st.ip_addresses(v=4).map(str)
port = st.integers(0, 65535)
data = st.binary(max_size=80)
ttl = st.integers(1, 255)
options = st.sampled_from([b"", b"\x01\x01\x01\x01", b"\x94\x04\x00\x00\x01\x01\x01\x01"])


def ip(draw: Callable[[Any], Any]) -> ScapyPacket:
    body = draw(options)
    return IP(src=draw(address), dst=draw(address), ttl=draw(ttl), ihl=5 + len(body) // 4, options=body)


@st.composite
def segments(draw: Callable[[Any], Any]) -> ScapyPacket:
    layer = draw(st.sampled_from([TCP, UDP]))
    segment: ScapyPacket = layer(sport=draw(port), dport=draw(port)) / Raw(draw(data))
    return ip(draw) / segment


@st.composite
def echoes(draw: Callable[[Any], Any]) -> ScapyPacket:
    return ip(draw) / ICMP(type=draw(st.sampled_from([0, 8])), id=draw(port)) / Raw(draw(data))


@st.composite
def others(draw: Callable[[Any], Any]) -> ScapyPacket:
    return ip(draw) / ESP(spi=draw(st.integers(1, 2**32 - 1)), data=draw(data))


plain = st.one_of(segments(), echoes(), others())


@st.composite
def errors(draw: Callable[[Any], Any]) -> ScapyPacket:
    kind, code = draw(st.sampled_from([(3, 1), (3, 3), (3, 4), (3, 13), (11, 0)]))
    return ip(draw) / ICMP(type=kind, code=code) / Raw(bytes(draw(segments())))


@st.composite
def tunnelled(draw: Callable[[Any], Any]) -> ScapyPacket:
    header = GRE(
        key_present=draw(st.integers(0, 1)),
        chksum_present=draw(st.integers(0, 1)),
        seqnum_present=draw(st.integers(0, 1)),
    )
    inside: ScapyPacket = draw(st.one_of(plain, errors()))
    return ip(draw) / header / inside


@st.composite
def fragments(draw: Callable[[Any], Any]) -> ScapyPacket:
    return IP(src=draw(address), dst=draw(address), proto=17, frag=draw(st.integers(1, 8191))) / Raw(draw(data))


@st.composite
def overlaid(draw: Callable[[Any], Any]) -> ScapyPacket:
    option = GeneveOptions(classid=0x0102, type=1, data=draw(st.sampled_from([b"", b"abcd", bytes(12)])))
    inside: ScapyPacket = draw(st.one_of(plain, errors(), tunnelled()))
    header: ScapyPacket = GENEVE(
        vni=draw(st.integers(0, 2**24 - 1)), options=draw(st.lists(st.just(option), max_size=3))
    )
    if draw(st.booleans()):
        header.proto, inside = 0x6558, Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04", type=0x0800) / inside
    return ip(draw) / UDP(sport=draw(st.integers(1, 6080)), dport=6081) / header / inside


arps = st.builds(ARP, psrc=address, pdst=address, op=st.sampled_from([1, 2]))
everything = st.one_of(plain, errors(), tunnelled(), overlaid(), fragments())


def as_scapy_says(packet: ScapyPacket) -> Flow:
    """The Flow of a packet that scapy has dissected; an independent reading of the same bytes."""
    if isinstance(packet, ARP):
        return Flow("t", "n", "d", "arp", packet.psrc, packet.pdst)
    names = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp"}
    head = {"proto": names.get(packet.proto, str(packet.proto)), "src": packet.src, "dst": packet.dst}
    body = packet.payload
    if isinstance(body.payload, GENEVE):
        head |= {"proto": "geneve", "sport": body.sport, "dport": body.dport, "vni": body.payload.vni}
        return Flow("t", "n", "d", **head, inner=as_scapy_says(body[GENEVE][IP]))
    if isinstance(body, (TCP, UDP, TCPerror, UDPerror)):
        return Flow("t", "n", "d", **head, sport=body.sport, dport=body.dport)
    if isinstance(body, ESP):
        return Flow("t", "n", "d", **head, spi=body.spi)
    if isinstance(body, ICMP):
        inner = as_scapy_says(body.payload) if isinstance(body.payload, IPerror) else None
        return Flow("t", "n", "d", **head, icmp=f"{body.type}/{body.code}", inner=inner)
    if isinstance(body, GRE):
        return Flow("t", "n", "d", **head, inner=as_scapy_says(body.payload))
    return Flow("t", "n", "d", **head)


def as_we_say(frame: bytes, link: int = ARPHRD_ETHER) -> Flow:
    return describe(dissect(frame, link).identity, "t", "n", "d")


@settings(max_examples=400, deadline=None)
@given(everything)
def test_a_frame_is_dissected_as_scapy_dissects_it(packet: ScapyPacket) -> None:
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)
    ours = dissect(frame)
    theirs = Ether(frame)[IP]
    assert as_we_say(frame) == as_scapy_says(theirs)
    assert (ours.length, ours.hop_limit) == (theirs.len, theirs.ttl)


@settings(max_examples=100, deadline=None)
@given(everything)
def test_a_tunnel_device_hands_over_bare_ip(packet: ScapyPacket) -> None:
    assert as_we_say(bytes(packet), ARPHRD_IPGRE) == as_scapy_says(IP(bytes(packet)))


@given(arps)
def test_arp_shows_who_asks_for_whom(packet: ScapyPacket) -> None:
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / packet)
    assert as_we_say(frame) == as_scapy_says(Ether(frame)[ARP])


def test_what_is_not_ip_shows_its_ethertype_and_its_macs() -> None:
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x86DD) / Raw(b"x" * 40))
    flow = as_we_say(frame)
    assert (flow.proto, flow.src, flow.dst) == ("0x86dd", "02:00:00:00:00:01", "02:00:00:00:00:02")


ETHER = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x0800))
GENEVE_HEAD = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=6081))


def test_the_probes_own_packet_is_found_inside_geneve_inside_gre() -> None:
    segment = IP(src="10.1.0.1", dst="10.1.0.2") / TCP(sport=4000, dport=80)
    frame = IP() / GRE() / IP() / UDP(sport=7, dport=6081) / GENEVE(vni=5001, proto=0x6558) / Ether() / segment
    flow = as_we_say(bytes(Ether() / frame))
    assert flow.proto == "gre" and flow.inner and flow.inner.inner
    assert (flow.inner.proto, flow.inner.vni, flow.vni) == ("geneve", 5001, -1)
    assert (flow.inner.inner.src, flow.inner.inner.sport, flow.inner.inner.dport) == ("10.1.0.1", 4000, 80)
    assert _is_own(dissect(bytes(Ether() / frame)).identity, frozenset({(6, 4000, 80)}))


def test_other_datagrams_to_the_port_of_geneve_are_udp() -> None:
    for payload in (b"", bytes(7), b"labctl-1234567890 and more", b"\x40" + bytes(40)):
        flow = as_we_say(ETHER + GENEVE_HEAD + payload)
        assert (flow.proto, flow.vni, flow.inner, flow.dport) == ("udp", -1, None, 6081)


def test_geneve_around_something_else_than_ip_keeps_its_network() -> None:
    arp = GENEVE(vni=7, proto=0x6558) / Ether(type=0x0806) / ARP()
    flow = as_we_say(ETHER + GENEVE_HEAD + bytes(arp))
    assert (flow.proto, flow.vni, flow.inner) == ("geneve", 7, None)


def test_a_frame_cut_at_512_bytes_keeps_its_true_length() -> None:
    frame = bytes(Ether() / IP(dst="10.0.0.1") / UDP() / Raw(b"x" * 1400))
    assert dissect(frame[:512]).length == 1428


@pytest.mark.parametrize("depth", [1, 3, 200])
def test_geneve_in_geneve_ends_somewhere(depth: int) -> None:
    outer = GENEVE_HEAD + bytes(GENEVE(vni=1, proto=0x0800))
    flow: Flow | None = as_we_say(outer * depth + bytes(IP() / UDP()), ARPHRD_IPGRE)
    seen = 0
    while flow and flow.proto == "geneve":
        flow, seen = flow.inner, seen + 1
    assert seen == min(depth, 8)


@pytest.mark.parametrize("depth", [1, 3, 200])
def test_gre_in_gre_ends_somewhere(depth: int) -> None:
    outer = bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=47) / GRE(proto=0x0800))
    flow: Flow | None = as_we_say(outer * depth + bytes(IP() / UDP()), ARPHRD_IPGRE)
    seen = 0
    while flow and flow.proto == "gre":
        flow, seen = flow.inner, seen + 1
    assert seen == min(depth, 9)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=120), st.sampled_from([ARPHRD_ETHER, ARPHRD_IPGRE]))
def test_no_bytes_make_it_raise(frame: bytes, link: int) -> None:
    as_we_say(frame, link)


@settings(max_examples=500, deadline=None)
@given(st.one_of(everything, arps), st.integers(0, 120), st.integers(0, 119), st.integers(0, 255))
def test_no_truncated_or_damaged_packet_makes_it_raise(packet: ScapyPacket, keep: int, at: int, value: int) -> None:
    frame = bytearray(bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet))
    frame[at % len(frame)] = value
    as_we_say(bytes(frame[:keep]))
