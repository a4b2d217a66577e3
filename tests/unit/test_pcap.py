"""Frames written as pcap are read by scapy as they were; what finds no room is said to be missing."""

from __future__ import annotations

import io

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.utils import rdpcap

from labctl.probes.packets import ARPHRD_ETHER
from labctl.probes.pcap import Pcap, Room, file_name

ARPHRD_IPGRE = 778
ETHER = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x0800))
PACKET = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / ICMP())


def test_a_frame_keeps_its_instant_and_its_own_length() -> None:
    pcap = Pcap(ARPHRD_ETHER, 512, Room(1000))
    pcap.add(1_700_000_000, 123_456_789, ETHER + PACKET, 1500)
    (packet,) = rdpcap(io.BytesIO(pcap.file()))
    assert (packet[IP].src, str(packet.time)) == ("10.0.0.1", "1700000000.123456789")
    assert (packet.wirelen, len(packet)) == (1500, 14 + len(PACKET))


def test_bare_ip_is_said_to_be_that() -> None:
    pcap = Pcap(ARPHRD_IPGRE, 512, Room(1000))
    pcap.add(1, 2, PACKET, len(PACKET))
    (packet,) = rdpcap(io.BytesIO(pcap.file()))
    assert type(packet) is IP


def test_an_empty_file_is_a_file() -> None:
    assert not rdpcap(io.BytesIO(Pcap(ARPHRD_ETHER, 512, Room(0)).file()))


def test_what_finds_no_room_is_missing_and_nothing_follows_it() -> None:
    room = Room(2 * (16 + 100) + 50)
    one, other = Pcap(ARPHRD_ETHER, 512, room), Pcap(ARPHRD_ETHER, 512, room)
    one.add(1, 0, bytes(100), 100)
    other.add(1, 0, bytes(100), 100)
    assert (one.cut, other.cut) == (False, False)
    one.add(2, 0, bytes(100), 100)
    one.add(3, 0, bytes(1), 1)
    assert (one.cut, other.cut) == (True, False)
    assert len(rdpcap(io.BytesIO(one.file()))) == 1
    one.release()
    other.add(2, 0, bytes(100), 100)
    assert not other.cut


def test_one_file_does_not_take_all_the_room() -> None:
    room = Room(64 << 20)
    pcap = Pcap(ARPHRD_ETHER, 512, room)
    while not pcap.cut:
        pcap.add(1, 0, bytes(512), 1500)
    assert room.left >= 60 << 20


def test_names_are_those_of_files_and_never_the_same() -> None:
    taken: set[str] = set()
    words = [("a", "b-c"), ("a-b", "c"), ("../x", "e/0"), ("a", "b-c", "in")]
    assert [file_name(taken, *each) for each in words] == [
        "a-b-c.pcap",
        "a-b-c-2.pcap",
        ".._x-e_0.pcap",
        "a-b-c-in.pcap",
    ]
    assert len(taken) == 4
