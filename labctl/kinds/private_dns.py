"""The provider's private DNS service: zones that exist only for the VPCs permitted to see them.

A zone comes with every endpoint gateway; more may be written here ("DNS Services: managing permitted networks").
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.record import RecordOf, option
from labctl.description.types import ListOf, MapOf, Ref
from labctl.description.words import ADDRESS, DOMAIN, NAME
from labctl.kinds.base import Lab
from labctl.kinds.vpc import Vpc
from labctl.model.network import host_prefix
from labctl.model.services import Record, Zone

TTL = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSpec:
    """A private zone."""

    records: dict[str, IPv4Address] = option(MapOf(NAME, ADDRESS), "hosts of the zone and their addresses")
    permitted: tuple[str, ...] = option(ListOf(Ref(("vpc",)), least=1), "the VPCs that see it")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateDns:
    """A resolver on the backbone that answers each VPC from the zones which that VPC may see."""

    kind: ClassVar[str] = "private_dns"

    on: str = option(Ref(("backbone",)), "the backbone that it is on")
    addresses: tuple[IPv4Address, ...] = option(ListOf(ADDRESS, least=1), "its addresses")
    zones: dict[str, ZoneSpec] = option(MapOf(DOMAIN, RecordOf(ZoneSpec)), "zones of its own", {})

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("private_dns", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        for i, address in enumerate(self.addresses):
            lab.claim_prefix((me, "addresses", i), host_prefix(address), f"services of {self.on}")

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
