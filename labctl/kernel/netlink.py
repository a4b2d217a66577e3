"""The netlink wire: messages packed by ourselves, sent many at once, refusals traced back to the object they concern.

A connection belongs to the namespace in which it was opened, whoever uses it later. Sources: netlink(7),
linux/netlink.h.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labctl.errors import KernelError
from labctl.kernel.words import describe
from labctl.plan.objects import KernelObject

ROUTE, XFRM, NETFILTER = 0, 6, 12

ACK, DUMP = 0x4, 0x300
CREATE, EXCL, REPLACE = 0x400, 0x200, 0x100

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x1, 0x100, 0x200
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 270, 10, 11, 12
_NLMSGERR_ATTR_MSG = 1

_FAMILIES = {ROUTE: "rtnetlink", XFRM: "IPsec (xfrm)", NETFILTER: "connection tracking (ctnetlink)"}
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_U32 = struct.Struct("=I")

# Replies wait in the socket until the whole batch is done: a batch of refusals must fit the receive buffer.
_BATCH = 64
# More than the kernel puts into one datagram of a dump (32 KiB, netlink_recvmsg), and little enough to be allocated
# without a mapping of its own.
_DATAGRAM = 1 << 16

What = str | tuple[str, KernelObject]
"""In words what a message does: all of it, or a verb and the object that it is done to."""


@dataclass(frozen=True, slots=True)
class Message:
    """One request. `subject` and `what` say which object it is for, as data and in words; the words are put together
    only when they are needed.

    `tolerated`: error numbers that mean "it is so already". `mechanism`: what a kernel lacks that refuses it with
    one of `lacking`.
    """

    type: int
    flags: int
    body: bytes
    what: What
    subject: object = None
    tolerated: tuple[int, ...] = ()
    mechanism: str = ""
    lacking: tuple[int, ...] = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EPROTONOSUPPORT)

    @property
    def words(self) -> str:
        """What the message does, e.g. "create bridge br0 in a"."""
        if isinstance(self.what, str):
            return self.what
        verb, item = self.what
        return f"{verb} {describe(item)}"

    def pack(self, sequence: int, *, ack: bool) -> bytes:
        """The bytes on the wire."""
        flags = self.flags | _NLM_F_REQUEST | (ACK if ack else 0)
        return _HEADER.pack(_HEADER.size + len(self.body), self.type, flags, sequence, 0) + self.body


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind, b"".join(attributes))


def u32(kind: int, value: int) -> bytes:
    """An attribute of 32 bits, host byte order."""
    return attribute(kind, _U32.pack(value))


def text(kind: int, value: str) -> bytes:
    """An attribute that is a string, with its final zero."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by their kind (the flag bits of nesting and byte order taken off)."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[offset + _ATTRIBUTE.size : offset + size]
        offset += (size + 3) & ~3
    return found


