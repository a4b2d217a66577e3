"""Every outcome of every action, reached over a real datapath, and the taps' word for what passed where."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from kernel_lab import Lab, address
from probe_lab import (
    ADMIN,
    CLOSED,
    DROP,
    GOOD,
    MARKER,
    MUTE,
    RECORDS,
    RESET,
    RST,
    RUDE,
    SERVER,
    SLOW,
    WRONG,
    build,
    probe,
    serve,
)
from test_xfrm import tunnel

from labctl.errors import ProbeError
from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.plan.objects import Gre
from labctl.probes.session import Session
from labctl.probes.wire import Action, Dns, Flow, Inject, Named, Outcome, Ping, Reply, StopStream, Tap, Tcp, Udp

ROUTER = "10.1.0.1"


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("routed")
    lab = Lab(Paths("p", run=place / "run", netns=place / "netns"))
    try:
        build(lab)
        serve(lab, "s")
        yield lab
    finally:
        netns.destroy(lab.paths)


@pytest.fixture(scope="module")
def session(routed: Lab) -> Iterator[Session]:
    with Session(routed.paths) as session:
        yield session


def at(reply: Reply, tap: str, proto: str = "") -> list[Flow]:
    return [flow for flow in reply.flows if flow.tap == tap and (not proto or flow.proto == proto)]


def marked(reply: Reply, tap: str) -> int:
    return sum(flow.marked for flow in at(reply, tap))


def ip(text: str) -> IPv4Address:
    return IPv4Address(text)


OUTCOMES: list[tuple[Action, Outcome, str]] = [
    (Tcp(GOOD, SERVER), "ok", "64 bytes arrived intact"),
    (Tcp(WRONG, SERVER), "corrupt", "got 64"),
    (Tcp(RUDE, SERVER), "corrupt", "no labctl test server"),
    (Tcp(RESET, SERVER), "corrupt", "reset"),
    (Tcp(CLOSED, SERVER), "refused", "TCP RST"),
    (Tcp(RST, SERVER), "refused", "TCP RST"),
    (Tcp(ADMIN, SERVER), "prohibited", f"communication administratively prohibited from {ROUTER}"),
    (Tcp(80, ip("10.9.1.1")), "no_route", f"host unreachable from {ROUTER}"),
    (Tcp(80, ip("10.9.7.1")), "no_route", f"host unreachable from {ROUTER}"),
    (Tcp(80, ip("10.9.8.1")), "prohibited", f"communication administratively prohibited from {ROUTER}"),
    (Tcp(80, ip("10.9.2.1")), "no_route", f"net unreachable from {ROUTER}"),
    (Tcp(80, ip("10.9.4.1")), "prohibited", f"communication administratively prohibited from {ROUTER}"),
    (Tcp(80, ip("192.0.2.1")), "no_route", "the sender has no route"),
    (Tcp(80, ip("10.9.6.1")), "prohibited", "the sender's own route"),
    (Tcp(GOOD, named=Named("web.test", (SERVER,))), "ok", "intact"),
    (Tcp(GOOD, named=Named("nx.test", (SERVER,))), "nxdomain", "NXDOMAIN"),
    (Tcp(GOOD), "error", "neither an address nor a name"),
    (Udp(SERVER, GOOD), "ok", "came back"),
    (Udp(SERVER, WRONG), "corrupt", "not what was sent"),
    (Udp(SERVER, CLOSED), "refused", "port unreachable from 10.2.0.2"),
    (Udp(ip("10.9.1.1"), 80), "no_route", f"host unreachable from {ROUTER}"),
    (Udp(ip("10.9.4.1"), 80), "prohibited", "administratively prohibited"),
    (Udp(ip("192.0.2.1"), 80), "no_route", "the sender has no route"),
    (Dns(SERVER, "web.test"), "ok", "NOERROR"),
    (Dns(SERVER, "web.test", transport="tcp"), "ok", "NOERROR"),
    (Dns(SERVER, "big.test"), "ok", "NOERROR"),
    (Dns(SERVER, "nx.test"), "nxdomain", "NXDOMAIN"),
    (Dns(SERVER, "empty.test"), "nodata", "NOERROR"),
    (Dns(SERVER, "fail.test"), "servfail", "SERVFAIL"),
    (Dns(SERVER, "no.test"), "refused", "REFUSED"),
    (Dns(SERVER, "web.test", type="AAAA"), "nodata", "NOERROR"),
    (Dns(SERVER, "mx.test", type="MX", transport="tcp"), "ok", "NOERROR"),
    (Dns(ip("10.2.0.1"), "web.test"), "refused", "port unreachable"),
    (Dns(ip("10.9.1.1"), "web.test", transport="tcp"), "no_route", "host unreachable"),
    (Ping(SERVER), "ok", "came back"),
    (Ping(SERVER, size=5), "ok", "came back"),
    (Ping(SERVER, size=4000), "ok", "came back"),
    (Ping(SERVER, size=1372, df=True), "ok", "came back"),
    (Ping(SERVER, size=1373, df=True), "too_big", f"fragmentation needed from {ROUTER}, mtu 1400"),
    (Ping(SERVER, size=1473, df=True), "too_big", "the sender's own device"),
    (Ping(ip("10.9.1.1")), "no_route", f"host unreachable from {ROUTER}"),
    (Ping(ip("10.9.4.1")), "prohibited", "administratively prohibited"),
    (Ping(ip("192.0.2.1")), "no_route", "the sender has no route"),
    (Inject(ip("203.0.113.7"), SERVER, 80, ip(ROUTER)), "ok", "sent by eth0"),
    (Inject(ip("203.0.113.7"), SERVER, 80, ip("192.0.2.9")), "error", "no neighbour"),
]


@pytest.mark.needs("iptables")
@pytest.mark.parametrize(("action", "outcome", "reason"), OUTCOMES)
def test_each_outcome_is_told_from_every_other(session: Session, action: Action, outcome: Outcome, reason: str) -> None:
    reply = session.probe(probe(action, timeout_ms=1500))
    assert (reply.outcome, reply.ready) == (outcome, True), reply.reason
    assert reason in reply.reason
    assert reply.elapsed_ms < 1000


SILENT: list[Action] = [
    Tcp(80, ip("10.9.3.1")),
    Tcp(DROP, SERVER),
    Udp(SERVER, MUTE),
    Udp(ip("10.9.3.1"), 80),
    Dns(SERVER, "silent.test"),
    Ping(ip("10.9.3.1")),
    Ping(SERVER, size=972),
    Tcp(80, named=Named("silent.test", (SERVER,))),
]


@pytest.mark.needs("iptables")
@pytest.mark.parametrize("action", SILENT)
def test_filtered_takes_the_whole_time_and_the_probe_was_seen_to_leave(session: Session, action: Action) -> None:
    began = time.monotonic()
    reply = session.probe(probe(action, timeout_ms=400))
    assert (reply.outcome, reply.ready) == ("filtered", True), reply.reason
    assert time.monotonic() - began >= 0.4
    assert reply.elapsed_ms >= 399
    assert reply.sent >= 1
    assert marked(reply, "near") >= 1


def test_what_a_local_blackhole_swallows_was_never_seen_to_leave(session: Session) -> None:
    reply = session.probe(probe(Ping(ip("10.9.5.1")), timeout_ms=200))
    assert (reply.outcome, reply.sent) == ("filtered", 0)
    assert reply.elapsed_ms >= 199


def test_a_connection_that_stays_mute_is_no_filter(session: Session) -> None:
    reply = session.probe(probe(Tcp(MUTE, SERVER), timeout_ms=300))
    assert reply.outcome == "corrupt"
    assert "connected, then no more" in reply.reason


def test_the_server_tells_who_it_is_and_whom_it_sees(session: Session) -> None:
    for action in (Tcp(GOOD, SERVER), Udp(SERVER, GOOD)):
        reply = session.probe(probe(action))
        assert (reply.server, reply.peer) == ("srv", "10.1.0.2")


def test_the_largest_segment_is_what_the_smallest_link_of_the_two_ends_allows(session: Session) -> None:
    assert session.probe(probe(Tcp(GOOD, SERVER))).mss == 1360


def test_dns_answers_keep_their_order_and_leave_out_aliases(session: Session) -> None:
    reply = session.probe(probe(Dns(SERVER, "alias.test")))
    assert reply.answers == ("10.2.0.2", "10.2.0.1")
    assert reply.authoritative
    assert not session.probe(probe(Dns(SERVER, "foreign.test"))).authoritative


def test_dns_answers_of_every_type_are_told_in_words(session: Session) -> None:
    told = {kind: session.probe(probe(Dns(SERVER, f"{kind.lower()}.test", type=kind))).answers for kind in RECORDS}
    assert told == {
        "MX": ("10 mail.test", "20 mail2.test"),
        "TXT": ("v=spf1 -all",),
        "AAAA": ("2001:db8::1",),
        "SOA": ("ns.test admin.test 1 2 3 4 5",),
        "NS": ("ns1.test", "ns2.test"),
        "PTR": ("web.test",),
    }
    assert session.probe(probe(Dns(SERVER, "mx.test", type="ANY"))).answers == told["MX"]


def test_an_answer_to_another_question_is_no_silence(session: Session) -> None:
    reply = session.probe(probe(Dns(SERVER, "else.test"), timeout_ms=400))
    assert (reply.outcome, reply.reason) == ("corrupt", "what came back does not answer the question")


def test_a_lost_dns_query_is_sent_again_after_a_second(session: Session) -> None:
    reply = session.probe(probe(Dns(SERVER, "late.test"), timeout_ms=3000))
    assert (reply.outcome, reply.sent) == ("ok", 2)
    assert 1000 <= reply.elapsed_ms < 1500


def test_a_learnt_path_mtu_does_not_answer_for_the_path(session: Session, routed: Lab) -> None:
    """The kernel remembers 1400 after the first; each further ping must leave all the same and be told again."""
    for _ in range(3):
        reply = session.probe(probe(Ping(SERVER, size=1400, df=True)))
        assert (reply.outcome, reply.mtu, reply.reporter, reply.sent) == ("too_big", 1400, ROUTER, 1)
    assert "mtu 1400" in routed.run("c", "ip", "route", "get", str(SERVER))


def test_the_senders_own_mtu_is_told_without_a_reporter(session: Session) -> None:
    reply = session.probe(probe(Ping(SERVER, size=1473, df=True)))
    assert (reply.outcome, reply.mtu, reply.reporter, reply.sent) == ("too_big", 1500, "", 0)


def test_a_forged_segment_is_on_the_wire_as_it_was_made(session: Session) -> None:
    reply = session.probe(probe(Inject(ip("203.0.113.7"), SERVER, 4444, ip(ROUTER)), timeout_ms=300))
    (flow,) = at(reply, "far", "tcp")
    assert (flow.src, flow.dst, flow.dport, flow.marked) == ("203.0.113.7", "10.2.0.2", 4444, 1)
    assert (flow.hop_limit, flow.data) == (63, 40 + len(MARKER))
    assert reply.sent == 1


def test_a_bare_syn_is_known_by_its_ports(session: Session) -> None:
    reply = session.probe(probe(Tcp(CLOSED, SERVER)))
    (flow,) = at(reply, "far", "tcp")
    assert (flow.packets, flow.marked, flow.hop_limit) == (1, 1, 63)


def test_a_packet_that_is_not_the_probes_is_not_marked(session: Session) -> None:
    reply = session.probe(probe(Dns(SERVER, "nx.test")))
    tcp = session.probe(probe(Tcp(GOOD, named=Named("web.test", (SERVER,)))))
    assert marked(reply, "far") == 1
    assert [flow.marked for flow in at(tcp, "far", "udp")] == [0]
    assert [flow.marked == flow.packets > 3 for flow in at(tcp, "far", "tcp")] == [True]


def test_an_icmp_error_shows_what_it_is_about(session: Session) -> None:
    reply = session.probe(probe(Udp(ip("10.9.1.1"), 5000)))
    (error,) = at(reply, "source", "icmp")
    assert (error.icmp, error.src) == ("3/1", ROUTER)
    assert error.inner is not None
    assert (error.inner.proto, error.inner.dst, error.inner.dport) == ("udp", "10.9.1.1", 5000)


def test_a_probe_of_silence_listens_for_the_whole_time(session: Session) -> None:
    began = time.monotonic()
    reply = session.probe(probe(Ping(SERVER), timeout_ms=500, expect_silence=True))
    assert reply.outcome == "ok"
    assert 0.5 <= time.monotonic() - began < 0.8
    assert reply.elapsed_ms < 300


def test_an_answer_that_comes_too_late_is_told_from_none(session: Session) -> None:
    late = session.probe(probe(Udp(SERVER, SLOW), timeout_ms=200, late_ms=1000))
    assert (late.outcome, 400 <= late.elapsed_ms < 900) == ("ok", True)
    none = session.probe(probe(Udp(SERVER, SLOW), timeout_ms=200))
    assert (none.outcome, 199 <= none.elapsed_ms < 400) == ("filtered", True)
    never = session.probe(probe(Udp(SERVER, MUTE), timeout_ms=200, late_ms=300))
    assert (never.outcome, never.elapsed_ms >= 499) == ("filtered", True)


def test_a_full_size_ping_is_repeated_at_half_of_its_time_not_of_the_time_for_late_answers(session: Session) -> None:
    reply = session.probe(probe(Ping(ip("10.9.3.1"), size=1000, df=True), timeout_ms=200, late_ms=400))
    [flow] = (flow for flow in at(reply, "source", "icmp") if flow.dst == "10.9.3.1")
    assert flow.packets == 2
    assert 99 <= flow.last_ms - flow.first_ms < 200


@pytest.mark.parametrize(
    "action", [Tcp(DROP, SERVER), Udp(SERVER, MUTE), Ping(ip("10.9.3.1")), Dns(SERVER, "silent.test")]
)
def test_silence_is_asked_for_as_often_as_is_wanted(session: Session, action: Action) -> None:
    reply = session.probe(probe(action, timeout_ms=400, tries=4))
    assert (reply.outcome, reply.sent, marked(reply, "near")) == ("filtered", 4, 4)
    assert "4 times" in reply.reason
    assert 399 <= reply.elapsed_ms < 600


def test_one_answer_of_many_is_no_silence(session: Session, routed: Lab) -> None:
    which = "FORWARD -p icmp --icmp-type 8 -m statistic --mode nth --every 4 --packet 0 -j DROP"
    rule = which.split()
    routed.run("r", "iptables", "-w", "-I", *rule)
    once = session.probe(probe(Ping(SERVER), timeout_ms=200))
    again = session.probe(probe(Ping(SERVER), timeout_ms=200, tries=3))
    routed.run("r", "iptables", "-w", "-D", *rule)
    assert (once.outcome, again.outcome) == ("filtered", "ok")


def test_a_probe_is_seen_to_leave_by_a_device_that_has_come_since(session: Session, routed: Lab) -> None:
    session.probe(probe(Ping(SERVER)))
    link = routed.veth("c", "late", "r", "late")
    routed.make(link, address("c", "late", "10.4.0.2/24"), address("r", "late", "10.4.0.1/24"))
    reply = session.probe(probe(Ping(ip("10.4.0.1"))))
    assert (reply.outcome, reply.sent) == ("ok", 1)
    assert {flow.device for flow in at(reply, "source") if flow.marked} == {"late"}
    routed.run("c", "ip", "link", "set", "dev", "late", "down")
    session.probe(probe(Ping(SERVER)))
    routed.run("c", "ip", "link", "set", "dev", "late", "up")
    assert session.probe(probe(Ping(ip("10.4.0.1")))).sent == 1
    routed.unmake(link)
    assert session.probe(probe(Ping(SERVER))).outcome == "ok"


def test_times_are_those_of_the_monotonic_clock(session: Session) -> None:
    before = time.monotonic() * 1000
    reply = session.probe(probe(Ping(SERVER)))
    after = time.monotonic() * 1000
    assert reply.flows
    assert all(before <= flow.first_ms <= flow.last_ms <= after for flow in reply.flows)
    near, far = (min(flow.first_marked_ms for flow in at(reply, tap, "icmp")) for tap in ("near", "far"))
    assert near <= far


def test_a_large_transfer_loses_no_frame_at_any_tap(session: Session) -> None:
    taps = (Tap("a", "c", "eth0"), Tap("b", "r", "s"), Tap("d", "s", "eth0"))
    began = time.monotonic()
    reply = session.probe(probe(Tcp(GOOD, SERVER, send=10_000_000), *taps, timeout_ms=20_000))
    took = time.monotonic() - began
    assert (reply.outcome, reply.ready) == ("ok", True), reply.reason
    payload = [
        sum(f.data - 52 * f.packets for f in at(reply, tap, "tcp") if f.dport == GOOD) for tap in ("a", "b", "d")
    ]
    assert all(size >= 10_000_000 - 200 for size in payload)
    assert payload[1] == payload[2]
    assert took < 15, f"{took:.2f} s"


def test_a_tap_that_cannot_be_opened_proves_nothing(session: Session) -> None:
    for tap in (Tap("x", "r", "eth9"), Tap("x", "nobody", "eth0")):
        reply = session.probe(probe(Ping(SERVER), tap))
        assert reply.outcome == "error"
        assert not reply.ready
        assert tap.device in reply.reason
    assert session.probe(probe(Ping(SERVER))).outcome == "ok"


def test_an_unknown_node_or_record_type_is_an_error_and_the_prober_goes_on(session: Session) -> None:
    assert session.probe(probe(Ping(SERVER), node="nobody")).outcome == "error"
    assert session.probe(probe(Dns(SERVER, "web.test", type="NONSENSE"))).outcome == "error"
    assert session.probe(probe(Ping(SERVER))).outcome == "ok"


def test_a_device_made_anew_is_tapped_anew(session: Session, routed: Lab) -> None:
    tap = Tap("x", "s", "extra")
    for _ in range(2):
        link = routed.veth("r", "xtra", "s", "extra")
        routed.make(link, address("r", "xtra", "10.3.0.1/24"), address("s", "extra", "10.3.0.2/24"))
        reply = session.probe(probe(Ping(ip("10.3.0.2")), tap))
        assert (reply.outcome, marked(reply, "x")) == ("ok", 1)
        routed.unmake(link)


def test_a_device_that_is_down_and_up_again_is_still_tapped(session: Session, routed: Lab) -> None:
    routed.run("s", "ip", "link", "set", "dev", "eth0", "down")
    routed.run("s", "ip", "link", "set", "dev", "eth0", "up")
    routed.run("s", "ip", "route", "replace", "10.0.0.0/8", "via", "10.2.0.1")
    reply = session.probe(probe(Ping(SERVER)))
    assert (reply.outcome, marked(reply, "far")) == ("ok", 1)


@pytest.mark.needs("gre")
def test_a_tunnel_shows_its_inside_and_its_outside(session: Session, routed: Lab) -> None:
    near, far = ip("10.1.0.2"), ip("10.2.0.2")
    tunnels = (Gre("c", "gre1", near, far, 1376, key=42), Gre("s", "gre1", far, near, 1376, key=42))
    routed.make(*tunnels, address("c", "gre1", "172.16.0.1/30"), address("s", "gre1", "172.16.0.2/30"))
    reply = session.probe(
        probe(Tcp(GOOD, ip("172.16.0.2")), Tap("tunnel", "s", "gre1", "in"), Tap("far", "s", "eth0", "in"))
    )
    routed.unmake(*tunnels)
    assert reply.outcome == "ok", reply.reason
    (inside,), (outside,) = at(reply, "tunnel"), at(reply, "far", "gre")
    assert (inside.proto, inside.src, inside.marked) == ("tcp", "172.16.0.1", inside.packets)
    assert outside.inner is not None
    assert (outside.inner.dst, outside.inner.dport, outside.marked) == ("172.16.0.2", GOOD, outside.packets)


@pytest.mark.needs("geneve")
def test_an_overlay_shows_its_network_its_inside_and_its_outside(session: Session, routed: Lab) -> None:
    for node, remote, own in (("c", "10.2.0.2", "172.16.5.1/24"), ("s", "10.1.0.2", "172.16.5.2/24")):
        words = ("name", "gnv1", "type", "geneve", "id", "5001", "remote", remote)
        routed.run(node, "ip", "link", "add", *words)
        routed.run(node, "ip", "link", "set", "dev", "gnv1", "mtu", "1300", "up")
        routed.run(node, "ip", "addr", "add", own, "dev", "gnv1")
    taps = (Tap("overlay", "s", "gnv1", "in"), Tap("far", "s", "eth0", "in"))
    reply = session.probe(probe(Tcp(GOOD, ip("172.16.5.2")), *taps))
    for node in ("c", "s"):
        routed.run(node, "ip", "link", "del", "dev", "gnv1")
    assert (reply.outcome, reply.ready) == ("ok", True), reply.reason
    (inside,) = at(reply, "overlay", "tcp")
    outside = [flow for flow in at(reply, "far", "geneve") if flow.inner]
    assert (inside.src, inside.marked) == ("172.16.5.1", inside.packets)
    assert {(flow.vni, flow.dport, flow.src, flow.dst) for flow in outside} == {(5001, 6081, "10.1.0.2", "10.2.0.2")}
    assert {(flow.inner.dst, flow.inner.dport) for flow in outside if flow.inner} == {("172.16.5.2", GOOD)}
    assert sum(flow.marked for flow in outside) == sum(flow.packets for flow in outside) == inside.packets


@pytest.mark.needs("esp", "xfrm-interface")
def test_a_cipher_hides_the_marker_and_shows_its_spi(wan: Lab) -> None:
    tunnel(wan, "aes256-gcm")
    taps = (Tap("wire", "wan", "wa", "in"), Tap("clear", "gwa", "ipsec1"))
    with Session(wan.paths) as session:
        reply = session.probe(probe(Ping(ip("10.2.0.2")), *taps, node="a"))
    assert (reply.outcome, reply.ready) == ("ok", True), reply.reason
    (outside,) = (flow for flow in at(reply, "wire") if flow.proto != "arp")
    assert (outside.proto, outside.spi, outside.packets, outside.marked) == ("esp", 0x1001, 1, 0)
    assert [(flow.proto, flow.src, flow.marked) for flow in at(reply, "clear")] == [
        ("icmp", "10.1.0.2", 1),
        ("icmp", "10.2.0.2", 1),
    ]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts, even where the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_session_does_not_wait_for_its_probe(routed: Lab) -> None:
    began = 0.0
    with pytest.raises(KeyboardInterrupt), Session(routed.paths) as session:
        began = time.monotonic()
        threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        session.probe(probe(Ping(ip("10.9.3.1")), timeout_ms=5000))
    assert time.monotonic() - began < 1.3


def test_a_prober_that_is_killed_is_no_evidence_and_says_so_at_once(routed: Lab) -> None:
    with Session(routed.paths) as session:
        killer = threading.Timer(0.3, os.kill, (session.pid, signal.SIGKILL))
        killer.start()
        began = time.monotonic()
        with pytest.raises(ProbeError, match=r"the prober died \(signal 9, SIGKILL\)"):
            session.probe(probe(Ping(ip("10.9.3.1")), timeout_ms=5000))
        assert time.monotonic() - began < 1.3
        with pytest.raises(ProbeError, match="the prober died"):
            session.probe(probe(Ping(SERVER)))


def test_a_stopped_stream_that_never_started_is_an_error(session: Session) -> None:
    with pytest.raises(ProbeError, match="no stream is running"):
        session.stop_stream(StopStream(()))


def test_a_prober_ends_with_its_session_and_a_session_needs_its_block(routed: Lab) -> None:
    with Session(routed.paths) as session:
        pid = session.pid
    with pytest.raises(ProbeError, match="not running"):
        session.probe(probe(Ping(SERVER)))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_prober_dies_in_the_middle_of_a_probe_with_the_process_that_started_it(routed: Lab) -> None:
    program = (
        "import sys; from ipaddress import IPv4Address; from pathlib import Path\n"
        "from labctl.kernel.paths import Paths; from labctl.probes.session import Session\n"
        "from labctl.probes.wire import Ping, Probe\n"
        "with Session(Paths('p', Path(sys.argv[1]), Path(sys.argv[2]))) as session:\n"
        "    print(session.pid, flush=True)\n"
        "    session.probe(Probe('c', Ping(IPv4Address('10.9.3.1')), (), 'm', 60_000))\n"
    )
    places = (str(routed.paths.run), str(routed.paths.netns))
    with subprocess.Popen([sys.executable, "-c", program, *places], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        time.sleep(0.2)
        starter.kill()
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _alive(pid)


@pytest.mark.parametrize("module", ["session", "prober"])
def test_scapy_is_imported_by_the_first_forgery_alone(module: str) -> None:
    program = f"import sys, labctl.probes.{module}; sys.exit(any(name.startswith('scapy') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - a file of the kernel, gone at any moment
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
