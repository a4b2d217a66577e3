"""An endpoint gateway: a virtual IP of a VPC, one for each zone, bound to one service instance.

It owns its reserved addresses and nothing else; TCP to them becomes TCP to the service, seen by the service as coming
from the reserved address. It answers no ICMP. With it comes a private DNS zone that only its VPC sees ("About virtual
private endpoint gateways").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.faults import did_you_mean
from labctl.description.record import option
from labctl.description.types import MapOf, Ref
from labctl.description.words import ADDRESS, NAME
from labctl.kinds.base import Lab, Subnet
from labctl.kinds.cloud_service import CloudService
from labctl.kinds.private_dns import TTL, PrivateDns
from labctl.kinds.vpc import Vpc
from labctl.model.network import device_name, host_prefix
from labctl.model.services import Record, Zone

RESERVED = replace(ADDRESS, single="one reserved address per zone and gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointGateway:
    """The way from a VPC to one service instance: a virtual private endpoint gateway. It has one reserved address in
    each zone of the VPC, which may be bound one after the other, and with it comes the service's private name.
    """

    kind: ClassVar[str] = "endpoint_gateway"
    group: ClassVar[str] = "Private endpoints"
    becomes: ClassVar[str] = (
        "A node plugged into the subnet of each reserved address, with a link to the backbone. TCP to a reserved "
        "address, at whatever port, becomes TCP to the service at that port (DNAT), which sees the reserved address as "
        "its client (SNAT); INPUT and FORWARD drop everything else, so a ping gets no answer. A client in a subnet of "
        "a reserved address is answered right there; any other is answered through the subnet of the first address "
        "of `ips` (the default route), whichever address it called. Each private_dns on the backbone gets a zone "
        "named as the service, seen by this VPC alone, with an A record of 60 s for each reserved address in the "
        "order of `ips`; without any address the answer is empty (nodata)."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, VPC: About virtual private endpoint gateways",
        "IBM Cloud Docs, VPC: Binding and unbinding a reserved IP address",
    )
    none: ClassVar[dict[str, str]] = {"ips": "`ips: {}` for none yet"}
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm}
pdns: {kind: private_dns, on: bb, addresses: [161.26.0.7]}
kms: {kind: cloud_service, on: bb, fqdn: kms.example.com, address: 166.9.20.10, ports: [tcp/443]}
vpc1:
  kind: vpc
  on: bb
  subnets: {app: {zone: z1, prefix: 10.240.0.0/24}, db: {zone: z2, prefix: 10.240.64.0/24}}
vpe: {kind: endpoint_gateway, vpc: vpc1, target: kms, ips: {z1: 10.240.0.9, z2: 10.240.64.9}}
vsi1: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}
"""

    vpc: str = option(Ref(("vpc",)), "the VPC that it serves; it must be on the service's backbone")
    target: str = option(Ref(("cloud_service",)), "the one service instance that it leads to")
    ips: dict[str, IPv4Address] = option(
        MapOf(NAME, RESERVED, "zones", "zone"),
        "zones of the VPC, each with the reserved address in one of its subnets; {} for none yet",
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("endpoint_gateway", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        self._refuse_twin(me, lab)
        vpc, service = lab.find(self.vpc, Vpc), lab.find(self.target, CloudService)
        if vpc and service and vpc.on != service.on:
            rule = f"is on the backbone {service.on}, and the VPC {self.vpc} is not"
            lab.fault((me, "target"), rule, f"say `on: {service.on}` in {self.vpc}", other=(self.vpc,))
        for zone, address in self.ips.items():
            self._refuse_address(me, lab, zone, address)

    def _refuse_twin(self, me: str, lab: Lab) -> None:
        for name, other in lab.all(EndpointGateway):
            if name == me:
                return
            if (other.vpc, other.target) == (self.vpc, self.target):
                lab.fault((me, "target"), f"{self.vpc} has an endpoint gateway for this service already: {name}")

    def _refuse_address(self, me: str, lab: Lab, zone: str, address: IPv4Address) -> None:
        if lab.find(self.vpc, Vpc) is None:
            return
        subnets = self._subnets(lab, zone)
        if not subnets:
            zones = sorted({each.zone for each in lab.get(self.vpc, Vpc).subnets_.values()})
            rule = f"{self.vpc} has no subnet in the zone {zone}"
            lab.fault((me, "ips", zone), rule, did_you_mean(zone, zones), value=zone)
        elif not any(address in subnet.prefix for subnet in subnets):
            prefixes = ", ".join(str(subnet.prefix) for subnet in subnets)
            lab.fault((me, "ips", zone), f"lies outside the subnets of {self.vpc} in {zone}: {prefixes}")
        else:
            lab.claim_address((me, "ips", zone), address, self._subnet(lab, zone, address))

    def _subnets(self, lab: Lab, zone: str) -> list[Subnet]:
        vpc = lab.get(self.vpc, Vpc)
        named = vpc.subnets(self.vpc)
        return [named[f"{self.vpc}.{name}"] for name, each in vpc.subnets_.items() if each.zone == zone]

    def _subnet(self, lab: Lab, zone: str, address: IPv4Address) -> Subnet:
        return next(subnet for subnet in self._subnets(lab, zone) if address in subnet.prefix)

    def place(self, me: str, lab: Lab) -> None:
        service = lab.get(self.target, CloudService)
        lab.net.node(me, forwards=True)
        mine, theirs = lab.net.wire(me, service.on)
        lab.net.route(me, host_prefix(service.address), via=theirs)
        for zone, address in self.ips.items():
            subnet = self._subnet(lab, zone, address)
            lab.net.plug(me, subnet.segment, subnet.interface(address))
            lab.net.route(service.on, host_prefix(address), via=mine)
        self._translate(me, lab, service)

    def _translate(self, me: str, lab: Lab, service: CloudService) -> None:
        outside = device_name(service.on)
        for zone, address in self.ips.items():
            inside = device_name(self._subnet(lab, zone, address).segment)
            lab.net.rule(
                me, "nat", "PREROUTING", "-i", inside, "-d", address, "-p", "tcp",
                "-j", "DNAT", "--to-destination", service.address,
            )  # fmt: skip
            lab.net.rule(
                me, "nat", "POSTROUTING", "-o", outside, "-m", "conntrack", "--ctorigdst", address,
                "-j", "SNAT", "--to-source", address,
            )  # fmt: skip
        lab.net.rule(me, "filter", "FORWARD", "-m", "conntrack", "--ctstate", "DNAT", "-j", "ACCEPT")
        # Whatever is not translated ends here unanswered: ping, UDP, and routing through the gateway.
        lab.net.otherwise(me, "FORWARD", "DROP")
        lab.net.otherwise(me, "INPUT", "DROP")

    def join(self, me: str, lab: Lab) -> None:
        service, vpc = lab.get(self.target, CloudService), lab.get(self.vpc, Vpc)
        for zone, address in list(self.ips.items())[:1]:
            lab.net.default(me, self._subnet(lab, zone, address).router)
        records = tuple(Record(service.fqdn, "A", str(address), TTL) for address in self.ips.values())
        for name, dns in lab.all(PrivateDns):
            if dns.on == service.on:
                lab.net.zone(name, Zone(service.fqdn, records, vpc.prefixes()))
