"""A provider's private backbone: the router between its networks, its services and its circuits.

With `accepts` it is a filter too. IBM Cloud's backbone customer router passes only 10.0.0.0/8 and what is admitted
beside it, and prohibits traffic between two networks that are both external to it ("Power Systems Virtual Servers:
network environment").
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import permutations
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import Choice, ListOf
from labctl.description.words import PREFIX
from labctl.kinds.base import Lab

SERVICE_PREFIXES = {"ibm": (IPv4Network("161.26.0.0/16"), IPv4Network("166.8.0.0/14"))}
"""Where a provider's own services live ("Service endpoints available for IBM Cloud VPC")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A provider's private backbone."""

    kind: ClassVar[str] = "backbone"

    provider: str = option(Choice(("ibm",)), "whose it is")
    accepts: tuple[IPv4Network, ...] = option(
        ListOf(PREFIX), "the only prefixes whose packets it passes (none given: all)", ()
    )
    admits: tuple[IPv4Network, ...] = option(ListOf(PREFIX), "further prefixes that it passes", ())
    filters: tuple[IPv4Network, ...] = option(ListOf(PREFIX), "prefixes that it takes from no attached network", ())
    external_to_external: str = option(
        Choice(("allow", "deny")), "traffic from one attached circuit to another", "deny"
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("backbone", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        if self.admits and not self.accepts:
            lab.fault((me, "admits"), "without `accepts` everything passes already")

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me, forwards=True)

    def join(self, me: str, lab: Lab) -> None:
        from labctl.kinds.direct_link import circuits

        if self.external_to_external == "deny":
            for one, other in permutations(circuits(lab, me), 2):
                lab.net.rule(me, "filter", "FORWARD", "-i", one, "-o", other, "-j", "DROP")
        passes = (*self.accepts, *self.admits) if self.accepts else ()
        for source in passes:
            for destination in passes:
                lab.net.rule(me, "filter", "FORWARD", "-s", source, "-d", destination, "-j", "ACCEPT")
        if passes:
            lab.net.otherwise(me, "FORWARD", "DROP")

    def services(self) -> tuple[IPv4Network, ...]:
        """The prefixes of the provider's own services."""
        return SERVICE_PREFIXES[self.provider]
