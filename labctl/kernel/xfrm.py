"""Netlink messages for IPsec: security associations and policies. Pure packing; see linux/xfrm.h.

What is protected is chosen by `if_id` alone: associations and policies of one tunnel carry the if_id of its interface.
"""

from __future__ import annotations

import errno
import struct
from ipaddress import IPv4Address, IPv4Network

from labctl.kernel.netlink import CREATE, DUMP, EXCL, Message, attribute, u32
from labctl.plan.ciphers import CIPHERS
from labctl.plan.objects import XfrmPolicy, XfrmState

_NEWSA, _DELSA, _GETSA, _NEWPOLICY, _DELPOLICY, _UPDPOLICY = 0x10, 0x11, 0x12, 0x13, 0x14, 0x19
# In xfrm_usersa_info: the selector, then whom it is for.
_ID = struct.Struct("!56x4s12xI")
_ALG_CRYPT, _TMPL, _ALG_AEAD, _ALG_AUTH_TRUNC, _IF_ID = 2, 5, 18, 20, 31
_AF_INET, _ESP, _TUNNEL = 2, 50, 1
_REPLAY_WINDOW = 32
# The selector of an association stays open, so that it carries whatever the policy sends into the tunnel.
_FLAG_AF_UNSPEC = 0x20
_DIRECTIONS = {"in": 0, "out": 1, "fwd": 2}
_ACTIONS = {"protect": 0, "discard": 1}
# Four limits without limit, four without expiry; then the counters, which the kernel keeps.
_LIFETIME = struct.pack("=8Q4Q", *[(1 << 64) - 1] * 4, *[0] * 4, *[0] * 4)
_ANY_ALGORITHM = 0xFFFFFFFF


def state(item: XfrmState, key: bytes) -> Message:
    """Add a security association with `key` (encryption key, then salt or authentication key)."""
    body = b"".join(
        [
            bytes(56),  # selector
            _address(item.destination) + struct.pack("!IB3x", item.spi, _ESP) + _address(item.source),
            _LIFETIME,
            bytes(12),  # statistics
            struct.pack("=IIHBBB7x", 0, item.if_id, _AF_INET, _TUNNEL, _REPLAY_WINDOW, _FLAG_AF_UNSPEC),
            _algorithms(item.cipher, key),
            _if_id(item.if_id),
        ]
    )
    mechanism = f"ESP with {item.cipher}"
    return Message(_NEWSA, CREATE | EXCL, body, ("create", item), item, mechanism=mechanism)


def delete_state(item: XfrmState) -> Message:
    """Remove a security association; it may be gone already."""
    body = _address(item.destination) + struct.pack("!I", item.spi) + struct.pack("=HBx", _AF_INET, _ESP)
    return Message(_DELSA, 0, body, ("delete", item), item, tolerated=(errno.ESRCH,))


def list_states() -> Message:
    """Ask for all security associations. The answers hold their keys."""
    return Message(_GETSA, DUMP, b"", "list security associations")


def identified(body: bytes) -> tuple[IPv4Address, int]:
    """The destination and SPI of a listed association."""
    destination, spi = _ID.unpack_from(body)
    return IPv4Address(destination), spi


def policy(item: XfrmPolicy, *, replace: bool = False) -> Message:
    """Add a policy, or put it in the place of the one with its selector; one that protects names its tunnel in a
    template.
    """
    verb, kind = ("change", _UPDPOLICY) if replace else ("create", _NEWPOLICY)
    body = b"".join(
        [
            _selector(item.source, item.destination),
            _LIFETIME,
            struct.pack("=IIBBBB4x", item.priority, 0, _DIRECTIONS[item.direction], _ACTIONS[item.action], 0, 0),
            _template(item),
            _if_id(item.if_id),
        ]
    )
    return Message(kind, CREATE | EXCL, body, (verb, item), item, mechanism="IPsec (xfrm)")


def delete_policy(item: XfrmPolicy) -> Message:
    """Remove a policy; it may be gone already."""
    head = _selector(item.source, item.destination) + struct.pack("=IB3x", 0, _DIRECTIONS[item.direction])
    return Message(_DELPOLICY, 0, head + _if_id(item.if_id), ("delete", item), item, tolerated=(errno.ENOENT,))


def _algorithms(name: str, key: bytes) -> bytes:
    cipher = CIPHERS[name]
    first, second = key[: cipher.encryption_bytes], key[cipher.encryption_bytes :]
    encryption, bits = cipher.encryption.encode(), len(first) * 8
    if not cipher.authentication:
        return attribute(_ALG_AEAD, struct.pack("=64sII", encryption, bits, cipher.icv_bits) + first)
    head = struct.pack("=64sII", cipher.authentication.encode(), len(second) * 8, cipher.icv_bits)
    return attribute(_ALG_CRYPT, struct.pack("=64sI", encryption, bits) + first) + attribute(
        _ALG_AUTH_TRUNC, head + second
    )


def _template(item: XfrmPolicy) -> bytes:
    if item.outer is None:
        return b""
    source, destination = item.outer
    tunnel = _address(destination) + struct.pack("!IB3x", 0, _ESP) + struct.pack("=H2x", _AF_INET) + _address(source)
    mode = struct.pack("=IBBBx", item.if_id, _TUNNEL, 0, 0)
    return attribute(_TMPL, tunnel + mode + struct.pack("=I", _ANY_ALGORITHM) * 3)


def _selector(source: IPv4Network, destination: IPv4Network) -> bytes:
    ends = _address(destination.network_address) + _address(source.network_address)
    rest = struct.pack("=4HHBBB3xiI", 0, 0, 0, 0, _AF_INET, destination.prefixlen, source.prefixlen, 0, 0, 0)
    return ends + rest


def _address(address: IPv4Address) -> bytes:
    return address.packed + bytes(12)


def _if_id(if_id: int) -> bytes:
    return u32(_IF_ID, if_id) if if_id else b""
