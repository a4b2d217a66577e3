"""What an NSX-T network may not be: addresses where none can be, gateways with nothing behind them, segments that the
VPC has no route to.
"""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from labctl.description.faults import Path, did_you_mean
from labctl.kinds.base import Lab, Subnet
from labctl.kinds.nsx_fabric import TRANSIT, advertised, same_host, sides, teps
from labctl.kinds.private_dns import PrivateDns
from labctl.kinds.route import Route
from labctl.kinds.shared_dns import SharedDns
from labctl.kinds.vpc import Vpc

if TYPE_CHECKING:
    from labctl.kinds.nsx import Nsx, SegmentSpec

EDGES = 2
ROUNDING_MS = 10


def refuse(me: str, nsx: Nsx, lab: Lab) -> None:
    """Report every rule that `nsx` breaks."""
    _refuse_tier0(me, nsx, lab)
    _refuse_tier1s(me, nsx, lab)
    for name, segment in nsx.segments.items():
        _refuse_segment((me, "segments", name), nsx, segment, lab)
    name = lab.owner(nsx.tier0.uplinks.private)
    vpc = lab.find(name, Vpc)
    if vpc is None:
        if lab.subnet(nsx.tier0.uplinks.private):
            lab.fault((me, "tier0", "uplinks", "private"), "is no subnet of a VPC: an nsx is in one")
        return
    subnets = vpc.subnets(name)
    _refuse_uplinks(me, nsx, lab, subnets)
    _refuse_teps(me, nsx, lab, name, subnets)
    for each, segment in nsx.segments.items():
        lab.claim_subnet((me, "segments", each, "prefix"), segment.prefix, f"on {vpc.on}" if vpc.on else name)
    if not lab.unread("route"):
        lab.late.append(partial(_refuse_routes, me, nsx, lab, name))


def _refuse_tier0(me: str, nsx: Nsx, lab: Lab) -> None:
    tier0 = nsx.tier0
    if len(tier0.edges) != EDGES:
        rule = f"active_standby needs {EDGES} edges, one that is active and one that stands by"
        lab.fault((me, "tier0", "edges"), rule, value=f"{len(tier0.edges)}")
    if tier0.hello is not None and (tier0.hello < ROUNDING_MS or tier0.hello % ROUNDING_MS):
        lab.fault((me, "tier0", "hello"), f"VRRP counts in steps of {ROUNDING_MS} ms (RFC 5798 section 5.2.7)")
    uplinks = [subnet for _, name in sides(nsx) if (subnet := lab.subnet(name))]
    for prefix, via in tier0.static_routes.items():
        path: Path = (me, "tier0", "static_routes", str(prefix))
        if via == tier0.vip or via in tier0.edges.values():
            lab.fault(path, "is an address of the tier-0 gateway itself: a next hop is a neighbour")
        elif len(uplinks) == len(sides(nsx)) and not any(via in each.prefix for each in uplinks):
            rule = "is in no uplink of the tier-0 gateway, so nothing can be sent there"
            lab.fault(path, rule, f"an uplink is in {', '.join(str(each.prefix) for each in uplinks)}")


def _refuse_uplinks(me: str, nsx: Nsx, lab: Lab, subnets: dict[str, Subnet]) -> None:
    """Edges and virtual address, in each uplink."""
    for side, name in sides(nsx):
        subnet = lab.subnet(name)
        if subnet and name not in subnets:
            lab.fault((me, "tier0", "uplinks", side), "is in another VPC than the private uplink")
        elif subnet:
            _claim_uplink(me, nsx, lab, subnet, side)


def _claim_uplink(me: str, nsx: Nsx, lab: Lab, subnet: Subnet, side: str) -> None:
    addresses: dict[Path, IPv4Address] = {("edges", edge): address for edge, address in nsx.tier0.edges.items()}
    addresses["vip",] = nsx.tier0.vip
    for field, address in addresses.items():
        there = address if side == "private" else same_host(address, subnet.prefix)
        lab.claim_address((me, "tier0", *field), there, subnet)


