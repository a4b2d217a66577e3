"""A plain host, on the Internet, in a subnet, or at the end of a link: a client, a public server, an intruder."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.faults import Path
from labctl.description.record import option
from labctl.description.types import Ref
from labctl.description.words import ADDRESS, Servers
from labctl.kinds.base import STATIC_ROUTES, Lab
from labctl.kinds.internet import Internet, claim_at, plug_public


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A plain machine that routes nothing: a client, a public server, an intruder. In a network its default route is
    that network's router; at the ends of links and in bridges, which give it its addresses there, its routes are
    written.
    """

    kind: ClassVar[str] = "host"
    group: ClassVar[str] = "Places"
    becomes: ClassVar[str] = (
        "A node that does not forward. With `net` it is plugged into that network and has a default route there; a "
        "link or a bridge that names it adds a device of its own. With `serves` a test server runs in it."
    )
    cites: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = """\
inet: {kind: internet, prefixes: [198.51.100.0/24]}
client: {kind: host, net: inet, address: 198.51.100.10}
web: {kind: host, net: inet, address: 198.51.100.20, serves: [tcp/443, http/80]}
"""

    net: str = option(
        Ref(("internet", "subnet", "site")),
        "the internet, subnet or site that it is in; not given: links and bridges join it",
        "",
    )
    address: IPv4Address | None = option(ADDRESS, "its address in `net`", None)
    routes: dict[IPv4Network, IPv4Address] = option(
        STATIC_ROUTES, "static routes: the destination, and the neighbour that leads there", {}
    )
    serves: tuple[tuple[str, int], ...] = option(Servers(), "ports at which it runs a test server", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("host", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        if self.net and self.address is None:
            lab.fault((me,), f"field `address` is missing: its address in {self.net}", value="")
        elif self.address is not None:
            self._refuse_address((me, "address"), self.address, lab)
        lab.refuse_routes(me, self.routes, self.net)

    def _refuse_address(self, path: Path, address: IPv4Address, lab: Lab) -> None:
        if not self.net:
            hint = "the end of a link or the plug of a bridge says its own address"
            lab.fault(path, "is in no network: `net` says in which", hint)
        elif lab.find(self.net, Internet):
            claim_at(lab, path, self.net, address)
        else:
            lab.claim_address(path, address, lab.subnet(self.net))

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me)
        lab.net.listen(me, self.serves)
        if self.address is None:
            return
        if lab.find(self.net, Internet):
            _, subnet = plug_public(lab, me, self.net, self.address)
        else:
            subnet = lab.the_subnet(self.net)
            lab.net.plug(me, subnet.segment, subnet.interface(self.address))
        lab.net.default(me, subnet.router)

    def join(self, me: str, lab: Lab) -> None:
        for prefix, via in self.routes.items():
            lab.net.route(me, prefix, via=via)
