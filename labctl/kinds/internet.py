"""The Internet, or one provider of it: a router with one segment for each public prefix. It is a lab node: nothing
of it touches the machine's own network."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.faults import Path
from labctl.description.record import option
from labctl.description.types import ListOf
from labctl.description.units import DURATION, RATE
from labctl.description.words import PREFIX
from labctl.kinds.base import Lab, Subnet, refuse_speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Internet:
    """The public network between sites and clouds, or one provider of it. It routes its own prefixes and no others."""

    kind: ClassVar[str] = "internet"
    group: ClassVar[str] = "Places"
    becomes: ClassVar[str] = (
        "A node that forwards, the Internet's router, and for each prefix a bridge in which that router has the first "
        "address. Everybody with a public address is plugged into the bridge of its prefix. With `delay` each "
        "customer's port delays what is sent to it (netem), with `speed` both ends of it are limited (tbf). Nothing "
        "of it touches the machine's own network."
    )
    cites: ClassVar[tuple[str, ...]] = ("RFC 5737: IPv4 Address Blocks Reserved for Documentation",)
    example: ClassVar[str] = """\
isp1: {kind: internet, prefixes: [198.51.100.0/24, 203.0.113.0/24], delay: 10ms, speed: 100mbit}
web: {kind: host, net: isp1, address: 198.51.100.10, serves: [tcp/80]}
client: {kind: host, net: isp1, address: 203.0.113.20}
"""

    prefixes: tuple[IPv4Network, ...] = option(
        ListOf(PREFIX, least=1), "its public prefixes; its router has the first address of each"
    )
    delay: int = option(DURATION, "one-way delay between two of its customers; a ping takes twice as long", 0)
    speed: int | None = option(RATE, "of each customer's access, in each direction; not given: no limit", None)

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("internet", "link", "node")}

    def subnets(self, me: str) -> dict[str, Subnet]:
        return {f"{me}.{i}": Subnet(f"{me}.{i}", prefix) for i, prefix in enumerate(self.prefixes)}

    def refuse(self, me: str, lab: Lab) -> None:
        refuse_speed(lab, me, self.speed)
        for i, prefix in enumerate(self.prefixes):
            lab.claim_subnet((me, "prefixes", i), prefix, "internet")

    def place(self, me: str, lab: Lab) -> None:
        lab.net.node(me, forwards=True)
        spots = lab.net.spots.setdefault(me, [])
        for name, subnet in self.subnets(me).items():
            lab.net.segment(name)
            # Its ports are the Internet's: what is captured "on" it entered it at one of them.
            lab.net.spots[name] = spots
            lab.net.plug(me, name, subnet.interface(subnet.router))

    def join(self, me: str, lab: Lab) -> None:
        """The Internet knows its own prefixes only."""

    def subnet_of(self, me: str, address: IPv4Address) -> Subnet | None:
        """The subnet that a public address belongs to."""
        return next((s for s in self.subnets(me).values() if address in s.prefix), None)


def claim_public(lab: Lab, me: str, field: str, addresses: dict[str, IPv4Address]) -> None:
    """Take public addresses, given by name of internet; a fault for each that its internet does not have."""
    for inet, address in addresses.items():
        claim_at(lab, (me, field, inet), inet, address)


def claim_at(lab: Lab, path: Path, inet: str, address: IPv4Address) -> None:
    """Take one public address of an internet; a fault if the internet does not have it."""
    internet = lab.find(inet, Internet)
    if internet is None:
        return
    subnet = internet.subnet_of(inet, address)
    if subnet is None:
        prefixes = ", ".join(str(prefix) for prefix in internet.prefixes)
        lab.fault(path, f"lies outside the prefixes of {inet}: {prefixes}")
    lab.claim_address(path, address, subnet)


def plug_public(lab: Lab, node: str, inet: str, address: IPv4Address) -> tuple[str, Subnet]:
    """Give `node` a public address; its device there, and the subnet. It can be captured as `node.inet`."""
    internet = lab.get(inet, Internet)
    subnet = internet.subnet_of(inet, address)
    assert subnet is not None
    also = (f"{node}.{inet}",)
    speed = internet.speed or 0
    device = lab.net.plug(
        node,
        subnet.segment,
        subnet.interface(address),
        also=also,
        delay_ms=internet.delay,
        rate_bit=speed,
        send_bit=speed,
    )
    return device, subnet


def sides(me: str, addresses: dict[str, IPv4Address]) -> dict[str, tuple[str, ...]]:
    """The names of a gateway's public sides: `gw.isp1`."""
    return {f"{me}.{inet}": ("side", "link") for inet in addresses}
