"""A virtual private cloud: subnets around one implicit router.

The router knows the VPC's own subnets and, on a backbone, the provider's service prefixes; it has no default route, so
nothing in a VPC reaches the Internet until something is added that does.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import RecordOf, option
from labctl.description.types import MapOf, Ref
from labctl.description.words import NAME, PREFIX
from labctl.kinds.backbone import Backbone
from labctl.kinds.base import Lab, Subnet


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetSpec:
    """A subnet of a VPC, in one zone."""

    zone: str = option(NAME, "the zone that it is in")
    prefix: IPv4Network = option(PREFIX, "its prefix; the VPC's router has the first address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc:
    """A VPC; its node is its implicit router."""

    kind: ClassVar[str] = "vpc"

    subnets_: dict[str, SubnetSpec] = option(MapOf(NAME, RecordOf(SubnetSpec)), "its subnets, by name")
    on: str = option(Ref(("backbone",)), "the provider's backbone, where services are used", "")

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("vpc", "node"), **{f"{me}.{name}": ("subnet", "link") for name in self.subnets_}}

    def subnets(self, me: str) -> dict[str, Subnet]:
        return {f"{me}.{name}": Subnet(f"{me}.{name}", each.prefix) for name, each in self.subnets_.items()}

    def prefixes(self) -> tuple[IPv4Network, ...]:
        """The prefixes of its subnets."""
        return tuple(each.prefix for each in self.subnets_.values())

    def refuse(self, me: str, lab: Lab) -> None:
        for name, each in self.subnets_.items():
            lab.claim_subnet((me, "subnets", name, "prefix"), each.prefix, f"on {self.on}" if self.on else me)

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me, forwards=True)
        for name, subnet in self.subnets(me).items():
            lab.net.segment(name, zone=self.subnets_[name.removeprefix(f"{me}.")].zone)
            lab.net.plug(me, name, subnet.interface(subnet.router))
        if self.on:
            mine, theirs = lab.net.wire(me, self.on)
            for prefix in lab.get(self.on, Backbone).services():
                lab.net.route(me, prefix, via=theirs)
            for prefix in self.prefixes():
                lab.net.route(self.on, prefix, via=mine)

    def join(self, me: str, lab: Lab) -> None:
        """Gateways add their own routes."""

    def resolvers(self, lab: Lab) -> tuple[IPv4Address, ...]:
        """The DNS servers that its instances learn by DHCP: the private DNS of its backbone."""
        from labctl.kinds.private_dns import PrivateDns

        return tuple(address for _, dns in lab.all(PrivateDns) if dns.on == self.on for address in dns.addresses)
