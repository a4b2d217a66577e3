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
    """A virtual server. Its default route is the VPC's router, its resolvers are the VPC's."""

    kind: ClassVar[str] = "instance"

    subnet: str = option(Ref(("subnet",)), "the subnet that it is in, as vpc1.app")
    address: IPv4Address = option(ADDRESS, "its address")
    serves: tuple[tuple[str, int], ...] = option(Servers(), "test servers, such as tcp/8080", ())

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
