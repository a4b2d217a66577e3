"""A direct link: a private circuit from the backbone to a network outside it.

Over it the backbone learns the far network's own prefixes, and announces only its classic subnets.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import Ref
from labctl.description.units import RATE
from labctl.description.words import PREFIX
from labctl.kinds.backbone import Backbone
from labctl.kinds.base import Lab, Subnet, refuse_speed
from labctl.kinds.classic_network import ClassicNetwork
from labctl.kinds.power_workspace import TAKEN, PowerWorkspace
from labctl.model.network import device_name

LINK_LOCAL = IPv4Network("169.254.0.0/16")


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectLink:
    """A private circuit from the backbone to a network outside it. The backbone has the first address of its peering,
    the far end the second.
    """

    kind: ClassVar[str] = "direct_link"
    group: ClassVar[str] = "Circuits and Power"
    becomes: ClassVar[str] = (
        "A bridge with two ports: the backbone's node and the workspace's. The backbone gets routes to the "
        "workspace's own subnets (not those with byoip), the workspace to the backbone's classic subnets. With "
        "`speed` each port is limited (tbf)."
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
"""

    from_: str = option(Ref(("backbone",)), "the backbone that it starts from")
    to: str = option(Ref(("power_workspace",)), "the workspace at its far end")
    peering: IPv4Network = option(PREFIX, "the /30 of its two ends, in 169.254.0.0/16")
    speed: int | None = option(RATE, "what it carries in each direction; not given: as much as comes", None)

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("direct_link", "link")}

    def subnets(self, me: str) -> dict[str, Subnet]:
        return {me: Subnet(me, self.peering)}

    def far_end(self) -> IPv4Address:
        """The address of the far end."""
        return self.peering.network_address + 2

    def refuse(self, me: str, lab: Lab) -> None:
        lab.claim_prefix((me, "peering"), self.peering, f"on {self.from_}")
        if self.peering.prefixlen != 30:
            lab.fault((me, "peering"), "a peering is a /30: two addresses for two ends")
        elif not self.peering.subnet_of(LINK_LOCAL):
            lab.fault((me, "peering"), f"a peering lies in {LINK_LOCAL}")
        refuse_speed(lab, me, self.speed)
        self._refuse_filtered(lab)

    def _refuse_filtered(self, lab: Lab) -> None:
        backbone, workspace = lab.find(self.from_, Backbone), lab.find(self.to, PowerWorkspace)
        for name, each in workspace.subnets_.items() if workspace else ():
            path = (self.to, "subnets", name, "prefix")
            if not each.byoip:
                lab.claim_prefix(path, each.prefix, f"on {self.from_}")
            for closed in backbone.filters if backbone else ():
                if each.prefix.overlaps(closed) and not any(closed.subnet_of(taken) for taken in TAKEN):
                    lab.fault(path, f"{self.from_} takes nothing in {closed} from an attached network")

    def place(self, me: str, lab: Lab) -> None:
        subnet = self.subnets(me)[me]
        lab.net.segment(me)
        # Both directions are shaped behind the place of capture: what is seen on the link is what was put into it.
        lab.net.plug(self.from_, me, subnet.interface(subnet.router), rate_bit=self.speed or 0)
        lab.net.plug(self.to, me, subnet.interface(self.far_end()), rate_bit=self.speed or 0)

    def join(self, me: str, lab: Lab) -> None:
        for prefix in lab.get(self.to, PowerWorkspace).routed():
            lab.net.route(self.from_, prefix, via=self.far_end())
        for _, network in lab.all(ClassicNetwork):
            for each in network.subnets_.values() if network.on == self.from_ else ():
                lab.net.route(self.to, each.prefix, via=self.peering.network_address + 1)


def circuits(lab: Lab, backbone: str) -> list[str]:
    """The devices of a backbone that lead to networks outside it."""
    return [device_name(name) for name, link in lab.all(DirectLink) if link.from_ == backbone]
