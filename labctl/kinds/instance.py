"""A virtual server instance in a subnet of a VPC."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import Ref
from labctl.description.words import ADDRESS, Servers
from labctl.kinds.base import Lab
from labctl.kinds.vpc import Vpc


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A virtual server in a subnet of a VPC. Its default route is the VPC's router; the DNS servers that it asks are
    the private_dns of the VPC's backbone.
    """

    kind: ClassVar[str] = "instance"
    group: ClassVar[str] = "In a cloud"
    becomes: ClassVar[str] = (
        "A node that does not forward, plugged into the subnet's bridge, with a default route to the first address of "
        "the subnet. With `serves` a test server runs in it."
    )
    cites: ClassVar[tuple[str, ...]] = ("IBM Cloud Docs, VPC: About networking",)
    example: ClassVar[str] = """\
vpc1: {kind: vpc, subnets: {app: {zone: z1, prefix: 10.240.0.0/24}}}
vsi1: {kind: instance, subnet: vpc1.app, address: 10.240.0.4, serves: [tcp/8080]}
"""

    subnet: str = option(Ref(("subnet",)), "the subnet that it is in, such as vpc1.app")
    address: IPv4Address = option(ADDRESS, "its address in the subnet; not the first one, which is the router's")
    serves: tuple[tuple[str, int], ...] = option(Servers(), "ports at which it runs a test server", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("instance", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        lab.claim_address((me, "address"), self.address, lab.subnet(self.subnet))

    def place(self, me: str, lab: Lab) -> None:
        subnet = lab.the_subnet(self.subnet)
        vpc = lab.find(self.subnet, Vpc)
        lab.net.node(me, stub=vpc.resolvers(lab) if vpc else ())
        lab.net.plug(me, subnet.segment, subnet.interface(self.address))
        lab.net.default(me, subnet.router)
        lab.net.listen(me, self.serves)

    def join(self, me: str, lab: Lab) -> None:
        """An instance has no more than its default route."""