def _refuse_teps(me: str, nsx: Nsx, lab: Lab, vpc: str, subnets: dict[str, Subnet]) -> None:
    for name in nsx.teps:
        known = [*nsx.tier1s, *nsx.tier0.edges]
        if name not in known:
            rule = "is neither a tier-1 gateway nor an edge; the tunnel endpoints of hosts stand in `hosts`"
            lab.fault((me, "teps", name), rule, did_you_mean(name, known), value=name)
    written = {("hosts", name): address for name, address in nsx.hosts.items()}
    for path, address in {**written, **{("teps", name): each for name, each in nsx.teps.items()}}.items():
        _claim_tep((me, *path), address, lab, vpc, subnets)
    if not nsx.hosts:
        lab.fault((me, "hosts"), "needs a host: virtual machines run on one")
        return
    first = next((each for each in subnets.values() if next(iter(nsx.hosts.values())) in each.prefix), None)
    for name, address in teps(nsx, first).items() if first else ():
        if name not in nsx.teps:
            _claim_tep((me, "teps", name), address, lab, vpc, subnets)


def _claim_tep(path: Path, address: IPv4Address, lab: Lab, vpc: str, subnets: dict[str, Subnet]) -> None:
    subnet = next((each for each in subnets.values() if address in each.prefix), None)
    if subnet is None:
        prefixes = ", ".join(str(each.prefix) for each in subnets.values())
        lab.fault(path, f"lies in no subnet of {vpc}, so no tunnel can end there", f"they are {prefixes}")
    else:
        lab.claim_address(path, address, subnet)


def _refuse_tier1s(me: str, nsx: Nsx, lab: Lab) -> None:
    for name in nsx.tier1s:
        if all(segment.tier1 != name for segment in nsx.segments.values()):
            lab.fault((me, "tier1s", name), "has no segment: nothing is behind it", value=name)


def _refuse_segment(path: Path, nsx: Nsx, segment: SegmentSpec, lab: Lab) -> None:
    name = str(path[-1])
    if name == TRANSIT:
        lab.fault(path, "is the name of the overlay between the tier-1 gateways and the edges", value=name)
    if segment.tier1 not in nsx.tier1s:
        rule = "no tier-1 gateway has this name"
        lab.fault((*path, "tier1"), rule, did_you_mean(segment.tier1, list(nsx.tier1s)))
    for other, earlier in nsx.segments.items():
        if other == name:
            break
        if segment.vni is not None and earlier.vni == segment.vni:
            lab.fault((*path, "vni"), f"is the network identifier of {other} already")
    for i, server in enumerate(segment.dns):
        _refuse_server((*path, "dns", i), server, lab)
    for vm, each in segment.vms.items():
        if each.host not in nsx.hosts:
            hint = did_you_mean(each.host, list(nsx.hosts))
            lab.fault((*path, "vms", vm, "host"), "no host of this network has this name", hint)
        lab.claim_address((*path, "vms", vm, "address"), each.address, Subnet(f"{path[0]}.{name}", segment.prefix))


def _refuse_server(path: Path, server: IPv4Address, lab: Lab) -> None:
    servers = {name: dns.addresses for name, dns in lab.all(PrivateDns)}
    servers |= {name: dns.addresses for name, dns in lab.all(SharedDns)}
    if owner := next((name for name, addresses in servers.items() if server in addresses), ""):
        rule = f"is {owner}, which answers no address of an overlay: that is in no VPC"
        lab.fault(path, rule, "use a custom_resolver: its locations are in the VPC, and ask for it")


def _refuse_routes(me: str, nsx: Nsx, lab: Lab, vpc: str) -> None:
    """Segments whose answers the VPC would not bring back, and routes that would not survive the loss of an edge."""
    edges = {address: edge for edge, address in nsx.tier0.edges.items()}
    routes = [(name, each) for name, each in lab.all(Route) if each.vpc == vpc]
    for name, route in routes:
        if route.via in edges and not route.pinned:
            rule = f"is an address of {edges[route.via]} alone: without it the route leads nowhere"
            lab.fault((name, "via"), rule, f"the virtual address is {nsx.tier0.vip}; or say `pinned: true`")
    uplink = lab.get(vpc, Vpc).zone_of(vpc, nsx.tier0.uplinks.private)
    for name, segment in nsx.segments.items():
        led = [each for _, each in routes if each.via in (*edges, nsx.tier0.vip) and segment.prefix.subnet_of(each.to)]
        if advertised(nsx, segment) and not led and not segment.unreached:
            rule = f"no route of {vpc} leads there, so that no answer comes back: the VPC does not learn of segments"
            missing = f"{{kind: route, vpc: {vpc}, zone: {uplink}, to: {segment.prefix}, via: {nsx.tier0.vip}}}"
            lab.fault((me, "segments", name, "prefix"), rule, f"add {missing}, or say `unreached: true`")
        elif led and segment.unreached:
            lab.fault((me, "segments", name, "unreached"), f"{vpc} has a route to it", value="true")
