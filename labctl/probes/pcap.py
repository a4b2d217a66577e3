"""Captured frames in a file that tcpdump and Wireshark read: classic pcap, with nanoseconds. Pure.

See draft-ietf-opsawg-pcap, section 4 (header) and 5 (records); times are those of CLOCK_REALTIME.
"""

from __future__ import annotations

import re
import struct

from labctl.probes.packets import ARPHRD_ETHER

_HEADER = struct.Struct("<IHHiIII")
_RECORD = struct.Struct("<IIII")
_NANOSECONDS, _VERSION = 0xA1B23C4D, (2, 4)
_LINKTYPE_ETHERNET, _LINKTYPE_RAW = 1, 101  # RAW: an IP packet without a header before it
_MOST = 4 << 20  # bytes of one file


class Room:
    """The bytes that all frames that are kept may still take."""

    def __init__(self, left: int) -> None:
        self.left = left


class Pcap:
    """The frames of one tap of link type `link`, at most `snap` bytes of each, while there is `room`."""

    __slots__ = ("_data", "_link", "_room", "_snap", "cut")

    def __init__(self, link: int, snap: int, room: Room) -> None:
        self.cut = False
        self._link, self._snap, self._room = link, snap, room
        self._data = bytearray()

    def add(self, seconds: int, nanoseconds: int, data: bytes, length: int) -> None:
        """A frame of `length` bytes that begins with `data`, as it passed at this instant."""
        size = _RECORD.size + len(data)
        if self.cut or size > self._room.left or len(self._data) + size > _MOST:
            self.cut = True
            return
        self._room.left -= size
        self._data += _RECORD.pack(seconds, nanoseconds, len(data), length)
        self._data += data

    def release(self) -> None:
        """Give the room back: the frames are of no more use."""
        self._room.left += len(self._data)
        self._data = bytearray()

    def file(self) -> bytes:
        """The whole file."""
        link = _LINKTYPE_ETHERNET if self._link == ARPHRD_ETHER else _LINKTYPE_RAW
        return _HEADER.pack(_NANOSECONDS, *_VERSION, 0, 0, self._snap, link) + self._data


def file_name(taken: set[str], *words: str) -> str:
    """A name of these words that is not `taken` yet, and is from now on."""
    stem = "-".join(re.sub(r"[^A-Za-z0-9._-]", "_", word) for word in words)
    name, number = f"{stem}.pcap", 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}.pcap"
    taken.add(name)
    return name
