"""Traces over a real datapath: hop by hop, across translations and tunnels, past silent and slow routers."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Literal

import pytest
from actions_lab import HIDDEN, HOPS, PUBLIC, SERVER, TCP, UDP, build, marked, probe, rule, serve, translate
from kernel_lab import Lab, address

from labctl.kernel.paths import Paths
from labctl.plan.objects import Gre, Ruleset
from labctl.probes.session import Session
from labctl.probes.wire import Reply, Trace

Proto = Literal["udp", "icmp", "tcp"]
PROTOS: list[Proto] = ["udp", "icmp", "tcp"]
CLOSED = 33434


@pytest.fixture
def lab(paths: Paths) -> Lab:
    lab = Lab(paths)
    build(lab)
    return lab


@pytest.fixture
def session(lab: Lab) -> Iterator[Session]:
    with Session(lab.paths) as session:
        yield session


def trace(
    session: Session,
    proto: Proto = "udp",
    to: IPv4Address = SERVER,
    port: int = CLOSED,
    most: int = 8,
    wait: int = 3000,
) -> Reply:
    return session.probe(probe(Trace(to, proto, port, most), timeout_ms=wait))


@pytest.mark.parametrize("proto", PROTOS)
def test_each_hop_is_told_in_order_and_the_target_is_the_last(session: Session, proto: Proto) -> None:
    reply = trace(session, proto)
    assert (reply.outcome, reply.hops, reply.ready) == ("ok", HOPS, True), reply.reason
    assert [marked(reply, tap) for tap in ("near", "middle")] == [3, 2]
    assert reply.elapsed_ms < 500


@pytest.mark.parametrize(("proto", "port"), [("udp", UDP), ("tcp", TCP)])
def test_a_server_that_answers_is_the_end(session: Session, lab: Lab, proto: Proto, port: int) -> None:
    serve(lab, "s")
    reply = trace(session, proto, port=port)
    assert (reply.outcome, reply.hops) == ("ok", HOPS), reply.reason
    assert (reply.server, reply.peer) == (("srv", "10.1.0.2") if proto == "udp" else ("", ""))


@pytest.mark.needs("iptables")
@pytest.mark.parametrize("proto", PROTOS)
def test_a_translated_source_hides_no_hop(session: Session, lab: Lab, proto: Proto) -> None:
    lab.make(Ruleset("r1", (("nat", ("-A POSTROUTING -o r2 -j SNAT --to-source 192.0.2.1",)),)))
    reply = trace(session, proto)
    assert (reply.outcome, reply.hops) == ("ok", HOPS), reply.reason


@pytest.mark.needs("iptables")
@pytest.mark.parametrize("proto", PROTOS)
@pytest.mark.parametrize("to", [PUBLIC, HIDDEN])
def test_hops_behind_a_translated_destination_are_counted_though_they_bear_its_address(
    session: Session, lab: Lab, proto: Proto, to: IPv4Address
) -> None:
    """Netfilter gives each error about such a connection the address that the sender knows: still three hops."""
    translate(lab)
    reply = trace(session, proto, to)
    assert (reply.outcome, reply.hops) == ("ok", (str(to),) * 3), reply.reason


@pytest.mark.needs("iptables")
@pytest.mark.parametrize("proto", PROTOS)
def test_a_silent_hop_is_a_star(session: Session, lab: Lab, proto: Proto) -> None:
    with rule(lab, "r1", "OUTPUT", "-p", "icmp", "-j", "DROP"):
        reply = trace(session, proto)
    assert (reply.outcome, reply.hops) == ("ok", ("*", *HOPS[1:])), reply.reason
    assert reply.elapsed_ms < 3000


@pytest.mark.parametrize("proto", PROTOS)
def test_a_router_that_answers_once_a_second_is_no_silent_one(session: Session, lab: Lab, proto: Proto) -> None:
    """The kernel's own limits: six errors to each receiver, then one a second."""
    lab.run("r1", "sysctl", "-w", "net.ipv4.icmp_ratemask=6168", "net.ipv4.icmp_ratelimit=1000")
    replies = [trace(session, proto) for _ in range(8)]
    assert [reply.hops for reply in replies] == [HOPS] * 8
    assert max(reply.elapsed_ms for reply in replies) > 500, "the limit was never felt"


