"""Many flows at once: each with its own source port, each answered, and what is told when some are not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Literal

import pytest
from actions_lab import HIDDEN, SEEN_AS, SERVER, TCP, UDP, build, probe, rule, serve, translate
from kernel_lab import Lab

from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.probes.session import Session
from labctl.probes.wire import Flows, Reply

WRONG = 8090
Proto = Literal["udp", "tcp"]
BOTH: list[tuple[Proto, int]] = [("udp", UDP), ("tcp", TCP)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("flows")
    lab = Lab(Paths("f", run=place / "run", netns=place / "netns"))
    try:
        build(lab)
        serve(lab, "s")
        _serve_wrongly(lab)
        lab.run("r2", "ip", "route", "add", "blackhole", "10.9.0.0/16")
        lab.run("r2", "ip", "route", "add", "prohibit", "10.8.0.0/16")
        yield lab
    finally:
        netns.destroy(lab.paths)


@pytest.fixture(scope="module")
def session(lab: Lab) -> Iterator[Session]:
    with Session(lab.paths) as session:
        yield session


def _serve_wrongly(lab: Lab) -> None:
    """UDP: every third datagram is answered wrongly. TCP: none is a test server's."""
    with netns.enter(lab.paths.namespace("s")):
        datagrams, listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.create_server(("", WRONG))
    datagrams.bind(("", WRONG))

    def answer() -> None:
        for number in range(1 << 30):
            data, peer = datagrams.recvfrom(65536)
            datagrams.sendto(b"labctl srv 1.2.3.4 5\n" + (data if number % 3 else b"other"), peer)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            with client:
                client.sendall(b"220 mail\n")

    for each in (answer, accept):
        threading.Thread(target=each, daemon=True).start()


def flows(session: Session, proto: Proto, port: int, count: int, to: IPv4Address = SERVER, wait: int = 3000) -> Reply:
    return session.probe(probe(Flows(to, port, count, proto), timeout_ms=wait))


@pytest.mark.parametrize(("proto", "port"), BOTH)
def test_every_flow_has_a_source_port_of_its_own_and_is_known_to_the_taps(
    session: Session, proto: Proto, port: int
) -> None:
    reply = flows(session, proto, port, 200)
    assert (reply.outcome, reply.answered, reply.ready) == ("ok", 200, True), reply.reason
    assert (reply.server, reply.peer) == ("srv", "10.1.0.2")
    far = [flow for flow in reply.flows if flow.tap == "far" and flow.dport == port]
    assert len({flow.sport for flow in far}) == 200
    assert all(flow.marked == flow.packets for flow in far)
    assert reply.sent >= 200


@pytest.mark.parametrize(("proto", "port"), BOTH)
def test_a_thousand_flows_are_not_too_many_for_either_end(session: Session, proto: Proto, port: int) -> None:
    reply = flows(session, proto, port, 1000, wait=10_000)
    assert (reply.outcome, reply.answered) == ("ok", 1000), reply.reason


@pytest.mark.needs("iptables")
@pytest.mark.parametrize(("proto", "port"), BOTH)
def test_some_that_stay_silent_are_no_silence(session: Session, lab: Lab, proto: Proto, port: int) -> None:
    with rule(lab, "r2", "FORWARD", "-p", proto, "--sport", "0:46000", "--dport", str(port), "-j", "DROP"):
        reply = flows(session, proto, port, 200, wait=500)
    assert reply.outcome == "corrupt"
    assert 0 < reply.answered < 200
    assert f"{reply.answered} of 200 flows were answered, not the others: no answer" in reply.reason


@pytest.mark.needs("iptables")
@pytest.mark.parametrize(("proto", "port"), BOTH)
def test_reasons_that_differ_are_all_told(session: Session, lab: Lab, proto: Proto, port: int) -> None:
    words = ("FORWARD", "-p", proto, "--dport", str(port))
    prohibit = ("-j", "REJECT", "--reject-with", "icmp-admin-prohibited")
    with (
        rule(lab, "r2", *words, "--sport", "0:46000", *prohibit),
        rule(lab, "r2", *words, "-j", "REJECT"),
    ):
        reply = flows(session, proto, port, 100)
    assert (reply.outcome, reply.answered) == ("corrupt", 0)
    assert "administratively prohibited from 192.0.2.2" in reply.reason
    assert "port unreachable from 192.0.2.2" in reply.reason


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_where_all_fail_alike_that_is_the_outcome(session: Session, proto: Proto) -> None:
    refused = flows(session, proto, 9, 20)
    assert (refused.outcome, refused.answered) == ("refused", 0), refused.reason
    assert "none of 20 flows" in refused.reason
    silent = flows(session, proto, 80, 200, IPv4Address("10.9.0.1"), wait=400)
    assert (silent.outcome, silent.answered) == ("filtered", 0)
    assert silent.elapsed_ms >= 399
    assert silent.sent >= 200


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_without_a_route_nothing_is_sent(session: Session, lab: Lab, proto: Proto) -> None:
    lab.run("c", "ip", "route", "add", "unreachable", "10.7.0.0/16")
    reply = flows(session, proto, 80, 20, IPv4Address("10.7.0.1"))
    lab.run("c", "ip", "route", "del", "unreachable", "10.7.0.0/16")
    assert (reply.outcome, reply.sent) == ("no_route", 0), reply.reason


@pytest.mark.parametrize(("proto", "answered"), [("udp", 20), ("tcp", 0)])
def test_a_wrong_answer_is_none(session: Session, proto: Proto, answered: int) -> None:
    reply = flows(session, proto, WRONG, 30)
    assert (reply.outcome, reply.answered) == ("corrupt", answered), reply.reason


@pytest.mark.needs("iptables")
@pytest.mark.parametrize(("proto", "port"), BOTH)
def test_flows_through_a_translation_are_told_by_their_marker(
    session: Session, lab: Lab, proto: Proto, port: int
) -> None:
    translate(lab)
    reply = flows(session, proto, port, 50, HIDDEN)
    assert (reply.outcome, reply.peer) == ("ok", SEEN_AS), reply.reason
    far = [flow for flow in reply.flows if flow.tap == "far" and flow.dport == port]
    assert len(far) == 50 and all(flow.marked for flow in far)
