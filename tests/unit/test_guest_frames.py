"""Frames come out as they went in, wherever the bytes are split, and no more goes into a guest than it takes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.guest import frames
from labctl.guest.frames import MOST, Frame, Kind, Reader, Start
from labctl.guest.link import Link, wait

FRAMES = st.lists(st.builds(Frame, st.integers(0, 2**32 - 1), st.sampled_from(Kind), st.binary(max_size=300)))


@given(FRAMES, st.lists(st.integers(1, 50), min_size=1))
def test_frames_come_out_as_they_went_in_wherever_the_stream_is_split(sent: list[Frame], sizes: list[int]) -> None:
    stream = b"".join(each.packed() for each in sent)
    reader, got, turn = Reader(), list[Frame](), 0
    while stream:
        piece, stream = stream[: sizes[turn % len(sizes)]], stream[sizes[turn % len(sizes)] :]
        got += reader.feed(piece)
        turn += 1
    assert got == sent


@given(st.binary())
def test_any_bytes_are_frames_or_a_value_error(data: bytes) -> None:
    try:
        found = Reader().feed(data)
    except ValueError:
        return
    assert data.startswith(b"".join(each.packed() for each in found))


def test_a_length_beyond_all_sense_is_refused_before_anything_is_kept() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        Reader().feed(Frame(1, Kind.INPUT).packed()[:5] + (MOST + 1).to_bytes(4, "big"))


@given(
    st.builds(
        Start,
        st.lists(st.text()),
        st.text(),
        st.dictionaries(st.text(), st.text()),
        st.none() | st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
        st.booleans(),
        st.dictionaries(st.text(), st.text()),
    )
)
def test_a_start_comes_out_as_it_went_in(start: Start) -> None:
    assert frames.started(start.packed()) == start


@given(st.sampled_from([Kind.INPUT, Kind.OUTPUT, Kind.ERRORS]), st.integers(0, 2**32 - 1))
def test_a_credit_comes_out_as_it_went_in(kind: Kind, amount: int) -> None:
    assert frames.credited(frames.credit(kind, amount)) == (kind, amount)


@given(st.binary())
def test_any_payload_is_understood_or_a_value_error(data: bytes) -> None:
    for understand in (frames.credited, frames.sized, frames.was_read):
        try:
            understand(data)
        except ValueError:
            continue


def test_sizes_and_counts_come_out_as_they_went_in() -> None:
    assert frames.sized(frames.size(24, 80)) == (24, 80)
    assert frames.was_read(frames.read(12345)) == 12345


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_link_never_has_more_under_way_than_its_pace(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    link = Link(ours.fileno(), pace=100)
    sent = Frame(1, Kind.INPUT, os.urandom(1000))
    link.send(sent)
    reader, got = Reader(), list[Frame]()
    while not got:
        data = theirs.recv(1 << 16)
        assert len(data) <= 100
        assert not wait({theirs.fileno(): 1}, 0)
        got += reader.feed(data)
        link.was_read(len(data))
    assert (got, link.backlog) == ([sent], 0)


def test_a_link_tells_the_end_of_the_stream(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    link = Link(ours.fileno())
    assert link.receive() == []
    theirs.sendall(Frame(7, Kind.EXIT, b"\3").packed())
    theirs.close()
    assert link.receive() == [Frame(7, Kind.EXIT, b"\3")]
    with pytest.raises(EOFError):
        link.receive()


def test_what_nobody_will_read_is_forgotten(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    link = Link(ours.fileno())
    theirs.close()
    link.send(Frame(1, Kind.OUTPUT, b"x"))
    assert link.backlog == 0


def test_bytes_that_are_no_frames_end_a_link(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(b"\xff" * 100)
    with pytest.raises(EOFError, match="a frame of"):
        Link(ours.fileno()).receive()
