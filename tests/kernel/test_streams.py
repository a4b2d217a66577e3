"""The stream reports exactly what was lost, when, and where it went meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from kernel_lab import Lab
from scapy.layers.inet import UDP
from scapy.utils import rdpcap
from test_capture import a_machine_of_our_own
from test_xfrm import tunnel

from labctl.errors import ProbeError
from labctl.plan.objects import Ruleset
from labctl.probes.numbers import Numbers
from labctl.probes.session import Session
from labctl.probes.wire import Ping, Probe, StartStream, StopStream, StreamReport, Tap, Way

MARKER = "labctl-stream-77"
TARGET = IPv4Address("10.0.0.2")
TAP = Tap("wire", "right", "eth0", "in")
CUT = Ruleset("right", (("filter", ("-A INPUT -j DROP",)),))


@pytest.fixture
def session(pair: Lab) -> Iterator[Session]:
    with Session(pair.paths) as session:
        yield session


def start(session: Session, *, rate: int = 200, tcp: bool = True, target: IPv4Address = TARGET) -> None:
    session.start_stream(StartStream("left", "right", target, rate, (TAP,), (), MARKER, tcp))


def now_ms() -> float:
    return time.monotonic() * 1000


def lost(report: StreamReport) -> list[int]:
    return sorted(set(range(len(report.sent))) - {int(number) for number, _ in report.received})


def test_an_undisturbed_stream_loses_nothing(session: Session) -> None:
    before = now_ms()
    start(session)
    time.sleep(0.5)
    report = session.stop_stream(StopStream((), drain_ms=100))
    assert report.ready
    assert 95 <= len(report.sent) <= (now_ms() - before) / 5 + 1  # 200 a second
    assert [number for number, _ in report.received] == list(range(len(report.sent)))
    assert all(before < sent <= arrived + 0.1 for sent, (_, arrived) in zip(report.sent, report.received, strict=True))
    assert report.tcp is not None
    assert report.tcp.intact, report.tcp.reason
    assert report.tcp.sent == report.tcp.received > 50_000
    assert report.tcp.longest_stall_ms < 200


def test_the_schedule_does_not_drift(session: Session) -> None:
    start(session, rate=500, tcp=False)
    time.sleep(1.0)
    report = session.stop_stream(StopStream((), drain_ms=50))
    late = [at - report.sent[0] - 2.0 * number for number, at in enumerate(report.sent)]
    assert abs(sorted(late)[len(late) // 2]) < 2.0
    assert report.tcp is None


@pytest.mark.needs("iptables")
def test_a_cut_of_300_ms_loses_exactly_the_numbers_sent_meanwhile(session: Session, pair: Lab) -> None:
    start(session)
    time.sleep(0.3)
    marks = [now_ms()]
    pair.make(CUT)
    marks.append(now_ms())
    time.sleep(0.3)
    marks.append(now_ms())
    pair.unmake(CUT)
    marks.append(now_ms())
    time.sleep(0.3)
    report = session.stop_stream(StopStream((marks[1], marks[2])))
    gone = lost(report)
    certain = [number for number, at in enumerate(report.sent) if marks[1] <= at <= marks[2]]
    possible = [number for number, at in enumerate(report.sent) if marks[0] - 1 <= at <= marks[3] + 1]
    assert report.ready, report.reason
    assert 55 <= len(certain) <= 65
    assert set(certain) <= set(gone) <= set(possible)
    assert gone == list(range(gone[0], gone[-1] + 1))
    assert report.tcp is not None
    assert report.tcp.intact, report.tcp.reason
    assert 290 <= report.tcp.longest_stall_ms < 1500


def test_marks_split_the_flows_as_they_split_the_numbers(session: Session) -> None:
    start(session, tcp=False)
    time.sleep(0.1)
    marks = [now_ms()]
    time.sleep(0.2)
    marks.append(now_ms())
    time.sleep(0.1)
    report = session.stop_stream(StopStream(tuple(marks), drain_ms=50))
    seen = [sum(flow.marked for flow in part if flow.tap == "wire") for part in report.parts]
    edges = [0.0, *marks, float("inf")]
    sent = [sum(a <= at < b for at in report.sent) for a, b in itertools.pairwise(edges)]
    assert sum(seen) == len(report.sent)
    assert all(abs(here - there) <= 1 for here, there in zip(seen, sent, strict=True))


def test_both_streams_are_marked_in_every_packet(session: Session) -> None:
    start(session)
    time.sleep(0.1)
    (flows,) = session.stop_stream(StopStream((), drain_ms=50)).parts
    seen = {flow.proto: (flow.packets, flow.marked) for flow in flows if flow.proto in ("udp", "tcp")}
    assert set(seen) == {"udp", "tcp"}
    assert all(packets == marked > 0 for packets, marked in seen.values())


@pytest.mark.needs("iptables")
def test_a_stream_that_never_recovers_is_not_intact(session: Session, pair: Lab) -> None:
    start(session)
    time.sleep(0.1)
    pair.make(CUT)
    time.sleep(0.1)
    report = session.stop_stream(StopStream((), drain_ms=50, tcp_drain_ms=300))
    assert report.tcp is not None
    assert not report.tcp.intact
    assert "came out" in report.tcp.reason
    assert report.tcp.longest_stall_ms > 300


def test_a_sender_that_loses_its_carrier_goes_on_counting(session: Session, pair: Lab) -> None:
    start(session, tcp=False)
    time.sleep(0.1)
    pair.run("left", "ip", "link", "set", "dev", "eth0", "down")
    time.sleep(0.1)
    pair.run("left", "ip", "link", "set", "dev", "eth0", "up")
    time.sleep(0.1)
    report = session.stop_stream(StopStream((), drain_ms=50))
    gone = lost(report)
    assert len(report.sent) >= 55
    assert len(gone) >= 15
    assert gone == list(range(gone[0], gone[-1] + 1))
    assert gone[0] > 0 and gone[-1] < len(report.sent) - 1


def test_probes_go_on_beside_a_stream(session: Session) -> None:
    start(session)
    reply = session.probe(Probe("left", Ping(TARGET), (TAP,), "another-marker", 1000))
    report = session.stop_stream(StopStream((), drain_ms=50))
    assert (reply.outcome, reply.ready) == ("ok", True)
    assert [flow.packets for flow in reply.flows if flow.tap == "wire" and flow.marked] == [1]
    assert report.ready
    assert not lost(report)


def test_a_stream_that_cannot_be_opened_is_an_error_and_another_can_be(session: Session) -> None:
    with pytest.raises(ProbeError, match="the stream cannot be opened"):
        start(session, target=IPv4Address("10.0.0.77"))
    start(session)
    with pytest.raises(ProbeError, match="running already"):
        start(session)
    assert session.stop_stream(StopStream((), drain_ms=50)).ready


def places(*names: str) -> tuple[Tap, ...]:
    return tuple(place(name) for name in names)


def place(name: str) -> Tap:
    node, device = name.split("/")
    return Tap(name, node, device)


@pytest.fixture
def diamond(lab: Lab) -> Lab:
    """`a` - `up` - `b` and `a` - `low` - `b`; `b` is 10.9.9.9, reached by `up`."""
    lab.nodes("a", "b")
    lab.nodes("up", "low", forwarding=True)
    for i, router in enumerate(("up", "low")):
        lab.wire("a", router, f"10.0.{i}.1/24", router, "a", f"10.0.{i}.2/24")
        lab.wire(router, "b", f"10.1.{i}.1/24", "b", router, f"10.1.{i}.2/24")
        lab.route(router, "10.9.9.9/32", via=f"10.1.{i}.2")
    lab.run("b", "ip", "address", "add", "10.9.9.9/32", "dev", "lo")
    lab.route("a", "10.9.9.9/32", via="10.0.0.2")
    lab.route("b", "10.0.0.0/8", via="10.1.0.1")
    return lab


AROUND = ("a/up", "a/low", "up/a", "up/b", "low/a", "low/b", "b/up", "b/low")


def track(session: Session, rate: int = 200, *, names: tuple[str, ...] = AROUND) -> None:
    taps = places(*reversed(names))  # an order that is not the packets' own
    session.start_stream(StartStream("a", "b", IPv4Address("10.9.9.9"), rate, (), taps, MARKER, tcp=False))


def test_each_packet_s_way_is_told_and_a_new_route_is_a_new_way(diamond: Lab) -> None:
    with Session(diamond.paths) as session:
        track(session)
        time.sleep(0.2)
        before = now_ms()
        diamond.run("a", "ip", "route", "replace", "10.9.9.9/32", "via", "10.0.1.2")
        after = now_ms()
        time.sleep(0.2)
        report = session.stop_stream(StopStream((), drain_ms=50))
    assert report.ready, report.reason
    assert not lost(report)
    above, below = report.ways
    assert above.places == ("a/up", "up/a", "up/b", "b/up")
    assert below.places == ("a/low", "low/a", "low/b", "b/low")
    assert (above.first, above.last + 1, below.last) == (0, below.first, len(report.sent) - 1)
    assert (above.packets, below.packets) == (above.last + 1, below.last - above.last)
    assert before - 1 <= report.sent[below.first] and report.sent[above.last] <= after + 1


@pytest.mark.needs("iptables")
def test_packets_lost_on_the_way_do_not_end_it(diamond: Lab) -> None:
    cut = Ruleset("up", (("filter", ("-A FORWARD -j DROP",)),))
    with Session(diamond.paths) as session:
        track(session)
        time.sleep(0.1)
        diamond.make(cut)
        time.sleep(0.1)
        diamond.unmake(cut)
        time.sleep(0.1)
        report = session.stop_stream(StopStream((), drain_ms=50))
    gone = lost(report)
    assert gone
    assert report.ways == (Way(0, len(report.sent) - 1, len(report.sent) - len(gone), report.ways[0].places),)


def test_24_taps_at_1000_a_second_miss_nothing(diamond: Lab) -> None:
    with Session(diamond.paths) as session:
        both = tuple(replace(tap, name="both") for tap in places(*AROUND))
        taps = (*both, *(replace(tap, name="in", direction="in") for tap in both))
        request = StartStream("a", "b", IPv4Address("10.9.9.9"), 1000, taps, places(*AROUND), MARKER, tcp=False)
        session.start_stream(request)
        time.sleep(1.0)
        report = session.stop_stream(StopStream((), drain_ms=500))
    assert report.ready, report.reason
    assert len(report.sent) >= 900
    assert not lost(report)
    assert [way.packets for way in report.ways] == [len(report.sent)]
    seen = [flow.packets for flow in report.parts[0] if flow.tap == "both" and flow.proto == "udp"]
    assert seen == [len(report.sent)] * 4


def test_a_place_that_went_away_leaves_no_ways_but_the_numbers_stand(diamond: Lab) -> None:
    link = diamond.veth("up", "extra", "low", "extra")
    diamond.make(link)
    with Session(diamond.paths) as session:
        track(session, names=(*AROUND, "up/extra"))
        time.sleep(0.1)
        diamond.unmake(link)
        report = session.stop_stream(StopStream((), drain_ms=50))
    assert (report.ready, report.ways) == (True, ())
    assert "the tap on extra of up ended" in report.reason
    assert not lost(report)


def test_a_tap_that_went_away_makes_the_stream_no_evidence(diamond: Lab) -> None:
    link = diamond.veth("up", "extra", "low", "extra")
    diamond.make(link)
    with Session(diamond.paths) as session:
        request = StartStream("a", "b", IPv4Address("10.9.9.9"), 100, places("up/extra"), (), MARKER, tcp=False)
        session.start_stream(request)
        diamond.unmake(link)
        report = session.stop_stream(StopStream((), drain_ms=50))
    assert not report.ready
    assert "the tap on extra of up ended" in report.reason


@pytest.mark.needs("esp", "xfrm-interface")
def test_in_a_cipher_the_stream_is_tracked_on_the_clear_sides_alone(wan: Lab) -> None:
    tunnel(wan, "aes256-gcm")
    names = ("a/eth0", "gwa/lan", "gwa/ipsec1", "gwa/wan", "wan/wa", "wan/wb", "gwb/wan", "gwb/ipsec1", "gwb/lan")
    with Session(wan.paths) as session:
        taps = places(*names, "b/eth0")
        session.start_stream(StartStream("a", "b", IPv4Address("10.2.0.2"), 100, (), taps, MARKER, tcp=False))
        time.sleep(0.2)
        report = session.stop_stream(StopStream((), drain_ms=100))
    assert report.ready, report.reason
    (way,) = report.ways
    assert way.places == ("a/eth0", "gwa/lan", "gwa/ipsec1", "gwb/ipsec1", "gwb/lan", "b/eth0")


@pytest.mark.needs("netem")
def test_copies_and_overtaking_are_in_what_was_received(diamond: Lab) -> None:
    shape = ("tc", "qdisc", "add", "dev", "b", "root", "netem")
    diamond.run("up", *shape, "duplicate", "50%", "delay", "20ms", "20ms")
    with Session(diamond.paths) as session:
        track(session)
        time.sleep(0.5)
        report = session.stop_stream(StopStream((), drain_ms=100))
    numbers = [int(number) for number, _ in report.received]
    assert len(numbers) > len(set(numbers)) == len(report.sent)
    assert numbers != sorted(numbers)
    assert [(way.first, way.packets) for way in report.ways] == [(0, len(report.sent))]


def test_the_frames_of_a_stream_can_be_saved_until_something_else_is_captured(session: Session, tmp_path: Path) -> None:
    request = StartStream("left", "right", TARGET, 100, (TAP,), places("left/eth0", "right/eth0"), MARKER, tcp=False)
    session.start_stream(request)
    time.sleep(0.1)
    report = session.stop_stream(StopStream((), drain_ms=50))
    saved = session.save(tmp_path / "stream")
    assert saved.files == ("left-eth0-stream.pcap", "right-eth0-in.pcap", "right-eth0-stream.pcap")
    for name in saved.files:
        packets = [packet for packet in rdpcap(str(tmp_path / "stream" / name)) if UDP in packet]
        assert len(packets) == len(report.sent)
    session.probe(Probe("left", Ping(TARGET), (TAP,), MARKER, 1000))
    assert session.save(tmp_path / "ping").files == ("left-eth0.pcap", "right-eth0-in.pcap")
    with pytest.raises(ProbeError, match="cannot be written"):
        session.save(Path("/proc/nowhere"))


@pytest.fixture
def numbers(pair: Lab) -> Iterator[Numbers]:
    """A stream whose ends are not running yet."""
    ends = pair.paths.namespace("left"), pair.paths.namespace("right")
    numbers = Numbers(*ends, TARGET, 500, MARKER.encode())
    yield numbers
    with contextlib.suppress(OSError):  # closed already
        numbers.close()


def test_packets_without_room_at_the_receiver_are_not_called_lost(numbers: Numbers) -> None:
    numbers._inlet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    numbers._sender.start()
    time.sleep(0.1)
    numbers.finish()
    numbers._receiver.start()
    time.sleep(0.1)
    missing = len(numbers.sent) - len(numbers.received)
    assert missing > 0
    assert numbers.close() == f"the receiver of the stream had no room for {missing} packets"


def test_packets_that_the_receiver_s_policy_forbids_are_lost_on_the_way(numbers: Numbers, pair: Lab) -> None:
    numbers.start()
    numbers.began.wait(1)
    everything = ("src", "10.0.0.0/24", "dst", "10.0.0.0/24")
    pair.run("right", "ip", "xfrm", "policy", "add", *everything, "dir", "in", "action", "block")
    time.sleep(0.05)
    drops = struct.unpack_from("I", numbers._inlet.getsockopt(socket.SOL_SOCKET, 55, 64), 32)[0]
    assert numbers.close() == ""
    assert drops > 0
    assert len(numbers.received) < len(numbers.sent)


BACKLOG = Path("/proc/sys/net/core/netdev_max_backlog")


@pytest.mark.skipif(not a_machine_of_our_own(), reason="the queues of a machine in use are not made short")
def test_packets_that_the_machine_itself_drops_are_not_called_lost(diamond: Lab) -> None:
    diamond.run(
        "up", *["tc", "qdisc", "add", "dev", "b", "root", "netem", "slot", "20ms", "20ms"]
    )  # so that they come many at once
    usual = BACKLOG.read_text()
    with Session(diamond.paths) as session:
        track(session, 1000)
        BACKLOG.write_text("2")
        time.sleep(0.5)
        BACKLOG.write_text(usual)
        report = session.stop_stream(StopStream((), drain_ms=50))
    assert lost(report)
    assert (report.ready, report.reason[:25]) == (False, "the machine was too busy:")


def test_a_receiver_that_dies_makes_the_numbers_no_evidence(numbers: Numbers) -> None:
    numbers.start()
    numbers.began.wait(1)
    numbers._inlet.close()
    assert numbers.close() == "the receiver of the stream: Bad file descriptor"
