"""Queries by UDP, and answers to them, many in one system call (recvmmsg(2), sendmmsg(2)).

An answer that is kept is written over the query, whose number stays in front of it, and goes back by the very header
that the query came with: an interpreter does so little for it that it keeps up with servers written in C.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable, Mapping

from labctl.resolver.visibility import Kept
from labctl.services.messages import Iovec, Mmsghdr, recvmmsg, sendmmsg

_BATCH = 64
_SIZE = 4096
"""Bytes of a query that are read: more than PAYLOAD, which no client should exceed."""
_NAME = 16  # bytes of a struct sockaddr_in, ip(7)
_NUMBER = 2  # bytes of a query's number
_EMPTY: Mapping[bytes, Kept] = {}

Client = tuple[str, int]


_HEADER = ctypes.sizeof(Mmsghdr)
_STRIDE, _LENGTH = _HEADER // 4, Mmsghdr.length.offset // 4


class Datagrams:
    """Room for the datagrams of one turn. Not for several threads at once."""

    def __init__(self) -> None:
        memories = (bytearray(_BATCH * size) for size in (_SIZE, _NAME, ctypes.sizeof(Iovec), _HEADER))
        self._data, self._names, pieces, headers = memories
        data, names, piece, self._at = (
            ctypes.addressof((ctypes.c_char * len(each)).from_buffer(each))
            for each in (self._data, self._names, pieces, headers)
        )
        for i in range(_BATCH):
            room = Iovec.from_buffer(pieces, i * ctypes.sizeof(Iovec))
            room.base, room.size = data + i * _SIZE, _SIZE
            header = Mmsghdr.from_buffer(headers, i * _HEADER).header
            header.name, header.namelen = names + i * _NAME, _NAME
            header.iov, header.iovlen = piece + i * ctypes.sizeof(Iovec), 1
        self._view = memoryview(self._data)
        self._sizes = memoryview(pieces).cast("L")  # base, size, base, size...
        self._lengths = memoryview(headers).cast("I")

    def serve(
        self,
        opened: socket.socket,
        known: Mapping[bytes, Mapping[bytes, Kept]],
        ask: Callable[[bytes, Client], object],
        now: float,
    ) -> None:
        """Answer what waits at `opened`, a batch at most.

        `known` are the answers that are kept, by address and by query without its number; whatever else comes is given
        to `ask`, and what that returns is sent if it is bytes.
        """
        view, sizes, lengths = self._view, self._sizes, self._lengths
        first, count = 0, self._take(opened)
        for i in range(count):
            start = i * _SIZE + _NUMBER
            query = bytes(view[start : i * _SIZE + lengths[i * _STRIDE + _LENGTH]])
            kept = known.get(bytes(self._names[i * _NAME + 4 : i * _NAME + 8]), _EMPTY).get(query)
            if kept is not None and now < kept.until:
                view[start : start + len(kept.wire)] = kept.wire
                sizes[2 * i + 1] = len(kept.wire) + _NUMBER
                continue
            self._give_back(opened, first, i)
            first = i + 1
            self._ask(opened, i, ask)
        self._give_back(opened, first, count)
        for i in range(count):
            sizes[2 * i + 1] = _SIZE

    def _take(self, opened: socket.socket) -> int:
        """How many came; OSError as recvmmsg(2) has it, but none are none."""
        count: int = recvmmsg(opened.fileno(), self._at, _BATCH, socket.MSG_DONTWAIT, None)
        if count >= 0:
            return count
        code = ctypes.get_errno()
        if code in (errno.EAGAIN, errno.EINTR):
            return 0
        raise OSError(code, os.strerror(code))

    def _ask(self, opened: socket.socket, i: int, ask: Callable[[bytes, Client], object]) -> None:
        name = self._names[i * _NAME : (i + 1) * _NAME]
        client = socket.inet_ntoa(name[4:8]), int.from_bytes(name[2:4], "big")
        start = i * _SIZE
        answer = ask(bytes(self._view[start : start + self._lengths[i * _STRIDE + _LENGTH]]), client)
        if isinstance(answer, bytes):
            try:
                opened.sendto(answer, client)
            except OSError:
                return  # no way back to this client: as good as a lost datagram

    def _give_back(self, opened: socket.socket, first: int, end: int) -> None:
        """Send the messages from `first` to before `end` to where they came from; one that cannot be sent is lost."""
        while first < end:
            done = sendmmsg(opened.fileno(), self._at + first * _HEADER, end - first, socket.MSG_DONTWAIT)
            first += max(done, 1)
