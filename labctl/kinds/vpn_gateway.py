"""A VPN gateway of a VPC: where its IPsec connections end. It is no way out to the Internet: it knows its peers and no
default route ("What is VPN Gateway?")."""

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
class VpnGateway:
    """A VPN gateway in a subnet of a VPC: where its IPsec connections end. It is no way out to the Internet: it knows
    its peers, and has no default route.
    """

    kind: ClassVar[str] = "vpn_gateway"
    group: ClassVar[str] = "VPN"
    becomes: ClassVar[str] = (
        "A node that forwards, plugged into the subnet and, for each public address, into that internet. An "
        "ipsec_connection that names it adds its tunnels and routes, here and in the VPC's router."
    )
    cites: ClassVar[tuple[str, ...]] = ("Alibaba Cloud documentation, VPN Gateway: What is VPN Gateway?",)
    example: ClassVar[str] = """\
inet: {kind: internet, prefixes: [198.51.100.0/24]}
vpc1: {kind: vpc, subnets: {app: {zone: a, prefix: 10.0.1.0/24}}}
gw: {kind: vpn_gateway, subnet: vpc1.app, private: 10.0.1.2, addresses: {inet: 198.51.100.10}}
"""

    subnet: str = option(Ref(("subnet",)), "the subnet of the VPC that it is in, such as vpc1.app")
    private: IPv4Address = option(ADDRESS, "its address in that subnet")
    addresses: dict[str, IPv4Address] = option(
        MapOf(Ref(("internet",)), ADDRESS),
        "its public address, for each internet that it is on; its side to isp1 is then called gw.isp1",
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("vpn_gateway", "gateway", "node"), **sides(me, self.addresses)}

    def refuse(self, me: str, lab: Lab) -> None:
        lab.claim_address((me, "private"), self.private, lab.subnet(self.subnet))
        claim_public(lab, me, "addresses", self.addresses)
        if not self.addresses:
            lab.fault((me, "addresses"), "needs at least one public address")

    def place(self, me: str, lab: Lab) -> None:
        subnet = lab.the_subnet(self.subnet)
        lab.net.node(me, forwards=True)
        lab.net.plug(me, subnet.segment, subnet.interface(self.private))
        for inet, address in self.addresses.items():
            plug_public(lab, me, inet, address)

    def join(self, me: str, lab: Lab) -> None:
        """Its connections write their own routes."""
