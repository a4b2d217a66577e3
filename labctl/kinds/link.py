"""A plain link: a cable between two nodes. At both ends its device has the name of the link."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import ClassVar

from labctl.description.record import option
from labctl.description.types import MapOf, Ref
from labctl.description.units import DURATION, RATE
from labctl.description.words import INTERFACE
from labctl.kinds.base import MTU, Lab, refuse_speed
from labctl.kinds.claims import span


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A cable between two routers or hosts. There may be several between the same two, each in a subnet of its own. At
    both ends its device has the name of the link.
    """

    kind: ClassVar[str] = "link"
    group: ClassVar[str] = "Plain networks"
    becomes: ClassVar[str] = (
        "A veth pair, one end in each node, with the addresses that are written. With `delay` each end delays what it "
        "sends (netem), with `speed` it is limited (tbf)."
    )
    cites: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = """\
a: {kind: host, routes: {10.0.2.0/24: 10.0.1.1}}
r: {kind: router}
b: {kind: host, routes: {10.0.1.0/24: 10.0.2.1}, serves: [tcp/80]}
a-r: {kind: link, ends: {a: 10.0.1.10/24, r: 10.0.1.1/24}, delay: 5ms}
r-b: {kind: link, ends: {r: 10.0.2.1/24, b: 10.0.2.10/24}, speed: 10mbit}
"""

    ends: dict[str, IPv4Interface] = option(
        MapOf(Ref(("router", "host")), INTERFACE), "its two ends: the node, and its address with the prefix length"
    )
    mtu: int = option(MTU, "the largest IP packet that it carries, in bytes", 1500)
    delay: int = option(DURATION, "how long a packet is under way, in each direction", 0)
    speed: int | None = option(RATE, "what it carries in each direction; not given: as much as comes", None)

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("link",)}

    def joined(self) -> dict[str, IPv4Interface]:
        return self.ends

    def refuse(self, me: str, lab: Lab) -> None:
        refuse_speed(lab, me, self.speed)
        if len(self.ends) != 2:
            hint = "a bridge joins any number of nodes" if len(self.ends) > 2 else "it cannot lead back to its own node"
            lab.fault((me, "ends"), "a link has two ends, at two nodes", hint, value=", ".join(self.ends))
            return
        (a, one), (b, other) = self.ends.items()
        if span(int(one), one.network.prefixlen) != span(int(other), other.network.prefixlen):
            lab.fault((me, "ends", b), f"is not in one subnet with the other end, {one} at {a}")
        for node, interface in self.ends.items():
            lab.claim_end((me, "ends", node), node, interface)

    def place(self, me: str, lab: Lab) -> None:
        a, b = self.ends.items()
        lab.net.link(me, a, b, mtu=self.mtu, delay_ms=self.delay, rate_bit=self.speed or 0)

    def join(self, me: str, lab: Lab) -> None:
        """A link is no more than its two ends."""
