"""The taps miss nothing, count nothing twice, and say so when they did lose something."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from kernel_lab import Lab, address
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from scapy.utils import rdpcap

from labctl.errors import ProbeError
from labctl.kernel import netns
from labctl.plan.objects import Gre, Namespace
from labctl.probes.capture import Captures, Numbered
from labctl.probes.clock import ANCILLARY, instant_ns, stamping
from labctl.probes.outlets import devices
from labctl.probes.wire import Flow, Saved, Tap

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


def test_a_frame_is_stamped_when_it_passes_however_late_it_is_read(captures: Captures, wire: Wire) -> None:
    """Also by the first recording of all, before which the kernel stamped nothing."""
    recording = captures.record((Tap("x", "right", "eth0", "in"), Tap("y", "left", "eth0")), MARKER)
    with captures._lock:
        before = time.monotonic() * 1000
        wire.send(MARKER)
        after = time.monotonic() * 1000
        time.sleep(0.02)
    (flows,) = recording.stop().parts(NOBODY)
    near, far = only(flows, "y").first_ms, only(flows, "x").first_ms
    assert before <= near <= far <= after


def test_the_kernel_stamps_every_packet_that_passes_once_it_was_waited_for(pair: Lab) -> None:
    """It begins at a moment of its own, more often than not at once: so 20 times."""
    for _ in range(20):
        with stamping(pair.paths.namespace("left")) as loop:
            loop.send(bytes(12) + b"\x88\xb5" + bytes(46))
            sent = time.time_ns()
            assert instant_ns(loop.recvmsg(64, ANCILLARY)[1]) <= sent


def test_a_kernel_that_cannot_be_asked_to_stamp_is_an_error_in_words(pair: Lab) -> None:
    pair.run("left", "ip", "link", "set", "dev", "lo", "down")
    with pytest.raises(ProbeError, match="does not say when packets pass: Network is down"):
        stamping(pair.paths.namespace("left"))


def test_a_tap_that_lost_frames_says_so(captures: Captures, wire: Wire) -> None:
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER)
    (listener,) = captures._listeners.values()
    with captures._lock:  # the reader waits, and the buffer is made small enough to overflow
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(100):
            wire.send(MARKER)
    assert "the tap on eth0 of right lost" in recording.stop().fault


def test_a_tap_whose_device_was_deleted_says_so_and_another_can_be_made(captures: Captures, pair: Lab) -> None:
    link = pair.veth("left", "eth1", "right", "eth1")
    tap = (Tap("x", "right", "eth1"),)
    for again in (False, True):
        pair.make(link)
        recording = captures.record(tap, MARKER)
        pair.unmake(link)
        if again:
            pair.make(link)
        assert "the tap on eth1 of right ended: the device was deleted" in recording.stop().fault
    assert captures.record(tap, MARKER).stop().fault == ""


def test_a_device_that_goes_down_and_up_again_is_heard_before_and_after(captures: Captures, pair: Lab) -> None:
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER)
    wire = Wire(pair)
    wire.send(b"before")
    pair.run("right", "ip", "link", "set", "dev", "eth0", "down")
    time.sleep(0.02)
    pair.run("right", "ip", "link", "set", "dev", "eth0", "up")
    wire.send(b"after")
    wire.close()
    evidence = recording.stop()
    assert (evidence.fault, only(evidence.parts(NOBODY)[0], "x").packets) == ("", 3)


def test_a_device_that_goes_down_does_not_keep_the_reader_busy(captures: Captures, pair: Lab) -> None:
    captures.record((Tap("x", "right", "eth0"),), MARKER).stop()
    pair.run("right", "ip", "link", "set", "dev", "eth0", "down")
    time.sleep(0.05)
    assert not captures._poll.poll(0)


def test_a_node_that_was_made_anew_is_no_evidence(captures: Captures, pair: Lab) -> None:
    pair.nodes("third")
    pair.wire("left", "eth3", "10.0.3.1/24", "third", "eth0", "10.0.3.2/24")
    recording = captures.record((Tap("x", "third", "eth0"),), MARKER)
    namespace = pair.paths.namespace("third")
    other = namespace.with_name("fourth")
    pair.make(Namespace("fourth"))
    subprocess.run(["umount", str(namespace)], check=True)
    subprocess.run(["mount", "--bind", str(other), str(namespace)], check=True)
    assert recording.stop().fault == "the node third was made anew"


def test_without_its_reader_no_recording_is_evidence(pair: Lab, wire: Wire) -> None:
    captures = Captures(pair.paths)
    os.eventfd_write(captures._end, 1)
    captures._reader.join()
    recording = captures.record((Tap("x", "left", "eth0"),), MARKER)
    assert recording.stop().fault == "what reads the captures has ended"
    captures.close()


def test_a_reader_that_fails_is_told(captures: Captures, wire: Wire) -> None:
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER)
    (listener,) = captures._listeners.values()
    with open("/dev/null", "rb") as other:  # noqa: PTH123 - a file that is no socket, in the place of one
        kept = os.dup(listener.socket.fileno())
        os.dup2(other.fileno(), listener.socket.fileno())
        wire.send(MARKER)
        assert listener.read(1) == 0
        os.dup2(kept, listener.socket.fileno())
        os.close(kept)
    assert recording.stop().fault == "the tap on eth0 of right failed: Socket operation on non-socket"


def a_machine_of_our_own() -> bool:
    """A guest that was booted for the tests: what belongs to all of it may be changed."""
    return "User Mode Linux" in Path("/proc/cpuinfo").read_text()


@pytest.mark.skipif(not a_machine_of_our_own(), reason="the clock of a machine in use is not set")
@pytest.mark.parametrize("steps", [(3.0,), (-3.0,), (0.004,), (5.0, -5.0)], ids=str)
def test_a_clock_that_was_set_is_no_evidence(captures: Captures, wire: Wire, steps: tuple[float, ...]) -> None:
    recording = captures.record((Tap("x", "left", "eth0"),), MARKER)
    wire.send(MARKER)
    try:
        for step in steps:
            time.clock_settime(time.CLOCK_REALTIME, time.time() + step)
    finally:
        time.clock_settime(time.CLOCK_REALTIME, time.time() - sum(steps))
    assert recording.stop().fault == "the clock was set while packets were captured"
    assert captures.record((Tap("x", "left", "eth0"),), MARKER).stop().fault == ""


STREAM = Numbered((Tap("right/eth0", "right", "eth0"),), IPv4Address("10.0.0.2"), 4000)


def number(count: int) -> bytes:
    return struct.pack("!Q", count) + MARKER


def test_a_tap_of_a_numbered_stream_takes_that_alone(captures: Captures, wire: Wire, pair: Lab) -> None:
    recording = captures.record((Tap("x", "right", "eth0", "in"),), MARKER, STREAM)
    began = time.monotonic_ns()
    for count in range(3):
        wire.send(number(count))
        wire.send(b"no number, and no marker")
    wire.source.sendto(number(7), ("10.0.0.2", 4001))
    wire.target.sendto(number(8), ("10.0.0.1", wire.source.getsockname()[1]))
    stray = Ether(dst="02:00:00:00:00:77") / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=9, dport=4000)
    put(pair, stray / Raw(number(9)))
    pair.ping("left", "10.0.0.2", count=1)
    evidence, ended = recording.stop(), time.monotonic_ns()
    ((name, track),) = evidence.tracks
    assert (evidence.fault, evidence.track_fault, name) == ("", "", "right/eth0")
    assert (list(track.numbers), set(track.hop_limits), set(track.leaving)) == ([0, 1, 2], {64}, {0})
    instants = [began, *track.instants, ended]
    assert instants == sorted(instants)
    seen = [flow for flow in evidence.parts(NOBODY)[0] if flow.proto == "udp"]
    assert sum(flow.packets for flow in seen) == 8


def put(lab: Lab, frame: Ether) -> None:
    """A frame on the wire of `left`, as it is."""
    with netns.enter(lab.paths.namespace("left")), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        wire.send(bytes(frame))


@pytest.mark.needs("gre")
def test_a_stream_is_tracked_inside_a_tunnel_by_its_own_device(captures: Captures, pair: Lab) -> None:
    here, there = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
    pair.make(Gre("left", "gre1", here, there, 1400, key=42), Gre("right", "gre1", there, here, 1400, key=42))
    pair.make(address("left", "gre1", "172.16.0.1/30"), address("right", "gre1", "172.16.0.2/30"))
    places = [(node, device) for node in ("left", "right") for device in ("eth0", "gre1")]
    taps = tuple(Tap(f"{node}/{device}", node, device) for node, device in places)
    with netns.enter(pair.paths.namespace("left")):
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    recording = captures.record((), MARKER, Numbered(taps, IPv4Address("172.16.0.2"), 4000))
    source.sendto(number(5), ("172.16.0.2", 4000))
    time.sleep(0.05)
    source.close()
    seen = {name: list(track.numbers) for name, track in recording.stop().tracks}
    assert seen == {"left/eth0": [], "left/gre1": [5], "right/eth0": [], "right/gre1": [5]}


def test_a_fault_of_the_stream_s_own_taps_is_told_apart(captures: Captures, pair: Lab, wire: Wire) -> None:
    link = pair.veth("left", "eth1", "right", "eth1")
    pair.make(link)
    tracked = Numbered((Tap("right/eth1", "right", "eth1"),), IPv4Address("10.0.0.2"), 4000)
    recording = captures.record((Tap("x", "right", "eth0"),), MARKER, tracked)
    pair.unmake(link)
    evidence = recording.stop()
    assert (evidence.fault, "was deleted" in evidence.track_fault) == ("", True)


def test_the_frames_of_the_last_recording_can_be_read_by_others(
    captures: Captures, wire: Wire, pair: Lab, tmp_path: Path
) -> None:
    pair.run("left", "ip", "neigh", "flush", "all")
    began = time.time()
    recording = captures.record((Tap("a", "left", "eth0"), Tap("b", "right", "eth0", "in")), MARKER, STREAM)
    wire.send(number(0))
    wire.send(MARKER + b"." * 1000)
    recording.stop()
    ended = time.time()
    saved = captures.save(tmp_path / "new" / "place")
    assert saved == Saved(("left-eth0.pcap", "right-eth0-in.pcap", "right-eth0-stream.pcap"))
    packets = {name: rdpcap(str(tmp_path / "new" / "place" / name)) for name in saved.files}
    assert [bytes(each[UDP].payload)[:27] for each in packets["right-eth0-stream.pcap"]] == [
        number(0),
        MARKER + b"." * 8,
    ]
    assert [packet.wirelen for packet in packets["right-eth0-in.pcap"] if UDP in packet] == [69, 1061]
    assert any(ARP in packet for packet in packets["left-eth0.pcap"])
    instants = [float(packet.time) for packet in packets["left-eth0.pcap"]]
    assert began <= instants[0] <= instants[-1] <= ended
    said = subprocess.run(
        ["tcpdump", "-nr", str(tmp_path / "new" / "place" / "left-eth0.pcap"), "udp"], capture_output=True, text=True
    )
    assert said.stdout.count("> 10.0.0.2.4000: UDP, length") == 2


def test_frames_without_room_are_told_and_room_comes_back(captures: Captures, wire: Wire, tmp_path: Path) -> None:
    taps = (Tap("a", "left", "eth0"), Tap("b", "right", "eth0", "in"))
    captures._room.left = 2 * (16 + 512)
    recording = captures.record(taps[:1], MARKER)
    for _ in range(3):
        wire.send(b"." * 1000)
    recording.stop()
    assert captures.save(tmp_path) == Saved(("left-eth0.pcap",), ("left-eth0.pcap",))
    assert len(rdpcap(str(tmp_path / "left-eth0.pcap"))) == 2
    recording = captures.record(taps[1:], MARKER)
    wire.send(b"." * 1000)
    recording.stop()
    assert captures.save(tmp_path) == Saved(("right-eth0-in.pcap",))


def test_nothing_is_saved_of_a_recording_that_never_began(captures: Captures, wire: Wire, tmp_path: Path) -> None:
    captures.record((Tap("x", "left", "eth0"),), MARKER).stop()
    with pytest.raises(ProbeError):
        captures.record((Tap("x", "left", "eth9"),), MARKER)
    assert captures.save(tmp_path) == Saved(())


def test_a_place_that_cannot_be_written_is_an_error_in_words(captures: Captures, wire: Wire, tmp_path: Path) -> None:
    captures.record((Tap("x", "left", "eth0"),), MARKER).stop()
    (tmp_path / "file").write_text("")
    with pytest.raises(ProbeError, match=r"cannot be written to .*file/x: Not a directory"):
        captures.save(tmp_path / "file" / "x")


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
