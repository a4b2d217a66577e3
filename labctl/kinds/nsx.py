"""An NSX-T network in a VPC: overlay segments on its hosts, tier-1 gateways, and a tier-0 gateway of two edges.

Overlay addresses are not translated: the VPC must have a route for them to the tier-0's virtual address, which is on
the edge that is active ("NSX Tier-0 and Tier-1 gateways on IBM Cloud VPC").
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import RecordOf, option
from labctl.description.types import Choice, ListOf, MapOf, Ref
from labctl.description.units import DURATION
from labctl.description.words import ADDRESS, BOOLEAN, NAME, PREFIX, Servers, integer
from labctl.kinds import nsx_fabric, nsx_refusals
from labctl.kinds.base import STATIC_ROUTES, Lab

FAILOVER = Choice(("preemptive", "non_preemptive"))


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinksSpec:
    """The subnets of the VPC that the edges are in."""

    private: str = option(Ref(("subnet",)), "towards the VPC: `edges` and `vip` are addresses in it")
    public: str = option(
        Ref(("subnet",)), "towards the Internet; there each has the same host part as in the private one", ""
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier0Spec:
    """The tier-0 gateway: two edges, of which one at a time is active and has the virtual addresses."""

    mode: str = option(Choice(("active_standby",)), "a VPC takes no other", "active_standby")
    edges: dict[str, IPv4Address] = option(
        MapOf(NAME, ADDRESS),
        "two edges and their addresses in the private uplink, the preferred one first; each is a node, by its own "
        "name, with the sides edge1.private, edge1.public and edge1.tep",
    )
    uplinks: UplinksSpec = option(RecordOf(UplinksSpec), "the subnets that the edges are in")
    vip: IPv4Address = option(ADDRESS, "the virtual address in the private uplink, on the active edge")
    static_routes: dict[IPv4Network, IPv4Address] = option(
        STATIC_ROUTES,
        "its routes, each to a neighbour in an uplink; not given: to the VPC's subnets and the provider's services by "
        "the router of the private uplink",
        {},
    )
    failover: str = option(FAILOVER, "whether the preferred edge takes over again when it is back", "non_preemptive")
    hello: int | None = option(
        DURATION,
        "how often the active edge tells the other of itself, in steps of 10ms; not given: 200ms, and 1s with "
        "`profile: provider`; after three the other takes over",
        None,
    )
    allow_ip_spoofing: bool = option(
        BOOLEAN,
        "the VPC takes packets from the edges that do not come from an address of the uplinks, as overlay addresses",
        True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier1Spec:
    """A tier-1 gateway: the router between segments, and from them to the tier-0."""

    failover: str = option(
        FAILOVER,
        "of its edges; here a tier-1 gateway is one node, with nothing to stand by",
        "non_preemptive",
    )
    advertise: tuple[str, ...] = option(
        ListOf(Choice(("connected",))),
        "`connected`: the tier-0 learns its segments; else it has no route to them",
        (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    """A virtual machine in a segment."""

    example: ClassVar[str] = "{host: esxi1, address: 192.168.4.10}"

    host: str = option(NAME, "the host that it runs on")
    address: IPv4Address = option(ADDRESS, "its address in the segment; not the first one, which is the gateway's")
    serves: tuple[tuple[str, int], ...] = option(Servers(), "ports at which it runs a test server", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSpec:
    """An overlay segment: a layer-2 network stretched over all hosts."""

    tier1: str = option(NAME, "the tier-1 gateway that it is connected to")
    prefix: IPv4Network = option(PREFIX, "its addresses; the gateway has the first one")
    vms: dict[str, VmSpec] = option(
        MapOf(NAME, RecordOf(VmSpec)), "its virtual machines; each is a node of the lab, by its own name", {}
    )
    vni: int | None = option(integer(1, 0xFFFFFF), "its network identifier in Geneve; not given: one by its name", None)
    dns: tuple[IPv4Address, ...] = option(
        ListOf(ADDRESS),
        "the DNS servers that its machines ask; not given: the locations of the VPC's custom_resolver",
        (),
    )
    unreached: bool = option(
        BOOLEAN, "the VPC is to have no route to it: nothing comes back from there (otherwise that is refused)", False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Nsx:
    """An NSX-T network in a VPC: overlay segments with their machines. They are on hosts of the VPC; tier-1 gateways
    route between them, and a tier-0 gateway between them and the VPC. Overlay addresses stay as they are on the way
    out, so that the VPC needs a `route` for them to the tier-0's virtual address.
    """

    kind: ClassVar[str] = "nsx"
    group: ClassVar[str] = "In a cloud"
    becomes: ClassVar[str] = (
        "A node for each host, tier-1 gateway, edge and virtual machine. A segment is a bridge in each host and in its "
        "tier-1 gateway, joined by a full mesh of Geneve tunnels between their tunnel endpoints, which are addresses "
        "in a subnet of the VPC. In NSX the tier-1 gateway is distributed over the hosts; here it is one node with a "
        "tunnel endpoint of its own, so that what goes from one segment to another goes by way of it. It and the edges "
        "share one more overlay, ME.transit (100.64.0.0/24). The edges run keepalived (VRRP), by which the virtual "
        "addresses of the uplinks and of the transit overlay move together, with a gratuitous ARP; NSX has a protocol "
        "of its own for that. Of the edges both forward, and neither translates. The advertised segments are static "
        "routes of the edges. Without `allow_ip_spoofing` they drop what they would send to an uplink from another "
        "source than the uplink's addresses, which in a VPC the network interface does. Overlays carry packets of 1450 "
        "bytes."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, VMware Solutions: NSX Tier-0 and Tier-1 gateways on IBM Cloud VPC",
        "IBM Cloud Docs, VMware Solutions: VPC network design",
        "RFC 8926: Geneve",
        "RFC 5798: Virtual Router Redundancy Protocol (VRRP) Version 3",
    )
    example: ClassVar[str] = """\
