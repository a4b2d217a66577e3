"""The reader of HTTP answers: however the bytes are cut it says the same, and what is not whole is not taken for it."""

from __future__ import annotations

import http.client
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labctl.probes.httpanswer import HEAD_SIZE, KEPT, HttpAnswer, Malformed
from labctl.services.webanswer import answer as labctl_answer

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b c \r\n\r\nhello"
CHUNKED = b"HTTP/1.1 404 \r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nhel\r\n002\r\nlo\r\n0\r\nExpires: x\r\n\r\n"
OPEN = b"HTTP/1.0 200\r\nServer: x\r\n\r\nhello"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + LENGTH


def read(data: bytes, cut: int = 1 << 20) -> HttpAnswer:
    """The answer in pieces of `cut` bytes, and the end of the connection where it is still wanted."""
    found = HttpAnswer()
    for at in range(0, len(data), cut):
        found.feed(data[at : at + cut])
    if not found.complete:
        found.end()
    return found


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "status", "body"),
    [(LENGTH, 200, "hello"), (CHUNKED, 404, "hello"), (OPEN, 200, "hello"), (EMPTY, 204, ""), (INTERIM, 200, "hello")],
)
def test_an_answer_is_the_same_however_it_is_cut(data: bytes, status: int, body: str, cut: int) -> None:
    found = read(data, cut)
    assert (found.status, found.body, found.size, found.complete) == (status, body, len(body), True)


def test_names_of_fields_are_in_lower_case_and_values_are_trimmed() -> None:
    found = read(LENGTH)
    assert found.header == (("content-length", "5"), ("x-a", "b c"))
    assert (found.value("x-a"), found.value("x-b")) == ("b c", "")


@pytest.mark.parametrize("data", [LENGTH, CHUNKED, EMPTY, INTERIM])
def test_no_beginning_of_an_answer_is_a_whole_one(data: bytes) -> None:
    for size in range(len(data)):
        with pytest.raises(Malformed):
            read(data[:size])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"220 mail ready\r\n\r\n", "it begins with"),
        (b"labctl web1 10.0.0.1 5\n", "it begins with"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "it begins with"),
        (b"HTTP/2 200 OK\r\n\r\n", "it begins with"),
        (b"HTTP/1.1 200 OK\nA: b\n\n", "ends in its head"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "no header field"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "not one number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "not one number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not one number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "chunked alone"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "no size of a chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", "too long"),
        (LENGTH + b"x", "1 bytes follow"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * HEAD_SIZE, "too long"),
    ],
)
def test_what_is_no_answer_is_told_so(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read(data)


def test_of_a_long_body_the_beginning_is_kept_and_all_of_it_counted() -> None:
    body = bytes(range(32, 127)) * 1000
    found = read(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, 1000)
    assert (found.size, found.body) == (len(body), body[:KEPT].decode())


def test_it_reads_what_the_test_server_answers() -> None:
    found = read(labctl_answer(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n", "web1", ("10.0.0.1", 9)))
    assert (found.status, found.value("x-labctl-server"), found.value("x-labctl-peer")) == (200, "web1", "10.0.0.1 9")
    assert found.body == "labctl web1 10.0.0.1 9\nGET /x\nHost: h\n"


class Received:
    """What http.client takes for a socket: bytes that have come."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._data)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(305, 599), st.sampled_from("lco"))
def test_it_reads_what_pythons_own_client_reads(chunks: list[bytes], status: int, how: str) -> None:
    body = b"".join(chunks)
    coded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    head = {"l": b"Content-Length: %d" % len(body), "c": b"Transfer-Encoding: chunked", "o": b"Connection: close"}[how]
    data = b"HTTP/1.1 %d x\r\n%s\r\n\r\n" % (status, head) + (coded if how == "c" else body)
    theirs = http.client.HTTPResponse(Received(data))  # type: ignore[arg-type]
    theirs.begin()
    ours = read(data, 7)
    assert (ours.status, ours.body) == (theirs.status, theirs.read().decode(errors="replace"))


@settings(max_examples=500, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([LENGTH, CHUNKED, OPEN, EMPTY])), max_size=5))
def test_no_bytes_raise_anything_else(pieces: list[bytes]) -> None:
    found = HttpAnswer()
    try:
        for piece in pieces:
            found.feed(piece)
        found.end()
    except Malformed:
        return
    assert 100 < found.status < 1000
