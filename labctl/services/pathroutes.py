"""The routes of watched paths in the kernel, of which the caller says at each time what they shall be.

What comes is put in place of what it replaces by one message, and before anything goes: a network that is reached by
one path before and by another after is reached at every instant between.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from ipaddress import IPv4Network

from labctl.errors import KernelError
from labctl.kernel import routes
from labctl.kernel.netlink import ROUTE, Connection, Message
from labctl.plan.objects import Route

Way = tuple[Route, int]
"""A route and the index of its device."""


class PathRoutes:
    """The routes that were put by this program, and no others. KernelError where the kernel cannot be talked to."""

    def __init__(self) -> None:
        self._kernel = Connection(ROUTE)
        self._there: dict[tuple[IPv4Network, int], Way] = {}

    def put(self, wanted: Iterable[Way]) -> None:
        """Make `wanted` the routes. Of two to one network with one metric the first counts."""
        new: dict[tuple[IPv4Network, int], Way] = {}
        for way in wanted:
            new.setdefault((way[0].to, way[0].metric), way)
        comes = [routes.route(*way, replace=True) for key, way in new.items() if self._there.get(key) != way]
        goes = [routes.delete_route(*way) for key, way in self._there.items() if key not in new]
        self._there = new
        self._send([*comes, *goes])

    def clear(self, left: Iterable[Way]) -> None:
        """Remove `left`, which one that was killed before us may have put."""
        self._send([routes.delete_route(*way) for way in left])

    def _send(self, messages: list[Message]) -> None:
        try:
            self._kernel.send(messages)
        except KernelError as error:
            # The device may be going down this very moment; its session will notice, and the log tells why.
            print(error.message, file=sys.stderr, flush=True)
