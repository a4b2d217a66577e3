"""A custom resolver: DNS servers of the customer's own VPC, between its names, the provider's and those on-premises.

Names of a rule's zone are asked of that rule's servers, those of a secondary zone answered from a copy of it, and all
others asked of the default rule's, which are the private DNS ("DNS Services: Working with custom resolvers").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.faults import Path
from labctl.description.record import RecordOf, option
from labctl.description.types import Choice, ListOf, Ref
from labctl.description.words import ADDRESS, BOOLEAN, DOMAIN
from labctl.kinds.base import Lab
from labctl.kinds.private_dns import private_addresses
from labctl.kinds.timers import timers
from labctl.kinds.vpc import Vpc
from labctl.model.services import Forward, Secondary

LOCATIONS = 3
QUOTAS = {"essential": 10, "advanced": 50, "premier": 100}
"""How many rules, and as many secondary zones ("DNS Services: Quotas and service limits")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationSpec:
    """A location: one DNS server of the resolver."""

    example: ClassVar[str] = "{subnet: vpc1.app, address: 10.240.0.5}"

    subnet: str = option(Ref(("subnet",)), "the subnet of the VPC that it is in")
    address: IPv4Address = option(ADDRESS, "its address in the subnet")
    enabled: bool = option(BOOLEAN, "whether it serves; one that does not is down", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """A forwarding rule: names in the zone are asked of these servers, one after the other until one answers."""

    example: ClassVar[str] = "{zone: onprem.example.com, to: [192.168.5.2]}"

    zone: str = option(DOMAIN, "the zone; of several that contain a name the longest decides")
    to: tuple[IPv4Address, ...] = option(ListOf(ADDRESS), "the servers, in the order in which they are asked")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondarySpec:
    """A secondary zone: each location has a copy of all of it, by zone transfer (AXFR, IXFR)."""

    example: ClassVar[str] = "{zone: onprem.example.com, from: [192.168.5.2]}"

    zone: str = option(DOMAIN, "the zone")
    from_: tuple[IPv4Address, ...] = option(
        ListOf(ADDRESS, least=1), "the servers that have it, which must allow its transfer to every location"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomResolver:
    """A custom resolver: up to three DNS servers in subnets of a VPC, its locations. Once one is enabled the VPC's
    instances ask them, and DNS servers on-premises may ask them too.

    The location in the subnet app of a resolver called cr is the node cr.app; a second one there is cr.app-2.
    """

    kind: ClassVar[str] = "custom_resolver"
    group: ClassVar[str] = "Private endpoints"
    becomes: ClassVar[str] = (
        "For each location a node plugged into its subnet, with a default route to the subnet's router. If it is "
        "enabled a resolver runs in it, at port 53 (UDP and TCP), that answers whoever asks. Each upstream server has "
        "300 ms, all of them 1.5 s, then the answer is SERVFAIL. Answers are kept for 5 s at most, those that deny "
        "for 8 s (`profile: provider`: 1 s, 3 s; a day, 30 min)."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, DNS Services: Working with custom resolvers",
        "IBM Cloud Docs, DNS Services: Adding custom resolver forwarding rules",
        "IBM Cloud Docs, DNS Services: Understanding secondary zones",
        "IBM Cloud Docs, DNS Services: Quotas and service limits",
    )
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm}
pdns: {kind: private_dns, on: bb, addresses: [161.26.0.7, 161.26.0.8]}
vpc1:
  kind: vpc
  on: bb
  subnets: {app: {zone: z1, prefix: 10.240.0.0/24}, db: {zone: z2, prefix: 10.240.64.0/24}}
cr:
  kind: custom_resolver
  vpc: vpc1
  locations: [{subnet: vpc1.app, address: 10.240.0.5}, {subnet: vpc1.db, address: 10.240.64.5}]
  rules: [{zone: onprem.example.com, to: [192.168.5.2]}]
vsi1: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}
"""

    vpc: str = option(Ref(("vpc",)), "the VPC that it serves; a VPC has one")
    locations: tuple[LocationSpec, ...] = option(
        ListOf(RecordOf(LocationSpec), least=1), "its locations, at most three; instances ask them in this order"
    )
    rules: tuple[RuleSpec, ...] = option(ListOf(RecordOf(RuleSpec)), "its forwarding rules, at most one for a zone", ())
    default: tuple[IPv4Address, ...] | None = option(
        ListOf(ADDRESS),
        "the default rule: the servers for all names without a rule (not given: the private_dns of the VPC's backbone)",
        None,
    )
    secondary_zones: tuple[SecondarySpec, ...] = option(
        ListOf(RecordOf(SecondarySpec)), "zones that it has a copy of", ()
    )
    profile: str = option(
        Choice(tuple(QUOTAS)), "how many rules it may have, and secondary zones: 10, 50 or 100 of each", "essential"
    )
    allow: tuple[str, ...] = option(
        ListOf(Choice(("loop", "default_elsewhere", "rule_elsewhere"))),
        "mistakes that are meant to be seen: `loop`, a zone that goes round between this resolver and an upstream "
        "server; `default_elsewhere`, a default rule without the private DNS, which makes the VPC's private names "
        "disappear; `rule_elsewhere`, another rule or a copy that takes one of them away from the private DNS",
        (),
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("custom_resolver",), **dict.fromkeys(self.nodes(me), ("location", "node"))}

    def nodes(self, me: str) -> dict[str, LocationSpec]:
        """Its locations, by the names of their nodes."""
        found: dict[str, LocationSpec] = {}
        for each in self.locations:
            name = f"{me}.{each.subnet.rpartition('.')[2]}"
            number = sum(other.subnet == each.subnet for other in found.values()) + 1
            found[name if number == 1 else f"{name}-{number}"] = each
        return found

    def enabled(self) -> tuple[IPv4Address, ...]:
        """The addresses of the locations that serve."""
        return tuple(each.address for each in self.locations if each.enabled)

    def upstream(self, lab: Lab) -> tuple[IPv4Address, ...]:
        """The servers of the default rule."""
        vpc = lab.find(self.vpc, Vpc)
        return self.default or (private_addresses(lab, vpc.on) if vpc else ())

    def refuse(self, me: str, lab: Lab) -> None:
        from labctl.kinds.dns_soundness import refuse_resolver

        refuse_resolver(me, self, lab)

    def place(self, me: str, lab: Lab) -> None:
        from labctl.kinds.leases import offered

        stub = offered(lab, self.vpc)
        for node, each in self.nodes(me).items():
            subnet = lab.the_subnet(each.subnet)
            lab.net.node(node, stub=stub)
            lab.net.plug(node, subnet.segment, subnet.interface(each.address))
            lab.net.default(node, subnet.router)
        lab.net.locations_of(me, tuple(each.address for each in self.locations))

    def join(self, me: str, lab: Lab) -> None:
        forwards = (*(Forward(each.zone, each.to) for each in self.rules), Forward("", self.upstream(lab)))
        secondaries = tuple(Secondary(each.zone, each.from_) for each in self.secondary_zones)
        for node, each in self.nodes(me).items():
            if each.enabled:
                lab.net.resolver(
                    node,
                    (each.address,),
                    forwards=forwards,
                    secondaries=secondaries,
                    upstream_source=each.address,
                    **timers(lab.document).patience(),
                )

    def asked(self) -> Iterator[tuple[Path, str, tuple[IPv4Address, ...]]]:
        """For each zone that it asks others about: where that is written, the zone, and whom it asks."""
        for i, rule in enumerate(self.rules):
            yield ("rules", i), rule.zone, rule.to
        for i, each in enumerate(self.secondary_zones):
            yield ("secondary_zones", i), each.zone, each.from_
