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
    """The customer's own router inside the provider's network (a Virtual Router Appliance, a vSRX). It has a private
    and a public side, and VPN and GRE tunnels end at it. Its default route is public; what the backbone accepts is
    behind its private side; every other private destination needs a static route.
    """

    kind: ClassVar[str] = "gateway_appliance"
    group: ClassVar[str] = "Circuits and Power"
    becomes: ClassVar[str] = (
        "A node that forwards, plugged into the private subnet and into each internet. Its default route leads to its "
        "first internet, what the backbone `accepts` is routed to the private side, and each static route to the side "
        "that it names."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, Virtual Router Appliance: About the VRA",
        "IBM Cloud Docs, Power Systems Virtual Servers: Network architecture diagrams for non-PER",
    )
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm, accepts: [10.0.0.0/8]}
inet: {kind: internet, prefixes: [198.51.100.0/24]}
cnet: {kind: classic_network, on: bb, subnets: {app: {prefix: 10.148.252.64/26}}}
vra:
  kind: gateway_appliance
  on: cnet.app
  private: 10.148.252.83
  public: {inet: 198.51.100.2}
  static_routes: [{to: 172.16.3.1/32, via: private}]
"""

    on: str = option(Ref(("subnet",)), "the private subnet that it is in, such as cnet.app")
    private: IPv4Address = option(ADDRESS, "its address in that subnet; its side there is called vra.private")
    public: dict[str, IPv4Address] = option(
        MapOf(Ref(("internet",)), ADDRESS),
        "its public address, for each internet that it is on; its side to isp1 is then called vra.isp1",
    )
    static_routes: tuple[StaticRouteSpec, ...] = option(
        ListOf(RecordOf(StaticRouteSpec)),
        "static routes; GRE to a far end that only the private side reaches needs one",
        (),
    )

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
