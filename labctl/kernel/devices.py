"""What is asked of devices by ioctl on a socket of their namespace: their index, their offloads (netdevice(7))."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct

from labctl.errors import KernelError

_SIOCGIFINDEX, _SIOCETHTOOL = 0x8933, 0x8946
_IFNAMSIZ = 16
# linux/ethtool.h: ETHTOOL_STXCSUM, _STSO, _SGSO, _SGRO, _SSG. Without scatter-gather a frame
# is one piece of memory, which a capture holds or copies as a whole; pieces would be shared with the packet that goes
# on, and a tap on the wire would read what the next hop decrypts in them (ip_forward, esp_input).
_OFFLOADS = {0x17: "tx checksum", 0x1F: "TSO", 0x24: "GSO", 0x2C: "GRO", 0x19: "scatter-gather"}


def index(sock: socket.socket, device: str) -> int:
    """The index of `device` in the namespace of `sock`. KernelError (ENODEV) where there is none."""
    try:
        answer = fcntl.ioctl(sock, _SIOCGIFINDEX, _name(device) + bytes(24))
    except OSError as error:
        words = f"there is no device {device}" if error.errno == errno.ENODEV else os.strerror(error.errno or 0)
        raise KernelError(words, errno=error.errno or 0) from error
    return int(struct.unpack_from("=i", answer, _IFNAMSIZ)[0])


def offloads_off(sock: socket.socket, device: str) -> None:
    """Let `device` compute checksums and cut segments itself, so that captures show what a wire would carry."""
    for command, words in _OFFLOADS.items():
        value = ctypes.create_string_buffer(struct.pack("=II", command, 0), 8)
        request = _name(device) + struct.pack("@P16x", ctypes.addressof(value))
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, request)
        except OSError as error:
            # EOPNOTSUPP: a device of this kind has no such switch.
            if error.errno != errno.EOPNOTSUPP:
                reason = f"cannot switch {words} of {device} off: {error.strerror}"
                raise KernelError(reason, errno=error.errno or 0) from error


def _name(device: str) -> bytes:
    encoded = device.encode()
    if not 0 < len(encoded) < _IFNAMSIZ:
        raise KernelError(f"{device!r} cannot be a device's name: 1 to 15 bytes", errno=errno.EINVAL)
    return encoded.ljust(_IFNAMSIZ, b"\0")
