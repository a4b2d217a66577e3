"""Every kind, and the other words that providers have for some of them."""

from __future__ import annotations

from labctl.kinds.backbone import Backbone
from labctl.kinds.base import Kind
from labctl.kinds.classic_network import ClassicNetwork
from labctl.kinds.cloud_service import CloudService
from labctl.kinds.customer_gateway import CustomerGateway
from labctl.kinds.direct_link import DirectLink
from labctl.kinds.endpoint_gateway import EndpointGateway
from labctl.kinds.gateway_appliance import GatewayAppliance
from labctl.kinds.gre_tunnel import GreTunnel
from labctl.kinds.host import Host
from labctl.kinds.instance import Instance
from labctl.kinds.internet import Internet
from labctl.kinds.ipsec_connection import IpsecConnection
from labctl.kinds.jump_server import JumpServer
from labctl.kinds.power_workspace import PowerWorkspace
from labctl.kinds.private_dns import PrivateDns
from labctl.kinds.site import Site
from labctl.kinds.vpc import Vpc
from labctl.kinds.vpn_gateway import VpnGateway

KINDS: dict[str, type[Kind]] = {
    kind.kind: kind
    for kind in (
        Backbone,
        ClassicNetwork,
        CloudService,
        CustomerGateway,
        DirectLink,
        EndpointGateway,
        GatewayAppliance,
        GreTunnel,
        Host,
        Instance,
        Internet,
        IpsecConnection,
        JumpServer,
        PowerWorkspace,
        PrivateDns,
        Site,
        Vpc,
        VpnGateway,
    )
}

ALIASES = {
    "ecs": "instance",
    "edge_gateway": "gateway_appliance",
    "vm": "instance",
    "vnet": "vpc",
    "vra": "gateway_appliance",
    "vsi": "instance",
    "vsrx": "gateway_appliance",
}
"""A provider's word for a kind, and the kind."""
