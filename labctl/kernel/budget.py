"""A budget of packets to lose: a program for traffic control that drops just so many of those that it is shown.

It counts in the kernel, one packet after the other, on all devices that share it: a rate limit would let more be lost
as time passes, and whoever watched a counter from outside would come too late. See bpf(2) and tc-bpf(8). It imports
nothing of labctl, so that a bare interpreter can try whether a kernel has all this.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

_CALLS = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
_MAP_CREATE, _MAP_LOOKUP, _PROG_LOAD = 0, 1, 5
_ARRAY, _SCHED_CLS = 2, 3
_LICENCE = b"GPL"
# Documentation/bpf/standardization/instruction-set.rst: the opcodes, and where a value of a map is named by its map.
_LOAD_BYTE, _LOAD_ADDRESS, _ADD, _MOVE, _SET = 0x30, 0x18, 0xDB, 0xBF, 0xB7
_IF_NOT_EQUAL, _IF_AT_LEAST, _EXIT = 0x55, 0x35, 0x95
_MAP_VALUE, _FETCH = 2, 0x01
_NETWORK_HEADER = -0x100000  # SKF_NET_OFF, linux/filter.h
_PROTOCOL = 9  # the place of this field in the IPv4 header (RFC 791)
_UNSPEC, _SHOT = -1, 2  # linux/pkt_cls.h: other filters decide; dropped


class Budget:
    """Drops the first `packets` packets of the IPv4 protocol `protocol` (None: of any) that it is shown, and no more.

    OSError where the kernel has no such programs. It must be closed; a filter that shows it packets keeps it going.
    """

    def __init__(self, packets: int, protocol: int | None = None) -> None:
        self.packets = packets
        self._count = _bpf(_MAP_CREATE, struct.pack("=5I", _ARRAY, 4, 8, 1, 0))
        try:
            self.program = _load(_instructions(self._count, packets, protocol))
        except OSError:
            os.close(self._count)
            raise

    def spent(self) -> int:
        """How many packets have been dropped."""
        key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(8)
        _bpf(_MAP_LOOKUP, struct.pack("=I4xQQQ", self._count, ctypes.addressof(key), ctypes.addressof(value), 0))
        seen = int.from_bytes(value.raw, sys.byteorder)
        return min(seen, self.packets)

    def close(self) -> None:
        """Let go of the program and its count."""
        os.close(self.program)
        os.close(self._count)


def _instructions(count: int, packets: int, protocol: int | None) -> bytes:
    """If it is the protocol: add 1 to what was seen; drop if that was less than `packets` before."""
    wanted = [
        _instruction(_MOVE, to=6, by=1),
        _instruction(_LOAD_BYTE, value=_NETWORK_HEADER + _PROTOCOL),
        _instruction(_IF_NOT_EQUAL, to=0, jump=7, value=protocol or 0),
    ]
    counted = [
        _instruction(_LOAD_ADDRESS, to=1, by=_MAP_VALUE, value=count) + _instruction(0),
        _instruction(_SET, to=2, value=1),
        _instruction(_ADD, to=1, by=2, value=_FETCH),
        _instruction(_IF_AT_LEAST, to=2, jump=2, value=packets),
        *(_instruction(_SET, to=0, value=_SHOT), _instruction(_EXIT)),
        *(_instruction(_SET, to=0, value=_UNSPEC), _instruction(_EXIT)),
    ]
    return b"".join([*(wanted if protocol is not None else []), *counted])


def _instruction(code: int, *, to: int = 0, by: int = 0, jump: int = 0, value: int = 0) -> bytes:
    registers = by << 4 | to if sys.byteorder == "little" else to << 4 | by
    return struct.pack("=BBhi", code, registers, jump, value)


def _load(instructions: bytes) -> int:
    body = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(_LICENCE)
    head = struct.pack("=II", _SCHED_CLS, len(instructions) // 8)
    return _bpf(_PROG_LOAD, head + struct.pack("=QQ", ctypes.addressof(body), ctypes.addressof(licence)) + bytes(24))


def _bpf(command: int, attributes: bytes) -> int:
    if os.uname().machine not in _CALLS:
        raise OSError(errno.ENOSYS, f"labctl does not know the number of bpf(2) on {os.uname().machine}")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result: int = _LIBC.syscall(ctypes.c_long(_CALLS[os.uname().machine]), command, buffer, len(attributes))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


_LIBC = ctypes.CDLL(None, use_errno=True)

if __name__ == "__main__":
    try:
        Budget(1, 50).close()
    except OSError as refusal:
        sys.exit(f"bpf(2): {refusal.strerror}")
