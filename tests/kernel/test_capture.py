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


@pytest.fixture
def sender(pair: Lab) -> Iterator[socket.socket]:
    """A UDP socket of `left`."""
    with netns.enter(pair.paths.namespace("left")):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with opened:
        yield opened


def only(flows: tuple[Flow, ...], tap: str, proto: str = "udp") -> Flow:
    (flow,) = [flow for flow in flows if flow.tap == tap and flow.proto == proto]
    return flow


def test_each_of_200_packets_is_counted_once_at_each_tap(captures: Captures, sender: socket.socket) -> None:
    taps = (Tap("out", "left", "eth0"), Tap("in", "right", "eth0", "in"), Tap("both", "right", "eth0"))
    recording = captures.record(taps, MARKER)
    for number in range(200):
        sender.sendto(b"%d" % number + (MARKER if number % 2 else b""), ("10.0.0.2", 4000))
    evidence = recording.stop()
    (flows,) = evidence.parts(NOBODY)
    assert evidence.fault == ""
    for tap in ("out", "in", "both"):
        flow = only(flows, tap)
        assert (flow.packets, flow.marked, flow.src, flow.dport) == (200, 100, "10.0.0.1", 4000)
        assert flow.first_ms < flow.first_marked_ms < flow.last_ms
    assert evidence.sent(NOBODY, "out") == 100
    assert evidence.sent(NOBODY, "in") == 0


def test_in_sees_only_what_arrives(captures: Captures, sender: socket.socket) -> None:
    recording = captures.record((Tap("x", "left", "eth0", "in"),), MARKER)
    sender.sendto(MARKER, ("10.0.0.2", 4000))
    (flows,) = recording.stop().parts(NOBODY)
    assert not [flow for flow in flows if flow.proto == "udp"]
    assert only(flows, "x", "icmp").icmp == "3/3"


def test_two_names_for_one_device_see_the_same(captures: Captures, sender: socket.socket) -> None:
    recording = captures.record((Tap("a", "left", "eth0"), Tap("b", "left", "eth0")), MARKER)
    sender.sendto(MARKER, ("10.0.0.2", 4000))
    (flows,) = recording.stop().parts(NOBODY)
    assert only(flows, "a").packets == only(flows, "b").packets == 1


def test_a_frame_before_or_after_the_recording_is_not_in_it(captures: Captures, sender: socket.socket) -> None:
    tap = (Tap("x", "right", "eth0", "in"),)
    counts = []
    for count in (1, 2, 3):
        sender.sendto(b"before", ("10.0.0.2", 4000))
        recording = captures.record(tap, MARKER)
        for _ in range(count):
            sender.sendto(b"during", ("10.0.0.2", 4000))
        evidence = recording.stop()
        sender.sendto(b"after", ("10.0.0.2", 4000))
        counts.append(only(evidence.parts(NOBODY)[0], "x").packets)
    assert counts == [1, 2, 3]


def test_two_recordings_at_one_device_do_not_disturb_each_other(captures: Captures, sender: socket.socket) -> None:
    tap = (Tap("x", "right", "eth0", "in"),)
    long = captures.record(tap, MARKER)
    sender.sendto(b"1", ("10.0.0.2", 4000))
    short = captures.record(tap, MARKER)
    sender.sendto(b"2", ("10.0.0.2", 4000))
    assert only(short.stop().parts(NOBODY)[0], "x").packets == 1
    sender.sendto(b"3", ("10.0.0.2", 4000))
    assert only(long.stop().parts(NOBODY)[0], "x").packets == 3


def test_the_marker_is_found_up_to_byte_512_and_the_length_is_the_true_one(
    captures: Captures, sender: socket.socket
) -> None:
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER)
    sender.sendto(b"." * (512 - 42 - len(MARKER)) + MARKER, ("10.0.0.2", 4000))
    sender.sendto(b"." * (512 - 41 - len(MARKER)) + MARKER + b"." * 900, ("10.0.0.2", 4001))
    (flows,) = recording.stop().parts(NOBODY)
    seen = {flow.dport: (flow.marked, flow.longest) for flow in flows if flow.proto == "udp"}
    assert seen == {4000: (1, 498), 4001: (0, 1399)}


def test_marks_split_the_flows(captures: Captures, sender: socket.socket) -> None:
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER)
    marks = []
    for count in (1, 2, 3):
        marks.append(time.monotonic() * 1000)
        for _ in range(count):
            sender.sendto(MARKER, ("10.0.0.2", 4000))
        time.sleep(0.01)
    parts = recording.stop().parts(NOBODY, marks[1:])
    assert [only(part, "x").packets for part in parts] == [1, 2, 3]
    assert all(marks[i] <= only(part, "x").first_ms for i, part in enumerate(parts))


def test_a_tap_that_lost_frames_says_so(captures: Captures, sender: socket.socket) -> None:
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER)
    (listener,) = captures._working.values()
    with captures._lock:  # the reader waits, and the buffer is made small enough to overflow
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(100):
            sender.sendto(MARKER, ("10.0.0.2", 4000))
    assert "the tap on eth0 of right lost" in recording.stop().fault


def test_arp_is_seen(captures: Captures, sender: socket.socket, pair: Lab) -> None:
    recording = captures.record((Tap("x", "left", "eth0"),), MARKER)
    pair.run("left", "ip", "neigh", "flush", "all")
    sender.sendto(MARKER, ("10.0.0.2", 4000))
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
