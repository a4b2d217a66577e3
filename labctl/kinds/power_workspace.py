"""A Power Systems Virtual Server workspace: logical partitions in subnets behind the workspace's virtual router.

It is outside the backbone: reached over a direct link by prefixes that the backbone accepts, and with addresses that
the customer brought along (`byoip`) only through a GRE tunnel ("Power Systems Virtual Servers: network diagrams").
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import RecordOf, option
from labctl.description.types import MapOf
from labctl.description.words import ADDRESS, BOOLEAN, NAME, PREFIX, Servers
from labctl.kinds.base import Lab, Subnet


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSubnetSpec:
    """A subnet of the workspace."""

    prefix: IPv4Network = option(PREFIX, "its prefix; the workspace's router has the first address")
    byoip: bool = option(BOOLEAN, "the customer's own addresses, which the backbone does not route", False)
    lpars: dict[str, IPv4Address] = option(MapOf(NAME, ADDRESS), "its logical partitions and their addresses", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerWorkspace:
    """A workspace; its node is its virtual router."""

    kind: ClassVar[str] = "power_workspace"

    subnets_: dict[str, PowerSubnetSpec] = option(MapOf(NAME, RecordOf(PowerSubnetSpec)), "its subnets, by name")
    serves: tuple[tuple[str, int], ...] = option(Servers(), "test servers on each partition, such as tcp/22", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        subnets = {f"{me}.{name}": ("subnet", "link") for name in self.subnets_}
        lpars = {lpar: ("lpar", "node") for each in self.subnets_.values() for lpar in each.lpars}
        return {me: ("power_workspace", "node"), **subnets, **lpars}

    def subnets(self, me: str) -> dict[str, Subnet]:
        return {f"{me}.{name}": Subnet(f"{me}.{name}", each.prefix) for name, each in self.subnets_.items()}

    def routed(self) -> tuple[IPv4Network, ...]:
        """The prefixes that the backbone routes: those that were not brought along."""
        return tuple(each.prefix for each in self.subnets_.values() if not each.byoip)

    def refuse(self, me: str, lab: Lab) -> None:
        from labctl.kinds.gre_tunnel import carried_from

        carried = carried_from(lab, me)
        for name, each in self.subnets_.items():
            path = (me, "subnets", name, "prefix")
            lab.claim_subnet(path, each.prefix, me)
            known = not lab.unread("gre_tunnel")
            if each.byoip and known and not any(each.prefix.subnet_of(prefix) for prefix in carried):
                hint = "add it to the `carries` of a gre_tunnel"
                lab.fault(path, "brought-your-own addresses that no tunnel carries cannot be reached", hint)
            for lpar, address in each.lpars.items():
                subnet = self.subnets(me)[f"{me}.{name}"]
                lab.claim_address((me, "subnets", name, "lpars", lpar), address, subnet)

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me, forwards=True)
        for name, each in self.subnets_.items():
            subnet = self.subnets(me)[f"{me}.{name}"]
            lab.net.segment(subnet.segment)
            lab.net.plug(me, subnet.segment, subnet.interface(subnet.router))
            for lpar, address in each.lpars.items():
                lab.net.node(lpar)
                lab.net.plug(lpar, subnet.segment, subnet.interface(address))
                lab.net.default(lpar, subnet.router)
                lab.net.listen(lpar, self.serves)

    def join(self, me: str, lab: Lab) -> None:
        """Direct links and tunnels connect it."""
