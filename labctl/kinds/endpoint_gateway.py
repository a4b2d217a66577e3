"""An endpoint gateway: a virtual IP of a VPC, one for each zone, bound to one service instance.

It owns its reserved addresses and nothing else; what reaches one of them goes on to the service, which sees the
reserved address as its client. It answers no ICMP. With it comes a private DNS zone that only its VPC sees ("About
virtual private endpoint gateways").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import ClassVar, Literal

from labctl.description.faults import Path, did_you_mean
from labctl.description.record import option
from labctl.description.types import Choice, ListOf, MapOf, Ref
from labctl.description.words import ADDRESS, BOOLEAN, NAME
from labctl.kinds.base import Lab, Subnet
from labctl.kinds.cloud_service import CloudService
from labctl.kinds.filtering import ANY, ESTABLISHED, PORTS, Ports, shown_ports
from labctl.kinds.private_dns import TTL, PrivateDns
from labctl.kinds.security_group import groups_of, let_through
from labctl.kinds.vpc import Vpc
from labctl.model.network import device_name, host_prefix
from labctl.model.services import Record, Zone

PENDING = IPv4Address("0.0.0.0")
RESERVED = replace(ADDRESS, single="one reserved address per zone and gateway")
OPENS = ("-p", "tcp", "--tcp-flags", "FIN,SYN,RST,ACK", "SYN")
"""The first packet of a TCP connection. Later ones are translated as it was, or not at all."""
TIME_WAIT = "net.netfilter.nf_conntrack_tcp_timeout_time_wait"
_ORDERS: dict[str, Literal["given", "near", "rotate"]] = {"given": "given", "zone_first": "near", "rotate": "rotate"}


@dataclass(frozen=True, slots=True)
class Leg:
    """A gateway in one zone: its reserved address, the subnet of that, and the table of its routes."""

    zone: str
    address: IPv4Address
    subnet: Subnet
    table: int

    @property
    def device(self) -> str:
        """The gateway's device in the subnet."""
        return device_name(self.subnet.segment)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointGateway:
    """The way from a VPC to one service instance: a virtual private endpoint gateway. It has one reserved address in
    each zone of the VPC, which may be bound one after the other, and with it comes the service's private name.
    """

    kind: ClassVar[str] = "endpoint_gateway"
    group: ClassVar[str] = "Private endpoints"
    becomes: ClassVar[str] = (
        "A node with a leg for each reserved address: a plug in the subnet of the address, called vpe.z1 for the zone "
        "z1 of vpe, a link of its own to the backbone, and a routing table, so that answers leave by the leg that was "
        "called, and one leg lives without the others. A TCP connection to a reserved address, at whatever port, goes "
        "on to the service at that port (DNAT), which sees the reserved address as its client (SNAT); so does UDP, if "
        "the service has any, from the VPC's own subnets, but not from outside the VPC. INPUT and FORWARD drop "
        "everything else, so a ping gets no answer. Without a security_group all that is translated passes, where the "
        "provider would give it the VPC's default group. An address that is unbound takes its connections with it. "
        "Each private_dns on the backbone gets a zone named as the service, seen by this VPC alone, with an A record "
        "of 60 s for each bound address; without any the answer is empty (nodata). No record goes because a leg or the "
        "service is down."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, VPC: About virtual private endpoint gateways",
        "IBM Cloud Docs, VPC: Planning for virtual private endpoint gateways",
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
vpe: {kind: endpoint_gateway, vpc: vpc1, target: kms, ips: {z1: 10.240.0.9, z2: 10.240.64.9}, answer_order: zone_first}
vsi1: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}
"""

    vpc: str = option(Ref(("vpc",)), "the VPC that it serves; it must be on the service's backbone")
    target: str = option(Ref(("cloud_service",)), "the one service instance that it leads to")
    ips: dict[str, IPv4Address] = option(
        MapOf(NAME, RESERVED, "zones", "zone"),
        "zones of the VPC, each with the reserved address in one of its subnets; {} for none yet, 0.0.0.0 for one that "
        "is still being allocated: it has no leg and no record, and `labctl inspect` says that it is pending",
    )
    answer_order: str = option(
        Choice(("given", "zone_first", "rotate")),
        "of the addresses in DNS answers: as in `ips`; that of the asker's zone first, where a custom_resolver asks in "
        "the zone of its location; or each answer begins with the next one. The provider promises none of them",
        "given",
    )
    unbound: tuple[IPv4Address, ...] = option(
        ListOf(ADDRESS),
        "reserved addresses that are bound no longer, or not yet: they do nothing, and nobody else can have them",
        (),
    )
    auto_delete: bool = option(
        BOOLEAN, "an address that is unbound is given back: there can be no `unbound`", default=False
    )
    snat_ports: Ports | None = option(
        PORTS,
        "the ports from which it calls the service, to show what happens when they run out: so many connections at a "
        "time for each address; a port is free again 1 s after its connection is closed; not given: all",
        None,
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        bound = (zone for zone, address in self.ips.items() if address != PENDING)
        return {me: ("endpoint_gateway", "node"), **{f"{me}.{zone}": ("side", "link") for zone in bound}}

    def reserved(self) -> tuple[IPv4Address, ...]:
        """Every address that is set aside for it, whether bound or not."""
        return (*(each for each in self.ips.values() if each != PENDING), *self.unbound)

    def refuse(self, me: str, lab: Lab) -> None:
        self._refuse_twin(me, lab)
        self._refuse_name(me, lab)
        vpc, service = lab.find(self.vpc, Vpc), lab.find(self.target, CloudService)
        if vpc and service and vpc.on != service.on:
            rule = f"is on the backbone {service.on}, and the VPC {self.vpc} is not"
            lab.fault((me, "target"), rule, f"say `on: {service.on}` in {self.vpc}", other=(self.vpc,))
        if vpc:
            for zone, address in self.ips.items():
                self._refuse_address(me, lab, zone, address)
            self._refuse_unbound(me, lab, vpc)

    def _refuse_twin(self, me: str, lab: Lab) -> None:
        for name, other in lab.all(EndpointGateway):
            if name == me:
                return
            if (other.vpc, other.target) == (self.vpc, self.target):
                lab.fault((me, "target"), f"{self.vpc} has an endpoint gateway for this service already: {name}")

    def _refuse_name(self, me: str, lab: Lab) -> None:
        """The VPC would see two zones of one name, and use one of them."""
        service = lab.find(self.target, CloudService)
        other = _other_zone(me, self, service, lab) if service else None
        if service and other:
            rule = f"its name {service.fqdn} is already a zone that {self.vpc} sees, that of {other[0]}"
            lab.fault((me, "target"), rule, "one of them would never be asked", other=other)

    def _refuse_address(self, me: str, lab: Lab, zone: str, address: IPv4Address) -> None:
        subnets = self._subnets(lab, zone)
        if not subnets:
            zones = self._zones(lab)
            rule = f"{self.vpc} has no subnet in the zone {zone}"
            lab.fault((me, "ips", zone), rule, did_you_mean(zone, zones), value=zone)
        elif address == PENDING:
            return
        elif not any(address in subnet.prefix for subnet in subnets):
            prefixes = ", ".join(str(subnet.prefix) for subnet in subnets)
            lab.fault((me, "ips", zone), f"lies outside the subnets of {self.vpc} in {zone}: {prefixes}")
        else:
            lab.claim_address((me, "ips", zone), address, self._subnet(lab, zone, address))

    def _refuse_unbound(self, me: str, lab: Lab, vpc: Vpc) -> None:
        if self.auto_delete and self.unbound:
            lab.fault((me, "unbound"), "with `auto_delete: true` an address that is unbound is given back", value="")
        for i, address in enumerate(self.unbound):
            subnet = next((each for each in vpc.subnets(self.vpc).values() if address in each.prefix), None)
            if subnet is None:
                lab.fault((me, "unbound", i), f"lies outside the subnets of {self.vpc}")
            lab.claim_address((me, "unbound", i), address, subnet)

    def _zones(self, lab: Lab) -> list[str]:
        return sorted({each.zone for each in lab.get(self.vpc, Vpc).subnets_.values()})

    def _subnets(self, lab: Lab, zone: str) -> list[Subnet]:
        vpc = lab.get(self.vpc, Vpc)
        named = vpc.subnets(self.vpc)
        return [named[f"{self.vpc}.{name}"] for name, each in vpc.subnets_.items() if each.zone == zone]

    def _subnet(self, lab: Lab, zone: str, address: IPv4Address) -> Subnet:
        return next(subnet for subnet in self._subnets(lab, zone) if address in subnet.prefix)

    def legs(self, lab: Lab) -> Iterator[Leg]:
        """A leg for each address that is bound. Its table is its zone's, whichever others there are."""
        zones = self._zones(lab)
        for zone, address in self.ips.items():
            if address != PENDING:
                yield Leg(zone, address, self._subnet(lab, zone, address), 1 + zones.index(zone))

    def place(self, me: str, lab: Lab) -> None:
        service = lab.get(self.target, CloudService)
        lab.net.node(me, forwards=True)
        for leg in self.legs(lab):
            lab.net.plug(me, leg.subnet.segment, leg.subnet.interface(leg.address), also=(f"{me}.{leg.zone}",))
            mine, theirs = lab.net.wire(me, service.on, part=leg.zone)
            lab.net.route(service.on, host_prefix(leg.address), via=mine)
            uplink = device_name(f"{service.on}.{leg.zone}")
            self._route(me, lab, leg, uplink, theirs)
            self._translate(me, lab, leg, uplink)
        if self.snat_ports:
            lab.net.setting(me, TIME_WAIT, "1")

    def _route(self, me: str, lab: Lab, leg: Leg, uplink: str, next_hop: IPv4Address) -> None:
        """An answer is looked up while it still has the service's address, so that only the link by which it comes
        tells which leg was called.
        """
        service = lab.get(self.target, CloudService)
        lab.net.route(me, host_prefix(service.address), via=next_hop, device=uplink, table=leg.table)
        lab.net.route(me, leg.subnet.prefix, device=leg.device, table=leg.table)
        lab.net.route(me, ANY, via=leg.subnet.router, device=leg.device, table=leg.table)
        for device in (leg.device, uplink):
            lab.net.choose(me, leg.table, device=device)

    def _translate(self, me: str, lab: Lab, leg: Leg, uplink: str) -> None:
        service, vpc = lab.get(self.target, CloudService), lab.get(self.vpc, Vpc)
        called = ("PREROUTING", "-i", leg.device, "-d", leg.address)
        clients = vpc.prefixes() if "udp" in dict(service.ports) else ()
        udp = [("-s", prefix, "-p", "udp") for prefix in clients]
        for matched in (OPENS, *udp):
            lab.net.rule(me, "nat", *called, *matched, "-j", "DNAT", "--to-destination", service.address)
        sent = ("POSTROUTING", "-o", uplink, "-m", "conntrack", "--ctorigdst", leg.address)
        if not self.snat_ports:
            lab.net.rule(me, "nat", *sent, "-j", "SNAT", "--to-source", leg.address)
            return
        source = f"{leg.address}:{shown_ports(self.snat_ports)}"
        for proto in ("tcp", "udp"):
            lab.net.rule(me, "nat", *sent, "-p", proto, "-j", "SNAT", "--to-source", source)

    def join(self, me: str, lab: Lab) -> None:
        self._tell(me, lab)
        self._filter(me, lab)
        service, vpc = lab.get(self.target, CloudService), lab.get(self.vpc, Vpc)
        records = tuple(
            Record(
                service.fqdn, "A", str(leg.address), TTL, tuple(each.prefix for each in self._subnets(lab, leg.zone))
            )
            for leg in self.legs(lab)
        )
        order = _ORDERS[self.answer_order]
        for name, dns in lab.all(PrivateDns):
            if dns.on == service.on:
                lab.net.zone(name, Zone(service.fqdn, records, vpc.prefixes(), order))

    def _tell(self, me: str, lab: Lab) -> None:
        for zone, address in self.ips.items():
            lab.net.state(me, f"{zone} {address} {'pending' if address == PENDING else 'bound'}")
        for address in self.unbound:
            lab.net.state(me, f"{address} reserved, not bound")

    def _filter(self, me: str, lab: Lab) -> None:
        translated = ("-m", "conntrack", "--ctstate", "DNAT")
        if groups_of(lab, me):
            lab.net.rule(me, "filter", "FORWARD", *ESTABLISHED)
            for matched in let_through(lab, me, "inbound"):
                lab.net.rule(me, "filter", "FORWARD", *translated, *matched, "-j", "ACCEPT")
        else:
            lab.net.rule(me, "filter", "FORWARD", *translated, "-j", "ACCEPT")
        # Whatever is not translated ends here unanswered: ping, UDP from elsewhere, and routing through the gateway.
        lab.net.otherwise(me, "FORWARD", "DROP")
        lab.net.otherwise(me, "INPUT", "DROP")


def _other_zone(me: str, gateway: EndpointGateway, service: CloudService, lab: Lab) -> Path | None:
    """Where else it is written that the VPC of a gateway has a zone of the service's name."""
    for name, dns in lab.all(PrivateDns):
        zone = dns.zones.get(service.fqdn)
        if zone and dns.on == service.on and gateway.vpc in zone.permitted:
            return name, "zones", service.fqdn
    for name, other in lab.all(EndpointGateway):
        if name == me:
            return None
        named = lab.find(other.target, CloudService)
        if named and other.vpc == gateway.vpc and other.target != gateway.target and named.fqdn == service.fqdn:
            return name, "target"
    return None
