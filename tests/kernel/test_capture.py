"""The taps miss nothing, count nothing twice, and say so when they did lose something."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from kernel_lab import Lab

from labctl.errors import ProbeError
from labctl.kernel import netns
from labctl.probes.capture import Captures, devices
from labctl.probes.wire import Flow, Tap

MARKER = b"marker-of-this-test"
NOBODY: frozenset[tuple[int, int, int]] = frozenset()


@pytest.fixture
def captures(pair: Lab) -> Iterator[Captures]:
    captures = Captures(pair.paths)
    yield captures
    captures.close()


class Wire:
    """Sends datagrams from `left` to `right`, each of which has arrived when `send` returns."""

    def __init__(self, lab: Lab) -> None:
        with netns.enter(lab.paths.namespace("left")):
            self.source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with netns.enter(lab.paths.namespace("right")):
            self.target = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.target.bind(("", 4000))
        self.target.settimeout(5)
        self.send(b"the neighbours know each other now")

    def send(self, data: bytes) -> None:
        self.source.sendto(data, ("10.0.0.2", 4000))
        assert self.target.recv(2048) == data

    def close(self) -> None:
        self.source.close()
        self.target.close()


@pytest.fixture
def wire(pair: Lab) -> Iterator[Wire]:
    wire = Wire(pair)
    yield wire
    wire.close()


def only(flows: tuple[Flow, ...], tap: str, proto: str = "udp") -> Flow:
    (flow,) = [flow for flow in flows if flow.tap == tap and flow.proto == proto]
    return flow


def test_each_of_200_packets_is_counted_once_at_each_tap(captures: Captures, wire: Wire) -> None:
    taps = (Tap("out", "left", "eth0"), Tap("in", "right", "eth0", "in"), Tap("both", "right", "eth0"))
    recording = captures.record(taps, MARKER)
    for number in range(200):
        wire.send(b"%d" % number + (MARKER if number % 2 else b""))
    evidence = recording.stop()
    (flows,) = evidence.parts(NOBODY)
    assert evidence.fault == ""
    for tap in ("out", "in", "both"):
        flow = only(flows, tap)
        assert (flow.packets, flow.marked, flow.src, flow.dport) == (200, 100, "10.0.0.1", 4000)
        assert flow.first_ms < flow.first_marked_ms < flow.last_ms
    assert evidence.sent(NOBODY, "out") == 100
    assert evidence.sent(NOBODY, "in") == 0


def test_in_sees_only_what_arrives(captures: Captures, wire: Wire) -> None:
    recording = captures.record((Tap("x", "left", "eth0", "in"),), MARKER)
    wire.send(MARKER)
    wire.target.sendto(MARKER, ("10.0.0.1", wire.source.getsockname()[1]))
    wire.source.settimeout(5)
    wire.source.recv(2048)
    (flows,) = recording.stop().parts(NOBODY)
    assert only(flows, "x").src == "10.0.0.2"


def test_two_names_for_one_device_see_the_same(captures: Captures, wire: Wire) -> None:
    recording = captures.record((Tap("a", "left", "eth0"), Tap("b", "left", "eth0")), MARKER)
    wire.send(MARKER)
    (flows,) = recording.stop().parts(NOBODY)
    assert only(flows, "a").packets == only(flows, "b").packets == 1


def test_a_frame_before_or_after_the_recording_is_not_in_it(captures: Captures, wire: Wire) -> None:
    tap = (Tap("x", "right", "eth0", "in"),)
    counts = []
    for count in (1, 2, 3):
        wire.send(b"before")
        recording = captures.record(tap, MARKER)
        for _ in range(count):
            wire.send(b"during")
        evidence = recording.stop()
        wire.send(b"after")
        counts.append(only(evidence.parts(NOBODY)[0], "x").packets)
    assert counts == [1, 2, 3]


def test_two_recordings_at_one_device_do_not_disturb_each_other(captures: Captures, wire: Wire) -> None:
    tap = (Tap("x", "right", "eth0", "in"),)
    long = captures.record(tap, MARKER)
    wire.send(b"1")
    short = captures.record(tap, MARKER)
    wire.send(b"2")
    assert only(short.stop().parts(NOBODY)[0], "x").packets == 1
    wire.send(b"3")
    assert only(long.stop().parts(NOBODY)[0], "x").packets == 3


def test_the_marker_is_found_up_to_byte_512_and_the_length_is_the_true_one(captures: Captures, wire: Wire) -> None:
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER)
    wire.send(b"." * (512 - 42 - len(MARKER)) + MARKER)
    whole = recording.stop().parts(NOBODY)[0]
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER)
    wire.send(b"." * (512 - 41 - len(MARKER)) + MARKER + b"." * 900)
    cut = recording.stop().parts(NOBODY)[0]
    assert (only(whole, "x").marked, only(whole, "x").longest) == (1, 498)
    assert (only(cut, "x").marked, only(cut, "x").longest) == (0, 1399)


def test_marks_split_the_flows(captures: Captures, wire: Wire) -> None:
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER)
    marks = []
    for count in (1, 2, 3):
        marks.append(time.monotonic() * 1000)
        for _ in range(count):
            wire.send(MARKER)
        time.sleep(0.01)
    parts = recording.stop().parts(NOBODY, marks[1:])
    assert [only(part, "x").packets for part in parts] == [1, 2, 3]
    assert all(marks[i] <= only(part, "x").first_ms for i, part in enumerate(parts))


def test_a_tap_that_lost_frames_says_so(captures: Captures, wire: Wire) -> None:
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER)
    (listener,) = captures._working.values()
    with captures._lock:  # the reader waits, and the buffer is made small enough to overflow
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(100):
            wire.send(MARKER)
    assert "the tap on eth0 of right lost" in recording.stop().fault


def test_arp_is_seen(captures: Captures, wire: Wire, pair: Lab) -> None:
    recording = captures.record((Tap("x", "left", "eth0"),), MARKER)
    pair.run("left", "ip", "neigh", "flush", "all")
    wire.send(MARKER)
    (flows,) = recording.stop().parts(NOBODY)
    assert {(flow.src, flow.dst) for flow in flows if flow.proto == "arp"} >= {("10.0.0.1", "10.0.0.2")}


def test_the_devices_are_those_that_are_up_but_for_the_loopback(pair: Lab) -> None:
    pair.make(pair.veth("left", "eth1", "right", "eth1"))
    assert devices(pair.paths.namespace("left")) == ["eth0", "eth1"]
    pair.run("left", "ip", "link", "set", "dev", "eth1", "down")
    assert devices(pair.paths.namespace("left")) == ["eth0"]


def test_a_missing_device_or_node_is_named_and_the_other_taps_stay_usable(captures: Captures) -> None:
    good = Tap("x", "left", "eth0")
    for bad, words in ((Tap("y", "left", "eth9"), "eth9 of left"), (Tap("y", "nobody", "eth0"), "no node nobody")):
        with pytest.raises(ProbeError, match=words):
            captures.record((good, bad), MARKER)
    assert captures.record((good,), MARKER).stop().fault == ""
