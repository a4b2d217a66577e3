"""Tunnels between nodes: GRE and ESP, as data."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal

FRESH_SPI = 0x8000_0000  # the bit by which the SPIs that a rekeying gives differ from the first ones

Cipher = Literal["aes128-gcm", "aes256-gcm", "aes128-cbc-sha1", "aes256-cbc-sha1", "aes256-cbc-sha256"]


@dataclass(frozen=True, slots=True)
class GreEnd:
    """One end of a GRE tunnel."""

    node: str
    device: str
    local: IPv4Address
    remote: IPv4Address
    inner: IPv4Interface
    mtu: int
    up: bool


@dataclass(frozen=True, slots=True)
class EspSide:
    """One gateway of an ESP tunnel: where it ends, through which device, and what lies behind it."""

    node: str
    address: IPv4Address
    device: str
    behind: tuple[IPv4Network, ...]


@dataclass(frozen=True, slots=True)
class Esp:
    """An ESP tunnel between two gateways (RFC 4301, 4303), route-based: one device `name` on each side.

    `number` is unique in the lab and gives the SPIs. What arrives in clear for `behind` is discarded, or let pass
    where `inbound_clear` is "bypass" (a mistake worth showing).
    """

    name: str
    number: int
    a: EspSide
    b: EspSide
    cipher: Cipher
    mtu: int
    inbound_clear: Literal["discard", "bypass"] = "discard"

    @property
    def spis(self) -> tuple[int, int]:
        """The security parameters indices (RFC 4303 section 2.1) from `a` to `b` and from `b` to `a`."""
        return 0x1000 * self.number + 1, 0x1000 * self.number + 2
