"""One packet socket on one device, see packet(7): silent until `start`, silent again after `stop`.

What it was given and what was read from it are counted apart, so that no frame goes missing unnoticed. A device that
goes down lets nothing pass, and the call that brings it up again hooks its sockets in before it returns; one that is
deleted takes the sockets' binding with it, and what comes in its place is not heard.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import socket
import struct
from pathlib import Path
from typing import NamedTuple, Protocol

from labctl.kernel.netns import enter
from labctl.probes.bpf import NOTHING
from labctl.probes.clock import SO_TIMESTAMPNS
from labctl.probes.mmsg import Catch, Frame
from labctl.probes.packets import ARPHRD_ETHER
from labctl.probes.pcap import Pcap

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h, linux/sockios.h
_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23
_PACKET_OUTGOING = 4
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SIOCGIFHWADDR = 0x8927

SNAP = 512
"""Bytes of a frame that are looked at. Marked payloads hold the marker at least every 128 bytes and its own length
(`labctl.probes.attempt.pattern`), so that it is among these behind some 300 bytes of headers: Ethernet with VLAN tags,
and IP in Geneve in GRE in IP with room to spare. Fragments but the last hold it too."""

_BUFFER = 64 << 20  # bytes; only what is not read yet counts, so that an idle tap costs nothing


class Place(NamedTuple):
    """Where a listener listens: the inode tells a namespace from the one that bore its name before."""

    namespace: str
    device: str
    incoming_only: bool
    inode: int

    def __str__(self) -> str:
        return f"{self.device} of {self.namespace}"


class Sink(Protocol):
    """What frames are given to, each with its instant in nanoseconds of CLOCK_MONOTONIC."""

    def take(self, data: bytes, at_ns: int, leaving: bool) -> None:
        """A frame that begins with `data`; `leaving`: by the device rather than arriving at it."""


class Listener:
    """A socket at `place`, whose namespace is bound at `namespace`. Frames are read by `catch`.

    Not for several threads at once, nor are others by the same `catch`. OSError: there is no such device, or no right
    to listen there.
    """

    def __init__(self, namespace: Path, place: Place, catch: Catch) -> None:
        self.place = place
        self.working = False
        self.failure = ""
        self._sink: Sink | None = None
        self._kept: Pcap | None = None
        self._offset = self._taken = 0
        self._catch = catch
        with enter(namespace):
            self.link, self.socket = _bound(place.device, place.incoming_only)

    def bound(self) -> bool:
        """Whether the socket is bound to its device still."""
        return bool(self.socket.getsockname()[0] == self.place.device)

    def start(self, program: bytes, sink: Sink, kept: Pcap, offset: int) -> None:
        """From now on every frame that `program` takes goes to `sink` and to `kept`.

        `offset`: nanoseconds from CLOCK_REALTIME to CLOCK_MONOTONIC.
        """
        if self._given()[0]:
            self.discard()
        self._sink, self._kept, self._offset, self._taken = sink, kept, offset, 0
        self.working = True
        _attach(self.socket, program)

    def stop(self) -> str:
        """No frame after this counts. What makes those before it no evidence; "" where nothing does."""
        _attach(self.socket, NOTHING)
        given, lost = self._given()
        while not self.failure and self._taken < given and self.read(given - self._taken):
            pass
        self.working = False
        self._sink = self._kept = None
        if self.failure:
            return f"the tap on {self.place} failed: {self.failure}"
        if not self.bound():
            return f"the tap on {self.place} ended: the device was deleted"
        lost += given - self._taken
        return f"the tap on {self.place} lost {lost} frames" if lost else ""

    def read(self, limit: int) -> int:
        """Take waiting frames, no more than about `limit`; how many there were. A socket that fails sets `failure`."""
        sink, kept = self._sink, self._kept
        assert sink is not None and kept is not None
        before = self._taken
        while self._taken - before < limit and (frames := self._next(limit)):
            for frame in frames:
                kept.add(frame.seconds, frame.nanoseconds, frame.data, frame.length)
                instant = frame.seconds * 1_000_000_000 + frame.nanoseconds + self._offset
                sink.take(frame.data, instant, frame.kind == _PACKET_OUTGOING)
                self._taken += 1
        return self._taken - before

    def discard(self) -> None:
        """Read what is nobody's: frames that another processor was passing on while `stop` was called, and errors."""
        while self._next(1):
            pass

    def _next(self, limit: int) -> list[Frame]:
        while not self.failure:
            try:
                return self._catch.take(self.socket, limit)
            except OSError as error:
                if error.errno != errno.ENETDOWN:  # told once when the device goes down; the binding stays
                    self.failure = error.strerror or str(error)
        return []

    def _given(self) -> tuple[int, int]:
        """Frames put into the socket, and frames that found no room, since this was last asked."""
        every, lost = struct.unpack("II", self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return every - lost, lost


def _bound(device: str, incoming_only: bool) -> tuple[int, socket.socket]:
    """The link type of `device`, and a socket that is bound to it and lets no frame through yet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        request = struct.pack("16s24x", device.encode())
        link = int(struct.unpack_from("H", fcntl.ioctl(asking, _SIOCGIFHWADDR, request), 16)[0])
    # Bare IP from devices without a header of their own: SOCK_DGRAM starts at the network header on every kernel.
    kind = socket.SOCK_RAW if link == ARPHRD_ETHER else socket.SOCK_DGRAM
    sniffer = socket.socket(socket.AF_PACKET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    with contextlib.ExitStack() as undo:
        undo.callback(sniffer.close)
        _attach(sniffer, NOTHING)
        widen(sniffer, _BUFFER)
        sniffer.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sniffer.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, incoming_only)
        sniffer.bind((device, _ETH_P_ALL))
        undo.pop_all()
    return link, sniffer


def _attach(sniffer: socket.socket, program: bytes) -> None:
    code = _in_memory(program)
    sniffer.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    )


@functools.lru_cache(maxsize=8)
def _in_memory(program: bytes) -> ctypes.Array[ctypes.c_char]:
    """The program where the kernel can copy it from."""
    return ctypes.create_string_buffer(program, len(program))


def widen(sock: socket.socket, size: int) -> None:
    """Give a socket a receive buffer of `size` bytes; where that is forbidden, as much as the machine allows."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    with contextlib.suppress(PermissionError):  # root of a user namespace only
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