@pytest.mark.needs("iptables")
@pytest.mark.parametrize("proto", PROTOS)
def test_a_target_that_is_silent_is_filtered_and_told_how_far_it_went(session: Session, lab: Lab, proto: Proto) -> None:
    with rule(lab, "s", "INPUT", "-j", "DROP"):
        reply = trace(session, proto, most=5, wait=700)
    assert (reply.outcome, reply.hops) == ("filtered", HOPS[:2]), reply.reason
    assert "the last to answer was 192.0.2.2" in reply.reason
    assert reply.elapsed_ms >= 699


@pytest.mark.needs("iptables")
@pytest.mark.parametrize("proto", PROTOS)
def test_a_refusal_on_the_way_is_the_outcome(session: Session, lab: Lab, proto: Proto) -> None:
    with rule(lab, "r2", "FORWARD", "-j", "REJECT", "--reject-with", "icmp-admin-prohibited"):
        reply = trace(session, proto)
    assert (reply.outcome, reply.reporter, reply.hops) == ("prohibited", "192.0.2.2", HOPS[:2]), reply.reason
    with rule(lab, "r1", "FORWARD", "-j", "REJECT"):
        reply = trace(session, proto)
    assert (reply.outcome, reply.reporter, reply.hops) == ("refused", "10.1.0.1", HOPS[:1]), reply.reason


@pytest.mark.parametrize("proto", PROTOS)
def test_a_router_without_a_route_says_so(session: Session, lab: Lab, proto: Proto) -> None:
    lab.run("r2", "ip", "route", "add", "unreachable", "10.9.0.0/16")
    reply = trace(session, proto, IPv4Address("10.9.0.1"))
    assert (reply.outcome, reply.reporter, reply.hops) == ("no_route", "192.0.2.2", HOPS[:2]), reply.reason


@pytest.mark.parametrize("proto", PROTOS)
def test_a_target_beyond_the_last_hop_that_may_be_tried_is_not_reached(session: Session, proto: Proto) -> None:
    reply = trace(session, proto, most=2)
    assert (reply.outcome, reply.hops, reply.reporter) == ("no_route", HOPS[:2], "192.0.2.2"), reply.reason
    assert "further than 2 hops" in reply.reason


@pytest.mark.parametrize("proto", PROTOS)
def test_without_a_route_of_its_own_nothing_is_sent(session: Session, lab: Lab, proto: Proto) -> None:
    lab.run("c", "ip", "route", "add", "unreachable", "10.9.0.0/16")
    reply = trace(session, proto, IPv4Address("10.9.0.1"))
    assert (reply.outcome, reply.hops, reply.sent) == ("no_route", (), 0), reply.reason


@pytest.mark.parametrize("proto", PROTOS)
def test_a_neighbour_is_one_hop(session: Session, proto: Proto) -> None:
    reply = trace(session, proto, IPv4Address("10.1.0.1"))
    assert (reply.outcome, reply.hops) == ("ok", ("10.1.0.1",)), reply.reason


@pytest.mark.needs("netem")
@pytest.mark.parametrize("proto", PROTOS)
def test_answers_that_take_longer_than_their_share_count_all_the_same(session: Session, lab: Lab, proto: Proto) -> None:
    lab.run("r1", "tc", "qdisc", "add", "dev", "r2", "root", "netem", "delay", "300ms")
    reply = trace(session, proto, most=16, wait=2000)
    assert (reply.outcome, reply.hops) == ("ok", HOPS), reply.reason


@pytest.mark.needs("gre")
@pytest.mark.parametrize("proto", PROTOS)
def test_a_tunnel_is_one_hop(session: Session, lab: Lab, proto: Proto) -> None:
    near, far = IPv4Address("10.1.0.2"), SERVER
    tunnels = (Gre("c", "gre1", near, far, 1376, key=42), Gre("s", "gre1", far, near, 1376, key=42))
    lab.make(*tunnels, address("c", "gre1", "172.16.0.1/30"), address("s", "gre1", "172.16.0.2/30"))
    lab.nodes("inside")
    lab.wire("s", "in", "10.5.0.1/24", "inside", "eth0", "10.5.0.2/24")
    lab.run("s", "sysctl", "-w", "net.ipv4.ip_forward=1")
    lab.route("c", "10.5.0.0/24", device="gre1")
    lab.route("inside", "0.0.0.0/0", via="10.5.0.1")
    lab.run("s", "ip", "route", "add", "172.16.0.0/30", "dev", "gre1", "metric", "5")
    reply = trace(session, proto, IPv4Address("10.5.0.2"))
    assert (reply.outcome, reply.hops) == ("ok", ("172.16.0.2", "10.5.0.2")), reply.reason
