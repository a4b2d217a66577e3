"""A direct link: a private circuit between a provider's network and one outside it.

A backbone learns over it the far network's own prefixes, and announces only its classic subnets. A VPC and a site tell
each other theirs, and nothing else: the provider's services are not announced to a site ("Direct Link: About").
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import ListOf, Ref
from labctl.description.units import RATE
from labctl.description.words import PREFIX
from labctl.kinds.backbone import Backbone
from labctl.kinds.base import Lab, Subnet, refuse_speed
from labctl.kinds.classic_network import ClassicNetwork
from labctl.kinds.power_workspace import TAKEN, PowerWorkspace
from labctl.kinds.site import Site, router_of
from labctl.kinds.vpc import Vpc
from labctl.model.network import device_name

LINK_LOCAL = IPv4Network("169.254.0.0/16")
PAIRS = {"backbone": "power_workspace", "site": "vpc"}
"""What a direct link leads from, and to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectLink:
    """A private circuit: from the backbone to a Power workspace, or from a site to a VPC. Where it starts from has the
    first address of its peering, the other end the second.
    """

    kind: ClassVar[str] = "direct_link"
    group: ClassVar[str] = "Circuits and Power"
    becomes: ClassVar[str] = (
        "A bridge with two ports. From a backbone: its node and the workspace's; the backbone gets routes to the "
        "workspace's own subnets (not those with byoip), the workspace to the backbone's classic subnets. From a "
        "site: its router and the VPC's; the site's router gets routes to the VPC's subnets and to `static_routes`, "
        "the VPC's one to the site. With `speed` each port is limited (tbf)."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, Direct Link: About IBM Cloud Direct Link (2.0)",
        "IBM Cloud Docs, Power Systems Virtual Servers: Network architecture diagrams for non-PER",
    )
    example: ClassVar[str] = """\
bb: {kind: backbone, provider: ibm}
power:
  kind: power_workspace
  subnets: {plain: {prefix: 10.150.0.0/24, lpars: {lpar1: 10.150.0.10}}}
dl: {kind: direct_link, from: bb, to: power, peering: 169.254.254.0/30, speed: 1gbit}
dc: {kind: site, prefix: 192.168.4.0/22, router: cpe, hosts: {pc: 192.168.4.20}}
vpc1: {kind: vpc, subnets: {app: {zone: z1, prefix: 10.240.0.0/24}}}
dl2: {kind: direct_link, from: dc, to: vpc1, peering: 169.254.10.0/30}
"""

    from_: str = option(Ref(tuple(PAIRS)), "the backbone or the site that it starts from; a site needs a router")
    to: str = option(Ref(tuple(PAIRS.values())), "the workspace or the VPC at its other end")
    peering: IPv4Network = option(PREFIX, "the /30 of its two ends, in 169.254.0.0/16")
    speed: int | None = option(RATE, "what it carries in each direction; not given: as much as comes", None)
    static_routes: tuple[IPv4Network, ...] = option(
        ListOf(PREFIX),
        "further prefixes that the router of the site sends over it, although the VPC does not announce them",
        (),
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("direct_link", "link")}

    def subnets(self, me: str) -> dict[str, Subnet]:
        return {me: Subnet(me, self.peering)}

    def near_end(self) -> IPv4Address:
        """The address of the end that it starts from."""
        return self.peering.network_address + 1

    def far_end(self) -> IPv4Address:
        """The address of the far end."""
        return self.peering.network_address + 2

    def refuse(self, me: str, lab: Lab) -> None:
        lab.claim_prefix((me, "peering"), self.peering, self._realm(lab))
        if self.peering.prefixlen != 30:
            lab.fault((me, "peering"), "a peering is a /30: two addresses for two ends")
        elif not self.peering.subnet_of(LINK_LOCAL):
            lab.fault((me, "peering"), f"a peering lies in {LINK_LOCAL}")
        refuse_speed(lab, me, self.speed)
        self._refuse_ends(me, lab)
        self._refuse_filtered(lab)

    def _realm(self, lab: Lab) -> str:
        """Where the prefixes that it joins must not overlap."""
        vpc = lab.find(self.to, Vpc)
        if vpc is None:
            return f"on {self.from_}"
        return f"on {vpc.on}" if vpc.on else self.to

    def _refuse_ends(self, me: str, lab: Lab) -> None:
        start, end = (lab.document.names.get(each, ("",))[0] for each in (self.from_, self.to))
        if start in PAIRS and end in PAIRS.values() and PAIRS[start] != end:
            rule = f"leads from a {start}, so that its other end is a {PAIRS[start]}"
            lab.fault((me, "to"), rule, other=(me, "from"))
        site = lab.find(self.from_, Site)
        if site and lab.find(self.to, Vpc):
            lab.claim_prefix((self.from_, "prefix"), site.prefix, self._realm(lab))
        if site and not router_of(lab, self.from_) and not lab.unread("customer_gateway"):
            hint = f"say `router: NAME` in {self.from_}, or give it a customer_gateway"
            lab.fault((me, "from"), "has no router that the link could end at", hint)
        if self.static_routes and site is None and self.from_ in lab.document.resources:
            lab.fault((me, "static_routes"), "are those of a site's router; here is no site")

    def _refuse_filtered(self, lab: Lab) -> None:
        backbone, workspace = lab.find(self.from_, Backbone), lab.find(self.to, PowerWorkspace)
        if backbone is None or workspace is None:
            return
        for name, each in workspace.subnets_.items():
            path = (self.to, "subnets", name, "prefix")
            if not each.byoip:
                lab.claim_prefix(path, each.prefix, f"on {self.from_}")
            for closed in backbone.filters:
                if each.prefix.overlaps(closed) and not any(closed.subnet_of(taken) for taken in TAKEN):
                    lab.fault(path, f"{self.from_} takes nothing in {closed} from an attached network")

    def place(self, me: str, lab: Lab) -> None:
        subnet = self.subnets(me)[me]
        lab.net.segment(me)
        # Both directions are shaped behind the place of capture: what is seen on the link is what was put into it.
        if lab.find(self.from_, Backbone):
            lab.net.plug(self.from_, me, subnet.interface(self.near_end()), rate_bit=self.speed or 0)
        lab.net.plug(self.to, me, subnet.interface(self.far_end()), rate_bit=self.speed or 0)

    def join(self, me: str, lab: Lab) -> None:
        site, workspace = lab.find(self.from_, Site), lab.find(self.to, PowerWorkspace)
        if site:
            self._join_site(me, site, lab)
        for prefix in workspace.routed() if workspace else ():
            lab.net.route(self.from_, prefix, via=self.far_end())
        for _, network in lab.all(ClassicNetwork) if workspace else ():
            for each in network.subnets_.values() if network.on == self.from_ else ():
                lab.net.route(self.to, each.prefix, via=self.near_end())

    def _join_site(self, me: str, site: Site, lab: Lab) -> None:
        """The router of a site may be one that is written elsewhere, and is placed by now."""
        router, subnet = router_of(lab, self.from_), self.subnets(me)[me]
        lab.net.plug(router, me, subnet.interface(self.near_end()), rate_bit=self.speed or 0)
        for prefix in (*lab.get(self.to, Vpc).prefixes(), *self.static_routes):
            lab.net.route(router, prefix, via=self.far_end())
        lab.net.route(self.to, site.prefix, via=self.near_end())


def circuits(lab: Lab, backbone: str) -> list[str]:
    """The devices of a backbone that lead to networks outside it."""
    return [device_name(name) for name, link in lab.all(DirectLink) if link.from_ == backbone]
