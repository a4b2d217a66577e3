"""The provider's private DNS service: zones that exist only for the VPCs permitted to see them.

A zone comes with every endpoint gateway; more may be written here ("DNS Services: managing permitted networks"). Only
VPCs are answered: a question from elsewhere, over a direct link for example, meets silence, by the clients policy of
the DNS server itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.faults import Path
from labctl.description.record import RecordOf, option
from labctl.description.types import ListOf, MapOf, Ref, Word
from labctl.description.words import ADDRESS, DOMAIN
from labctl.kinds.base import Lab
from labctl.kinds.timers import timers
from labctl.kinds.vpc import Vpc
from labctl.model.network import host_prefix
from labctl.model.services import Forward, Record, Zone

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


def _host(text: str) -> str:
    try:
        return DOMAIN.parse(f"{text}.x").removesuffix(".x")
    except ValueError:
        raise ValueError("small letters, digits and hyphens, in labels with dots between them (RFC 1035)") from None


HOST = Word("a host's name in its zone", _host, pattern=r"[a-z0-9-]+(?:\.[a-z0-9-]+)*", like="db1")
"""One label or more, without the zone's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSpec:
    """A private zone."""

    records: dict[str, IPv4Address] = option(
        MapOf(HOST, ADDRESS), "A records: the host, without the zone's name, and its address"
    )
    permitted: tuple[str, ...] = option(ListOf(Ref(("vpc",)), least=1), "the VPCs that see it")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateDns:
    """The provider's private DNS service. It answers each VPC from the zones that this VPC is permitted to see, and
    nobody but VPCs. A zone comes with every endpoint_gateway; more may be written here. For all else it asks the
    shared_dns of its backbone; without one it says NXDOMAIN.
    """

    kind: ClassVar[str] = "private_dns"
    group: ClassVar[str] = "Private endpoints"
    becomes: ClassVar[str] = (
        "A node with a link to the backbone and its addresses on the loopback, in which a resolver answers DNS at "
        "port 53 (UDP and TCP), from zones chosen by the source address of the question; of those that contain the "
        "name the longest decides, also that there is no such name. Questions from outside the VPCs of its backbone "
        "are not answered at all. A question for the shared_dns is given up after 1.5 s, its answer kept for 5 s at "
        "most and for 8 s where it is negative (`profile: provider`: 3 s, a day, 30 min)."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, DNS Services: Managing permitted networks",
        "IBM Cloud Docs, DNS Services: FAQs",
        "IBM Cloud Docs, DNS Services: Known issues and limitations",
    )
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

    def join(self, me: str, lab: Lab) -> None:
        from labctl.kinds.shared_dns import shared_addresses

        shared = shared_addresses(lab, self.on)
        lab.net.resolver(
            me,
            self.addresses,
            forwards=(Forward("", shared),) if shared else (),
            clients=tuple(prefix for _, vpc in lab.all(Vpc) if vpc.on == self.on for prefix in vpc.prefixes()),
            strangers="silence",
            upstream_source=self.addresses[0],
            **timers(lab.document).patience(),
        )
        for name, zone in self.zones.items():
            records = tuple(Record(f"{host}.{name}", "A", str(address), TTL) for host, address in zone.records.items())
            prefixes = tuple(prefix for vpc in zone.permitted for prefix in lab.get(vpc, Vpc).prefixes())
            lab.net.zone(me, Zone(name, records, prefixes))


def private_addresses(lab: Lab, backbone: str) -> tuple[IPv4Address, ...]:
    """The addresses of the private DNS on a backbone."""
    return tuple(address for _, dns in lab.all(PrivateDns) if dns.on == backbone for address in dns.addresses)
