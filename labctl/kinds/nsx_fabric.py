"""What an NSX-T network becomes: nodes, their tunnel endpoints, overlays, routes, and the edges' virtual addresses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from labctl.kinds.backbone import Backbone
from labctl.kinds.base import Lab, Subnet
from labctl.kinds.vpc import Vpc
from labctl.model.numbers import slot_of
from labctl.model.services import Vrrp

if TYPE_CHECKING:
    from labctl.kinds.nsx import Nsx, SegmentSpec

TRANSIT = "transit"
"""The name of the overlay between the tier-1 gateways and the edges."""
_TRANSITS = IPv4Network("100.64.0.0/16")
_VIRTUAL, _EDGES, _TIER1S = 1, 2, 11
"""Where the virtual address, the edges' and those of the tier-1 gateways begin in the transit subnet."""
HELLO_MS = {"fast": 200, "provider": 1000}
_FIRST, _STEP = 250, 10
"""Of VRRP: the priority of the preferred edge, and by how much the next one's is lower."""
_FIRST_VNI, _VNIS, _ROUTERS = 4096, 1 << 20, 255


@dataclass(frozen=True, slots=True)
class Fabric:
    """An NSX-T network that breaks no rule, and the pad that it is written on."""

    me: str
    nsx: Nsx
    lab: Lab

    def place(self) -> None:
        """Write the nodes, their places in the VPC, and the overlays."""
        for host, address in self.nsx.hosts.items():
            self._node(host, forwards=False)
            subnet = self._tep(host, address)
            self.lab.net.default(host, subnet.router)
        self._place_edges()
        for tier1 in self.nsx.tier1s:
            self._node(tier1)
        for name, address in self.teps().items():
            self._tep(name, address)
        self._place_transit()
        for name, segment in self.nsx.segments.items():
            self._place_segment(name, segment)

    def join(self) -> None:
        """Write the routes and what makes the virtual addresses move."""
        for tier1 in self.nsx.tier1s:
            self.lab.net.default(tier1, self._in_transit(_VIRTUAL).ip)
        for edge in self.nsx.tier0.edges:
            for prefix, via in self._static_routes().items():
                self.lab.net.route(edge, prefix, via=via)
            for segment in self.nsx.segments.values():
                if advertised(self.nsx, segment):
                    self.lab.net.route(edge, segment.prefix, via=self._on_transit(segment.tier1))
        self._join_routers()

    def teps(self) -> dict[str, IPv4Address]:
        """The tunnel endpoints of the tier-1 gateways and edges."""
        return teps(self.nsx, self._subnet_of(next(iter(self.nsx.hosts.values()))))

    def _node(self, name: str, *, forwards: bool = True) -> None:
        self.lab.net.node(name, forwards=forwards)

    def _tep(self, node: str, address: IPv4Address) -> Subnet:
        """Plug a tunnel endpoint into its subnet, from which it reaches those in other subnets."""
        subnet = self._subnet_of(address)
        self.lab.net.plug(node, subnet.segment, subnet.interface(address), also=(f"{node}.tep",))
        for other in self._underlay():
            if node not in self.nsx.hosts and other != subnet.prefix:
                self.lab.net.route(node, other, via=subnet.router)
        return subnet

    def _underlay(self) -> tuple[IPv4Network, ...]:
        """The subnets with tunnel endpoints."""
        every = (*self.nsx.hosts.values(), *self.teps().values())
        return tuple(dict.fromkeys(self._subnet_of(each).prefix for each in every))

    def _subnet_of(self, address: IPv4Address) -> Subnet:
        vpc = self.lab.owner(self.nsx.tier0.uplinks.private)
        subnets = self.lab.get(vpc, Vpc).subnets(vpc).values()
        return next(each for each in subnets if address in each.prefix)

    def _uplinks(self) -> Iterator[tuple[str, Subnet]]:
        for side, name in sides(self.nsx):
            yield side, self.lab.the_subnet(name)

    def _place_edges(self) -> None:
        for edge, address in self.nsx.tier0.edges.items():
            self._node(edge)
            for side, subnet in self._uplinks():
                there = subnet.interface(same_host(address, subnet.prefix))
                device = self.lab.net.plug(edge, subnet.segment, there, also=(f"{edge}.{side}",))
                if not self.nsx.tier0.allow_ip_spoofing:
                    words = ("-o", device, "!", "-s", subnet.prefix, "-j", "DROP")
                    self.lab.net.rule(edge, "filter", "FORWARD", *words)

    def _place_transit(self) -> None:
        overlay = f"{self.me}.{TRANSIT}"
        self.lab.net.overlay(overlay, self._vni(overlay), self.teps())
        for i, edge in enumerate(self.nsx.tier0.edges):
            self.lab.net.plug(edge, overlay, self._in_transit(_EDGES + i), host=edge)
        for tier1 in self.nsx.tier1s:
            self.lab.net.plug(tier1, overlay, IPv4Interface(f"{self._on_transit(tier1)}/24"), host=tier1)

    def _place_segment(self, name: str, segment: SegmentSpec) -> None:
        overlay, subnet = f"{self.me}.{name}", Subnet(f"{self.me}.{name}", segment.prefix)
        members = {**self.nsx.hosts, segment.tier1: self.teps()[segment.tier1]}
        self.lab.net.overlay(overlay, segment.vni or self._vni(overlay), members)
        self.lab.net.plug(segment.tier1, overlay, subnet.interface(subnet.router), host=segment.tier1)
        for vm, each in segment.vms.items():
            self.lab.net.node(vm, stub=segment.dns or self._resolvers())
            self.lab.net.plug(vm, overlay, subnet.interface(each.address), host=each.host)
            self.lab.net.default(vm, subnet.router)
            self.lab.net.listen(vm, each.serves)

    def _resolvers(self) -> tuple[IPv4Address, ...]:
        """The VPC's own DNS servers: the provider's answer nobody outside a VPC."""
        from labctl.kinds.custom_resolver import CustomResolver

        vpc = self.lab.owner(self.nsx.tier0.uplinks.private)
        return tuple(
            address for _, each in self.lab.all(CustomResolver) if each.vpc == vpc for address in each.enabled()
        )

    def _vni(self, overlay: str) -> int:
        """One by its name, so that what comes and goes leaves the others alone."""
        written = {each.vni for each in self.nsx.segments.values() if each.vni}
        taken = {vni - _FIRST_VNI for vni in (*written, *(each.vni for each in self.lab.net.overlays.values()))}
        return _FIRST_VNI + slot_of(overlay, _VNIS, taken)

    def _in_transit(self, number: int) -> IPv4Interface:
        from labctl.kinds.nsx import Nsx

        mine = next(i for i, (name, _) in enumerate(self.lab.all(Nsx)) if name == self.me)
        return IPv4Interface((int(_TRANSITS.network_address) + 256 * mine + number, 24))

    def _on_transit(self, tier1: str) -> IPv4Address:
        return self._in_transit(_TIER1S + list(self.nsx.tier1s).index(tier1)).ip

    def _static_routes(self) -> dict[IPv4Network, IPv4Address]:
        if self.nsx.tier0.static_routes:
            return self.nsx.tier0.static_routes
        name = self.lab.owner(self.nsx.tier0.uplinks.private)
        vpc = self.lab.get(name, Vpc)
        services = self.lab.get(vpc.on, Backbone).services() if vpc.on else ()
        connected = (*(subnet.prefix for _, subnet in self._uplinks()), *self._underlay())
        private = self.lab.the_subnet(self.nsx.tier0.uplinks.private).router
        return {each: private for each in (*vpc.prefixes(), *services) if each not in connected}

    def _join_routers(self) -> None:
        tier0 = self.nsx.tier0
        virtual = {each.segment: same_host(tier0.vip, each.prefix) for _, each in self._uplinks()}
        virtual[f"{self.me}.{TRANSIT}"] = self._in_transit(_VIRTUAL).ip
        taken = {each.number - 1 for each in self.lab.net.vrrp_routers.values()}
        number = 1 + slot_of(self.me, _ROUTERS, taken)
        interval = tier0.hello or HELLO_MS[self.lab.document.profile]
        for i, edge in enumerate(tier0.edges):
            devices = {plug.segment: plug.device for plug in self.lab.net.plugs if plug.node == edge}
            addresses = tuple((devices[segment], IPv4Interface(address)) for segment, address in virtual.items())
            preempt = tier0.failover == "preemptive"
            self.lab.net.vrrp(edge, Vrrp(number, _FIRST - _STEP * i, interval, addresses, preempt))


