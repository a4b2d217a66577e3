"""A customer's own place: a data centre, a branch, an enterprise network."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import MapOf
from labctl.description.words import ADDRESS, NAME, PREFIX, Servers
from labctl.kinds.base import Lab, Subnet

SHARED = IPv4Network("100.64.0.0/10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A customer's own place: a data centre, a branch, an enterprise network. It is one network with hosts; its router
    is the site's customer_gateway, which has the first address.
    """

    kind: ClassVar[str] = "site"
    group: ClassVar[str] = "Places"
    becomes: ClassVar[str] = (
        "A bridge, and for each host a node plugged into it whose default route is the first address of the prefix. A "
        "node has that address only once a customer_gateway names the site."
    )
    cites: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = """\
dc: {kind: site, prefix: 172.16.10.0/24, hosts: {dc-host: 172.16.10.10}, serves: [tcp/8080]}
inet: {kind: internet, prefixes: [198.51.100.0/24]}
cgw: {kind: customer_gateway, site: dc, addresses: {inet: 198.51.100.20}}
"""

    prefix: IPv4Network = option(PREFIX, "the site's network; its customer_gateway has the first address")
    hosts: dict[str, IPv4Address] = option(
        MapOf(NAME, ADDRESS), "its hosts and their addresses; each is a node of the lab, by its own name", {}
    )
    serves: tuple[tuple[str, int], ...] = option(Servers(), "ports at which every host runs a test server", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("site", "link"), **dict.fromkeys(self.hosts, ("host", "node"))}

    def subnets(self, me: str) -> dict[str, Subnet]:
        return {me: Subnet(me, self.prefix)}

    def refuse(self, me: str, lab: Lab) -> None:
        lab.claim_subnet((me, "prefix"), self.prefix, "sites")
        if self.prefix.subnet_of(SHARED):
            rule = f"lies in {SHARED}, which providers use for themselves (RFC 6598): health checks come from there"
            lab.fault((me, "prefix"), rule, "a site has private addresses (RFC 1918)")
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
