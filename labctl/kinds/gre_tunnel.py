"""A GRE tunnel that carries brought-your-own prefixes between a Power workspace and a gateway appliance.

While the tunnel is down an unreachable route stands at both ends for what it carries, so that nothing follows the
appliance's public default route in clear.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import ClassVar

from labctl.description.record import RecordOf, option
from labctl.description.types import Choice, ListOf, Ref
from labctl.description.words import ADDRESS, BOOLEAN, INTERFACE, PREFIX, integer
from labctl.kinds.base import Lab
from labctl.kinds.direct_link import DirectLink
from labctl.kinds.gateway_appliance import GatewayAppliance
from labctl.model.network import device_name, host_prefix
from labctl.model.tunnels import GreEnd

LARGEST_MTU = 1476
"""1500 bytes less the outer IPv4 header (20) and the GRE header (4); a key takes 4 more (RFC 2784, RFC 2890)."""


NO_GRE_FROM = 10_000_000_000
"""Bits per second: "GRE tunnels are not supported on 10 Gbps Direct Link connections"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterSpec:
    """The addresses of the packets on the wire."""

    a: IPv4Address = option(ADDRESS, "a's end")
    b: IPv4Address = option(ADDRESS, "b's end")


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSpec:
    """The addresses of the two ends inside the tunnel."""

    a: IPv4Interface = option(INTERFACE, "a's end")
    b: IPv4Interface = option(INTERFACE, "b's end")


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriesSpec:
    """What lies behind each end."""

    a: tuple[IPv4Network, ...] = option(ListOf(PREFIX), "prefixes behind a, for b to send into the tunnel")
    b: tuple[IPv4Network, ...] = option(ListOf(PREFIX), "prefixes behind b, for a to send into the tunnel")


@dataclass(frozen=True, slots=True, kw_only=True)
class GreTunnel:
    """A GRE tunnel with static routes, from a Power workspace to a gateway appliance. It carries prefixes that the
    customer brought along, which the backbone would not route.
    """

    kind: ClassVar[str] = "gre_tunnel"
    group: ClassVar[str] = "Circuits and Power"
    becomes: ClassVar[str] = (
        "At both ends a GRE device of this name with the inner address, routes into it for what lies behind the other "
        "end, and an unreachable route behind each, so that nothing follows the default route while the tunnel is "
        "down (unless `when_down` is follow_default); TCP segments are fitted to its MTU. The workspace owns the "
        "outer address, and the backbone gets a route to it by the direct_link."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "RFC 2784: Generic Routing Encapsulation (GRE)",
        "IBM Cloud Docs, Power Systems Virtual Servers: Network architecture diagrams for non-PER",
    )
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm}
inet: {kind: internet, prefixes: [198.51.100.0/24]}
cnet: {kind: classic_network, on: bb, subnets: {app: {prefix: 10.148.252.64/26}}}
vra:
  kind: gateway_appliance
  on: cnet.app
  private: 10.148.252.83
  public: {inet: 198.51.100.2}
  static_routes: [{to: 172.16.3.1/32, via: private}]
power:
  kind: power_workspace
  subnets: {own: {prefix: 192.168.50.0/24, byoip: true, lpars: {lpar1: 192.168.50.10}}}
dl: {kind: direct_link, from: bb, to: power, peering: 169.254.254.0/30}
byoip:
  kind: gre_tunnel
  a: power
  b: vra
  outer: {a: 172.16.3.1, b: 10.148.252.83}
  inner: {a: 172.16.3.5/30, b: 172.16.3.6/30}
  carries: {a: [192.168.50.0/24], b: [172.20.10.0/24]}
