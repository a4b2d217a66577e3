"""Which frames a packet socket takes, as programs of classic BPF: Linux, Documentation/networking/filter.rst. Pure.

A program that takes a frame takes it whole. Where the kernel cuts a frame, packet_rcv gives it a head of its own but
shares its pages, so that esp_input sees an unshared packet, decrypts it in place, and a tap on the wire reads clear
text.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from typing import NamedTuple

from labctl.probes.packets import ARPHRD_ETHER

# linux/bpf_common.h: load a word, a half or a byte (IND: behind X), X = 4 * the low bits of a byte; jump; return
_LD_W, _LD_H, _LD_B, _LD_H_IND, _LDX_MSH = 0x20, 0x28, 0x30, 0x48, 0xB1
_AND, _JEQ, _JSET, _RET = 0x54, 0x15, 0x45, 0x06
_PKTTYPE = 0xFFFFF004  # linux/filter.h: SKF_AD_OFF + SKF_AD_PKTTYPE
_OTHERHOST = 3  # linux/if_packet.h
_ETHERTYPE, _IPV4, _UDP = 12, 0x0800, 17
_FRAGMENT = 0x3FFF  # RFC 791: more fragments, or an offset
_WHOLE = 0xFFFFFFFF
_INSTRUCTION = struct.Struct("HBBI")


class _Test(NamedTuple):
    """Load by these (code, k), then compare: go on where it holds and `wanted`, or does not and is not."""

    load: tuple[tuple[int, int], ...]
    jump: int
    value: int
    wanted: bool = True


EVERYTHING = _INSTRUCTION.pack(_RET, 0, 0, _WHOLE)
NOTHING = _INSTRUCTION.pack(_RET, 0, 0, 0)


def datagrams(link: int, to: IPv4Address, port: int) -> bytes:
    """Takes UDP datagrams to `to`:`port`, unfragmented, as captured from a device of link type `link`.

    Those that a switch flooded to a host that they are not for are left out.
    """
    at = 14 if link == ARPHRD_ETHER else 0
    ethernet = (_Test(((_LD_H, _ETHERTYPE),), _JEQ, _IPV4),)
    return _compiled(
        *(ethernet if at else ()),
        _Test(((_LD_B, at), (_AND, 0xF0)), _JEQ, 0x40),
        _Test(((_LD_B, at + 9),), _JEQ, _UDP),
        _Test(((_LD_W, at + 16),), _JEQ, int(to)),
        _Test(((_LD_H, at + 6),), _JSET, _FRAGMENT, wanted=False),
        _Test(((_LDX_MSH, at), (_LD_H_IND, at + 2)), _JEQ, port),
        _Test(((_LD_W, _PKTTYPE),), _JEQ, _OTHERHOST, wanted=False),
    )


def _compiled(*tests: _Test) -> bytes:
    """All of `tests`: one that fails jumps to the last instruction, which takes nothing."""
    left = sum(len(test.load) + 1 for test in tests)
    code = []
    for test in tests:
        left -= len(test.load) + 1
        out = left + 1
        code += [_INSTRUCTION.pack(load, 0, 0, k) for load, k in test.load]
        code.append(_INSTRUCTION.pack(test.jump, *((0, out) if test.wanted else (out, 0)), test.value))
    return b"".join((*code, EVERYTHING, NOTHING))
