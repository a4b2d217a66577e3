"""A virtual server instance in a subnet of a VPC."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.faults import Path
from labctl.description.record import option
from labctl.description.schema import Definitions, Schema, either
from labctl.description.tree import Node, Scalar
from labctl.description.types import Choice, ListOf, Reading, Ref
from labctl.description.words import ADDRESS, Servers
from labctl.kinds.base import Lab
from labctl.kinds.vpc import Vpc

LEASES = Choice(("dhcp", "stale"))
BY_HAND = ListOf(ADDRESS, least=1)


@dataclass(frozen=True, slots=True)
class NameServers:
    """Where an instance has its DNS servers from: a lease, or a person."""

    @property
    def says(self) -> str:
        return f"dhcp, stale or {BY_HAND.says}"

    def schema(self, known: Definitions) -> Schema:
        return either(LEASES.schema(known), *BY_HAND.schema(known)["anyOf"])

    def read(self, node: Node, path: Path, reading: Reading) -> str | tuple[IPv4Address, ...]:
        if isinstance(node, Scalar) and not node.text[:1].isdecimal():
            return LEASES.read(node, path, reading)
        return BY_HAND.read(node, path, reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A virtual server in a subnet of a VPC. Its default route is the VPC's router. The DNS servers that it asks are
    those that the VPC's DHCP offers: the locations of its custom_resolver; else the private_dns, once the VPC has an
    endpoint_gateway or a private zone; else the shared_dns.
    """

    kind: ClassVar[str] = "instance"
    group: ClassVar[str] = "In a cloud"
    becomes: ClassVar[str] = (
        "A node that does not forward, plugged into the subnet's bridge, with a default route to the first address of "
        "the subnet. What runs in it (`labctl exec`, the check lookup) has a resolv.conf of its own, in which each DNS "
        "server has 1 s before the next one is asked (`profile: provider`: 5 s, twice). With `serves` a test server "
        "runs in it."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, VPC: About networking",
        "IBM Cloud Docs, VPC: About virtual private endpoint gateways",
        "IBM Cloud Docs, DNS Services: Updating the DNS resolver for your VSI",
    )
    example: ClassVar[str] = """\
vpc1: {kind: vpc, subnets: {app: {zone: z1, prefix: 10.240.0.0/24}}}
vsi1: {kind: instance, subnet: vpc1.app, address: 10.240.0.4, serves: [tcp/8080]}
"""

    subnet: str = option(Ref(("subnet",)), "the subnet that it is in, such as vpc1.app")
    address: IPv4Address = option(ADDRESS, "its address in the subnet; not the first one, which is the router's")
    dns: str | tuple[IPv4Address, ...] = option(
        NameServers(),
        "its DNS servers: `dhcp`, those of a lease of today; `stale`, those of a lease from before the VPC had any "
        "private name, the shared_dns; or addresses that somebody wrote into it",
        "dhcp",
    )
    serves: tuple[tuple[str, int], ...] = option(Servers(), "ports at which it runs a test server", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("instance", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        from labctl.kinds.shared_dns import shared_addresses

        lab.claim_address((me, "address"), self.address, lab.subnet(self.subnet))
        vpc = lab.find(self.subnet, Vpc)
        if self.dns == "stale" and vpc and not shared_addresses(lab, vpc.on) and not lab.unread("shared_dns"):
            rule = "a stale lease has the shared resolvers, and there is no shared_dns on the backbone of the VPC"
            lab.fault((me, "dns"), rule)

    def place(self, me: str, lab: Lab) -> None:
        subnet = lab.the_subnet(self.subnet)
        lab.net.node(me, stub=self._servers(lab))
        lab.net.plug(me, subnet.segment, subnet.interface(self.address))
        lab.net.default(me, subnet.router)
        lab.net.listen(me, self.serves)

    def join(self, me: str, lab: Lab) -> None:
        """An instance has no more than its default route."""

    def _servers(self, lab: Lab) -> tuple[IPv4Address, ...]:
        from labctl.kinds.leases import offered_before

        vpc = lab.find(self.subnet, Vpc)
        if not isinstance(self.dns, str):
            return self.dns
        if vpc is None:
            return ()
        return vpc.resolvers(lab) if self.dns == "dhcp" else offered_before(lab, lab.owner(self.subnet))
