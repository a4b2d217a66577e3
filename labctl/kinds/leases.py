"""Which DNS servers a VPC's DHCP offers to its instances, and which it offered before it had any private name.

The custom resolver once one of its locations is enabled; else the private DNS as soon as the VPC has a private name, be
it that of an endpoint gateway or one of a zone that permits it; else the shared resolvers ("DNS Services: Working with
custom resolvers", "VPC: About virtual private endpoint gateways").
"""

from __future__ import annotations

from ipaddress import IPv4Address

from labctl.kinds.base import Lab
from labctl.kinds.cloud_service import CloudService
from labctl.kinds.custom_resolver import CustomResolver
from labctl.kinds.endpoint_gateway import EndpointGateway
from labctl.kinds.private_dns import PrivateDns, private_addresses
from labctl.kinds.shared_dns import shared_addresses
from labctl.kinds.vpc import Vpc


def offered(lab: Lab, vpc: str) -> tuple[IPv4Address, ...]:
    """What a lease of today says."""
    for _, custom in lab.all(CustomResolver):
        if custom.vpc == vpc and (enabled := custom.enabled()):
            return enabled
    return _private(lab, vpc) if has_names(lab, vpc) else offered_before(lab, vpc)


def offered_before(lab: Lab, vpc: str) -> tuple[IPv4Address, ...]:
    """What a lease said before the VPC had a private name; where there are no shared resolvers, the private DNS."""
    return shared_addresses(lab, lab.get(vpc, Vpc).on) or _private(lab, vpc)


def has_names(lab: Lab, vpc: str) -> bool:
    """Whether a VPC has a private name."""
    gateways = (gateway.vpc for _, gateway in lab.all(EndpointGateway))
    return vpc in gateways or bool(private_names(lab, vpc))


def private_names(lab: Lab, vpc: str) -> tuple[str, ...]:
    """The private names of a VPC: of the services behind its endpoint gateways, and of zones that permit it."""
    gateways = [gateway.target for _, gateway in lab.all(EndpointGateway) if gateway.vpc == vpc]
    services = [service.fqdn for target in gateways if (service := lab.find(target, CloudService))]
    zones = [(name, zone) for _, dns in lab.all(PrivateDns) for name, zone in dns.zones.items()]
    return tuple(dict.fromkeys((*services, *(name for name, zone in zones if vpc in zone.permitted))))


def _private(lab: Lab, vpc: str) -> tuple[IPv4Address, ...]:
    return private_addresses(lab, lab.get(vpc, Vpc).on)
