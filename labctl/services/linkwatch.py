"""Carrier of the devices of a namespace, as the kernel announces it (rtnetlink(7), group RTMGRP_LINK)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

_RTMGRP_LINK = 1
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")


class LinkWatch:
    """A non-blocking socket that says for each device, by its index, whether it has carrier: first all, then changes.

    Opened in the namespace of the caller.
    """

    def __init__(self) -> None:
        self.socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self.socket.bind((0, _RTMGRP_LINK))
        self.ask()

    def changes(self) -> Iterator[tuple[int, bool]]:
        """(index, has carrier) for everything that waits on the socket."""
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.ask()  # announcements were lost (netlink(7)): have them all again
                continue
            yield from _links(data)

    def ask(self) -> None:
        """Have all devices told again."""
        body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        flags = _NLM_F_REQUEST | _NLM_F_DUMP
        self.socket.send(_HEADER.pack(_HEADER.size + len(body), _RTM_GETLINK, flags, 0, 0) + body)


def _links(data: bytes) -> Iterator[tuple[int, bool]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        if kind in (_RTM_NEWLINK, _RTM_DELLINK):
            _, _, index, flags, _ = _LINK.unpack_from(data, offset + _HEADER.size)
            wanted = _IFF_UP | _IFF_LOWER_UP
            yield index, kind == _RTM_NEWLINK and flags & wanted == wanted
        offset += (size + 3) & ~3
