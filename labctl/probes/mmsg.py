"""Many datagrams in one system call (sendmmsg(2), recvmmsg(2)), so that an interpreter can fill a link and watch it."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import NamedTuple

from labctl.services.messages import Iovec, Mmsghdr, Msghdr, recvmmsg, sendmmsg

_BATCH = 64
_NAME = 32  # bytes for a struct sockaddr_ll, packet(7)
_PACKET_TYPE = 10  # where its sll_pkttype is
_CONTROL, _CONTROL_DATA = socket.CMSG_SPACE(16), socket.CMSG_LEN(0)
_SIZE = ctypes.sizeof(Mmsghdr)
_LENGTH, _INSTANT = struct.Struct("I"), struct.Struct("qq")


class Volley:
    """The same datagram, many times, on a connected socket."""

    def __init__(self, sock: socket.socket, payload: bytes) -> None:
        self._sock = sock
        self._payload = ctypes.create_string_buffer(payload, len(payload))
        self._piece = Iovec(ctypes.addressof(self._payload), len(payload))
        header = Msghdr(iov=ctypes.addressof(self._piece), iovlen=1)
        self._messages = (Mmsghdr * _BATCH)(*(Mmsghdr(header) for _ in range(_BATCH)))

    def send(self, count: int) -> None:
        """Offer `count` of them to the kernel. What finds no room in it, or is refused by a rule of its own, is lost as
        on any link; OSError otherwise, as send(2) has it.
        """
        while count > 0:
            done = sendmmsg(self._sock.fileno(), self._messages, min(_BATCH, count), socket.MSG_DONTWAIT)
            if done < 0:
                code = ctypes.get_errno()
                if code in (errno.EAGAIN, errno.ENOBUFS):
                    return
                if code != errno.EPERM:
                    raise OSError(code, "sendmmsg")
            count -= max(1, done)


class Frame(NamedTuple):
    """A frame's instant (SO_TIMESTAMPNS), its beginning, its own length, and its sll_pkttype."""

    seconds: int
    nanoseconds: int
    data: bytes
    length: int
    kind: int


class Catch:
    """Takes what waits in packet sockets (packet(7)) that tell instants, `snap` bytes of each frame.

    Not for several threads at once.
    """

    def __init__(self, snap: int) -> None:
        self._snap = snap
        self._data, self._names, self._controls = (bytearray(_BATCH * size) for size in (snap, _NAME, _CONTROL))
        data, names, controls = (
            ctypes.addressof((ctypes.c_char * len(each)).from_buffer(each))
            for each in (self._data, self._names, self._controls)
        )
        self._pieces = (Iovec * _BATCH)(*(Iovec(data + i * snap, snap) for i in range(_BATCH)))
        headers = (Mmsghdr * _BATCH)()
        for i, each in enumerate(headers):
            header = Msghdr(names + i * _NAME, _NAME, ctypes.addressof(self._pieces[i]), 1, controls + i * _CONTROL)
            header.controllen = _CONTROL
            each.header = header
        self._fresh = bytes(headers)
        self._headers = bytearray(self._fresh)
        self._at = ctypes.addressof((ctypes.c_char * len(self._headers)).from_buffer(self._headers))

    def take(self, sock: socket.socket, limit: int) -> list[Frame]:
        """Up to `limit` frames, as many as wait and find room here; OSError as recvmmsg(2) has it, none being none."""
        self._headers[:] = self._fresh  # the kernel writes into it how much of each it used
        flags = socket.MSG_DONTWAIT | socket.MSG_TRUNC
        count = recvmmsg(sock.fileno(), ctypes.c_void_p(self._at), min(_BATCH, limit), flags, None)
        if count < 0:
            code = ctypes.get_errno()
            if code == errno.EAGAIN:
                return []
            raise OSError(code, os.strerror(code))
        return [self._frame(i) for i in range(count)]

    def _frame(self, i: int) -> Frame:
        (length,) = _LENGTH.unpack_from(self._headers, i * _SIZE + Mmsghdr.length.offset)
        seconds, nanoseconds = _INSTANT.unpack_from(self._controls, i * _CONTROL + _CONTROL_DATA)
        at = i * self._snap
        data = bytes(self._data[at : at + min(length, self._snap)])
        return Frame(seconds, nanoseconds, data, length, self._names[i * _NAME + _PACKET_TYPE])
