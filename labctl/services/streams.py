"""DNS over TCP, on either end: messages with two bytes of length before each (RFC 1035 section 4.2.2, RFC 7766)."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Iterator

from labctl.resolver.resolution import NoAnswer

UNSENT = 1 << 18
"""Bytes that wait for a client who does not read; its next queries are left unread until they are fewer."""
WAITING = 100
"""Queries of one client that may wait for an answer; the next ones are left unread until they are fewer."""


def framed(message: bytes) -> bytes:
    """A message as it stands in a stream."""
    return len(message).to_bytes(2, "big") + message


def whole(received: bytearray) -> Iterator[bytes]:
    """Take the messages that have come whole from the front of `received`."""
    while len(received) >= 2:
        end = 2 + int.from_bytes(received[:2], "big")
        if end > len(received):
            return
        message = bytes(received[2:end])
        del received[:end]
        yield message


class Stream:
    """One TCP connection of a client. Answers that take long may be overtaken by others (RFC 7766 section 6.2.1.1)."""

    def __init__(self, connection: socket.socket, answer: Callable[[bytes, Stream], bytes | NoAnswer]) -> None:
        self.connection = connection
        self.used = time.monotonic()
        self.waiting = 0
        self._answer = answer
        self._received = bytearray()
        self._unsent = bytearray()
        self._ended = False

    def turn(self, events: int) -> int:
        """Read, answer and write what can be; the events to wait for next. OSError: broken."""
        if events & selectors.EVENT_READ:
            chunk = self.connection.recv(65536)
            self._ended = not chunk
            self._received += chunk
        self._answer_all()
        return self._write()

    def reply(self, messages: tuple[bytes, ...]) -> int:
        """An answer that had to be waited for; the events to wait for next, as `turn`. OSError: broken."""
        self.waiting -= 1
        self.used = time.monotonic()
        for message in messages:
            self._unsent += framed(message)
        self._answer_all()
        return self._write()

    @property
    def done(self) -> bool:
        """Whether the client has ended and has had every answer."""
        return self._ended and not self._unsent and not self.waiting

    def _write(self) -> int:
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                del self._unsent[: self.connection.send(self._unsent)]
        reading = not self._ended and self._takes()
        return (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if self._unsent else 0)

    def _takes(self) -> bool:
        return len(self._unsent) < UNSENT and self.waiting < WAITING

    def _answer_all(self) -> None:
        """Answer the whole queries received, as long as the client takes the answers."""
        queries = whole(self._received)
        while self._takes() and (query := next(queries, None)) is not None:
            self.used = time.monotonic()
            answer = self._answer(query, self)
            if isinstance(answer, bytes):
                self._unsent += framed(answer)
            elif answer is NoAnswer.YET:
                self.waiting += 1
