"""What the tests of the pure core share: a description given as resources, read as far as a test needs it."""

from __future__ import annotations

import pytest

from labctl.description.document import Document, parse
from labctl.description.sources import read_tree
from labctl.errors import DescriptionError
from labctl.kinds.registry import ALIASES, KINDS
from labctl.kinds.resolve import resolve
from labctl.model.network import Network, Path
from labctl.plan.compile import compile_plan
from labctl.plan.objects import Plan

POWER = """
inet: {kind: internet, prefixes: [198.51.100.0/24]}
classic: {kind: backbone, provider: ibm, accepts: [10.0.0.0/8], admits: [172.16.3.1/32]}
cnet: {kind: classic_network, on: classic, subnets: {app: {prefix: 10.148.252.64/26}}}
vra:
  kind: gateway_appliance
  on: cnet.app
  private: 10.148.252.83
  public: {inet: 198.51.100.2}
  static_routes: [{to: 172.16.3.1/32, via: private}]
power:
  kind: power_workspace
  subnets:
    plain: {prefix: 10.150.0.0/24, lpars: {lpar-in: 10.150.0.10}}
    own: {prefix: 192.168.50.0/24, byoip: true, lpars: {lpar-byoip: 192.168.50.10}}
dl: {kind: direct_link, from: classic, to: power, peering: 169.254.254.0/30}
byoip:
  kind: gre_tunnel
  a: power
  b: vra
  outer: {a: 172.16.3.1, b: 10.148.252.83}
  inner: {a: 172.16.3.5/30, b: 172.16.3.6/30}
  carries: {a: [192.168.50.0/24], b: [172.20.10.0/24]}
"""

VPN = """
isp1: {kind: internet, prefixes: [198.51.100.0/24], delay: 10ms}
isp2: {kind: internet, prefixes: [203.0.113.0/24]}
vpc1: {kind: vpc, subnets: {app: {zone: a, prefix: 10.0.1.0/24}}}
ecs1: {kind: instance, subnet: vpc1.app, address: 10.0.1.10, serves: [tcp/8080]}
gw: {kind: vpn_gateway, subnet: vpc1.app, private: 10.0.1.2, addresses: {isp1: 198.51.100.10, isp2: 203.0.113.10}}
dc: {kind: site, prefix: 172.16.10.0/24, hosts: {pc: 172.16.10.10}}
cgw: {kind: customer_gateway, site: dc, addresses: {isp1: 198.51.100.20, isp2: 203.0.113.20}}
t1:
  kind: ipsec_connection
  local: gw.isp1
  remote: cgw.isp1
  selectors: {local: [10.0.0.0/16], remote: [172.16.10.0/24]}
  weight: 100
  check: {from: 10.0.1.2, to: 172.16.10.1}
t2:
  kind: ipsec_connection
  local: gw.isp2
  remote: cgw.isp2
  selectors: {local: [10.0.0.0/16], remote: [172.16.10.0/24]}
  weight: 0
  check: {from: 10.0.1.2, to: 172.16.10.1}
"""

VPE = """
bb: {kind: backbone, provider: ibm}
kms: {kind: cloud_service, on: bb, fqdn: kms.example.com, address: 166.9.20.10, ports: [tcp/443]}
pdns: {kind: private_dns, on: bb, addresses: [161.26.0.7, 161.26.0.8]}
vpc1:
  kind: vpc
  on: bb
  subnets: {app: {zone: z1, prefix: 10.240.0.0/24}, db: {zone: z2, prefix: 10.240.64.0/24}}
vsi1: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}
egw: {kind: endpoint_gateway, vpc: vpc1, target: kms, ips: {z1: 10.240.0.9, z2: 10.240.64.9}}
"""

PLAIN = """
h1: {kind: host, routes: {0.0.0.0/0: 10.1.0.1}}
h2: {kind: host, routes: {0.0.0.0/0: 10.2.0.1}, serves: [tcp/80]}
r1: {kind: router, loopback: 10.255.0.1, routes: {0.0.0.0/0: 10.0.0.2}}
r2: {kind: router, routes: {10.1.0.0/24: 10.0.0.1, 10.255.0.1/32: 10.0.1.1}}
h1-r1: {kind: link, ends: {h1: 10.1.0.2/24, r1: 10.1.0.1/24}}
r1-r2: {kind: link, ends: {r1: 10.0.0.1/30, r2: 10.0.0.2/30}, mtu: 1400, delay: 5ms, speed: 10mbit}
r1-r2-too: {kind: link, ends: {r1: 10.0.1.1/30, r2: 10.0.1.2/30}}
lan: {kind: bridge, plugs: {r2: 10.2.0.1/24, h2: 10.2.0.2/24}, mtu: 9000}
"""


def text_of(resources: str, tail: str = "") -> bytes:
    """A whole description with these resources, and with `tail` (checks, drills) after them."""
    body = "".join(f"  {line}\n" for line in resources.strip("\n").split("\n"))
    return f"lab: x\nresources:\n{body}{tail}".encode()


def document_of(text: bytes) -> Document:
    return parse(read_tree(text, "x.yaml"), KINDS, ALIASES)


def network_of(resources: str) -> Network:
    """The network that `resources` mean; they must be sound."""
    document = document_of(text_of(resources))
    net = resolve(document)
    assert document.reading.faults == []
    return net


def plan_of(resources: str) -> Plan:
    return compile_plan("x", network_of(resources))


def routes(net: Network, node: str) -> set[str]:
    """The routes of a node, as people write them."""
    return {_route(path) for path in net.paths if path.node == node}


def _route(path: Path) -> str:
    way = [f"via {path.via}"] if path.via else []
    way += [f"dev {path.device}"] if path.device else []
    return " ".join([str(path.to), *(way or ["unreachable"])])


def faults_of(error: pytest.ExceptionInfo[DescriptionError]) -> str:
    return "\n".join(str(fault) for fault in error.value.faults)
