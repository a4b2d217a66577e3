"""A plain bridge: a layer-2 segment that any number of nodes share. A node's device in it has the bridge's name."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import MapOf, Ref
from labctl.description.units import DURATION, RATE
from labctl.description.words import INTERFACE
from labctl.kinds.base import MTU, Lab, refuse_speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """An Ethernet bridge, and who is plugged into it. It routes nothing and has no address. A node's device in it has
    the name of the bridge.
    """

    kind: ClassVar[str] = "bridge"
    group: ClassVar[str] = "Plain networks"
    becomes: ClassVar[str] = (
        "A bridge in a namespace of its own, and for each plug a veth pair from the node to it, with the address that "
        "is written."
    )
    cites: ClassVar[tuple[str, ...]] = ("Linux kernel documentation: Ethernet Bridging",)
    example: ClassVar[str] = """\
r: {kind: router}
a: {kind: host, serves: [tcp/80]}
b: {kind: host}
lan: {kind: bridge, plugs: {r: 10.0.1.1/24, a: 10.0.1.10/24, b: 10.0.1.11/24}}
"""

    plugs: dict[str, IPv4Interface] = option(
        MapOf(Ref(("router", "host")), INTERFACE), "who is plugged in: the node, and its address with the prefix length"
    )
    mtu: int = option(MTU, "the largest IP packet that it carries, in bytes", 1500)
    delay: int = option(DURATION, "how long a packet is under way from one plug to another", 0)
    speed: int | None = option(RATE, "of each plug, in each direction; not given: as much as comes", None)

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("bridge", "link")}

    def joined(self) -> dict[str, IPv4Interface]:
        return self.plugs

    def refuse(self, me: str, lab: Lab) -> None:
        refuse_speed(lab, me, self.speed)
        first = next(iter(self.plugs.items()), None)
        for node, interface in self.plugs.items():
            if first and interface.network != first[1].network:
                lab.fault((me, "plugs", node), f"is not in one subnet with the first plug, {first[1]} of {first[0]}")
            lab.claim_end((me, "plugs", node), node, interface)

    def place(self, me: str, lab: Lab) -> None:
        speed = self.speed or 0
        lab.net.segment(me, mtu=self.mtu)
        for node, interface in self.plugs.items():
            lab.net.plug(node, me, interface, delay_ms=self.delay, rate_bit=speed, send_bit=speed)

    def join(self, me: str, lab: Lab) -> None:
        """A bridge knows nothing of routes."""
