"""Every kind, and the other words that providers have for some of them."""

from __future__ import annotations

# Kinds import these late, since they import kinds; once the registry is there, nothing more is read from files.
from labctl.kinds import dns_loops as dns_loops
from labctl.kinds import dns_soundness as dns_soundness
from labctl.kinds import leases as leases
from labctl.kinds.backbone import Backbone
from labctl.kinds.base import Kind
from labctl.kinds.bridge import Bridge
from labctl.kinds.classic_network import ClassicNetwork
from labctl.kinds.cloud_service import CloudService
from labctl.kinds.custom_resolver import CustomResolver
from labctl.kinds.customer_gateway import CustomerGateway
from labctl.kinds.direct_link import DirectLink
from labctl.kinds.dns_server import DnsServer
from labctl.kinds.endpoint_gateway import EndpointGateway
from labctl.kinds.gateway_appliance import GatewayAppliance
from labctl.kinds.gre_tunnel import GreTunnel
from labctl.kinds.host import Host
from labctl.kinds.instance import Instance
from labctl.kinds.internet import Internet
from labctl.kinds.ipsec_connection import IpsecConnection
from labctl.kinds.jump_server import JumpServer
from labctl.kinds.link import Link
from labctl.kinds.network_acl import NetworkAcl
from labctl.kinds.nsx import Nsx
from labctl.kinds.power_workspace import PowerWorkspace
from labctl.kinds.private_dns import PrivateDns
from labctl.kinds.route import Route
from labctl.kinds.router import Router
from labctl.kinds.security_group import SecurityGroup
from labctl.kinds.shared_dns import SharedDns
from labctl.kinds.site import Site
from labctl.kinds.vpc import Vpc
from labctl.kinds.vpn_gateway import VpnGateway

KINDS: dict[str, type[Kind]] = {
    kind.kind: kind
    for kind in (
        Backbone,
        Bridge,
        ClassicNetwork,
        CloudService,
        CustomResolver,
        CustomerGateway,
        DirectLink,
        DnsServer,
        EndpointGateway,
        GatewayAppliance,
        GreTunnel,
        Host,
        Instance,
        Internet,
        IpsecConnection,
        JumpServer,
        Link,
        NetworkAcl,
        Nsx,
        PowerWorkspace,
        PrivateDns,
        Route,
        Router,
        SecurityGroup,
        SharedDns,
        Site,
        Vpc,
        VpnGateway,
    )
}

PROVIDERS = {
    "IBM": {
        "edge_gateway": "gateway_appliance",
        "lpar": "instance",
        "vpe": "endpoint_gateway",
        "vra": "gateway_appliance",
        "vsi": "instance",
        "vsrx": "gateway_appliance",
    },
    "Alibaba": {"ecs": "instance", "vpn_connection": "ipsec_connection"},
    "Azure": {
        "local_network_gateway": "customer_gateway",
        "virtual_network_gateway": "vpn_gateway",
        "vm": "instance",
        "vnet": "vpc",
    },
}
"""The providers' own words for a kind: each may be written as the `kind` of a resource."""

PARTS = {
    "dns_zone": "private_dns.zones",
    "forwarding_rule": "custom_resolver.rules",
    "health_check": "ipsec_connection.check",
    "logical_switch": "nsx.segments",
    "reserved_ip": "endpoint_gateway.ips",
    "static_route": "gateway_appliance.static_routes",
    "subnet": "vpc.subnets",
    "tier0": "nsx.tier0",
    "tier1": "nsx.tier1s",
    "vswitch": "vpc.subnets",
    "zone": "vpc.subnets.zone",
}
"""What other tools have as a thing of its own, and the field of a kind that it is here."""

ALIASES = {word: kind for words in PROVIDERS.values() for word, kind in words.items()}
OTHER_WORDS = {**ALIASES, **PARTS}
"""All of these words, and what each is here."""
