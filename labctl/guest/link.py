"""Frames over a file descriptor that never blocks, and the wait for several of them."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping

from labctl.guest.frames import Frame, Reader

_READ = 1 << 16


class Link:
    """Sends and receives frames at `fd`: a socket, a serial line or a virtio port. Whoever made `fd` closes it.

    `pace`: the most bytes under way that the other end has not told to have read; 0: any number.
    """

    def __init__(self, fd: int, pace: int = 0) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.received = 0
        """Bytes that the last `receive` took in."""
        self._reader = Reader()
        self._unsent = bytearray()
        self._pace = pace
        self._under_way = 0

    @property
    def backlog(self) -> int:
        """Bytes that are still to be written."""
        return len(self._unsent)

    @property
    def events(self) -> int:
        """What to wait for, as in poll(2)."""
        return select.POLLIN | (select.POLLOUT if self._unsent and self._room() else 0)

    def send(self, frame: Frame) -> None:
        """Send a frame, as far as that is possible now; `flush` sends the rest."""
        self._unsent += frame.packed()
        self.flush()

    def flush(self) -> None:
        """Write what can be written now. What the other end will never read is forgotten: `receive` tells its end."""
        try:
            while self._unsent and self._room():
                count = os.write(self.fd, self._unsent[: self._room()])
                del self._unsent[:count]
                self._under_way += count
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()

    def was_read(self, count: int) -> None:
        """The other end has read so many bytes."""
        self._under_way -= count
        self.flush()

    def _room(self) -> int:
        return max(0, self._pace - self._under_way) if self._pace else _READ

    def receive(self) -> list[Frame]:
        """The frames that have come. EOFError at the end of the stream, and where it is none of frames."""
        self.received = 0
        try:
            data = os.read(self.fd, _READ)
        except BlockingIOError:
            return []
        except OSError as error:
            raise EOFError(error.strerror) from error
        if not data:
            raise EOFError
        self.received = len(data)
        try:
            return self._reader.feed(data)
        except ValueError as error:
            raise EOFError(str(error)) from error


def wait(wanted: Mapping[int, int], timeout_s: float | None = None) -> dict[int, int]:
    """The descriptors of `wanted` at which something awaited can be done, or went wrong, and what (poll(2))."""
    poller = select.poll()
    for fd, events in wanted.items():
        poller.register(fd, events)
    return dict(poller.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000))
