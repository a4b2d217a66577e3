"""Devices and their addresses as the kernel lists them. Pure parsing; see rtnetlink(7), linux/if_link.h."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

from labctl.kernel.links import FALLBACKS
from labctl.kernel.netlink import DUMP, Message, attributes, u32
from labctl.kernel.observe_layouts import Layouts

_GETLINK, _GETADDR = 18, 22
_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBI")
_U16, _U32 = struct.Struct("=H"), struct.Struct("=I")
_AF_INET = 2
_IFF_UP, _IFF_LOOPBACK = 1, 8
_ADDRESS, _IFNAME, _MTU, _LINK, _QDISC, _MASTER, _LINKINFO, _AF_SPEC = 1, 3, 4, 5, 6, 10, 18, 26
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_DATA, _BRPORT_ISOLATED = 1, 2, 5, 33
_EXT_MASK, _SKIP_STATS = 29, 8
_FORWARDING = 0  # the kernel counts settings from 1 (IPV4_DEVCONF_FORWARDING), the listing from 0
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_DEVICES = Layouts(_IFINFO.size, (_ADDRESS, _IFNAME, _MTU, _LINK, _QDISC, _MASTER, _LINKINFO, _AF_SPEC))
_HELD = Layouts(_IFADDR.size, (_IFA_ADDRESS, _IFA_LOCAL))

LIST_LINKS = Message(_GETLINK, DUMP, _IFINFO.pack(0, 0, 0, 0, 0) + u32(_EXT_MASK, _SKIP_STATS), "list devices")
LIST_ADDRESSES = Message(_GETADDR, DUMP, _IFADDR.pack(_AF_INET, 0, 0, 0, 0), "list addresses")


@dataclass(slots=True)
class Device:
    """A device. `link` is the index of what it lies on, or of the other end; `data` what its kind tells of itself,
    `port` what the kind of its master tells of it; `queue` the kind of its queueing discipline, with its final zero.
    """

    index: int
    name: str
    up: bool
    mac: bytes
    mtu: int
    link: int
    master: int
    kind: str
    data: bytes
    port: bytes
    queue: bytes
    forwards: bool


def device(body: bytes) -> Device | None:
    """A listed device; None for one that the kernel makes by itself, `lo` aside."""
    _, _, index, flags, _ = _IFINFO.unpack_from(body)
    found = _DEVICES.attributes(body)
    name = found[_IFNAME].rstrip(b"\0").decode(errors="replace")
    if name in FALLBACKS:
        return None
    kind, data, port = _info(found.get(_LINKINFO, b""))
    return Device(
        index,
        name,
        bool(flags & _IFF_UP),
        found.get(_ADDRESS, b""),
        _number(found.get(_MTU)),
        _number(found.get(_LINK)),
        _number(found.get(_MASTER)),
        kind,
        data,
        port,
        found.get(_QDISC, b""),
        _forwards(found.get(_AF_SPEC, b"")),
    )


@lru_cache(maxsize=256)
def _info(linkinfo: bytes) -> tuple[str, bytes, bytes]:
    """The kind of a device, what that kind tells of itself, and the kind of its master of it."""
    found = attributes(linkinfo)
    kind = found.get(_INFO_KIND, b"").rstrip(b"\0").decode()
    return kind, found.get(_INFO_DATA, b""), found.get(_INFO_SLAVE_DATA, b"")


def isolated(device: Device) -> bool:
    """Whether a port of a bridge passes nothing on to other such ports."""
    return attributes(device.port).get(_BRPORT_ISOLATED) == b"\1"


def address(body: bytes) -> tuple[int, bytes, int, bytes]:
    """Of a listed address: the index of its device, the address, the length of its prefix, the far end's address."""
    _, length, _, _, index = _IFADDR.unpack_from(body)
    found = _HELD.attributes(body)
    far = found.get(_IFA_ADDRESS, b"")
    return index, found.get(_IFA_LOCAL, far), length, far


def mac(address: bytes) -> str:
    """A MAC address as it is written."""
    return address.hex(":")


def _number(value: bytes | None) -> int:
    return int(_U32.unpack(value)[0]) if value else 0


def _forwards(spec: bytes) -> bool:
    """Whether IPv4 is forwarded from the device: AF_INET within IFLA_AF_SPEC holds the settings as an array."""
    inet = attributes(spec[: _U16.unpack_from(spec)[0]]).get(_AF_INET, b"") if spec else b""
    return bool(_number(inet[4 + 4 * _FORWARDING : 8 + 4 * _FORWARDING]))
