"""The test server's HTTP: what it answers to a request, and that any bytes have an answer."""

from __future__ import annotations

import http.client
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labctl.services.webanswer import answer

PEER = ("10.1.0.2", 40000)


class Received:
    """What http.client takes for a socket: bytes that have come."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._data)


def read(head: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """The answer as Python's own HTTP client reads it; nothing may follow it."""
    wire = answer(head, "web1", PEER)
    response = http.client.HTTPResponse(Received(wire), method=method)  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    assert wire.endswith(b"\r\n\r\n" + body)
    return response.status, {name.lower(): value for name, value in response.getheaders()}, body


def get(target: str, *fields: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/{version}", *(fields or ("Host: web.test",)), "", ""]).encode()


def test_a_get_is_told_who_answered_and_whom_it_saw() -> None:
    status, header, body = read(get("/a/b?c=d"))
    assert status == 200
    assert (header["x-labctl-server"], header["x-labctl-peer"]) == ("web1", "10.1.0.2 40000")
    assert (header["content-type"], header["content-length"]) == ("text/plain", str(len(body)))
    assert body == b"labctl web1 10.1.0.2 40000\nGET /a/b?c=d\nHost: web.test\n"


def test_a_status_can_be_asked_for() -> None:
    assert [read(get(f"/status/{wanted}"))[0] for wanted in (200, 301, 404, 503, 599)] == [200, 301, 404, 503, 599]
    assert read(get("/status/404?x"))[0] == 404
    assert [read(get(path))[0] for path in ("/status/100", "/status/600", "/status/40", "/status/4040")] == [200] * 4


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(status: int) -> None:
    found, header, body = read(get(f"/status/{status}"))
    assert (found, body, "content-length" in header) == (status, b"", False)


def test_head_is_get_without_the_body() -> None:
    head = get("/").replace(b"GET", b"HEAD")
    status, header, body = read(head, "HEAD")
    assert (status, body, header["content-length"]) == (200, b"", str(len(read(get("/"))[2])))


def test_other_methods_are_not_allowed() -> None:
    status, header, _ = read(get("/").replace(b"GET", b"DELETE"))
    assert (status, header["allow"]) == (405, "GET, HEAD")


def test_a_whole_address_for_a_target_is_its_path() -> None:
    assert b"GET /x\n" in read(get("http://web.test/x"))[2]


def test_the_first_version_needs_no_host() -> None:
    assert read(get("/", "Accept: */*", version="1.0"))[0] == 200
    assert read(get("/", "Accept: */*"))[0] == 400


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_what_is_malformed_gets_400_and_no_echo(head: bytes) -> None:
    status, _, body = read(head)
    assert (status, body) == (400, b"labctl web1 10.1.0.2 40000\n")


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    assert read(data)[0] in (200, 400, 405)


pieces = st.sampled_from([b"GET", b"HEAD", b" ", b"/", b"HTTP/1.1", b"\r\n", b"Host: a", b":", b"/status/204", b"\xff"])


@settings(max_examples=500, deadline=None)
@given(st.lists(pieces, max_size=12).map(b"".join))
def test_any_pieces_of_a_request_have_an_answer(head: bytes) -> None:
    wire = answer(head, "web1", PEER)
    assert wire.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 204 ", b"HTTP/1.1 400 ", b"HTTP/1.1 405 "))
