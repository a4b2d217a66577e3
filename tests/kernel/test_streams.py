"""The stream reports exactly what was lost, when, and where it went meanwhile."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from kernel_lab import Lab

from labctl.errors import ProbeError
from labctl.plan.objects import Ruleset
from labctl.probes.session import Session
from labctl.probes.wire import Ping, Probe, StartStream, StopStream, StreamReport, Tap

MARKER = "labctl-stream-77"
TARGET = IPv4Address("10.0.0.2")
TAP = Tap("wire", "right", "eth0", "in")
CUT = Ruleset("right", (("filter", ("-A INPUT -j DROP",)),))


@pytest.fixture
def session(pair: Lab) -> Iterator[Session]:
    with Session(pair.paths) as session:
        yield session


def start(session: Session, *, rate: int = 200, tcp: bool = True, target: IPv4Address = TARGET) -> None:
    session.start_stream(StartStream("left", "right", target, rate, (TAP,), MARKER, tcp))


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
    assert 95 <= len(report.sent) <= 130
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
    assert len(report.sent) >= 55
    assert 15 <= len(lost(report)) <= 45


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
