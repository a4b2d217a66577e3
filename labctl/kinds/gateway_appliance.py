"""A gateway appliance (Virtual Router Appliance, vSRX): the customer's own router inside the provider's network.

Its default route is public, what the backbone accepts is behind its private side, and every other private
destination needs a static route: GRE packets to a host that has none leave by the public side.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import RecordOf, option
from labctl.description.types import Choice, ListOf, MapOf, Ref
from labctl.description.words import ADDRESS, PREFIX
from labctl.kinds.backbone import Backbone
from labctl.kinds.base import Lab
from labctl.kinds.classic_network import ClassicNetwork
from labctl.kinds.internet import claim_public, plug_public, sides


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticRouteSpec:
    """A static route of the appliance."""

    to: IPv4Network = option(PREFIX, "the destination")
    via: str = option(Choice(("private", "public")), "which of its sides leads there")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAppliance:
    """A router with a private and a public side, where VPN and GRE tunnels end."""

    kind: ClassVar[str] = "gateway_appliance"

    on: str = option(Ref(("subnet",)), "the private subnet that it is in")
    private: IPv4Address = option(ADDRESS, "its private address")
    public: dict[str, IPv4Address] = option(
        MapOf(Ref(("internet",)), ADDRESS), "its public address at each Internet provider"
    )
    static_routes: tuple[StaticRouteSpec, ...] = option(ListOf(RecordOf(StaticRouteSpec)), "its static routes", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {
            me: ("gateway_appliance", "gateway", "node"),
            f"{me}.private": ("side", "link"),
            **sides(me, self.public),
        }

    def refuse(self, me: str, lab: Lab) -> None:
        lab.claim_address((me, "private"), self.private, lab.subnet(self.on))
        claim_public(lab, me, "public", self.public)
        if not self.public:
            lab.fault((me, "public"), "needs a public address")

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me, forwards=True)
        subnet = lab.the_subnet(self.on)
        lab.net.plug(me, subnet.segment, subnet.interface(self.private), also=(f"{me}.private",))
        gateways = {"private": subnet.router}
        for inet, address in self.public.items():
            _, public = plug_public(lab, me, inet, address)
            gateways.setdefault("public", public.router)
        lab.net.default(me, gateways["public"])
        for route in self.static_routes:
            lab.net.route(me, route.to, via=gateways[route.via])

    def join(self, me: str, lab: Lab) -> None:
        network = lab.find(self.on, ClassicNetwork)
        for prefix in lab.get(network.on, Backbone).accepts if network else ():
            lab.net.route(me, prefix, via=lab.the_subnet(self.on).router)
