"""One instance of a provider's service (key management, object storage…): reached over the backbone, and by the public
where it has a public address."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import MapOf, Ref
from labctl.description.words import ADDRESS, DOMAIN, Servers
from labctl.kinds.backbone import Backbone
from labctl.kinds.base import Lab
from labctl.kinds.internet import Internet, claim_public, plug_public, sides
from labctl.model.network import host_prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudService:
    """One instance of a provider's service, with an address on the backbone. An endpoint_gateway brings it into a VPC
    under its private name; with `public` it is on the Internet too.
    """

    kind: ClassVar[str] = "cloud_service"
    group: ClassVar[str] = "Private endpoints"
    becomes: ClassVar[str] = (
        "A node with a link to the backbone and its address on the loopback; the backbone has a route to that "
        "address. At each of `ports` a test server runs. With `public` it is plugged into that internet too, with "
        "routes to its other prefixes."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, VPC: About virtual private endpoint gateways",
        "IBM Cloud Docs, VPC: Endpoints available",
    )
    none: ClassVar[dict[str, str]] = {
        "address": "its private endpoint; a service that has only a public one can have no endpoint gateway"
    }
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm}
kms:
  kind: cloud_service
  on: bb
  fqdn: kms.private.us-south.example.com
  address: 166.9.20.10
  ports: [tcp/443]
  public: {inet: 198.51.100.5}
inet: {kind: internet, prefixes: [198.51.100.0/24]}
"""

    on: str = option(Ref(("backbone",)), "the backbone that it is on")
    fqdn: str = option(DOMAIN, "its private name; an endpoint_gateway gives it an address in the VPC")
    address: IPv4Address = option(
        ADDRESS,
        "its address on the backbone, in the provider's service prefixes: for ibm 166.8.0.0/14 or 161.26.0.0/16",
    )
    ports: tuple[tuple[str, int], ...] = option(Servers(least=1), "ports at which it serves")
    public: dict[str, IPv4Address] = option(
        MapOf(Ref(("internet",)), ADDRESS),
        "its public address, for each internet that it is on; its side to isp1 is then called kms.isp1",
        {},
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("cloud_service", "node"), **sides(me, self.public)}

    def refuse(self, me: str, lab: Lab) -> None:
        claim_public(lab, me, "public", self.public)
        backbone = lab.find(self.on, Backbone)
        if backbone and not any(self.address in prefix for prefix in backbone.services()):
            prefixes = ", ".join(str(prefix) for prefix in backbone.services())
            lab.fault((me, "address"), f"lies outside the service prefixes of {self.on}: {prefixes}")
        lab.claim_prefix((me, "address"), host_prefix(self.address), f"services of {self.on}")

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me)
        lab.net.listen(me, self.ports)
        mine, theirs = lab.net.wire(me, self.on)
        lab.net.own(me, self.address)
        lab.net.default(me, theirs)
        lab.net.route(self.on, host_prefix(self.address), via=mine)
        for inet, address in self.public.items():
            _, subnet = plug_public(lab, me, inet, address)
            for prefix in lab.get(inet, Internet).prefixes:
                if prefix != subnet.prefix:
                    lab.net.route(me, prefix, via=subnet.router)

    def join(self, me: str, lab: Lab) -> None:
        """Its private names come with endpoint gateways."""
