"""Rates through a shaped link: what is measured is what the link lets through, and what is no measurement says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Literal

import pytest
from actions_lab import HIDDEN, SERVER, build, marked, probe, rule, translate
from kernel_lab import Lab

from labctl.kernel.paths import Paths
from labctl.plan.objects import Shaper
from labctl.probes.session import Session
from labctl.probes.wire import Rate, Reply

MBIT = 1_000_000


@pytest.fixture
def lab(paths: Paths) -> Lab:
    lab = Lab(paths)
    build(lab)
    return lab


@pytest.fixture
def session(lab: Lab) -> Iterator[Session]:
    with Session(lab.paths) as session:
        yield session


def rate(
    session: Session,
    proto: Literal["udp", "tcp"] = "udp",
    offer: int = 15 * MBIT,
    to: IPv4Address = SERVER,
    lasting: int = 1500,
    node: str = "s",
) -> Reply:
    """Measured again where the machine was too busy to measure: then the prober says that it has failed."""
    for _ in range(4):
        reply = session.probe(probe(Rate(to, node, proto, offer, lasting), timeout_ms=3000))
        if "the sender was held up" not in reply.reason:
            break
    return reply


@contextmanager
def shaped(lab: Lab, node: str, device: str, bits: int, burst: str = "16kb", queue: str = "32kb") -> Iterator[None]:
    """A token bucket on what leaves the device; it counts Ethernet frames."""
    words = ("rate", f"{bits}bit", "burst", burst, "limit", queue)
    lab.run(node, "tc", "qdisc", "add", "dev", device, "root", "tbf", *words)
    try:
        yield
    finally:
        lab.run(node, "tc", "qdisc", "del", "dev", device, "root")


@pytest.mark.parametrize("mbit", [1, 5, 20])
@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_what_a_link_lets_through_is_measured(
    session: Session, lab: Lab, proto: Literal["udp", "tcp"], mbit: int
) -> None:
    with shaped(lab, "r2", "s", mbit * MBIT):
        reply = rate(session, proto, mbit * MBIT * 3 // 2)
    assert (reply.outcome, reply.ready) == ("ok", True), reply.reason
    assert reply.rate_bit == pytest.approx(mbit * MBIT, rel=0.1), reply.reason
    assert marked(reply, "far") > 20


@pytest.mark.needs("tbf")
@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_a_shaper_of_a_lab_holds_its_rate(session: Session, lab: Lab, proto: Literal["udp", "tcp"]) -> None:
    """Its bucket holds a millisecond: a machine too busy to fill it in time lets less through, and never more."""
    lab.make(Shaper("r2", "s", rate_bit=5 * MBIT))
    for _ in range(4):
        reply = rate(session, proto, 15 * MBIT // 2)
        assert (reply.outcome, reply.ready) == ("ok", True), reply.reason
        assert reply.rate_bit < 5 * MBIT * 1.1, reply.reason
        if reply.rate_bit > 5 * MBIT * 0.9:
            return
    raise AssertionError(reply.reason)


def test_a_full_bucket_and_a_long_queue_do_not_count(session: Session, lab: Lab) -> None:
    """Half a megabit of credit, and a queue that the sender's own device holds: 5 Mbit/s all the same."""
    with shaped(lab, "c", "eth0", 5 * MBIT, burst="60kb", queue="3000kb"):
        reply = rate(session, offer=10 * MBIT)
    assert reply.rate_bit == pytest.approx(5 * MBIT, rel=0.1), reply.reason


def test_a_link_that_lets_more_through_is_told_from_one_that_does_not(session: Session, lab: Lab) -> None:
    with shaped(lab, "r2", "s", 8 * MBIT):
        assert rate(session, offer=12 * MBIT).rate_bit > 5 * MBIT * 1.1
    with shaped(lab, "r2", "s", 4 * MBIT):
        assert rate(session, offer=12 * MBIT).rate_bit < 5 * MBIT * 0.9


def test_without_a_limit_all_that_is_offered_gets_through(session: Session) -> None:
    reply = rate(session, offer=5 * MBIT)
    assert reply.outcome == "ok"
    assert reply.rate_bit == pytest.approx(5 * MBIT, rel=0.02), reply.reason
    assert "packets of 1500 B" in reply.reason


def test_packets_fit_the_narrowest_link(session: Session, lab: Lab) -> None:
    lab.run("r2", "ip", "link", "set", "dev", "s", "mtu", "1300")
    reply = rate(session, offer=2 * MBIT)
    assert (reply.outcome, "packets of 1300 B" in reply.reason) == ("ok", True), reply.reason
    assert max(flow.longest for flow in reply.flows if flow.tap == "far") == 1300


@pytest.mark.needs("iptables")
@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_behind_a_translation_the_rate_is_the_same(session: Session, lab: Lab, proto: Literal["udp", "tcp"]) -> None:
    translate(lab)
    with shaped(lab, "r2", "s", 5 * MBIT):
        reply = rate(session, proto, 8 * MBIT, to=HIDDEN)
    assert (reply.outcome, reply.ready) == ("ok", True), reply.reason
    assert reply.rate_bit == pytest.approx(5 * MBIT, rel=0.1), reply.reason


@pytest.mark.needs("iptables")
@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_what_keeps_everything_back_is_the_outcome(session: Session, lab: Lab, proto: Literal["udp", "tcp"]) -> None:
    with rule(lab, "r2", "FORWARD", "-j", "REJECT", "--reject-with", "icmp-admin-prohibited"):
        reply = rate(session, proto)
        assert (reply.outcome, reply.reporter) == ("prohibited", "192.0.2.2"), reply.reason
    with rule(lab, "r2", "FORWARD", "-j", "DROP"):
        reply = session.probe(probe(Rate(SERVER, "s", proto, MBIT, 500), timeout_ms=500))
        assert (reply.outcome, reply.sent > 0) == ("filtered", True), reply.reason
    lab.run("c", "ip", "route", "replace", "unreachable", "10.2.0.0/16")
    reply = rate(session, proto)
    assert (reply.outcome, reply.sent) == ("no_route", 0), reply.reason


@pytest.mark.needs("iptables")
def test_a_limit_that_lets_only_the_first_packets_through_is_no_success(session: Session, lab: Lab) -> None:
    limit = ("-m", "limit", "--limit", "1/hour", "--limit-burst", "5")
    lab.run("r2", "iptables", "-A", "FORWARD", "-p", "udp", *limit, "-j", "ACCEPT")
    lab.run("r2", "iptables", "-A", "FORWARD", "-p", "udp", "-j", "DROP")
    reply = rate(session, offer=2 * MBIT)
    assert (reply.outcome, reply.rate_bit) == ("corrupt", 0.0), reply.reason


def test_a_rate_that_the_sender_cannot_offer_is_an_error(session: Session) -> None:
    reply = rate(session, offer=400_000 * MBIT, lasting=300)
    assert reply.outcome == "error"
    assert "the sender" in reply.reason


def test_a_receiver_that_cannot_be_opened_is_an_error(session: Session) -> None:
    reply = rate(session, node="nobody")
    assert reply.outcome == "error"
