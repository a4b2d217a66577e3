"""Names on the wire: read strictly, whoever sent them, and written with pointers where pointers reach."""

from __future__ import annotations

import struct

from dnslib import DNSLabel
from dnslib.label import BufferError as WireError
from dnslib.label import DNSBuffer

Key = tuple[bytes, ...]
"""A name's labels in lower case: the form in which names are compared (RFC 4343)."""
HEADER = 12
"""Bytes before the first name of a message."""

_FURTHEST = 0x3FFF  # that a pointer reaches
_MOST_POINTERS = 128  # in one name, which has no more labels


def key_of(name: DNSLabel) -> Key:
    """The form of `name` to compare and to look up."""
    return tuple(label.lower() for label in name.label)


class Buffer(DNSBuffer):  # type: ignore[misc]  # dnslib ships no types
    """dnslib's buffer, with names of any bytes, of legal lengths only, and pointers only where they reach."""

    offset: int

    def decode_name(self, last: int = -1) -> DNSLabel:
        """The name at the offset. WireError unless every pointer leads to before what it is part of (RFC 1035 4.1.4).

        `last` is dnslib's, and not needed here.
        """
        labels: list[bytes] = []
        at = start = self.offset
        data, size, end, pointers = self.data, 1, 0, 0
        while at < len(data):
            length = data[at]
            if length == 0:
                self.offset = end or at + 1
                return DNSLabel(labels)
            if length < 64:
                labels.append(bytes(data[at + 1 : at + 1 + length]))
                at, size = at + 1 + length, size + 1 + length
            elif length >= 0xC0 and at + 1 < len(data):
                end = end or at + 2
                at = (length & 0x3F) << 8 | data[at + 1]
                pointers += 1
                if not HEADER <= at < start or pointers > _MOST_POINTERS:
                    raise WireError("a pointer that does not lead back to a name")
                start = at
            else:
                break
            if size > 255:
                break
        raise WireError("not a name")

    def encode_name(self, name: DNSLabel) -> None:
        """Write `name`, its end as a pointer to where that has been written before."""
        labels = name.label
        for depth in range(len(labels)):
            rest = labels[depth:]
            pointer = self.names.get(rest)
            if pointer is not None:
                self.append(struct.pack("!H", 0xC000 | pointer))
                return
            if self.offset <= _FURTHEST:
                self.names[rest] = self.offset
            self.append(bytes((len(rest[0]),)) + rest[0])
        self.append(b"\0")
