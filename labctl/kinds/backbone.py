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
    """A provider's private backbone: the router between its networks, its services and its circuits."""

    kind: ClassVar[str] = "backbone"
    group: ClassVar[str] = "Places"
    becomes: ClassVar[str] = (
        "A node that forwards. What is on the backbone (a vpc, a cloud_service, an endpoint_gateway, a private_dns) "
        "gets a link to it, numbered by labctl, and its routes here. With `accepts` the FORWARD chain drops all but "
        "packets between prefixes that are accepted or admitted; unless `external_to_external` is allow, it drops what "
        "would go from one direct_link to another."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, Power Systems Virtual Servers: Network architecture diagrams for non-PER",
        "IBM Cloud Docs, VPC: Endpoints available",
    )
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm, accepts: [10.0.0.0/8], admits: [172.16.3.1/32]}
cnet: {kind: classic_network, on: bb, subnets: {app: {prefix: 10.148.252.64/26}}}
"""

    provider: str = option(Choice(("ibm",)), "whose it is; that decides which prefixes are those of its services")
    accepts: tuple[IPv4Network, ...] = option(
        ListOf(PREFIX), "the only prefixes whose packets it passes, both ways (not given: all)", ()
    )
    admits: tuple[IPv4Network, ...] = option(
        ListOf(PREFIX), "further prefixes that it passes, beside those that it accepts", ()
    )
    filters: tuple[IPv4Network, ...] = option(
        ListOf(PREFIX), "prefixes that no network behind a direct_link may use", ()
    )
    external_to_external: str = option(
        Choice(("allow", "deny")), "what becomes of traffic from one direct_link to another", "deny"
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
