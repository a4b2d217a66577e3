"""IBM Cloud classic infrastructure: subnets whose router is the backbone customer router itself."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import ClassVar

from labctl.description.record import RecordOf, option
from labctl.description.types import MapOf, Ref
from labctl.description.words import NAME, PREFIX
from labctl.kinds.backbone import Backbone
from labctl.kinds.base import Lab, Subnet


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicSubnetSpec:
    """A private subnet of classic infrastructure."""

    prefix: IPv4Network = option(PREFIX, "its addresses; the backbone has the first one")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicNetwork:
    """Subnets of IBM Cloud classic infrastructure: their router is the backbone itself."""

    kind: ClassVar[str] = "classic_network"
    group: ClassVar[str] = "In a cloud"
    becomes: ClassVar[str] = "For each subnet a bridge in which the backbone's node has the first address."
    cites: ClassVar[tuple[str, ...]] = ("IBM Cloud Docs, Subnets and IPs: About subnets and IPs",)
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm}
cnet: {kind: classic_network, on: bb, subnets: {app: {prefix: 10.148.252.64/26}}}
jump: {kind: jump_server, subnet: cnet.app, address: 10.148.252.70}
"""

    on: str = option(Ref(("backbone",)), "the backbone that is its router")
    subnets_: dict[str, ClassicSubnetSpec] = option(
        MapOf(NAME, RecordOf(ClassicSubnetSpec)),
        "its subnets, by name; elsewhere the subnet app of cnet is called cnet.app",
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("classic_network",), **{f"{me}.{name}": ("subnet", "link") for name in self.subnets_}}

    def subnets(self, me: str) -> dict[str, Subnet]:
        return {f"{me}.{name}": Subnet(f"{me}.{name}", each.prefix) for name, each in self.subnets_.items()}

    def refuse(self, me: str, lab: Lab) -> None:
        backbone = lab.find(self.on, Backbone)
        for name, each in self.subnets_.items():
            path = (me, "subnets", name, "prefix")
            lab.claim_subnet(path, each.prefix, f"on {self.on}")
            if backbone and backbone.accepts and not any(each.prefix.subnet_of(p) for p in backbone.accepts):
                accepted = ", ".join(str(prefix) for prefix in backbone.accepts)
                lab.fault(path, f"lies outside what {self.on} accepts: {accepted}")

    def place(self, me: str, lab: Lab) -> None:
        for name, subnet in self.subnets(me).items():
            lab.net.segment(name)
            lab.net.plug(self.on, name, subnet.interface(subnet.router))

    def join(self, me: str, lab: Lab) -> None:
        """The backbone routes it already."""
