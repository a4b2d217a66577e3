"""The BFD control packet (RFC 5880 section 4.1): 24 bytes, read with the checks that need no session."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

_FORMAT = struct.Struct("!BBBBIIIII")
_VERSION = 1
_POLL, _FINAL, _AUTHENTICATED, _MULTIPOINT = 0x20, 0x10, 0x04, 0x01


class State(IntEnum):
    """Session states, as on the wire."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


class Diagnostic(IntEnum):
    """Why a session last left Up."""

    NONE = 0
    TIME_EXPIRED = 1
    ECHO_FAILED = 2
    NEIGHBOUR_DOWN = 3
    FORWARDING_RESET = 4
    PATH_DOWN = 5
    CONCATENATED_DOWN = 6
    ADMINISTRATIVELY_DOWN = 7
    REVERSE_CONCATENATED_DOWN = 8


@dataclass(frozen=True, slots=True)
class Control:
    """A control packet's fields; intervals are microseconds. Demand mode and echo are never offered."""

    state: State
    diagnostic: int
    poll: bool
    final: bool
    detect_mult: int
    my_discriminator: int
    your_discriminator: int
    desired_min_tx: int
    required_min_rx: int


def encode(control: Control) -> bytes:
    """The packet."""
    flags = control.state << 6 | _POLL * control.poll | _FINAL * control.final
    return _FORMAT.pack(
        _VERSION << 5 | control.diagnostic,
        flags,
        control.detect_mult,
        _FORMAT.size,
        control.my_discriminator,
        control.your_discriminator,
        control.desired_min_tx,
        control.required_min_rx,
        0,  # echo packets are not taken
    )


def decode(packet: bytes) -> Control | None:
    """The fields of `packet`, None where section 6.8.6 says to discard it whatever the session."""
    if len(packet) < _FORMAT.size:
        return None
    first, flags, mult, length, mine, yours, desired, required, _ = _FORMAT.unpack_from(packet)
    if first >> 5 != _VERSION or not _FORMAT.size <= length <= len(packet):
        return None
    if flags & (_AUTHENTICATED | _MULTIPOINT) or mult == 0 or mine == 0:
        return None
    return Control(
        state=State(flags >> 6),
        diagnostic=first & 0x1F,
        poll=bool(flags & _POLL),
        final=bool(flags & _FINAL),
        detect_mult=mult,
        my_discriminator=mine,
        your_discriminator=yours,
        desired_min_tx=desired,
        required_min_rx=required,
    )
