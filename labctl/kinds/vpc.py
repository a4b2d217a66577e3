"""A virtual private cloud: subnets around one implicit router.

The router knows the VPC's own subnets and, on a backbone, the provider's service prefixes; it has no default route, so
nothing in a VPC reaches the Internet until something is added that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import RecordOf, option
from labctl.description.types import MapOf, Ref
from labctl.description.words import NAME, PREFIX
from labctl.kinds.backbone import Backbone
from labctl.kinds.base import Lab, Subnet
from labctl.model.network import Network, Path, device_name

FIRST_TABLE = 100
"""The number of the routing table for the first zone with routes of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetSpec:
    """A subnet of a VPC, in one zone."""

    zone: str = option(
        NAME, "the availability zone that it is in: any name; the drill zone_off takes down all of a zone"
    )
    prefix: IPv4Network = option(PREFIX, "its addresses; the VPC's router has the first one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc:
    """A virtual private cloud: subnets around one implicit router. It has no way out to the Internet until something is
    added that is one; on a backbone it reaches the provider's services.
    """

    kind: ClassVar[str] = "vpc"
    group: ClassVar[str] = "In a cloud"
    becomes: ClassVar[str] = (
        "A node that forwards, the implicit router, and for each subnet a bridge in which that router has the first "
        "address. With `on` a link to the backbone, numbered by labctl, with routes to the provider's service "
        "prefixes (for ibm 161.26.0.0/16 and 166.8.0.0/14), and routes back to each subnet."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, VPC: About networking",
        "IBM Cloud Docs, VPC: About subnets in VPC",
    )
    example: ClassVar[str] = """\
vpc1:
  kind: vpc
  subnets:
    app: {zone: z1, prefix: 10.240.0.0/24}
    db: {zone: z2, prefix: 10.240.64.0/24}
vsi1: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}
vsi2: {kind: instance, subnet: vpc1.db, address: 10.240.64.4, serves: [tcp/5432]}
"""

    subnets_: dict[str, SubnetSpec] = option(
        MapOf(NAME, RecordOf(SubnetSpec)), "its subnets, by name; elsewhere the subnet app of vpc1 is called vpc1.app"
    )
    on: str = option(Ref(("backbone",)), "the provider's backbone, needed to reach a cloud_service or private_dns", "")

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("vpc", "node"), **{f"{me}.{name}": ("subnet", "link") for name in self.subnets_}}

    def subnets(self, me: str) -> dict[str, Subnet]:
        return {f"{me}.{name}": Subnet(f"{me}.{name}", each.prefix) for name, each in self.subnets_.items()}

    def zones(self) -> tuple[str, ...]:
        """The zones that it has subnets in, in the order in which they are first named."""
        return tuple(dict.fromkeys(each.zone for each in self.subnets_.values()))

    def zone_of(self, me: str, subnet: str) -> str:
        """The zone of a subnet, which is one of its own."""
        return self.subnets_[subnet.removeprefix(f"{me}.")].zone

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

    def table(self, me: str, lab: Lab, zone: str) -> int:
        """The routing table for what comes from a zone, begun when it is first asked for: with what is always nearer
        than a route, the VPC's subnets and the provider's services. Everything is placed already; what the main table
        has that is more specific than the zone's routes follows when everything is joined.
        """
        number = FIRST_TABLE + self.zones().index(zone)
        if any((each.node, each.table) == (me, number) for each in lab.net.choices):
            return number
        subnets = self.subnets(me)
        for name in (name for name in subnets if self.zone_of(me, name) == zone):
            lab.net.choose(me, number, device=device_name(name))
        lab.net.choose(me, number, device="lo")  # what the router itself sends, an ICMP error, is of every zone
        for name, subnet in subnets.items():
            lab.net.route(me, subnet.prefix, device=device_name(name), table=number)
        services = lab.get(self.on, Backbone).services() if self.on else ()
        for path in [each for each in lab.net.paths if each.node == me and not each.table and each.to in services]:
            lab.net.route(me, path.to, via=path.via, table=number)
        lab.ending.append(partial(_uncover, lab.net, me, number))
        return number

    def resolvers(self, lab: Lab) -> tuple[IPv4Address, ...]:
        """The DNS servers that its instances learn by DHCP."""
        from labctl.kinds.leases import offered

        return offered(lab, next(name for name, each in lab.all(Vpc) if each is self))


def _uncover(net: Network, me: str, number: int) -> None:
    """Let a zone's table hide nothing that the main one knows more specifically: whatever the zone, of the routes to an
    address the most specific is used ("Creating a route"). The router's own links come first of all routes, because
    the kernel looks for next hops by these tables too.
    """
    there = {each.to for each in net.paths if (each.node, each.table) == (me, number)}
    main = [each for each in net.paths if each.node == me and not each.table]
    links, routes = ([each for each in group if _hidden(each.to, there)] for group in (_links(net, me), main))
    net.paths[:0] = [replace(each, table=number) for each in links]
    net.paths += [replace(each, table=number) for each in routes]


def _hidden(prefix: IPv4Network, there: set[IPv4Network]) -> bool:
    return prefix not in there and any(prefix.subnet_of(each) for each in there)


def _links(net: Network, me: str) -> Iterator[Path]:
    """The routes that come with the addresses of the router's devices."""
    for plug in net.plugs:
        if plug.node == me:
            yield Path(me, plug.address.network, device=plug.device)
    for wire in net.wires:
        ends = ((wire.a, wire.a_device, wire.a_address), (wire.b, wire.b_device, wire.b_address))
        for device, address in ((device, address) for node, device, address in ends if node == me):
            yield Path(me, address.network, device=device)
