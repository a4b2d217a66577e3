"""HTTP over a real datapath: against the test server, and against servers that are none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from actions_lab import HIDDEN, PUBLIC, SEEN_AS, SERVER, TCP, WEB, build, marked, probe, serve, translate
from kernel_lab import Lab

from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.probes.session import Session
from labctl.probes.wire import Http, Outcome, Reply

SCRIPTS = {
    8001: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    8002: b"HTTP/1.0 503 busy\r\nRetry-After: 9\r\n\r\nlater",
    8003: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    8004: b"SSH-2.0-x\r\n",
    8005: b"",
}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("web")
    lab = Lab(Paths("w", run=place / "run", netns=place / "netns"))
    try:
        build(lab)
        serve(lab, "s")
        for port, said in SCRIPTS.items():
            _script(lab, port, said)
        yield lab
    finally:
        netns.destroy(lab.paths)


@pytest.fixture(scope="module")
def session(web: Lab) -> Iterator[Session]:
    with Session(web.paths) as session:
        yield session


def _script(lab: Lab, port: int, said: bytes) -> None:
    """A server that says this, whatever it is asked; with nothing to say it waits."""
    with netns.enter(lab.paths.namespace("s")):
        listener = socket.create_server(("", port))

    def run() -> None:
        while True:
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(said) if said else threading.Event().wait(1)

    threading.Thread(target=run, daemon=True).start()


def get(session: Session, path: str = "/", port: int = WEB, to: IPv4Address = SERVER, host: str = "web.test") -> Reply:
    return session.probe(probe(Http(port, path, host, to), timeout_ms=700))


def test_a_page_tells_who_served_it_to_whom(session: Session) -> None:
    reply = get(session, "/a?b=c")
    assert (reply.outcome, reply.ready, reply.status) == ("ok", True, 200), reply.reason
    assert (reply.server, reply.peer) == ("srv", "10.1.0.2")
    assert reply.body.startswith("labctl srv 10.1.0.2 ")
    assert reply.body.endswith("\nGET /a?b=c\nHost: web.test\n")
    assert ("content-type", "text/plain") in reply.header
    assert marked(reply, "far") > 3


def test_any_status_is_an_answer(session: Session) -> None:
    for status in (204, 302, 404, 500):
        assert (get(session, f"/status/{status}").outcome, get(session, f"/status/{status}").status) == ("ok", status)


@pytest.mark.parametrize(
    ("port", "outcome", "status", "body", "reason"),
    [
        (8001, "ok", 200, "hello", "5 bytes"),
        (8002, "ok", 503, "later", "5 bytes"),
        (8003, "corrupt", 200, "short", "ends after 5 bytes"),
        (8004, "corrupt", 0, "", "no HTTP answer"),
        (8005, "corrupt", 0, "", "no whole answer within the time"),
        (TCP, "corrupt", 0, "", "no HTTP answer"),
        (9, "refused", 0, "", "TCP RST"),
    ],
)
def test_what_is_no_whole_answer_is_corrupt(
    session: Session, port: int, outcome: Outcome, status: int, body: str, reason: str
) -> None:
    reply = get(session, port=port)
    assert (reply.outcome, reply.status, reply.body) == (outcome, status, body), reply.reason
    assert reason in reply.reason
    assert reply.server == ""


def test_a_target_that_is_silent_is_filtered(session: Session, web: Lab) -> None:
    web.run("r2", "ip", "route", "add", "blackhole", "10.9.0.0/16")
    reply = get(session, to=IPv4Address("10.9.0.1"))
    assert (reply.outcome, marked(reply, "middle") > 0) == ("filtered", True)


def test_no_header_can_be_smuggled_in(session: Session) -> None:
    for path, host in (("/ HTTP/1.1\r\nX: y", "a"), ("/", "a\r\nX: y"), ("", "a"), ("/ü", "a")):
        reply = get(session, path, host=host)
        assert (reply.outcome, reply.sent) == ("error", 0)


@pytest.mark.needs("iptables")
def test_behind_a_translation_the_server_tells_whom_it_sees(session: Session, web: Lab) -> None:
    translate(web)
    assert (get(session, to=PUBLIC).outcome, get(session, to=PUBLIC).peer) == ("ok", "10.1.0.2")
    assert (get(session, to=HIDDEN).outcome, get(session, to=HIDDEN).peer) == ("ok", SEEN_AS)


def test_the_server_survives_whatever_is_sent_to_it(session: Session, web: Lab) -> None:
    for data in (
        b"",
        b"\r\n\r\n",
        b"\x00" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10_000,
        b"GET / HTTP/1.1\r\n",
    ):
        with netns.enter(web.paths.namespace("c")):
            client = socket.create_connection((str(SERVER), WEB), timeout=5)
        with client:
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                said = client.recv(65536)
            except ConnectionError:
                continue  # it has heard enough
            assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert get(session).outcome == "ok"
