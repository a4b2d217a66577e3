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
from labctl.model.network import GreEnd, device_name, host_prefix

LARGEST_MTU = 1476
"""1500 bytes less the outer IPv4 header (20) and the GRE header (4); a key takes 4 more (RFC 2784, RFC 2890)."""


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
    """A GRE tunnel with static routes."""

    kind: ClassVar[str] = "gre_tunnel"

    a: str = option(Ref(("power_workspace",)), "the workspace's end")
    b: str = option(Ref(("gateway_appliance",)), "the appliance's end")
    outer: OuterSpec = option(RecordOf(OuterSpec), "addresses outside")
    inner: InnerSpec = option(RecordOf(InnerSpec), "addresses inside")
    carries: CarriesSpec = option(RecordOf(CarriesSpec), "what it carries")
    mtu: int = option(
        integer(576, LARGEST_MTU, "1500 less the headers of IP and GRE"),
        "the largest packet inside, in bytes",
        LARGEST_MTU,
    )
    enabled: bool = option(BOOLEAN, "false: both ends are shut down", True)
    when_down: str = option(
        Choice(("unreachable", "follow_default")), "what becomes of its traffic while it is down", "unreachable"
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("gre_tunnel",)}

    def refuse(self, me: str, lab: Lab) -> None:
        if self.outer.a == self.outer.b:
            lab.fault((me, "outer", "b"), "both ends of a tunnel have the same address")
        if self.inner.a.network != self.inner.b.network or self.inner.a == self.inner.b:
            lab.fault((me, "inner", "b"), f"must be another address of {self.inner.a.network}")
        for end, outer in (("a", self.outer.a), ("b", self.outer.b)):
            if outer in self.inner.a.network:
                rule = f"lies inside the tunnel's own network {self.inner.a.network}: the tunnel would carry itself"
                lab.fault((me, "outer", end), rule)
        appliance = lab.find(self.b, GatewayAppliance)
        if appliance and appliance.private != self.outer.b:
            lab.fault((me, "outer", "b"), f"is not the private address of {self.b}, {appliance.private}")

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
