"""The provider's shared DNS resolvers: they know the names that everyone may know, and no private zone.

A service has the same name there as behind an endpoint gateway; here it is that of its own address ("DNS resolvers").
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import ListOf, MapOf, Ref
from labctl.description.words import ADDRESS, DOMAIN
from labctl.kinds.base import Lab
from labctl.kinds.cloud_service import CloudService
from labctl.kinds.endpoint_gateway import EndpointGateway
from labctl.kinds.private_dns import HOST, TTL
from labctl.kinds.timers import timers
from labctl.model.network import host_prefix
from labctl.model.services import Record, Zone


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedDns:
    """The provider's shared DNS resolvers. They know each cloud_service on the backbone by its own address, and public
    names written here; no private zone, so never a reserved address. Instances of a VPC without any private name ask
    them, and the private_dns asks them for all that it does not know itself.
    """

    kind: ClassVar[str] = "shared_dns"
    group: ClassVar[str] = "Private endpoints"
    becomes: ClassVar[str] = (
        "A node with a link to the backbone and its addresses on the loopback, in which a resolver answers everyone at "
        "port 53 (UDP and TCP): the name of each cloud_service on the backbone with that service's own address, and "
        "`zones`. For all else it says NXDOMAIN."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, VPC: Endpoints available",
        "IBM Cloud Docs, VPC: About virtual private endpoint gateways",
    )
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm}
kms: {kind: cloud_service, on: bb, fqdn: kms.example.com, address: 166.9.20.10, ports: [tcp/443]}
shared: {kind: shared_dns, on: bb, addresses: [161.26.0.10, 161.26.0.11], zones: {example.net: {www: 198.51.100.80}}}
"""

    on: str = option(Ref(("backbone",)), "the backbone that it is on")
    addresses: tuple[IPv4Address, ...] = option(
        ListOf(ADDRESS, least=1), "its addresses; ibm's are 161.26.0.10 and 161.26.0.11"
    )
    zones: dict[str, dict[str, IPv4Address]] = option(
        MapOf(DOMAIN, MapOf(HOST, ADDRESS)),
        "public zones, by domain name: the host, without the zone's name, and its address",
        {},
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("shared_dns", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        for i, address in enumerate(self.addresses):
            lab.claim_prefix((me, "addresses", i), host_prefix(address), f"services of {self.on}")
        reserved = {each: name for name, gateway in lab.all(EndpointGateway) for each in gateway.reserved()}
        for zone, hosts in self.zones.items():
            for host, address in hosts.items():
                if address in reserved:
                    rule = f"is a reserved address of {reserved[address]}: shared resolvers never know one"
                    lab.fault((me, "zones", zone, host), rule, "a private name is a zone of private_dns")

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me)
        mine, theirs = lab.net.wire(me, self.on)
        lab.net.default(me, theirs)
        for i, address in enumerate(self.addresses):
            lab.net.own(me, address, known=i == 0)
            lab.net.route(self.on, host_prefix(address), via=mine)
        lab.net.resolver(me, self.addresses, **timers(lab.document).patience())

    def join(self, me: str, lab: Lab) -> None:
        for _, service in lab.all(CloudService):
            if service.on == self.on:
                lab.net.zone(me, Zone(service.fqdn, (Record(service.fqdn, "A", str(service.address), TTL),)))
        for name, hosts in self.zones.items():
            records = tuple(Record(f"{host}.{name}", "A", str(address), TTL) for host, address in hosts.items())
            lab.net.zone(me, Zone(name, records))


def shared_addresses(lab: Lab, backbone: str) -> tuple[IPv4Address, ...]:
    """The addresses of the shared resolvers on a backbone."""
    if not backbone:
        return ()
    return tuple(each for _, dns in lab.all(SharedDns) if dns.on == backbone for each in dns.addresses)
