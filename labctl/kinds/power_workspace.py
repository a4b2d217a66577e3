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

TAKEN = tuple(map(IPv4Network, ("10.0.0.0/14", "10.198.0.0/15", "10.200.0.0/14", "169.254.0.0/16", "224.0.0.0/4")))
"""Prefixes that no subnet of a workspace can have ("Power Systems Virtual Servers: network environment")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSubnetSpec:
    """A subnet of the workspace."""

    prefix: IPv4Network = option(PREFIX, "its addresses; the workspace's router has the first one")
    byoip: bool = option(
        BOOLEAN,
        "bring your own IP: the customer's addresses, which the backbone does not route; a gre_tunnel must carry them",
        False,
    )
    lpars: dict[str, IPv4Address] = option(
        MapOf(NAME, ADDRESS),
        "its logical partitions and their addresses; each is a node of the lab, by its own name",
        {},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerWorkspace:
    """A Power Systems Virtual Server workspace: partitions in subnets behind a virtual router. It is outside the
    backbone: a direct_link reaches it, and addresses that the customer brought along (`byoip`) need a gre_tunnel.
    """

    kind: ClassVar[str] = "power_workspace"
    group: ClassVar[str] = "Circuits and Power"
    becomes: ClassVar[str] = (
        "A node that forwards, the virtual router; for each subnet a bridge in which it has the first address, and "
        "for each partition a node with a default route to that."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, Power Systems Virtual Servers: Network architecture diagrams for non-PER",
    )
    example: ClassVar[str] = """\
power:
  kind: power_workspace
  serves: [tcp/22]
  subnets:
    plain: {prefix: 10.150.0.0/24, lpars: {lpar1: 10.150.0.10, lpar2: 10.150.0.11}}
"""

    subnets_: dict[str, PowerSubnetSpec] = option(
        MapOf(NAME, RecordOf(PowerSubnetSpec)),
        "its subnets, by name; elsewhere the subnet own of power is called power.own",
    )
    serves: tuple[tuple[str, int], ...] = option(Servers(), "ports at which every partition runs a test server", ())

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
            for taken in TAKEN:
                if each.prefix.overlaps(taken):
                    lab.fault(path, f"overlaps {taken}, which the provider uses itself: no workspace can have it")
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
