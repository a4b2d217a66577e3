"""The customer's end of a VPN: the router of a site, with one public address for each Internet provider."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import MapOf, Ref
from labctl.description.words import ADDRESS
from labctl.kinds.base import Lab
from labctl.kinds.internet import claim_public, plug_public, sides


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerGateway:
    """The customer's end of a VPN: the router of a site, with one public address for each Internet provider."""

    kind: ClassVar[str] = "customer_gateway"
    group: ClassVar[str] = "VPN"
    becomes: ClassVar[str] = (
        "A node that forwards. It has the first address of the site's prefix and a public address in each internet; "
        "its default route leads to the first of these."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "Alibaba Cloud documentation, VPN Gateway: Connect on-premises data centers to VPC networks",
    )
    example: ClassVar[str] = """\
inet: {kind: internet, prefixes: [198.51.100.0/24]}
dc: {kind: site, prefix: 172.16.10.0/24, hosts: {dc-host: 172.16.10.10}}
cgw: {kind: customer_gateway, site: dc, addresses: {inet: 198.51.100.20}}
"""

    site: str = option(Ref(("site",)), "the site whose router it is; a site has one")
    addresses: dict[str, IPv4Address] = option(
        MapOf(Ref(("internet",)), ADDRESS),
        "its public address, for each internet that it is on; its side to isp1 is then called cgw.isp1",
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("customer_gateway", "gateway", "node"), **sides(me, self.addresses)}

    def refuse(self, me: str, lab: Lab) -> None:
        if not self.addresses:
            lab.fault((me, "addresses"), "needs at least one public address")
        claim_public(lab, me, "addresses", self.addresses)
        twin = next((name for name, other in lab.all(CustomerGateway) if other.site == self.site), me)
        if twin != me:
            lab.fault((me, "site"), f"has a router already: {twin}")

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me, forwards=True)
        subnet = lab.the_subnet(self.site)
        lab.net.plug(me, subnet.segment, subnet.interface(subnet.router))
        for i, (inet, address) in enumerate(self.addresses.items()):
            _, public = plug_public(lab, me, inet, address)
            if i == 0:
                lab.net.default(me, public.router)

    def join(self, me: str, lab: Lab) -> None:
        """Its tunnels are written by their ipsec_connection."""

    def inside(self, me: str, lab: Lab) -> IPv4Address:
        """Its address in the site."""
        return lab.the_subnet(self.site).router
