"""What leaves a device is as late, as lossy and as fast as was asked for, until that is taken away."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from dataclasses import replace

import pytest
from fault_lab import opened
from kernel_lab import Lab

from labctl.errors import KernelError
from labctl.plan.objects import Shaper

LATE, LATER = Shaper("left", "eth0", 30.0), Shaper("left", "eth0", 60.0, 5.0)
SLOW = Shaper("left", "eth0", rate_bit=4_000_000)
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h; not in Python's module


def round_trip_ms(lab: Lab) -> float:
    found = re.search(r"= [\d.]+/([\d.]+)/", lab.run("left", "ping", "-n", "-c5", "-i0.05", "10.0.0.2"))
    assert found
    return float(found[1])


def queues(lab: Lab) -> str:
    return lab.run("left", "tc", "qdisc", "show", "dev", "eth0")


class Flood:
    """Datagrams of 1000 bytes, sent to `right` as fast as they go until that is full; those that arrive are timed."""

    def __init__(self, lab: Lab, seconds: float) -> None:
        with opened(lab, "right") as receiver, opened(lab, "left") as sender:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
            receiver.bind(("10.0.0.2", 9000))
            receiver.setblocking(False)
            # A sender must not be held back by its own buffer: what waits in the queue is counted against that.
            sender.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 1 << 24)
            began, arrived = time.monotonic(), []
            while time.monotonic() < began + seconds + 0.3:
                if time.monotonic() < began + seconds:
                    sender.sendto(bytes(1000), ("10.0.0.2", 9000))
                    self.ended = time.monotonic()
                with contextlib.suppress(BlockingIOError):
                    arrived.append((time.monotonic(), len(receiver.recv(2000))))
        times = [at for at, _ in arrived]
        frames = [size + 42 for at, size in arrived if at > began + seconds / 2]
        self.bit_per_s = sum(frames) * 8 / (times[-1] - began - seconds / 2)
        self.queue_ms = (times[-1] - self.ended) * 1000


@pytest.mark.needs("netem")
def test_a_delay_is_added_changed_and_removed(pair: Lab) -> None:
    pair.ping("left", "10.0.0.2", count=1)
    assert round_trip_ms(pair) < 10
    pair.make(LATE)
    assert 30 <= round_trip_ms(pair) < 50
    pair.change(LATE, LATER)
    assert 50 <= round_trip_ms(pair) < 80
    pair.unmake(LATER, LATER)
    assert round_trip_ms(pair) < 10


@pytest.mark.needs("netem")
def test_delay_and_jitter_read_back_as_written(pair: Lab) -> None:
    pair.make(Shaper("left", "eth0", 12.5, 2.25, loss_percent=25.0))
    assert "netem" in queues(pair)
    assert re.search(r"delay 12\.5ms +2\.25ms loss 25%", queues(pair)), queues(pair)


@pytest.mark.needs("netem")
def test_all_is_lost_where_all_is_to_be_lost(pair: Lab) -> None:
    pair.make(Shaper("left", "eth0", loss_percent=100.0))
    assert pair.ping("left", "10.0.0.2", "-W0.2") == 0


def test_a_device_that_is_not_there_is_named(pair: Lab) -> None:
    with pytest.raises(KernelError, match="netem on eth9 in left: there is no device eth9"):
        pair.make(Shaper("left", "eth9", 10.0))


@pytest.mark.needs("tbf")
@pytest.mark.parametrize("rate_bit", [1_000_000, 10_000_000, 10_000_000_000, 100_000_000_000])
def test_a_rate_reads_back_as_written(pair: Lab, rate_bit: int) -> None:
    pair.make(replace(SLOW, rate_bit=rate_bit))
    words = {10**6: "1Mbit", 10**7: "10Mbit", 10**10: "10Gbit", 10**11: "100Gbit"}[rate_bit]
    assert f"rate {words}" in queues(pair)


@pytest.mark.needs("tbf")
def test_a_rate_is_kept_and_what_waits_for_it_is_short(pair: Lab) -> None:
    pair.ping("left", "10.0.0.2", count=1)
    pair.make(SLOW)
    flood = Flood(pair, 1.0)
    assert flood.bit_per_s == pytest.approx(SLOW.rate_bit, rel=0.05)
    assert flood.queue_ms < 100, "50 ms, and the frame that is being sent"


@pytest.mark.needs("tbf", "netem")
def test_a_rate_is_kept_together_with_a_delay_and_neither_lengthens_the_other(pair: Lab) -> None:
    pair.ping("left", "10.0.0.2", count=1)
    pair.make(replace(SLOW, delay_ms=100.0))
    assert 100 <= round_trip_ms(pair) < 120
    flood = Flood(pair, 1.0)
    assert flood.bit_per_s == pytest.approx(SLOW.rate_bit, rel=0.1)
    assert 100 <= flood.queue_ms < 200


@pytest.mark.needs("tbf")
def test_a_full_frame_passes_the_slowest_circuit_whatever_its_mtu(lab: Lab) -> None:
    lab.nodes("left", "right")
    lab.make(lab.veth("left", "eth0", "right", "eth0", mtu=9000))
    lab.run("left", "ip", "addr", "add", "10.0.0.1/24", "dev", "eth0")
    lab.run("right", "ip", "addr", "add", "10.0.0.2/24", "dev", "eth0")
    lab.make(Shaper("left", "eth0", rate_bit=1_000_000, mtu=9000))
    assert lab.ping("left", "10.0.0.2", "-s8972", "-Mdo", "-W3", count=1) == 1


@pytest.mark.needs("tbf", "netem")
@pytest.mark.parametrize("first", [LATE, SLOW, replace(SLOW, delay_ms=30.0)], ids=["late", "slow", "both"])
@pytest.mark.parametrize("second", [LATE, SLOW, replace(SLOW, delay_ms=30.0)], ids=["late", "slow", "both"])
def test_every_shaper_can_take_the_place_of_every_other(pair: Lab, first: Shaper, second: Shaper) -> None:
    before = queues(pair)
    pair.make(second)
    wanted = queues(pair)
    pair.unmake(second)
    pair.make(first)
    pair.change(first, second)
    assert queues(pair) == wanted
    pair.unmake(second)
    assert queues(pair) == before
