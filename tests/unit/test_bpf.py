"""The filter for numbered streams takes their packets and no others; carried out here by an interpreter of its own."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from typing import Any

import pytest
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.packet import Packet, Raw

from labctl.probes.bpf import EVERYTHING, NOTHING, datagrams
from labctl.probes.packets import ARPHRD_ETHER

ARPHRD_IPGRE = 778
HERE, ARRIVING_FOR_OTHERS, LEAVING = 0, 3, 4
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
TO = IPv4Address("10.2.0.2")


def run(program: bytes, frame: bytes, kind: int = HERE) -> int:
    """What `program` returns for a frame of this packet type: bytes to take.

    See Linux, Documentation/networking/filter.rst.
    """
    code = list(struct.iter_unpack("HBBI", program))
    a = x = at = 0
    while True:
        operation, yes, no, k = code[at]
        at += 1
        if operation == 0x06:
            return int(k)
        if operation in (0x15, 0x45):
            at += yes if (a == k if operation == 0x15 else a & k) else no
        elif operation == 0x54:
            a &= k
        elif k == 0xFFFFF004:
            a = kind
        else:
            width = {0x20: 4, 0x28: 2, 0x30: 1, 0x48: 2, 0xB1: 1}[operation]
            offset = k + (x if operation == 0x48 else 0)
            if offset + width > len(frame):
                return 0  # a load beyond the frame ends the program
            value = int.from_bytes(frame[offset : offset + width], "big")
            if operation == 0xB1:
                x = (value & 15) * 4
            else:
                a = value


def ip(src: str = "10.1.0.1", dst: str = str(TO), **more: Any) -> Packet:
    return IP(src=src, dst=dst, **more)


STREAM = ip() / UDP(sport=5, dport=4000) / Raw(b"number and marker")
TAKEN = [
    STREAM,
    ip(flags="DF") / UDP(sport=9, dport=4000),
    ip(ihl=7, options=b"\x94\x04\x00\x00\x01\x01\x01\x01") / UDP(sport=5, dport=4000) / Raw(b"x"),
]
LEFT = [
    ip() / UDP(sport=4000, dport=5),
    ip(dst="10.2.0.3") / UDP(sport=5, dport=4000),
    ip(src=str(TO), dst="10.1.0.1") / UDP(sport=4000, dport=4000),
    ip() / TCP(sport=5, dport=4000),
    ip(flags="MF") / UDP(sport=5, dport=4000),
    ip(frag=1) / UDP(sport=5, dport=4000),
    ip(ihl=6, options=bytes(4)) / UDP(sport=5, dport=5) / Raw(struct.pack("!HH", 4000, 4000)),
    ip() / ICMP(type=3, code=3) / bytes(STREAM),
    ip() / GRE() / STREAM,
    ip() / UDP(sport=5, dport=6081) / GENEVE(proto=0x0800) / STREAM,
]


@pytest.mark.parametrize(("link", "head"), [(ARPHRD_ETHER, ETHER), (ARPHRD_IPGRE, None)], ids=["ethernet", "ip"])
def test_it_takes_the_stream_whole_and_nothing_else(link: int, head: Packet | None) -> None:
    program = datagrams(link, TO, 4000)
    frames = [bytes(packet if head is None else head / packet) for packet in (*TAKEN, *LEFT)]
    assert [run(program, frame) for frame in frames] == [0xFFFFFFFF] * len(TAKEN) + [0] * len(LEFT)


def test_it_takes_what_leaves_and_not_what_was_flooded_to_a_host_that_it_is_not_for() -> None:
    program, frame = datagrams(ARPHRD_ETHER, TO, 4000), bytes(ETHER / STREAM)
    assert run(program, frame, LEAVING)
    assert not run(program, frame, ARRIVING_FOR_OTHERS)


@pytest.mark.parametrize("packet", [ARP(), Dot1Q(vlan=7) / STREAM, Raw(b"short")], ids=["arp", "vlan", "short"])
def test_other_frames_are_left(packet: Packet) -> None:
    assert not run(datagrams(ARPHRD_ETHER, TO, 4000), bytes(ETHER / packet))


def test_everything_and_nothing() -> None:
    assert (run(EVERYTHING, b""), run(NOTHING, b"x" * 100)) == (0xFFFFFFFF, 0)
