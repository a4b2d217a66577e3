"""BFD sessions, fed each other's packets by a simulated clock."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labctl.services.bfd import SLOW_MS, TTL, Session
from labctl.services.bfdpacket import Control, Diagnostic, State, decode, encode

INTERVAL, COUNT = 100, 3
DELAY = 2.0


class Wire:
    """Two sessions and the link between them; `passes` decides about each packet by its direction and number."""

    def __init__(self, seed: int = 1, interval: int = INTERVAL, count: int = COUNT, other_interval: int = 0) -> None:
        chance = random.Random(seed)
        self.now = 0.0
        self.passes: Callable[[int], bool] = lambda sender: True
        self.sessions = (
            Session(11, interval, count, 0.0, chance.random),
            Session(22, other_interval or interval, count, 0.0, chance.random),
        )
        self.flying: list[tuple[float, int, bytes]] = []
        self.sent: list[tuple[float, int, Control]] = []
        self.arrived: list[float] = [0.0, 0.0]
        self.events: list[tuple[float, int, str]] = []

    def run(self, until: float) -> None:
        """Let time pass to `until`, event by event."""
        while True:
            turns = [self._turn(number) for number in (0, 1)]
            next_at = min(turns + [arrival for arrival, _, _ in self.flying])
            if next_at > until:
                self.now = until
                return
            self.now = next_at
            self._deliver()

    def _turn(self, number: int) -> float:
        turn = self.sessions[number].poll(self.now)
        self.events += [(self.now, number, event) for event in turn.events]
        for packet in turn.packets:
            control = decode(packet)
            assert control is not None
            self.sent.append((self.now, number, control))
            if self.passes(number):
                self.flying.append((self.now + DELAY, 1 - number, packet))
        return turn.deadline

    def _deliver(self) -> None:
        arrived = [item for item in self.flying if item[0] <= self.now]
        self.flying = [item for item in self.flying if item[0] > self.now]
        for _, receiver, packet in arrived:
            self.arrived[receiver] = self.now
            self.sessions[receiver].receive(packet, TTL, self.now)

    def states(self) -> tuple[State, State]:
        return self.sessions[0].state, self.sessions[1].state

    def since(self, start: float) -> list[tuple[float, int, str]]:
        return [event for event in self.events if event[0] >= start]


def steady(seed: int = 1, **changes: int) -> Wire:
    wire = Wire(seed, **changes)
    wire.run(5000.0)
    assert wire.states() == (State.UP, State.UP)
    return wire


@pytest.mark.parametrize("seed", range(20))
def test_two_sessions_reach_up_soon_and_say_so_once(seed: int) -> None:
    wire = Wire(seed)
    wire.run(2 * SLOW_MS)
    assert wire.states() == (State.UP, State.UP)
    assert sorted(event[1:] for event in wire.events) == [(0, "up"), (1, "up")]


def test_before_up_packets_are_a_second_apart_but_for_changes_of_state() -> None:
    wire = Wire()
    wire.passes = lambda sender: False
    wire.run(20_000.0)
    times = [at for at, sender, _ in wire.sent if sender == 0]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert 750.0 <= min(gaps) <= max(gaps) <= 1000.0
    assert all(control.desired_min_tx == 1_000_000 for _, _, control in wire.sent)


def test_up_packets_are_75_to_100_percent_of_the_interval_apart() -> None:
    wire = steady()
    wire.run(15_000.0)
    times = [at for at, sender, _ in wire.sent if sender == 0 and at > 5000.0]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert 75.0 <= min(gaps) < 80.0
    assert 95.0 < max(gaps) <= 100.0


def test_with_a_count_of_one_no_gap_exceeds_90_percent() -> None:
    wire = steady(count=1)
    wire.run(15_000.0)
    times = [at for at, sender, _ in wire.sent if sender == 0 and at > 5000.0]
    assert max(b - a for a, b in itertools.pairwise(times)) <= 90.0


def test_up_the_new_interval_is_polled_and_confirmed() -> None:
    wire = steady()
    packets = [control for _, sender, control in wire.sent if sender == 0]
    assert any(each.poll and each.desired_min_tx == INTERVAL * 1000 for each in packets)
    assert any(each.final for _, sender, each in wire.sent if sender == 1)
    assert not packets[-1].poll
    assert not any(each.poll and each.final for _, _, each in wire.sent)


def test_a_slower_neighbour_sets_the_pace() -> None:
    wire = steady(other_interval=400)
    wire.run(15_000.0)
    times = [at for at, sender, _ in wire.sent if sender == 0 and at > 5000.0]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 300.0


@pytest.mark.parametrize("seed", range(20))
def test_silence_takes_both_down_within_the_detection_time(seed: int) -> None:
    wire = steady(seed)
    wire.passes = lambda sender: False
    wire.run(8000.0)
    for at, number, event in wire.since(5000.0):
        assert event == "down"
        assert at == pytest.approx(wire.arrived[number] + COUNT * INTERVAL)
        assert (COUNT - 1) * INTERVAL <= at - 5000.0 <= COUNT * INTERVAL + DELAY
        assert wire.sessions[number].diagnostic is Diagnostic.TIME_EXPIRED
    assert len(wire.since(5000.0)) == 2
    assert wire.sent[-1][2].your_discriminator == 0  # section 6.8.1: forgotten after a detection time of silence


def test_one_way_failure_takes_both_down() -> None:
    wire = steady()
    wire.passes = lambda sender: sender != 0
    wire.run(6000.0)
    (first_at, first, _), (second_at, second, _) = wire.since(5000.0)
    assert (first, second) == (1, 0)
    assert second_at == pytest.approx(first_at + DELAY)
    assert wire.sessions[0].diagnostic is Diagnostic.NEIGHBOUR_DOWN
    assert State.UP not in wire.states()


@pytest.mark.parametrize("lost", [1, 2])
def test_fewer_lost_packets_than_the_count_change_nothing(lost: int) -> None:
    wire = steady()
    left = [lost, lost]

    def passes(sender: int) -> bool:
        left[sender] -= 1
        return left[sender] < 0

    wire.passes = passes
    wire.run(9000.0)
    assert left[0] < 0 > left[1]
    assert wire.since(5000.0) == []


def test_after_repair_the_sessions_come_up_again() -> None:
    wire = steady()
    wire.passes = lambda sender: False
    wire.run(9000.0)
    wire.passes = lambda sender: True
    wire.run(9000.0 + 2 * SLOW_MS)
    assert [event for _, _, event in wire.since(9000.0)] == ["up", "up"]
    assert {session.diagnostic for session in wire.sessions} == {Diagnostic.NONE}


def test_loss_of_carrier_takes_the_session_down_at_once_and_tells_the_neighbour() -> None:
    wire = steady()
    wire.sessions[0].carrier_lost(wire.now)
    wire.run(5000.0 + DELAY)
    assert wire.since(5000.0) == [(5000.0, 0, "down"), (5000.0 + DELAY, 1, "down")]
    told = [control for at, sender, control in wire.sent if sender == 0 and at >= 5000.0][-1]
    assert (told.state, told.diagnostic) == (State.DOWN, Diagnostic.PATH_DOWN)


def test_a_disabled_session_takes_the_neighbour_down_and_stays() -> None:
    wire = steady()
    wire.sessions[0].disable(wire.now)
    wire.run(20_000.0)
    assert wire.states() == (State.ADMIN_DOWN, State.DOWN)
    assert [event for _, _, event in wire.since(5000.0)] == ["down", "down"]


def test_a_restarted_neighbour_is_met_again() -> None:
    wire = steady()
    wire.sessions = (wire.sessions[0], Session(99, INTERVAL, COUNT, wire.now, random.Random(5).random))
    wire.run(9000.0)
    assert wire.states() == (State.UP, State.UP)
    assert wire.since(5000.0)[0][1:] == (0, "down")


HELLO = Control(State.DOWN, 0, False, False, 3, 22, 0, 1_000_000, 100_000)


def retimed(wire: Wire, interval: int, count: int = COUNT, apart: float = 40.0) -> None:
    """Both ends change, the second `apart` milliseconds after the first."""
    for session in wire.sessions:
        session.retime(interval, count, wire.now)
        wire.run(wire.now + apart)


@pytest.mark.parametrize("interval", [20, 50, 250, 800])
@pytest.mark.parametrize("seed", range(5))
def test_another_interval_is_taken_over_without_going_down(seed: int, interval: int) -> None:
    wire = steady(seed)
    retimed(wire, interval)
    wire.run(10_000.0)
    assert wire.since(5000.0) == []
    times = [at for at, sender, _ in wire.sent if sender == 0 and at > 7000.0]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert 0.75 * interval - 1e-6 <= min(gaps) <= max(gaps) <= interval + 1e-6
    assert not wire.sent[-1][2].poll
    wire.passes = lambda sender: False
    silent_from = wire.now
    wire.run(silent_from + 20_000.0)
    for number in (0, 1):
        [at] = [at for at, who, event in wire.since(silent_from) if (who, event) == (number, "down")]
        assert COUNT * interval * 0.6 <= at - wire.arrived[number] <= COUNT * interval + 1e-6


@pytest.mark.parametrize("interval", [20, 800])
def test_as_long_as_the_neighbour_has_not_confirmed_no_less_is_sent_and_no_less_waited_for(interval: int) -> None:
    wire = steady(other_interval=20)  # this neighbour could go faster, but not before it is told
    wire.passes = lambda sender: sender == 1
    wire.sessions[0].retime(interval, COUNT, wire.now)
    wire.run(wire.now + 250.0)
    times = [at for at, sender, each in wire.sent if sender == 0 and at >= 5000.0 and each.poll]
    assert len(times) >= 3
    assert max(b - a for a, b in itertools.pairwise(times)) <= 100.0
    assert wire.since(5000.0) == []


def test_another_count_is_told_with_the_next_packet() -> None:
    wire = steady()
    retimed(wire, INTERVAL, count=10)
    wire.run(6000.0)
    assert wire.sent[-1][2].detect_mult == 10
    wire.passes = lambda sender: False
    wire.run(6800.0)
    assert wire.since(5000.0) == []


def test_a_session_that_is_down_takes_another_interval_at_once() -> None:
    wire = Wire()
    for session in wire.sessions:
        session.retime(50, COUNT, 0.0)
    wire.run(5000.0)
    assert wire.states() == (State.UP, State.UP)
    assert wire.sent[-1][2].desired_min_tx == 50_000


def fresh() -> Session:
    return Session(11, INTERVAL, COUNT, 0.0, lambda: 0.5)


def patched(offset: int, value: int) -> bytes:
    packet = bytearray(encode(HELLO))
    packet[offset] = value
    return bytes(packet)


def test_a_sound_packet_is_taken() -> None:
    session = fresh()
    session.receive(encode(HELLO), TTL, 1.0)
    assert session.state is State.INIT


@pytest.mark.parametrize(
    ("why", "packet", "ttl"),
    [
        ("passed a router", encode(HELLO), 254),
        ("version 0", patched(0, 0x00), TTL),
        ("version 2", patched(0, 0x40), TTL),
        ("length below 24", patched(3, 23), TTL),
        ("length beyond the packet", patched(3, 25), TTL),
        ("cut short", encode(HELLO)[:23], TTL),
        ("detect mult 0", patched(2, 0), TTL),
        ("multipoint", patched(1, 0x41), TTL),
        ("authenticated", patched(1, 0x44), TTL),
        ("my discriminator 0", encode(dataclasses.replace(HELLO, my_discriminator=0)), TTL),
        ("for another session", encode(dataclasses.replace(HELLO, your_discriminator=12)), TTL),
        ("init without a discriminator", encode(dataclasses.replace(HELLO, state=State.INIT)), TTL),
        ("up without a discriminator", encode(dataclasses.replace(HELLO, state=State.UP)), TTL),
    ],
)
def test_an_unsound_packet_changes_nothing(why: str, packet: bytes, ttl: int) -> None:
    session = fresh()
    before = session.poll(0.0).deadline
    session.receive(packet, ttl, 1.0)
    assert session.state is State.DOWN, why
    assert session.poll(1.0).deadline == before


def test_a_poll_is_answered_at_once() -> None:
    session = fresh()
    session.poll(0.0)
    session.receive(encode(dataclasses.replace(HELLO, poll=True, state=State.ADMIN_DOWN)), TTL, 1.0)
    answers = [decode(packet) for packet in session.poll(1.0).packets]
    assert [(each.final, each.poll) for each in answers if each] == [(True, False)]


def test_a_neighbour_that_wants_no_packets_gets_none() -> None:
    session = fresh()
    session.poll(0.0)
    session.receive(encode(dataclasses.replace(HELLO, required_min_rx=0, state=State.ADMIN_DOWN)), TTL, 1.0)
    assert session.poll(5000.0).packets == ()


def test_the_wire_form_is_that_of_the_rfc() -> None:
    control = Control(State.UP, 5, True, False, 3, 0x01020304, 0x05060708, 0x0A0B0C, 0x0D0E0F)
    assert encode(control).hex() == "25e00318" + "01020304" + "05060708" + "000a0b0c" + "000d0e0f" + "00000000"
    assert decode(encode(control)) == control


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=20, max_size=30), st.floats(0, 2000)), max_size=8))
def test_no_bytes_upset_a_session(arrivals: list[tuple[bytes, float]]) -> None:
    session, now = fresh(), 0.0
    for packet, pause in arrivals:
        now += pause
        session.receive(b"\x20" + packet[1:3] + bytes([len(packet)]) + packet[4:], TTL, now)
        assert session.poll(now).deadline > now
