"""Sockets of the programs, opened in the namespace of the caller; an address that cannot be had is named."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from typing import TypeVar

from labctl.errors import KernelError

K = TypeVar("K")

_BUFFER = 1 << 20
_BACKLOG = 256


def every(wanted: Mapping[K, Callable[[], socket.socket]]) -> dict[K, socket.socket]:
    """All the sockets that are wanted, or none: what was opened before one is refused is closed again. KernelError."""
    opened: dict[K, socket.socket] = {}
    try:
        for key, make in wanted.items():
            opened[key] = make()
    except KernelError:
        for each in opened.values():
            each.close()
        raise
    return opened


def udp(address: IPv4Address, port: int, device: str = "") -> socket.socket:
    """A non-blocking UDP socket at `address`:`port`, on `device` alone where one is given. KernelError."""
    return _bound(socket.SOCK_DGRAM, address, port, device)


def tcp(address: IPv4Address, port: int) -> socket.socket:
    """A non-blocking listening TCP socket. KernelError."""
    opened = _bound(socket.SOCK_STREAM, address, port, "")
    opened.listen(_BACKLOG)
    return opened


def _bound(kind: socket.SocketKind, address: IPv4Address, port: int, device: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        if kind is socket.SOCK_STREAM:  # a restart must not wait for connections of before in TIME_WAIT
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        if device:
            # The socket of a session that is made anew is bound before that of the old one is closed.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        opened.bind((str(address), port))
    except OSError as error:
        opened.close()
        proto = "tcp" if kind is socket.SOCK_STREAM else "udp"
        where = f"{address}:{port}/{proto}" + (f" on {device}" if device else "")
        raise KernelError(f"cannot listen at {where}: {error.strerror}", errno=error.errno or 0) from error
    return opened