def advertised(nsx: Nsx, segment: SegmentSpec) -> bool:
    """Whether the tier-0 gateway learns of a segment."""
    tier1 = nsx.tier1s.get(segment.tier1)
    return tier1 is not None and "connected" in tier1.advertise


def sides(nsx: Nsx) -> tuple[tuple[str, str], ...]:
    """The uplinks that there are, each by its field and the subnet's name."""
    uplinks = nsx.tier0.uplinks
    return (("private", uplinks.private), *((("public", uplinks.public),) if uplinks.public else ()))


def same_host(address: IPv4Address, prefix: IPv4Network) -> IPv4Address:
    """The address with the same host part in `prefix`."""
    return IPv4Address(int(prefix.network_address) | (int(address) & int(prefix.hostmask)))


def teps(nsx: Nsx, subnet: Subnet) -> dict[str, IPv4Address]:
    """The tunnel endpoints of the tier-1 gateways and edges; those not written are counted down in `subnet`."""
    taken = {*nsx.hosts.values(), *nsx.teps.values(), *nsx.tier0.edges.values(), nsx.tier0.vip}
    last = int(subnet.prefix.broadcast_address)
    free = (each for n in range(1, subnet.prefix.num_addresses) if (each := IPv4Address(last - n)) not in taken)
    return {name: nsx.teps.get(name) or next(free) for name in (*nsx.tier1s, *nsx.tier0.edges)}
