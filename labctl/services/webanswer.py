"""What the HTTP server of a test server answers: a request's head in, a whole answer out (RFC 9110, RFC 9112).

Every sequence of bytes has an answer; none raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

HEAD_SIZE = 16384
"""Bytes of the longest request head that is read; a longer one is malformed."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rb"(%s) ([!-~]+) HTTP/1\.([01])" % _TOKEN)
_FIELD = re.compile(rb"(%s):[ \t]*([\t -~\x80-\xff]*?)[ \t]*" % _TOKEN)
_TARGET = re.compile(rb"(?:[Hh][Tt][Tt][Pp]://[^/?#]+)?(/[^#]*)")  # origin-form or absolute-form
_STATUS = re.compile(rb"/status/([2-5][0-9][0-9])(?:\?.*)?")
_READ = (b"GET", b"HEAD")
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


@dataclass(frozen=True, slots=True)
class Request:
    """A sound request: `path` with its query, `host` as the Host field has it ("" in HTTP/1.0 without one)."""

    method: bytes
    path: bytes
    host: bytes


def parse(head: bytes) -> Request | None:
    """The request whose head this is, the empty line at its end included; None where it is malformed."""
    if not head.endswith(b"\r\n\r\n"):
        return None
    first, *lines = head[:-4].split(b"\r\n")
    request, fields = _REQUEST.fullmatch(first), [_FIELD.fullmatch(line) for line in lines]
    target = _TARGET.fullmatch(request[2]) if request else None
    if request is None or target is None or None in fields:
        return None
    hosts = [field[2] for field in fields if field and field[1].lower() == b"host"]
    if len(hosts) > 1 or (request[3] == b"1" and not hosts):  # RFC 9112 section 3.2
        return None
    return Request(request[1], target[1], hosts[0] if hosts else b"")


def answer(head: bytes, server: str, peer: tuple[str, int]) -> bytes:
    """The whole answer of the test server `server` to a client that it sees at `peer`; then the connection ends."""
    request = parse(head)
    status = _status(request)
    lines = [f"labctl {server} {peer[0]} {peer[1]}\n".encode()]
    if request is not None and request.method in _READ:
        lines.append(b"GET %s\nHost: %s\n" % (request.path, request.host))
    body = b"" if status in _BODILESS else b"".join(lines)
    fields = [
        f"HTTP/1.1 {status} {_phrase(status)}",
        f"X-Labctl-Server: {server}",
        f"X-Labctl-Peer: {peer[0]} {peer[1]}",
        "Connection: close",
        *(["Allow: GET, HEAD"] if status == HTTPStatus.METHOD_NOT_ALLOWED else []),
        *([] if status in _BODILESS else ["Content-Type: text/plain", f"Content-Length: {len(body)}"]),
    ]
    sent = b"" if request is not None and request.method == b"HEAD" else body
    return "\r\n".join([*fields, "", ""]).encode() + sent


def _status(request: Request | None) -> int:
    if request is None:
        return HTTPStatus.BAD_REQUEST
    if request.method not in _READ:
        return HTTPStatus.METHOD_NOT_ALLOWED
    wanted = _STATUS.fullmatch(request.path)
    return int(wanted[1]) if wanted else HTTPStatus.OK


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
