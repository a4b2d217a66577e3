"""One HTTP GET over a connection of its own."""

from __future__ import annotations

import os
import re
import socket
from contextlib import closing
from dataclasses import replace
from typing import Any

from labctl.probes.attempt import Attempt
from labctl.probes.dialing import dial
from labctl.probes.httpanswer import HttpAnswer, Malformed
from labctl.probes.wire import Http, Reply

_SOUND = re.compile(r"[!-~]+")
_PIECE = 1 << 16


def http(attempt: Attempt, action: Http) -> Reply:
    """Resolve where a name is given, connect, ask. "ok": a whole answer came, whatever its status."""
    if not _SOUND.fullmatch(action.path) or not _SOUND.fullmatch(action.host):
        return attempt.reply("error", "the path or the host has a character that a request cannot hold")
    dialled = dial(attempt, action.to, action.named, action.port)
    if isinstance(dialled, Reply):
        return dialled
    with closing(dialled.socket) as sock:
        return replace(_ask(attempt, sock, action), tried=dialled.tried)


def _ask(attempt: Attempt, sock: socket.socket, action: Http) -> Reply:
    """The request and its answer. After the handshake silence is no filter."""
    answer = HttpAnswer()
    try:
        sock.settimeout(attempt.left() or 1e-3)
        sock.sendall(_request(attempt.marker, action))
        while not answer.complete:
            if not attempt.left():
                raise TimeoutError
            sock.settimeout(attempt.left() or 1e-3)
            data = sock.recv(_PIECE)
            answer.feed(data) if data else answer.end()
    except Malformed as error:
        return attempt.reply("corrupt", f"connected, but what came is no HTTP answer: {error}", **_told(answer))
    except TimeoutError:
        reason = f"connected, then no whole answer within the time (got {answer.size} bytes of its body)"
        return attempt.reply("corrupt", reason, **_told(answer))
    except OSError as error:
        return attempt.reply("corrupt", f"connected, then {os.strerror(error.errno or 0)}", **_told(answer))
    return attempt.reply("ok", f"status {answer.status}, {answer.size} bytes", **_told(answer))


def _request(marker: bytes, action: Http) -> bytes:
    """RFC 9112 section 3.2; the connection ends with the answer."""
    fields = (f"Host: {action.host}", f"X-Labctl-Marker: {marker.decode()}", "User-Agent: labctl", "Accept: */*")
    return "\r\n".join([f"GET {action.path} HTTP/1.1", *fields, "Connection: close", "", ""]).encode()


def _told(answer: HttpAnswer) -> dict[str, Any]:
    """What is known of an answer; a labctl test server says who it is and whom it sees."""
    return {
        "status": answer.status,
        "header": answer.header,
        "body": answer.body,
        "server": answer.value("x-labctl-server"),
        "peer": answer.value("x-labctl-peer").partition(" ")[0],
    }
