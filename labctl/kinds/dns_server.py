"""A DNS server of the customer's own, on-premises: it has zones, and asks other servers about others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.faults import Path
from labctl.description.record import option
from labctl.description.types import ListOf, MapOf, Ref, Word
from labctl.description.words import ADDRESS, DOMAIN, PREFIX
from labctl.kinds.base import Lab
from labctl.kinds.private_dns import HOST
from labctl.kinds.timers import timers
from labctl.model.services import Forward, Record, Zone

TTL = 60
MOST = 256
"""Hosts of one record that is a prefix: their answer is 4 kB."""


def _addresses(text: str) -> tuple[IPv4Address, ...]:
    if "/" not in text:
        return (ADDRESS.parse(text),)
    prefix: IPv4Network = PREFIX.parse(text)
    if prefix.num_addresses > MOST:
        raise ValueError(f"a pool has at most {MOST} addresses: a /24")
    return tuple(prefix.hosts())


def _written(addresses: tuple[IPv4Address, ...]) -> str:
    return ", ".join(map(str, addresses))


HOSTS = Word(
    "an IPv4 address or prefix",
    _addresses,
    pattern=f"(?:{ADDRESS.pattern})|(?:{PREFIX.pattern})",
    like="192.168.4.10",
    about="an address, or a prefix for all of its hosts",
    show=_written,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsServer:
    """A DNS server of the customer's own, in a site. The site's hosts ask it. It answers from its zones, asks other
    servers about the zones in `forward`, and refuses all else.
    """

    kind: ClassVar[str] = "dns_server"
    group: ClassVar[str] = "Places"
    becomes: ClassVar[str] = (
        "A node plugged into the site, with a default route to its router, in which a resolver answers everyone at "
        "port 53 (UDP and TCP). The records have a time-to-live of 60 s. Each server in `forward` has 300 ms, all of "
        "them 1.5 s, then the answer is SERVFAIL; what they said is kept for 5 s at most, that there is no such name "
        "for 8 s (`profile: provider`: 1 s, 3 s; a day, 30 min)."
    )
    cites: ClassVar[tuple[str, ...]] = ("IBM Cloud Docs, DNS Services: Understanding secondary zones",)
    example: ClassVar[str] = """\
dc: {kind: site, prefix: 192.168.4.0/22, router: cpe, hosts: {pc: 192.168.4.20}}
odns:
  kind: dns_server
  site: dc
  address: 192.168.5.2
  zones: {onprem.example.com: {w3: 192.168.4.10, pool: 192.168.7.0/28}}
  forward: {private.example.com: [10.240.0.5, 10.240.64.5]}
  transfer_to: [10.240.0.5, 10.240.64.5]
"""

    site: str = option(Ref(("site",)), "the site that it is in")
    address: IPv4Address = option(ADDRESS, "its address in the site")
    zones: dict[str, dict[str, tuple[IPv4Address, ...]]] = option(
        MapOf(DOMAIN, MapOf(HOST, HOSTS)),
        "its zones, by domain name: the host, without the zone's name, and its address; a prefix stands for an A "
        "record for each of its hosts",
        {},
    )
    forward: dict[str, tuple[IPv4Address, ...]] = option(
        MapOf(DOMAIN, ListOf(ADDRESS, least=1)),
        "zones that others know, and the servers that it asks, one after the other until one answers; of several zones "
        "that contain a name the longest decides",
        {},
    )
    transfer_to: tuple[IPv4Address, ...] = option(
        ListOf(ADDRESS), "who may take its zones over (AXFR, IXFR) and is told when they change (NOTIFY)", ()
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("dns_server", "node")}

    def refuse(self, me: str, lab: Lab) -> None:
        from labctl.kinds.dns_loops import refuse_server_loops

        lab.claim_address((me, "address"), self.address, lab.subnet(self.site))
        for zone in self.forward.keys() & self.zones.keys():
            lab.fault((me, "forward", zone), "has this zone itself, and would never ask", value=zone)
        for zone, servers in self.forward.items():
            if self.address in servers:
                path = (me, "forward", zone, servers.index(self.address))
                lab.fault(path, "is its own address: it would ask itself", value=str(self.address))
        refuse_server_loops(me, self, lab)

    def place(self, me: str, lab: Lab) -> None:
        subnet = lab.the_subnet(self.site)
        lab.net.node(me, stub=(self.address,))
        lab.net.plug(me, subnet.segment, subnet.interface(self.address))
        lab.net.default(me, subnet.router)
        lab.net.resolver(
            me,
            (self.address,),
            otherwise="refused",
            forwards=tuple(Forward(zone, servers) for zone, servers in self.forward.items()),
            upstream_source=self.address,
            **timers(lab.document).patience(),
        )

    def join(self, me: str, lab: Lab) -> None:
        for name, hosts in self.zones.items():
            records = tuple(
                Record(f"{host}.{name}", "A", str(address), TTL)
                for host, addresses in hosts.items()
                for address in addresses
            )
            lab.net.zone(me, Zone(name, records, transfer_to=self.transfer_to))

    def asked(self) -> Iterator[tuple[Path, str, tuple[IPv4Address, ...]]]:
        """For each zone that it asks others about: where that is written, the zone, and whom it asks."""
        for zone, servers in self.forward.items():
            yield ("forward", zone), zone, servers


def servers_of(lab: Lab, site: str) -> tuple[IPv4Address, ...]:
    """The addresses of the DNS servers of a site."""
    return tuple(each.address for _, each in lab.all(DnsServer) if each.site == site)
