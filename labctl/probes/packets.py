"""What a captured frame is: bytes in, the identity of its flow out. Never raises, whatever the bytes are.

An identity is a small tuple of slices, cheap enough to be made for every frame; it becomes text only once a flow.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from labctl.probes.wire import Flow

ARPHRD_ETHER = 1
"""The only link type here that has a header of its own (linux/if_arp.h); tunnel devices hand over bare IP."""

ICMP, TCP, UDP, GRE, ESP = 1, 6, 17, 47, 50
_NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp", GRE: "gre", ESP: "esp"}
_ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})  # those that quote the packet they complain about (RFC 792)
_ETHERTYPE_IPV4 = b"\x08\x00"
_ETHERTYPE_ARP = b"\x08\x06"
_NOT_IP = 0x10000  # an identity's protocol above this is an EtherType
_ARP = _NOT_IP | 0x0806
_ETHERTYPE_BRIDGED = b"\x65\x58"  # a whole Ethernet frame (RFC 8926 section 3.4)
_GENEVE = b"\x17\xc1"  # UDP port 6081
_DEPTH = 8  # a packet in a packet in a packet...: deeper is no tunnel but an attack on the stack


class Identity(NamedTuple):
    """What packets of one flow have in common: protocol, both addresses, ports or type or SPI, the packet inside.

    `vni` is the virtual network of a Geneve packet, -1 for others.
    """

    protocol: int
    addresses: bytes
    selector: bytes = b""
    inner: Identity | None = None
    vni: int = -1


class Packet(NamedTuple):
    """A frame's identity, its IP length and its TTL (both 0 where it is not IP)."""

    identity: Identity
    length: int = 0
    hop_limit: int = 0


def dissect(frame: bytes, link: int = ARPHRD_ETHER) -> Packet:
    """The packet in `frame`, as captured from a device of link type `link`; a truncated frame will do."""
    at = 14 if link == ARPHRD_ETHER else 0
    if at == 0 or frame[12:14] == _ETHERTYPE_IPV4:
        identity = _ipv4(frame, at, _DEPTH)
        if identity is not None:
            return Packet(identity, frame[at + 2] << 8 | frame[at + 3], frame[at + 8])
    return Packet(_other(frame, link))


def _ipv4(data: bytes, at: int, depth: int) -> Identity | None:
    """RFC 791 section 3.1. Of a fragmented packet only the first fragment has ports."""
    if len(data) < at + 20 or data[at] >> 4 != 4 or data[at] & 15 < 5:
        return None
    protocol = data[at + 9]
    addresses = data[at + 12 : at + 20]
    if data[at + 7] or data[at + 6] & 0x1F:
        return Identity(protocol, addresses)
    body = at + (data[at] & 15) * 4
    if protocol in (TCP, UDP, ESP):
        selector = data[body : body + 4]
        if protocol == UDP and depth and selector[2:] == _GENEVE:
            return Identity(protocol, addresses, selector, *_inside_geneve(data, body + 8, depth - 1))
        return Identity(protocol, addresses, selector)
    if protocol == ICMP:
        quotes = depth and len(data) > body and data[body] in _ICMP_ERRORS
        inner = _ipv4(data, body + 8, depth - 1) if quotes else None
        return Identity(protocol, addresses, data[body : body + 2], inner)
    if protocol == GRE and depth:
        return Identity(protocol, addresses, b"", _inside_gre(data, body, depth - 1))
    return Identity(protocol, addresses)


def _inside_gre(data: bytes, at: int, depth: int) -> Identity | None:
    """RFC 2784 section 2, RFC 2890 section 2: checksum, key and sequence number are there when their bit is."""
    if len(data) < at + 4 or data[at + 1] & 7 or data[at + 2 : at + 4] != _ETHERTYPE_IPV4:
        return None
    flags = data[at]
    options = bool(flags & 0xC0) + bool(flags & 0x20) + bool(flags & 0x10)
    return _ipv4(data, at + 4 + 4 * options, depth)


def _inside_geneve(data: bytes, at: int, depth: int) -> tuple[Identity | None, int]:
    """The packet inside and the virtual network; RFC 8926 section 3.4: version 0, options in words of four bytes."""
    if len(data) < at + 8 or data[at] >> 6:
        return None, -1
    vni = int.from_bytes(data[at + 4 : at + 7], "big")
    inside, kind = at + 8 + (data[at] & 0x3F) * 4, data[at + 2 : at + 4]
    if kind == _ETHERTYPE_BRIDGED:
        kind, inside = data[inside + 12 : inside + 14], inside + 14
    return (_ipv4(data, inside, depth) if kind == _ETHERTYPE_IPV4 else None), vni


def _other(frame: bytes, link: int) -> Identity:
    if link != ARPHRD_ETHER:
        return Identity(_NOT_IP, b"")
    if frame[12:14] == _ETHERTYPE_ARP and frame[18:20] == b"\x06\x04" and len(frame) >= 42:
        return Identity(_ARP, frame[28:32] + frame[38:42])
    return Identity(_NOT_IP | int.from_bytes(frame[12:14], "big"), frame[6:12] + frame[0:6])


def ports(identity: Identity) -> tuple[int, int]:
    """Source and destination port, 0 where there are none."""
    if identity.protocol in (TCP, UDP) and len(identity.selector) == 4:
        high, low, to_high, to_low = identity.selector
        return high << 8 | low, to_high << 8 | to_low
    return 0, 0


def describe(identity: Identity, tap: str, namespace: str, device: str) -> Flow:
    """The identity in words: a Flow that has counted nothing yet."""
    source, destination = _addresses(identity)
    sport, dport = ports(identity)
    return Flow(
        tap=tap,
        namespace=namespace,
        device=device,
        proto="geneve" if identity.vni >= 0 else _protocol(identity.protocol),
        src=source,
        dst=destination,
        sport=sport,
        dport=dport,
        icmp="/".join(map(str, identity.selector)) if identity.protocol == ICMP else "",
        spi=int.from_bytes(identity.selector, "big") if identity.protocol == ESP else 0,
        vni=identity.vni,
        inner=describe(identity.inner, tap, namespace, device) if identity.inner else None,
    )


def _protocol(number: int) -> str:
    if number == _ARP:
        return "arp"
    if number >= _NOT_IP:
        return f"0x{number - _NOT_IP:04x}"
    return _NAMES.get(number, str(number))


def _addresses(identity: Identity) -> tuple[str, str]:
    data = identity.addresses
    if len(data) == 8:
        return str(IPv4Address(data[:4])), str(IPv4Address(data[4:]))
    return data[:6].hex(":"), data[6:].hex(":")
