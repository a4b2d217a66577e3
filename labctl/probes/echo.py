"""ICMP echo requests (RFC 792), made by hand: they are the most frequent of packets."""

from __future__ import annotations

import struct

REPLY, REQUEST = 0, 8


def request(identifier: int, sequence: int, data: bytes) -> bytes:
    """An echo request around `data`, its checksum included."""
    message = struct.pack("!BBHHH", REQUEST, 0, 0, identifier, sequence) + data
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def checksum(message: bytes) -> int:
    """RFC 1071, of a message whose own checksum is 0."""
    even = message + bytes(len(message) % 2)
    total: int = sum(struct.unpack(f"!{len(even) // 2}H", even))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
