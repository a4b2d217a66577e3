"""A customer's own place: a data centre, a branch, an enterprise network."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import MapOf
from labctl.description.words import ADDRESS, NAME, PREFIX, Servers
from labctl.kinds.base import Lab, Subnet
from labctl.kinds.customer_gateway import CustomerGateway
from labctl.kinds.dns_server import servers_of

SHARED = IPv4Network("100.64.0.0/10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A customer's own place: a data centre, a branch, an enterprise network. It is one network with hosts; its router
    has the first address, and is the site's customer_gateway, or a plain one (`router`) for a direct_link to end at.
    Its hosts ask the dns_servers of the site.
    """

    kind: ClassVar[str] = "site"
    group: ClassVar[str] = "Places"
    becomes: ClassVar[str] = (
        "A bridge, and for each host a node plugged into it whose default route is the first address of the prefix. A "
        "node has that address only once a customer_gateway names the site, or with `router`: a node that forwards."
    )
    cites: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = """\
dc: {kind: site, prefix: 172.16.10.0/24, hosts: {dc-host: 172.16.10.10}, serves: [tcp/8080]}
inet: {kind: internet, prefixes: [198.51.100.0/24]}
cgw: {kind: customer_gateway, site: dc, addresses: {inet: 198.51.100.20}}
"""

    prefix: IPv4Network = option(PREFIX, "the site's network; its router has the first address")
    router: str = option(
        NAME, "the name of a plain router of its own, a node; not for a site that has a customer_gateway", ""
    )
    hosts: dict[str, IPv4Address] = option(
        MapOf(NAME, ADDRESS), "its hosts and their addresses; each is a node of the lab, by its own name", {}
    )
    serves: tuple[tuple[str, int], ...] = option(Servers(), "ports at which every host runs a test server", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        router = {self.router: ("router", "node")} if self.router else {}
        return {me: ("site", "link"), **router, **dict.fromkeys(self.hosts, ("host", "node"))}

    def subnets(self, me: str) -> dict[str, Subnet]:
        return {me: Subnet(me, self.prefix)}

    def refuse(self, me: str, lab: Lab) -> None:
        lab.claim_subnet((me, "prefix"), self.prefix, "sites")
        if self.prefix.subnet_of(SHARED):
            rule = f"lies in {SHARED}, which providers use for themselves (RFC 6598): health checks come from there"
            lab.fault((me, "prefix"), rule, "a site has private addresses (RFC 1918)")
        for host, address in self.hosts.items():
            lab.claim_address((me, "hosts", host), address, self.subnets(me)[me])
        if self.router and (gateway := _gateway(lab, me)):
            lab.fault((me, "router"), f"has a router already: {gateway}", other=(gateway, "site"))

    def place(self, me: str, lab: Lab) -> None:
        subnet = self.subnets(me)[me]
        lab.net.segment(me)
        if self.router:
            lab.net.node(self.router, forwards=True)
            lab.net.plug(self.router, me, subnet.interface(subnet.router))
        for host, address in self.hosts.items():
            lab.net.node(host, stub=servers_of(lab, me))
            lab.net.plug(host, me, subnet.interface(address))
            lab.net.default(host, subnet.router)
            lab.net.listen(host, self.serves)

    def join(self, me: str, lab: Lab) -> None:
        """The site's customer_gateway connects it, or a direct link."""


def router_of(lab: Lab, site: str) -> str:
    """The node that is the router of a site; "" if it has none."""
    found = lab.find(site, Site)
    return _gateway(lab, site) or (found.router if found else "")


def _gateway(lab: Lab, site: str) -> str:
    return next((name for name, gateway in lab.all(CustomerGateway) if gateway.site == site), "")