class Connection:
    """A netlink socket of `family` in the namespace of the calling thread. `strict`: a dump tells only what its request
    names, and not everything.
    """

    def __init__(self, family: int, *, strict: bool = False) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        except OSError as error:
            name = _FAMILIES.get(family, f"netlink family {family}")
            raise KernelError(
                f"cannot talk to the kernel about {name}: {error.strerror}",
                errno=error.errno or 0,
                hint=_lacks(name),
            ) from error
        self._sequence = 0
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, *([_NETLINK_GET_STRICT_CHK] if strict else [])):
            # Without these a refusal is echoed in full and has no text: worse to read, not wrong.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def fileno(self) -> int:
        """The socket, for select(2) and for what is asked of devices by ioctl (`labctl.kernel.devices`)."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, messages: Sequence[Message]) -> None:
        """Have the kernel act on `messages`, in order. KernelError names the first object that it refused.

        The kernel goes on after a refusal: later messages of the same batch may have taken effect.
        """
        for start in range(0, len(messages), _BATCH):
            batch = messages[start : start + _BATCH]
            try:
                self._send_batch(batch)
            except OSError as error:
                raise _refusal(batch[0], error.errno or 0, "no answer from the kernel") from error

    def dump(self, message: Message) -> list[bytes]:
        """The bodies of all answers to `message`. KernelError where it is refused, or not answered."""
        try:
            return self._dump(message)
        except OSError as error:
            raise _refusal(message, error.errno or 0, "no answer from the kernel") from error

    def _dump(self, message: Message) -> list[bytes]:
        self._sequence += 1
        self._socket.send(message.pack(self._sequence, ack=False))
        found: list[bytes] = []
        for kind, _, sequence, body in self._receive():
            if sequence != self._sequence:
                continue
            if kind == _NLMSG_DONE:
                break
            if kind == _NLMSG_ERROR:
                raise _refusal(message, -struct.unpack_from("=i", body)[0], "")
            found.append(body)
        return found

    def ask(self, messages: Sequence[Message]) -> list[bytes]:
        """The bodies of the answers to `messages`, each of which has one; none of those that are refused.

        KernelError where the kernel does not answer.
        """
        found: list[bytes] = []
        for start in range(0, len(messages), _BATCH):
            batch = messages[start : start + _BATCH]
            try:
                found += self._ask_batch(batch)
            except OSError as error:
                raise _refusal(batch[0], error.errno or 0, "no answer from the kernel") from error
        return found

    def _ask_batch(self, batch: Sequence[Message]) -> Iterator[bytes]:
        first = self._sequence + 1
        last = self._sequence = self._sequence + len(batch)
        self._socket.send(b"".join(each.pack(number, ack=False) for number, each in enumerate(batch, first)))
        for kind, _, sequence, body in self._receive():
            if sequence >= first and kind != _NLMSG_ERROR:
                yield body
            if sequence == last:
                break

    def _send_batch(self, batch: Sequence[Message]) -> None:
        """One send, and only the last message asks for an acknowledgement: refusals are reported without asking."""
        first = self._sequence + 1
        last = self._sequence = self._sequence + len(batch)
        packed = [each.pack(number, ack=number == last) for number, each in enumerate(batch, first)]
        self._socket.send(b"".join(packed))
        refusals: list[KernelError] = []
        for kind, flags, sequence, body in self._receive():
            if kind != _NLMSG_ERROR or not first <= sequence <= last:
                continue
            code = -struct.unpack_from("=i", body)[0]
            message = batch[sequence - first]
            if code and code not in message.tolerated:
                refusals.append(_refusal(message, code, _kernel_text(flags, body)))
            if sequence == last:
                break
        if refusals:
            raise refusals[0]

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        while True:
            data = self._socket.recv(_DATAGRAM)
            offset = 0
            while offset + _HEADER.size <= len(data):
                size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                yield kind, flags, sequence, data[offset + _HEADER.size : offset + size]
                offset += (size + 3) & ~3


def _kernel_text(flags: int, body: bytes) -> str:
    """The kernel's own words in an error reply (Documentation/userspace-api/netlink/intro.rst, "Ext ACK")."""
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    echoed = _HEADER.size if flags & _NLM_F_CAPPED else _U32.unpack_from(body, 4)[0]
    words = attributes(body[4 + ((echoed + 3) & ~3) :]).get(_NLMSGERR_ATTR_MSG, b"")
    return words.rstrip(b"\0").decode(errors="replace").rstrip(".")


def _refusal(message: Message, code: int, words: str) -> KernelError:
    generic = os.strerror(code)
    reason = f"{words} ({generic})" if words else generic
    hint = _lacks(message.mechanism) if message.mechanism and code in message.lacking else ""
    return KernelError(f"cannot {message.words}: {reason}", subject=message.subject, errno=code, hint=hint)


def _lacks(mechanism: str) -> str:
    return f"this kernel seems to lack {mechanism}; `labctl doctor` says where it is to be had"
