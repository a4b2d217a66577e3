"""The provider's private DNS service: zones that exist only for the VPCs permitted to see them.

A zone comes with every endpoint gateway; more may be written here ("DNS Services: managing permitted networks").
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.faults import Path
from labctl.description.record import RecordOf, option
from labctl.description.types import ListOf, MapOf, Ref, Word
from labctl.description.words import ADDRESS, DOMAIN, NAME
from labctl.kinds.base import Lab
from labctl.kinds.vpc import Vpc
from labctl.model.network import host_prefix
from labctl.model.services import Record, Zone

TTL = 60
RESERVED = (
    *("ibm.com", "softlayer.com", "softlayer.local", "bluemix.net", "mybluemix.net", "networklayer.com"),
    *("ibmcloud.com", "appdomain.cloud"),
)
"""Zones that only the provider itself can have ("DNS Services: managing DNS zones")."""


def _zone(text: str) -> str:
    name = DOMAIN.parse(text)
    if any(each.isdecimal() for each in name.rpartition(".")[2]):
        raise ValueError("a top-level domain has no digits")
    if reserved := next((each for each in RESERVED if f".{name}".endswith(f".{each}")), ""):
        raise ValueError(f"the provider keeps {reserved} to itself; a zone of your own is for example in.example.com")
    return name


ZONE = Word("a domain name", _zone, pattern=DOMAIN.pattern, like="in.example.com", about=DOMAIN.about)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSpec:
    """A private zone."""

    records: dict[str, IPv4Address] = option(
        MapOf(NAME, ADDRESS), "A records: the host, without the zone's name, and its address"
    )
    permitted: tuple[str, ...] = option(ListOf(Ref(("vpc",)), least=1), "the VPCs that see it")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateDns:
    """The provider's private DNS service. It answers each VPC from the zones that this VPC is permitted to see, and
    says NXDOMAIN for all else. A zone comes with every endpoint_gateway; more may be written here.
    """

    kind: ClassVar[str] = "private_dns"
    group: ClassVar[str] = "Private endpoints"
    becomes: ClassVar[str] = (
        "A node with a link to the backbone and its addresses on the loopback, in which a resolver answers DNS at "
        "port 53 (UDP and TCP), from zones chosen by the source address of the question."
    )
    cites: ClassVar[tuple[str, ...]] = ("IBM Cloud Docs, DNS Services: Managing permitted networks",)
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm}
vpc1: {kind: vpc, on: bb, subnets: {app: {zone: z1, prefix: 10.240.0.0/24}}}
pdns:
  kind: private_dns
  on: bb
  addresses: [161.26.0.7, 161.26.0.8]
  zones:
    corp.example.com: {records: {db: 10.240.0.20}, permitted: [vpc1]}
"""

    on: str = option(Ref(("backbone",)), "the backbone that it is on")
    addresses: tuple[IPv4Address, ...] = option(
        ListOf(ADDRESS, least=1), "its addresses; ibm's are 161.26.0.7 and 161.26.0.8"
    )
    zones: dict[str, ZoneSpec] = option(MapOf(ZONE, RecordOf(ZoneSpec)), "zones of its own, by domain name", {})

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("private_dns", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        for i, address in enumerate(self.addresses):
            lab.claim_prefix((me, "addresses", i), host_prefix(address), f"services of {self.on}")
        for name, zone in self.zones.items():
            self._refuse_zone((me, "zones", name), name, zone, lab)

    def _refuse_zone(self, path: Path, name: str, zone: ZoneSpec, lab: Lab) -> None:
        for owner, dns in lab.all(PrivateDns):
            if owner == path[0]:
                return
            for i, vpc in enumerate(zone.permitted):
                if dns.on == self.on and name in dns.zones and vpc in dns.zones[name].permitted:
                    rule = f"{vpc} sees a zone of this name already, that of {owner}"
                    lab.fault((*path, "permitted", i), rule, value=vpc, other=(owner, "zones", name))

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me)
        mine, theirs = lab.net.wire(me, self.on)
        lab.net.default(me, theirs)
        for i, address in enumerate(self.addresses):
            lab.net.own(me, address, known=i == 0)
            lab.net.route(self.on, host_prefix(address), via=mine)
        lab.net.resolver(me, self.addresses)

    def join(self, me: str, lab: Lab) -> None:
        for name, zone in self.zones.items():
            records = tuple(Record(f"{host}.{name}", "A", str(address), TTL) for host, address in zone.records.items())
            prefixes = tuple(prefix for vpc in zone.permitted for prefix in lab.get(vpc, Vpc).prefixes())
            lab.net.zone(me, Zone(name, records, prefixes))
