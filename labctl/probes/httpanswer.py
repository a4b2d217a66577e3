"""An HTTP/1 answer as it comes in, piece by piece (RFC 9112 sections 4 to 7): pure, and strict.

Malformed says why what came is no answer; nothing else is raised, whatever the bytes are.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Literal

HEAD_SIZE = 65536
"""Bytes of the longest head that is taken for one."""
KEPT = 4096
"""Bytes of the body that are kept; of the others only the number is."""

_FIRST = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [\t -~\x80-\xff]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t -~\x80-\xff]*)?")
_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)
_BODILESS = (204, 304)
_LINE_SIZE = 4096


class Malformed(Exception):
    """What came is not an HTTP answer."""


class HttpAnswer:
    """One answer to a GET. `feed` what comes until it is `complete`; then `status`, `header` and `body` are known.

    Interim answers (1xx) are stepped over. Names of header fields are in lower case.
    """

    def __init__(self) -> None:
        self.status = 0
        self.header: tuple[tuple[str, str], ...] = ()
        self.complete = False
        self.size = 0
        self._kept = bytearray()
        self._waiting = bytearray()
        self._open_ended = False
        self._parts = self._parse()

    @property
    def body(self) -> str:
        """The beginning of the body."""
        return self._kept.decode(errors="replace")

    def value(self, name: str) -> str:
        """The header field `name`, "" where it is not there."""
        return next((value for each, value in self.header if each == name), "")

    def feed(self, data: bytes) -> None:
        """Take what came. Bytes after the end of the answer are Malformed."""
        self._waiting += data
        next(self._parts, None)
        if self.complete and self._waiting:
            raise Malformed(f"{len(self._waiting)} bytes follow its end")

    def end(self) -> None:
        """The connection has ended. Malformed where the answer is not whole."""
        self.complete |= self._open_ended
        if not self.complete:
            raise Malformed(f"it ends after {self.size} bytes of its body" if self.status else "it ends in its head")

    def _parse(self) -> Generator[None, None, None]:
        """The answer from its beginning to its end; yields where it needs more bytes."""
        while not self.status:
            yield from self._greeting()
            self._begin((yield from self._up_to(b"\r\n\r\n", HEAD_SIZE, "its head")))
        length = self._length()
        if length == "chunked":
            yield from self._chunks()
        elif length == "to the end":
            self._open_ended = True
            yield from self._content(1 << 62)
        else:
            yield from self._content(length)
        self.complete = True

    def _greeting(self) -> Generator[None, None, None]:
        """The first word: a server of another protocol is told by it, without waiting for a head that never ends."""
        while len(self._waiting) < len(_FIRST) and _FIRST.startswith(self._waiting):
            yield
        if not self._waiting.startswith(_FIRST):
            raise Malformed(f"it begins with {bytes(self._waiting[:40])!r}")

    def _up_to(self, mark: bytes, most: int, what: str) -> Generator[None, None, bytes]:
        """The bytes before `mark`, which is taken as well."""
        while (end := self._waiting.find(mark, 0, most + len(mark))) < 0:
            if len(self._waiting) >= most + len(mark):
                raise Malformed(f"{what} is too long")
            yield
        taken = bytes(self._waiting[:end])
        del self._waiting[: end + len(mark)]
        return taken

    def _begin(self, head: bytes) -> None:
        """A head: the status line and the fields. An interim one leaves the status at 0."""
        first, *lines = head.split(b"\r\n")
        told = _STATUS.fullmatch(first)
        if told is None:
            raise Malformed(f"it begins with {first[:40]!r}")
        fields = []
        for line in lines:
            field = _FIELD.fullmatch(line)
            if field is None:
                raise Malformed(f"no header field: {line[:40]!r}")
            fields.append((field[1].decode().lower(), field[2].decode("latin-1")))
        if not told[1].startswith(b"1") or told[1] == b"101":
            self.status, self.header = int(told[1]), tuple(fields)

    def _length(self) -> int | Literal["chunked", "to the end"]:
        """How long the body is (RFC 9112 section 6.3)."""
        codings = [value.lower() for name, value in self.header if name == "transfer-encoding"]
        lengths = {value for name, value in self.header if name == "content-length"}
        if self.status in _BODILESS or self.status < 200:
            return 0
        if codings and (codings != ["chunked"] or lengths):
            raise Malformed("its transfer encoding is not chunked alone")
        if codings:
            return "chunked"
        if not lengths:
            return "to the end"
        length = lengths.pop()
        if lengths or not _LENGTH.fullmatch(length):
            raise Malformed("its Content-Length is not one number")
        return int(length)

    def _content(self, size: int) -> Generator[None, None, None]:
        while size:
            if not self._waiting:
                yield
            part = min(size, len(self._waiting))
            self._kept += self._waiting[: min(part, KEPT - len(self._kept))]
            del self._waiting[:part]
            self.size += part
            size -= part

    def _chunks(self) -> Generator[None, None, None]:
        """RFC 9112 section 7.1; the fields of a trailer are not kept."""
        while True:
            line = yield from self._up_to(b"\r\n", _LINE_SIZE, "a line between its chunks")
            told = _CHUNK.fullmatch(line)
            if told is None:
                raise Malformed(f"no size of a chunk: {line[:40]!r}")
            size = int(told[1], 16)
            if not size:
                break
            yield from self._content(size)
            yield from self._up_to(b"\r\n", 0, "a chunk")
        while (yield from self._up_to(b"\r\n", _LINE_SIZE, "a line after its chunks")):
            pass
