"""Open sockets in the namespaces of a lab: each is entered once, and its sockets then serve from outside."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from labctl.errors import HostError
from labctl.kernel import devices, netlink, netns
from labctl.kernel.paths import Paths

# Each node holds up to four file descriptors, and a process may have 1024.
_OPEN_NODES = 150


class Node:
    """The open sockets of one namespace. StateError where it does not exist."""

    def __init__(self, namespace: Path) -> None:
        self._namespace = namespace
        self._indexes: dict[str, int] = {}
        self._xfrm: netlink.Connection | None = None
        with netns.enter(namespace):
            try:
                self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self.fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise HostError(f"cannot open a socket in {namespace}: {error.strerror}") from error
            self.route = netlink.Connection(netlink.ROUTE)

    def connection(self, family: int) -> netlink.Connection:
        """The netlink socket of `family`."""
        if family == netlink.ROUTE:
            return self.route
        if self._xfrm is None:
            with netns.enter(self._namespace):
                self._xfrm = netlink.Connection(family)
        return self._xfrm

    def index(self, device: str) -> int:
        """The index of `device`. KernelError (ENODEV) where there is none."""
        if device not in self._indexes:
            self._indexes[device] = devices.index(self._control, device)
        return self._indexes[device]

    def knows(self, device: str) -> bool:
        """Whether `index` would not have to ask."""
        return device in self._indexes

    def forget(self, device: str) -> None:
        """`device` is gone: one that is made later under its name has another index."""
        self._indexes.pop(device, None)

    def offloads_off(self, device: str) -> None:
        """See `devices.offloads_off`."""
        devices.offloads_off(self._control, device)

    def close(self) -> None:
        """Close all sockets."""
        os.close(self.fd)
        self._control.close()
        self.route.close()
        if self._xfrm:
            self._xfrm.close()


class Nodes:
    """The nodes of a lab that are open at present, the oldest closed when there are many. A context manager."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._open: dict[str, Node] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._open):
            self.close(name)

    def __getitem__(self, name: str) -> Node:
        if name not in self._open:
            if len(self._open) >= _OPEN_NODES:
                self.close(next(iter(self._open)))
            self._open[name] = Node(self._paths.namespace(name))
        return self._open[name]

    def close(self, name: str) -> None:
        """Close the sockets of `name`, so that they do not keep its namespace alive."""
        if name in self._open:
            self._open.pop(name).close()
