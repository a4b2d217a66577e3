"""What is asked of devices by ioctl on a socket of their namespace: their index, their offloads (netdevice(7))."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from typing import Protocol

from labctl.errors import KernelError

_SIOCGIFINDEX, _SIOCETHTOOL = 0x8933, 0x8946
_IFNAMSIZ = 16
# linux/ethtool.h
_SFEATURES, _GSTRINGS, _GSSET_INFO, _SET_OF_FEATURES = 0x3B, 0x1B, 0x37, 4
_NAME_LENGTH = 32
# Without scatter-gather a frame is one piece of memory, which a capture holds or copies as a whole; pieces would be
# shared with the packet that goes on, and a tap on the wire would read what the next hop decrypts in them (ip_forward,
# esp_input).
_OFFLOADS = frozenset(
    {
        "tx-scatter-gather",
        "tx-scatter-gather-fraglist",
        "tx-checksum-ipv4",
        "tx-checksum-ip-generic",
        "tx-checksum-ipv6",
        "tx-checksum-fcoe-crc",
        "tx-checksum-sctp",
        "tx-tcp-segmentation",
        "tx-tcp-ecn-segmentation",
        "tx-tcp-mangleid-segmentation",
        "tx-tcp6-segmentation",
        "tx-generic-segmentation",
        "rx-gro",
    }
)


class Socket(Protocol):
    """Any socket of the namespace that is meant; one of netlink will do."""

    def fileno(self) -> int:
        """Its file descriptor."""


class Offloads:
    """Has devices compute checksums and cut segments themselves, so that captures show what a wire would carry.

    Which bit is which feature is the kernel's own affair (Documentation/networking/netdev-features.rst): it is asked
    for their names once.
    """

    def __init__(self) -> None:
        self._command: ctypes.Array[ctypes.c_char] | None = None

    def off(self, sock: Socket, device: str) -> None:
        """Switch the offloads of `device` off, those that it has."""
        try:
            if self._command is None:
                self._command = _switching_off(_features(sock, device))
            _ethtool(sock, device, self._command)
        except OSError as error:
            # A device without any such switch says EOPNOTSUPP.
            if error.errno != errno.EOPNOTSUPP:
                reason = f"cannot switch the offloads of {device} off: {error.strerror}"
                raise KernelError(reason, errno=error.errno or 0) from error


def index(sock: Socket, device: str) -> int:
    """The index of `device` in the namespace of `sock`. KernelError (ENODEV) where there is none."""
    try:
        answer = fcntl.ioctl(sock, _SIOCGIFINDEX, _name(device) + bytes(24))
    except OSError as error:
        words = f"there is no device {device}" if error.errno == errno.ENODEV else os.strerror(error.errno or 0)
        raise KernelError(words, errno=error.errno or 0) from error
    return int(struct.unpack_from("=i", answer, _IFNAMSIZ)[0])


def _features(sock: Socket, device: str) -> list[str]:
    """The names of the kernel's features in the order of their bits."""
    counted = ctypes.create_string_buffer(struct.pack("=IIQI", _GSSET_INFO, 0, 1 << _SET_OF_FEATURES, 0), 20)
    _ethtool(sock, device, counted)
    count = struct.unpack_from("=I", counted, 16)[0]
    head = struct.pack("=III", _GSTRINGS, _SET_OF_FEATURES, count)
    answer = ctypes.create_string_buffer(head, len(head) + count * _NAME_LENGTH)
    _ethtool(sock, device, answer)
    names = (answer.raw[start:][:_NAME_LENGTH] for start in range(len(head), len(answer), _NAME_LENGTH))
    return [name.partition(b"\0")[0].decode() for name in names]


def _switching_off(features: list[str]) -> ctypes.Array[ctypes.c_char]:
    """A request that names the features to be decided about, in blocks of 32, and wants none of them."""
    bits = sum(1 << i for i, name in enumerate(features) if name in _OFFLOADS)
    blocks = [bits >> start & 0xFFFFFFFF for start in range(0, len(features), 32)]
    request = struct.pack("=II", _SFEATURES, len(blocks)) + b"".join(struct.pack("=II", each, 0) for each in blocks)
    return ctypes.create_string_buffer(request, len(request))


def _ethtool(sock: Socket, device: str, command: ctypes.Array[ctypes.c_char]) -> None:
    fcntl.ioctl(sock, _SIOCETHTOOL, _name(device) + struct.pack("@P16x", ctypes.addressof(command)))


def _name(device: str) -> bytes:
    encoded = device.encode()
    if not 0 < len(encoded) < _IFNAMSIZ:
        raise KernelError(f"{device!r} cannot be a device's name: 1 to 15 bytes", errno=errno.EINVAL)
    return encoded.ljust(_IFNAMSIZ, b"\0")