vpc1:
  kind: vpc
  subnets: {uplink: {zone: z1, prefix: 192.168.0.0/24}, tep: {zone: z1, prefix: 10.240.2.0/24}}
nsx:
  kind: nsx
  hosts: {esxi1: 10.240.2.11, esxi2: 10.240.2.12}
  tier0: {edges: {edge1: 192.168.0.11, edge2: 192.168.0.12}, uplinks: {private: vpc1.uplink}, vip: 192.168.0.10}
  tier1s: {t1: {advertise: [connected]}}
  segments:
    seg-a: {tier1: t1, prefix: 192.168.4.0/24, vms: {wl-a: {host: esxi1, address: 192.168.4.10}}}
    seg-b: {tier1: t1, prefix: 192.168.5.0/24, vms: {wl-b: {host: esxi2, address: 192.168.5.10}}}
to-overlay: {kind: route, vpc: vpc1, zone: z1, to: 192.168.4.0/22, via: 192.168.0.10}
"""

    hosts: dict[str, IPv4Address] = option(
        MapOf(NAME, ADDRESS),
        "the hosts and their tunnel endpoints in a subnet of the VPC; each is a node of the lab, by its own name",
    )
    tier0: Tier0Spec = option(RecordOf(Tier0Spec), "the tier-0 gateway: the way between the overlay and the VPC")
    tier1s: dict[str, Tier1Spec] = option(
        MapOf(NAME, RecordOf(Tier1Spec)), "the tier-1 gateways; each is a node of the lab, by its own name"
    )
    segments: dict[str, SegmentSpec] = option(
        MapOf(NAME, RecordOf(SegmentSpec)), "the segments; seg-a of an nsx called nsx is the link nsx.seg-a"
    )
    teps: dict[str, IPv4Address] = option(
        MapOf(NAME, ADDRESS),
        "tunnel endpoints of the tier-1 gateways and edges, by name; one that is not given is counted down from the "
        "last address of the subnet that the first host's is in",
        {},
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        vms = [name for segment in self.segments.values() for name in segment.vms]
        return {
            me: ("nsx",),
            **{f"{me}.{name}": ("segment", "link") for name in (*self.segments, nsx_fabric.TRANSIT)},
            **dict.fromkeys(self.hosts, ("esxi_host", "node")),
            **{f"{name}.tep": ("side", "link") for name in (*self.hosts, *self.tier1s, *self.tier0.edges)},
            **{f"{edge}.{side}": ("side", "link") for edge in self.tier0.edges for side, _ in nsx_fabric.sides(self)},
            **dict.fromkeys(self.tier1s, ("tier_1_gateway", "node")),
            **dict.fromkeys(self.tier0.edges, ("tier_0_edge", "node")),
            **dict.fromkeys(vms, ("virtual_machine", "node")),
        }

    def refuse(self, me: str, lab: Lab) -> None:
        nsx_refusals.refuse(me, self, lab)

    def place(self, me: str, lab: Lab) -> None:
        nsx_fabric.Fabric(me, self, lab).place()

    def join(self, me: str, lab: Lab) -> None:
        nsx_fabric.Fabric(me, self, lab).join()
