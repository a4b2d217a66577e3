"""Targets by name: which DNS server is asked next, and which address is tried next, as applications do."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from kernel_lab import Lab
from probe_lab import GOOD, MARKER, SERVER, TRANSIT, build, probe, serve

from labctl.errors import ProbeError
from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.probes.session import Session
from labctl.probes.wire import Connect, Named, Reply, StartRecords, StopStream, Tcp

pytestmark = pytest.mark.needs("iptables")

DEAD = IPv4Address("10.9.3.1")
"""Nobody answers there."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    place = tmp_path_factory.mktemp("named")
    lab = Lab(Paths("n", run=place / "run", netns=place / "netns"))
    try:
        build(lab)
        serve(lab, "s")
        with Session(lab.paths) as session:
            yield session
    finally:
        netns.destroy(lab.paths)


def reached(session: Session, name: str, *servers: IPv4Address, timeout_ms: int = 1200) -> Reply:
    named = Named(f"{name}.test", servers or (SERVER,), 200)
    return session.probe(probe(Tcp(GOOD, named=named), timeout_ms=timeout_ms))


def test_of_several_addresses_each_but_the_last_has_an_equal_share_of_the_time(session: Session) -> None:
    reply = reached(session, "second")
    assert (reply.outcome, reply.tried) == ("ok", (str(DEAD), str(SERVER)))
    assert 600 <= reply.elapsed_ms < 1200


def test_an_address_that_refuses_gives_way_at_once(session: Session) -> None:
    reply = reached(session, "third")
    assert (reply.outcome, reply.tried) == ("ok", ("10.2.0.1", str(DEAD), str(SERVER)))
    assert 600 <= reply.elapsed_ms < 1200  # the second has half of what the first has left


def test_where_no_address_answers_all_of_them_are_told(session: Session) -> None:
    reply = reached(session, "none", timeout_ms=400)
    assert (reply.outcome, reply.tried) == ("filtered", (str(DEAD), "10.9.3.2"))
    assert reply.elapsed_ms >= 400
    assert reply.reason == f"{DEAD}: no answer to the SYN; 10.9.3.2: no answer to the SYN"


@pytest.mark.parametrize("first", [DEAD, IPv4Address("10.2.0.1")], ids=["silent", "refusing"])
def test_the_next_server_is_asked_when_one_is_dead(session: Session, first: IPv4Address) -> None:
    reply = reached(session, "web", first, SERVER)
    assert (reply.outcome, reply.tried) == ("ok", (str(SERVER),))
    assert (reply.elapsed_ms >= 200) == (first == DEAD)


def test_what_one_server_denies_no_other_is_asked_about(session: Session) -> None:
    reply = reached(session, "nx", SERVER, DEAD)
    assert (reply.outcome, reply.lookup) == ("nxdomain", True)
    assert reply.elapsed_ms < 200


def test_a_server_that_fails_gives_way_and_the_last_one_says_why(session: Session) -> None:
    assert reached(session, "fail", SERVER, SERVER).outcome == "servfail"
    reply = reached(session, "fail", SERVER, DEAD, timeout_ms=400)
    assert (reply.outcome, reply.lookup) == ("filtered", True)
    assert reply.elapsed_ms >= 400


def test_connections_go_to_the_first_address_alone(session: Session) -> None:
    reply = session.probe(probe(Connect(GOOD, 3, named=Named("web.test", (SERVER,)))))
    assert (reply.outcome, reply.established, reply.tried) == ("ok", 3, (str(SERVER),))
    assert reply.peer == "10.1.0.2"


def records(name: str, port: int = GOOD) -> StartRecords:
    return StartRecords("c", port, None, Named(f"{name}.test", (SERVER,)), 100, TRANSIT, MARKER)


def test_records_go_to_the_address_that_can_be_connected_to(session: Session) -> None:
    session.start_stream(records("web"))
    report = session.stop_stream(StopStream(()))
    assert report.ready and report.records
    assert [number for number, _ in report.received] == list(range(len(report.sent)))
    assert all(sent <= at for sent, (_, at) in zip(report.sent, report.received, strict=True))
    assert report.tcp is not None and report.tcp.intact and report.tcp.ended_ms is None, report.tcp
    marked = {flow.tap: flow.marked for flow in report.parts[0] if flow.dport == GOOD}
    assert marked["near"] >= len(report.sent) <= marked["far"]


@pytest.mark.parametrize(
    ("name", "port", "because"),
    [("web", 9, "TCP RST"), ("nx", GOOD, "the lookup of nx.test: NXDOMAIN"), ("web", 8082, "no labctl test server")],
)
def test_records_that_cannot_begin_say_why(session: Session, name: str, port: int, because: str) -> None:
    with pytest.raises(ProbeError, match=because):
        session.start_stream(records(name, port))
