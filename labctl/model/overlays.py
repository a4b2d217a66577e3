"""Overlays: layer-2 segments stretched over nodes that reach each other by IP, as data.

A member has its part of the overlay inside itself, a bridge, and a tunnel to the part of every other member. A frame
goes through one tunnel at most: all members are joined directly, and nothing that came by a tunnel leaves by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from labctl.model.parts import device_name

GENEVE_BYTES = 50
"""What Geneve adds to a packet of the overlay: inner Ethernet 14, Geneve 8 without options (RFC 8926 section 3.4), UDP
8, IPv4 20. A link between members needs an MTU so much greater than the overlay's.
"""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A segment with the network identifier `vni`; `members`: nodes and the addresses at which their tunnels end."""

    name: str
    vni: int
    members: tuple[tuple[str, IPv4Address], ...]
    mtu: int
    zone: str = ""

    @property
    def bridge(self) -> str:
        """The name of the bridge in each member."""
        return device_name(self.name)

    def tunnels(self) -> Iterator[Tunnel]:
        """From every member to every other."""
        for node, local in self.members:
            for peer, remote in self.members:
                if peer != node:
                    yield Tunnel(node, device_name(f"{self.name}.{peer}"), local, remote)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The end of an overlay's tunnel in one of its members: a device of `node`."""

    node: str
    device: str
    local: IPv4Address
    remote: IPv4Address
