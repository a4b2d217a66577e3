"""Security associations and policies as the kernel lists them. Pure parsing; see linux/xfrm.h.

The listing of an association holds its key: it is compared with those of the lab's ring here, and goes no further.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import cast

from labctl.kernel.netlink import DUMP, XFRM, Message, attribute, attributes
from labctl.plan.ciphers import CIPHERS
from labctl.plan.objects import CipherName, Foreign, Removal, XfrmPolicy, XfrmState

_DELSA, _GETSA, _DELPOLICY, _GETPOLICY = 0x11, 0x12, 0x14, 0x15
_AF_INET, _ESP, _TUNNEL = 2, 50, 1
_SELECTOR = struct.Struct("!4s12x4s12x4H2xBBB3xII")
_FAMILY, _FAMILY_IPV4 = slice(40, 42), struct.pack("=H", _AF_INET)
# xfrm_usersa_info: selector, id (destination, SPI, protocol), source, lifetimes and counters, statistics; the rest.
_ID = struct.Struct("!56x4s12xIB3x4s12x")
_STATE_TAIL = struct.Struct("=IIHBBB")
_STATE_TAIL_AT = 56 + 24 + 16 + 64 + 32 + 12
_STATE_SIZE = _STATE_TAIL_AT + 20
# xfrm_userpolicy_info: selector, lifetimes and counters, priority, index, direction, action.
_POLICY_TAIL = struct.Struct("=IIBBBB")
_POLICY_TAIL_AT = 56 + 64 + 32
_POLICY_SIZE = _POLICY_TAIL_AT + 16
_ALG_CRYPT, _TMPL, _ALG_AEAD, _ALG_AUTH_TRUNC, _MARK, _IF_ID = 2, 5, 18, 20, 21, 31
_TEMPLATE = struct.Struct("!4s12xIB3x")
_TEMPLATE_SIZE = 64
_DIRECTIONS = ("in", "out", "fwd")
_ACTIONS = {0: "protect", 1: "discard"}

LIST_STATES = Message(_GETSA, DUMP, b"", "list security associations")
LIST_POLICIES = Message(_GETPOLICY, DUMP, b"", "list IPsec policies")

UNKNOWN = ""
"""The name of a key that the ring does not hold."""


def state(namespace: str, body: bytes, ring: Mapping[bytes, str]) -> XfrmState | Foreign:
    """A listed association, with the name of its key in `ring`; Foreign where no XfrmState can be like it."""
    destination, spi, proto, source = _ID.unpack_from(body)
    _, _, family, mode, *_ = _STATE_TAIL.unpack_from(body, _STATE_TAIL_AT)
    found = attributes(body[_STATE_SIZE:])
    cipher, key = _transform(found)
    if (proto, family, mode) != (_ESP, _AF_INET, _TUNNEL) or cipher is None:
        return _foreign_state(namespace, body)
    ends = IPv4Address(source), IPv4Address(destination)
    return XfrmState(namespace, *ends, spi, cipher, ring.get(key, UNKNOWN), _number(found.get(_IF_ID)))


def policy(namespace: str, body: bytes) -> XfrmPolicy | Foreign | None:
    """A listed policy; None for that of a socket; Foreign where no XfrmPolicy can be like it."""
    to, source, *ports, to_length, from_length, proto, device, user = _SELECTOR.unpack_from(body)
    priority, _, direction, action = _POLICY_TAIL.unpack_from(body, _POLICY_TAIL_AT)[:4]
    if direction >= len(_DIRECTIONS):
        return None
    found = attributes(body[_POLICY_SIZE:])
    plain = body[_FAMILY] == _FAMILY_IPV4 and not (any(ports) or proto or device or user or _MARK in found)
    outer, of = _outer(found.get(_TMPL, b""))
    if_id = _number(found.get(_IF_ID))
    if not plain or action not in _ACTIONS or of not in (if_id, None):
        return _foreign_policy(namespace, body, found)
    ends = IPv4Network((source, from_length)), IPv4Network((to, to_length))
    return XfrmPolicy(namespace, _DIRECTIONS[direction], *ends, _ACTIONS[action], if_id, outer, priority)  # type: ignore[arg-type]


def _transform(found: Mapping[int, bytes]) -> tuple[CipherName | None, bytes]:
    """The cipher, None for one that no XfrmState names, and the key."""
    if _ALG_AEAD in found:
        name, _, icv, key = _algorithm(found[_ALG_AEAD], truncated=True)
        crypt = name, len(key), icv, "", 0
    elif _ALG_CRYPT in found and _ALG_AUTH_TRUNC in found:
        name, _, _, first = _algorithm(found[_ALG_CRYPT], truncated=False)
        digest, _, icv, second = _algorithm(found[_ALG_AUTH_TRUNC], truncated=True)
        crypt, key = (name, len(first), icv, digest, len(second)), first + second
    else:
        return None, b""
    for cipher, each in CIPHERS.items():
        known = each.encryption, each.encryption_bytes, each.icv_bits, each.authentication, each.authentication_bytes
        if known == crypt:
            return cast(CipherName, cipher), key
    return None, b""


def _algorithm(data: bytes, *, truncated: bool) -> tuple[str, int, int, bytes]:
    name, bits = struct.unpack_from("=64sI", data)
    icv = struct.unpack_from("=I", data, 68)[0] if truncated else 0
    start = 72 if truncated else 68
    return name.rstrip(b"\0").decode(), bits, icv, data[start : start + bits // 8]


def _outer(templates: bytes) -> tuple[tuple[IPv4Address, IPv4Address] | None, int | None]:
    """The ends of the tunnel in the one template, and its reqid; (None, None) without a template."""
    if len(templates) != _TEMPLATE_SIZE:
        return None, None if not templates else -1
    destination, spi, proto = _TEMPLATE.unpack_from(templates)
    family, source, reqid, mode = struct.unpack_from("=H2x4s12xIB", templates, 24)
    if (spi, proto, family, mode) != (0, _ESP, _AF_INET, _TUNNEL):
        return None, -1
    return (IPv4Address(source), IPv4Address(destination)), reqid


def _foreign_state(namespace: str, body: bytes) -> Foreign:
    destination, spi, proto, _ = _ID.unpack_from(body)
    family = _STATE_TAIL.unpack_from(body, _STATE_TAIL_AT)[2]
    removal = body[56:72] + struct.pack("!I", spi) + struct.pack("=HBx", family, proto)
    to = IPv4Address(destination) if family == _AF_INET else body[56:72].hex(":", 2)
    takes = (("spi", namespace, to, spi),)
    return Foreign(namespace, f"association to {to} spi {spi:#x}", Removal(XFRM, _DELSA, removal.hex()), takes)


def _foreign_policy(namespace: str, body: bytes, found: Mapping[int, bytes]) -> Foreign:
    to, source, *_, to_length, from_length, _, _, _ = _SELECTOR.unpack_from(body)
    _, index, direction, _ = _POLICY_TAIL.unpack_from(body, _POLICY_TAIL_AT)[:4]
    kept = b"".join(attribute(kind, found[kind]) for kind in (_MARK, _IF_ID) if kind in found)
    removal = body[:56] + struct.pack("=IB3x", 0, direction) + kept
    ends = f"{IPv4Address(source)}/{from_length} to {IPv4Address(to)}/{to_length}"
    what = f"policy {_DIRECTIONS[direction]} {ends} index {index}"
    return Foreign(namespace, what, Removal(XFRM, _DELPOLICY, removal.hex()))


def _number(value: bytes | None) -> int:
    return int(struct.unpack("=I", value)[0]) if value else 0