"""

    a: str = option(Ref(("power_workspace",)), "the workspace at one end")
    b: str = option(Ref(("gateway_appliance",)), "the appliance at the other end")
    outer: OuterSpec = option(
        RecordOf(OuterSpec), "the addresses of the GRE packets themselves; b's is the private address of the appliance"
    )
    inner: InnerSpec = option(
        RecordOf(InnerSpec), "the addresses of the two ends inside the tunnel, in one small subnet"
    )
    carries: CarriesSpec = option(RecordOf(CarriesSpec), "the prefixes that lie behind each end")
    mtu: int = option(
        integer(576, LARGEST_MTU, "1500 less the headers of IP and GRE"),
        "the largest packet inside, in bytes",
        LARGEST_MTU,
    )
    enabled: bool = option(BOOLEAN, "false: the devices of both ends are shut down", True)
    when_down: str = option(
        Choice(("unreachable", "follow_default")),
        "what becomes of its traffic while it is down: the sender is told, or it takes the default route",
        "unreachable",
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("gre_tunnel",)}

    def refuse(self, me: str, lab: Lab) -> None:
        if self.outer.a == self.outer.b:
            lab.fault((me, "outer", "b"), "both ends of a tunnel have the same address", other=(me, "outer", "a"))
        if self.inner.a.network != self.inner.b.network or self.inner.a == self.inner.b:
            rule = f"must be another address of {self.inner.a.network}"
            lab.fault((me, "inner", "b"), rule, other=(me, "inner", "a"))
        self._refuse_halves(me, lab)
        self._refuse_recursion(me, lab)
        for name, link in lab.all(DirectLink):
            if link.to == self.a and (link.speed or 0) >= NO_GRE_FROM:
                rule = f"no GRE tunnel crosses a direct link of 10 Gbit/s, as {name} is"
                lab.fault((me, "a"), rule, other=(name, "speed"))
        appliance = lab.find(self.b, GatewayAppliance)
        if appliance and appliance.private != self.outer.b:
            lab.fault((me, "outer", "b"), f"is not the private address of {self.b}, {appliance.private}")

    def _refuse_halves(self, me: str, lab: Lab) -> None:
        """A tunnel has a /29: the workspace's outer address in one half of it, both inner addresses in the other."""
        inner = self.inner.a.network
        if inner.prefixlen != 30:
            rule = "the inside of a tunnel is a /30, one half of the /29 that it has"
            lab.fault((me, "inner", "a"), rule, value=str(self.inner.a))
            return
        for end, outer in (("a", self.outer.a), ("b", self.outer.b)):
            if outer in inner:
                rule = f"lies inside the tunnel's own network {inner}: the tunnel would carry itself"
                lab.fault((me, "outer", end), rule, other=(me, "inner", "a"))
        if self.outer.a not in inner.supernet() and self.outer.a != self.outer.b:
            rule = f"lies outside {inner.supernet()}, the tunnel's /29: the half beside {inner} is for it"
            lab.fault((me, "outer", "a"), rule, other=(me, "inner", "a"))

    def _refuse_recursion(self, me: str, lab: Lab) -> None:
        for end, outer, carried in (("a", self.outer.a, self.carries.a), ("b", self.outer.b, self.carries.b)):
            for i, prefix in enumerate(carried):
                if outer in prefix:
                    rule = f"holds the tunnel's own outer address {outer}: the tunnel would carry itself"
                    lab.fault((me, "carries", end, i), rule, value=str(prefix), other=(me, "outer", end))

    def place(self, me: str, lab: Lab) -> None:
        lab.net.own(self.a, self.outer.a, known=False)

    def join(self, me: str, lab: Lab) -> None:
        for _, link in lab.all(DirectLink):
            if link.to == self.a:
                lab.net.route(link.from_, host_prefix(self.outer.a), via=link.far_end())
        self._end(me, lab, self.a, (self.outer.a, self.outer.b), (self.inner.a, self.inner.b), self.carries.b)
        self._end(me, lab, self.b, (self.outer.b, self.outer.a), (self.inner.b, self.inner.a), self.carries.a)

    def _end(
        self,
        me: str,
        lab: Lab,
        node: str,
        outer: tuple[IPv4Address, IPv4Address],
        inner: tuple[IPv4Interface, IPv4Interface],
        beyond: tuple[IPv4Network, ...],
    ) -> None:
        device = device_name(me)
        lab.net.gre(GreEnd(node, device, *outer, inner[0], self.mtu, self.enabled))
        lab.net.clamp(node, device)
        for prefix in beyond:
            if self.enabled:
                lab.net.route(node, prefix, via=inner[1].ip, device=device, metric=10)
            if self.when_down == "unreachable":
                lab.net.guard(node, prefix)


def carried_from(lab: Lab, workspace: str) -> list[IPv4Network]:
    """What tunnels carry from a workspace."""
    return [prefix for _, tunnel in lab.all(GreTunnel) if tunnel.a == workspace for prefix in tunnel.carries.a]
