"""A customer's own place: a data centre, a branch, an enterprise network."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import MapOf
from labctl.description.words import ADDRESS, NAME, PREFIX, Servers
from labctl.kinds.base import Lab, Subnet


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One network with hosts. Its router, the first address, is the site's customer_gateway."""

    kind: ClassVar[str] = "site"

    prefix: IPv4Network = option(PREFIX, "the site's network")
    hosts: dict[str, IPv4Address] = option(MapOf(NAME, ADDRESS), "its hosts and their addresses", {})
    serves: tuple[tuple[str, int], ...] = option(Servers(), "test servers on each host, such as tcp/22", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("site", "link"), **dict.fromkeys(self.hosts, ("host", "node"))}

    def subnets(self, me: str) -> dict[str, Subnet]:
        return {me: Subnet(me, self.prefix)}

    def refuse(self, me: str, lab: Lab) -> None:
        lab.claim_subnet((me, "prefix"), self.prefix, "sites")
        for host, address in self.hosts.items():
            lab.claim_address((me, "hosts", host), address, self.subnets(me)[me])

    def place(self, me: str, lab: Lab) -> None:
        subnet = self.subnets(me)[me]
        lab.net.segment(me)
        for host, address in self.hosts.items():
            lab.net.node(host)
            lab.net.plug(host, me, subnet.interface(address))
            lab.net.default(host, subnet.router)
            lab.net.listen(host, self.serves)

    def join(self, me: str, lab: Lab) -> None:
        """The site's customer_gateway connects it."""
