"""A plain router, without any cloud around it: what it is joined to says its addresses, and every route is written."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import option
from labctl.description.words import ADDRESS, Servers
from labctl.kinds.base import STATIC_ROUTES, Lab


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """A plain router, without any cloud around it. Its interfaces are the ends of links and the plugs of bridges, which
    give it its addresses, and every route is written.
    """

    kind: ClassVar[str] = "router"
    group: ClassVar[str] = "Plain networks"
    becomes: ClassVar[str] = "A node that forwards, with its loopback address and its static routes."
    cites: ClassVar[tuple[str, ...]] = ("RFC 1812: Requirements for IP Version 4 Routers",)
    example: ClassVar[str] = """\
r1: {kind: router, loopback: 10.255.0.1, routes: {10.0.2.0/24: 10.0.12.2}}
r2: {kind: router, routes: {10.0.1.0/24: 10.0.12.1}}
r1-r2: {kind: link, ends: {r1: 10.0.12.1/30, r2: 10.0.12.2/30}}
"""

    loopback: IPv4Address | None = option(ADDRESS, "an address of its own, which checks mean by its name", None)
    routes: dict[IPv4Network, IPv4Address] = option(
        STATIC_ROUTES, "static routes: the destination, and the neighbour that leads there", {}
    )
    serves: tuple[tuple[str, int], ...] = option(Servers(), "ports at which it runs a test server", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("router", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        if self.loopback is not None:
            lab.claim_own((me, "loopback"), self.loopback)
        lab.refuse_routes(me, self.routes)

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me, forwards=True)
        if self.loopback is not None:
            lab.net.own(me, self.loopback)
        lab.net.listen(me, self.serves)

    def join(self, me: str, lab: Lab) -> None:
        for prefix, via in self.routes.items():
            lab.net.route(me, prefix, via=via)
