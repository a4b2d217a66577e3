"""A route of a VPC: what its clients send to a prefix goes to a next hop inside the VPC.

It serves one zone, that of the next hop: what comes from another zone does not see it ("Determining route preference").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.faults import did_you_mean
from labctl.description.record import option
from labctl.description.types import Ref
from labctl.description.words import ADDRESS, BOOLEAN, NAME, PREFIX, integer
from labctl.kinds.base import Lab
from labctl.kinds.vpc import Vpc

LOWEST = 4
USUAL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of a VPC: packets to a prefix go to a next hop in one of its subnets. It serves the clients of one zone,
    and the next hop must be in that.
    """

    kind: ClassVar[str] = "route"
    group: ClassVar[str] = "In a cloud"
    becomes: ClassVar[str] = (
        "A route of the VPC's router. With `zone` it lies in a table of its own, which what comes in from a subnet of "
        "that zone asks first, and what the router itself sends too; the VPC's subnets, the provider's services, and "
        "what else the router knows more specifically (by a direct_link, a VPN) are in that table as well, so that a "
        "wider route does not hide them. Of routes to one prefix that with the lowest priority counts (its metric); "
        "routes of equal rank, which the provider would share the load between, are refused."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, VPC: About routing tables and routes",
        "IBM Cloud Docs, VPC: Creating a route",
        "IBM Cloud Docs, VPC: Determining route preference",
    )
    example: ClassVar[str] = """\
vpc1: {kind: vpc, subnets: {app: {zone: z1, prefix: 10.240.0.0/24}}}
firewall: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}
to-lan: {kind: route, vpc: vpc1, zone: z1, to: 192.168.4.0/22, via: 10.240.0.4}
"""

    vpc: str = option(Ref(("vpc",)), "the VPC")
    to: IPv4Network = option(PREFIX, "the destination; nothing inside a subnet of the VPC, which is always nearer")
    via: IPv4Address = option(ADDRESS, "the next hop: an address that somebody has in a subnet of the VPC")
    zone: str = option(
        NAME, "the zone whose clients it serves, in which the next hop is; a VPC of one zone needs none", ""
    )
    priority: int = option(
        integer(0, LOWEST), "of routes to the same destination the one with the lowest number counts", USUAL
    )
    pinned: bool = option(
        BOOLEAN,
        "the next hop is one edge of a Tier-0 gateway on purpose, and not the virtual address that moves between them",
        False,
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("route",)}

    def refuse(self, me: str, lab: Lab) -> None:
        self._refuse_twin(me, lab)
        vpc = lab.find(self.vpc, Vpc)
        if vpc is None:
            return
        zones = vpc.zones()
        if self.zone and self.zone not in zones:
            lab.fault((me, "zone"), f"{self.vpc} has no subnet in this zone", did_you_mean(self.zone, zones))
        for name, subnet in vpc.subnets(self.vpc).items():
            if self.to.subnet_of(subnet.prefix):
                lab.fault((me, "to"), f"lies in the subnet {name}, which the VPC's router reaches by itself")
            if self.via in subnet.prefix:
                self._refuse_next_hop(me, lab, name, vpc)
        if not any(self.via in prefix for prefix in vpc.prefixes()):
            prefixes = ", ".join(map(str, vpc.prefixes()))
            lab.fault((me, "via"), f"lies in no subnet of {self.vpc}", f"a next hop is in {prefixes}")

    def _refuse_twin(self, me: str, lab: Lab) -> None:
        rank = self.vpc, self.zone, self.to, self.priority
        for name, other in lab.all(Route):
            if name == me:
                return
            if (other.vpc, other.zone, other.to, other.priority) == rank:
                rule = f"{name} leads to {self.to} as well, with the same priority"
                lab.fault((me, "to"), rule, "give one of them another `priority`", other=(name, "to"))

    def _refuse_next_hop(self, me: str, lab: Lab, segment: str, vpc: Vpc) -> None:
        there = vpc.zone_of(self.vpc, segment)
        if self.via == lab.the_subnet(segment).router:
            lab.fault((me, "via"), f"is the router of {segment} itself: a next hop is another machine")
        elif self.zone in vpc.zones() and there != self.zone:
            rule = f"is in zone {there}: the next hop of a route for {self.zone} must be in that zone"
            lab.fault((me, "via"), rule, other=(me, "zone"))
        elif not self.zone and len(vpc.zones()) > 1:
            rule = f"is in zone {there}: the route serves that zone alone, and {self.vpc} has others"
            lab.fault((me, "via"), rule, f"say `zone: {there}`")
        else:
            lab.late.append(partial(self._refuse_nobody, me, lab, segment))

    def _refuse_nobody(self, me: str, lab: Lab, segment: str) -> None:
        if not lab.holds(segment, self.via) and not lab.document.unread:
            lab.fault((me, "via"), f"nobody in {segment} has this address, so nothing would be forwarded")

    def place(self, me: str, lab: Lab) -> None:
        """A route has no node of its own."""

    def join(self, me: str, lab: Lab) -> None:
        table = lab.get(self.vpc, Vpc).table(self.vpc, lab, self.zone) if self.zone else 0
        lab.net.route(self.vpc, self.to, via=self.via, metric=self.priority, table=table)
