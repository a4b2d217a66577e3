"""The devices by which a node's packets can leave it, looked up once and again whenever its links have changed.

The kernel tells of every change by rtnetlink, before whoever made it goes on (rtnetlink(7), RTMGRP_LINK).
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from pathlib import Path

from labctl.errors import StateError
from labctl.kernel.netns import enter
from labctl.kernel.paths import Paths

_RTMGRP_LINK = 1  # linux/rtnetlink.h
_SIOCGIFFLAGS, _IFF_UP = 0x8913, 1  # linux/sockios.h, linux/if.h


class Outlets:
    """Those of every node of the lab at `paths` that was asked about."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._known: dict[str, _Node] = {}

    def of(self, name: str) -> tuple[str, ...]:
        """The devices of a node that are up at this moment, but its loopback. StateError: there is no such node."""
        namespace = self._paths.namespace(name)
        inode = _inode(namespace)
        node = self._known.get(name)
        if node is None or node.inode != inode:
            if node is not None:
                node.close()
            node = self._known[name] = _Node(namespace, inode)
        return node.devices()

    def close(self) -> None:
        """Forget them all."""
        for node in self._known.values():
            node.close()
        self._known.clear()


class _Node:
    """One namespace. The inode tells it from the one that bore its name before."""

    def __init__(self, namespace: Path, inode: int) -> None:
        self.inode = inode
        self._namespace = namespace
        self._devices: tuple[str, ...] | None = None
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        with enter(namespace):
            self._changes = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._changes.bind((0, _RTMGRP_LINK))

    def devices(self) -> tuple[str, ...]:
        if self._have_changed() or self._devices is None:
            self._devices = tuple(devices(self._namespace))
        return self._devices

    def close(self) -> None:
        self._changes.close()

    def _have_changed(self) -> bool:
        changed = False
        while True:
            try:
                self._changes.recv(65536)
            except BlockingIOError:
                return changed
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # which says that there were more changes than found room
                    raise
            changed = True


def _inode(namespace: Path) -> int:
    try:
        return namespace.stat().st_ino
    except OSError as error:
        raise StateError(f"there is no namespace {namespace}: {error.strerror}") from error


def devices(namespace: Path) -> list[str]:
    """The devices of a namespace that are up, its loopback left out: all by which a packet can leave it."""
    with enter(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        return [name for _, name in socket.if_nameindex() if name != "lo" and _is_up(asking, name)]


def _is_up(asking: socket.socket, device: str) -> bool:
    request = struct.pack("16s24x", device.encode())
    flags = struct.unpack_from("H", fcntl.ioctl(asking, _SIOCGIFFLAGS, request), 16)[0]
    return bool(flags & _IFF_UP)
