"""A plain host on the Internet or in a subnet: a client, a public server, an intruder."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import Ref
from labctl.description.words import ADDRESS, Servers
from labctl.kinds.base import Lab
from labctl.kinds.internet import Internet, claim_at, plug_public


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine with one address. Its default route is the router of its network."""

    kind: ClassVar[str] = "host"

    net: str = option(Ref(("internet", "subnet", "site")), "the internet, subnet or site that it is in")
    address: IPv4Address = option(ADDRESS, "its address")
    serves: tuple[tuple[str, int], ...] = option(Servers(), "test servers, such as tcp/80", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("host", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        if lab.find(self.net, Internet):
            claim_at(lab, (me, "address"), self.net, self.address)
        else:
            lab.claim_address((me, "address"), self.address, lab.subnet(self.net))

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me)
        lab.net.listen(me, self.serves)
        if lab.find(self.net, Internet):
            _, subnet = plug_public(lab, me, self.net, self.address)
        else:
            subnet = lab.the_subnet(self.net)
            lab.net.plug(me, subnet.segment, subnet.interface(self.address))
        lab.net.default(me, subnet.router)

    def join(self, me: str, lab: Lab) -> None:
        """A plain host has no more than its default route."""
