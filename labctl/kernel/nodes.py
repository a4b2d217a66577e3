"""Open sockets in the namespaces of a lab: each is entered once, and its sockets then serve from outside."""

from __future__ import annotations

import os
import resource
from functools import partial
from types import TracebackType
from typing import Self

from labctl.errors import HostError, StateError
from labctl.kernel import devices, netlink, netns
from labctl.kernel.links import LOOPBACK
from labctl.kernel.paths import Paths

# Each node holds up to three file descriptors; some are for others; and nobody needs more than plenty.
_DESCRIPTORS, _OTHERS, _PLENTY = 3, 200, 1 << 16
# What a send of links needs at once, and more.
_FEWEST = 100


class Node:
    """The open sockets of one namespace. StateError where it does not exist."""

    def __init__(self, namespace: str, home: int, indexes: dict[str, int], offloads: devices.Offloads) -> None:
        self._home = home
        self._indexes = indexes
        self._offloads = offloads
        self._xfrm: netlink.Connection | None = None
        try:
            self.fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise StateError(f"there is no namespace {namespace}: {error.strerror}") from error
        except OSError as error:
            raise HostError(f"cannot open {namespace}: {error.strerror}") from error
        try:
            self.route = self._open(netlink.ROUTE)
        except BaseException:
            os.close(self.fd)
            raise

    def connection(self, family: int) -> netlink.Connection:
        """The netlink socket of `family`."""
        if family == netlink.ROUTE:
            return self.route
        if self._xfrm is None:
            self._xfrm = self._open(family)
        return self._xfrm

    def index(self, device: str) -> int:
        """The index of `device`. KernelError (ENODEV) where there is none."""
        if device not in self._indexes:
            self._indexes[device] = devices.index(self.route, device)
        return self._indexes[device]

    def offloads_off(self, device: str) -> None:
        """See `devices.Offloads`."""
        self._offloads.off(self.route, device)

    def close(self) -> None:
        """Close all sockets."""
        os.close(self.fd)
        self.route.close()
        if self._xfrm:
            self._xfrm.close()

    def _open(self, family: int) -> netlink.Connection:
        return netns.within(self.fd, self._home, partial(netlink.Connection, family))


class Nodes:
    """The nodes of a lab that are open at present. A context manager, for the thread that makes it.

    When there are too many, the one is closed that was not asked for the longest: what a send of links speaks of by its
    file descriptor stays open.
    """

    def __init__(self, paths: Paths) -> None:
        self._namespaces = paths.namespaces
        self._open: dict[str, Node] = {}
        self._indexes: dict[str, dict[str, int]] = {}
        self._offloads = devices.Offloads()
        self._most = _most_nodes()
        self._home = os.open(netns.MINE, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._open):
            self.close(name)
        os.close(self._home)

    def __getitem__(self, name: str) -> Node:
        found = self._open.pop(name, None)
        if found is None:
            if len(self._open) >= self._most:
                self.close(next(iter(self._open)))
            found = Node(f"{self._namespaces}/{name}", self._home, self.indexes(name), self._offloads)
        self._open[name] = found
        return found

    def indexes(self, name: str) -> dict[str, int]:
        """The indexes of the devices of `name` that nobody has to ask for any more; to be added to and taken from."""
        found = self._indexes.get(name)
        if found is None:
            found = self._indexes[name] = {"lo": LOOPBACK}
        return found

    def close(self, name: str) -> None:
        """Close the sockets of `name`, so that they do not keep its namespace alive."""
        if name in self._open:
            self._open.pop(name).close()

    def forget(self, name: str) -> None:
        """The namespace `name` goes, and its devices with it."""
        self.close(name)
        self._indexes.pop(name, None)


def _most_nodes() -> int:
    """How many nodes may be open at once, once this process may open as many files as it can be allowed to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _PLENTY if hard == resource.RLIM_INFINITY else min(hard, _PLENTY)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max((wanted - _OTHERS) // _DESCRIPTORS, _FEWEST)
