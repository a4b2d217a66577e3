"""A run of a failover lab as reports get it: two tunnels between two gateways, a few checks, a drill and a change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface

from labctl.claims.expectations import Bounds, Change, Check, Drill, Expected, Felt, Hop, Part, Sight, Traffic
from labctl.claims.results import Course, Event, Results, StreamVerdict
from labctl.claims.verdicts import Verdict
from labctl.model.network import Network
from labctl.model.tunnels import Esp, EspSide, GreEnd
from labctl.plan.faults import Blackhole, Port
from labctl.probes.wire import Flow, Inject, Tcp, TcpReport, Way

HOST, SERVER = IPv4Address("172.16.10.10"), IPv4Address("10.0.1.10")


def network() -> Network:
    """dc-host - dc - cgw - two providers - gw - app - server, and a GRE tunnel over the first provider."""
    net = Network()
    for name, forwards in (("dc-host", False), ("cgw", True), ("gw", True), ("server", False), ("intruder", False)):
        net.node(name, forwards=forwards)
    for name in ("dc", "isp1", "isp2", "app"):
        net.segment(name)
    for node, segment, address in (
        ("dc-host", "dc", "172.16.10.10/24"),
        ("cgw", "dc", "172.16.10.1/24"),
        ("cgw", "isp1", "198.51.100.20/24"),
        ("cgw", "isp2", "203.0.113.20/24"),
        ("gw", "isp1", "198.51.100.10/24"),
        ("gw", "isp2", "203.0.113.10/24"),
        ("intruder", "isp1", "198.51.100.66/24"),
        ("gw", "app", "10.0.1.2/24"),
        ("server", "app", "10.0.1.10/24"),
    ):
        net.plug(node, segment, IPv4Interface(address))
    for number, (name, ours, theirs) in enumerate(
        (("t1", "198.51.100.10", "198.51.100.20"), ("t2", "203.0.113.10", "203.0.113.20")), 1
    ):
        sides = (EspSide("gw", IPv4Address(ours), "", ()), EspSide("cgw", IPv4Address(theirs), "", ()))
        net.esp(Esp(name, number, *sides, "aes128-gcm", 1400))
    ends = (
        ("gw", "198.51.100.10", "198.51.100.20", "10.9.0.1/30"),
        ("cgw", "198.51.100.20", "198.51.100.10", "10.9.0.2/30"),
    )
    for node, local, remote, inner in ends:
        net.gre(GreEnd(node, "spare", IPv4Address(local), IPv4Address(remote), IPv4Interface(inner), 1476, True))
    return net


KINDS = {"cgw": "customer_gateway", "gw": "vpn_gateway", "server": "instance"}

SYN = Flow("dc", "dc", "dc-host", "tcp", str(HOST), str(SERVER), sport=40000, dport=8080, packets=700, data=1_050_000)
SEEN = replace(SYN, longest=1500, hop_limit=64, marked=700, first_ms=1000.0, last_ms=1140.0, first_marked_ms=1000.0)
ESP = Flow("isp1", "isp1", "cgw", "esp", "198.51.100.20", "198.51.100.10", spi=0x1001, packets=702, data=1_100_000)
FLOWS = (
    replace(SEEN, tap="path server", namespace="server", device="app", first_ms=1011.3, first_marked_ms=1011.3),
    replace(SEEN, tap="path cgw", namespace="cgw", device="dc", first_ms=1000.2, first_marked_ms=1000.2),
    replace(ESP, longest=1400, first_ms=1000.4, last_ms=1141.0),
    SEEN,
)
QUOTE = Flow("isp1", "isp1", "gw", "icmp", "198.51.100.10", "198.51.100.66", icmp="3/13", packets=1, data=68, inner=SYN)


def checks() -> tuple[Check, ...]:
    reach = Check(
        id="P1",
        about="the data centre reaches the VPC",
        node="dc-host",
        action=Tcp(8080, SERVER, send=1_000_000),
        expected=Expected("ok", server="server", source=HOST),
        see=(Sight("isp1", "esp", longer=1000),),
        silent=(Sight("isp1", marker=True), Sight("isp2", "esp", longer=200)),
        path=tuple(Hop(node, f"path {node}") for node in ("dc-host", "cgw", "gw", "server")),
        control=(),
        timeout_ms=3000,
        taps=(),
    )
    forged = Inject(HOST, SERVER, 8080, IPv4Address("198.51.100.10"))
    negative = replace(
        reach,
        id="N1",
        about="what comes from the Internet in clear is dropped at the gateway",
        node="intruder",
        action=forged,
        expected=Expected("filtered"),
        see=(),
        silent=(Sight("app", marker=True),),
        path=(),
        control=("P1", "N1-control"),
    )
    return reach, negative, replace(negative, id="N1-control", expected=Expected("ok"), control=("N1",), silent=())


TRAFFIC = Traffic("dc-host", "server", SERVER, 100, (), ())
FELT = Felt(lost=100)
NOTHING = Part()
WHAT = "blackhole of esp on isp1"
DRILL = Drill(
    id="D1",
    about="the first provider drops ESP in silence: only the checks find out, and no sooner than they can",
    traffic=TRAFFIC,
    fault=Blackhole((Port("isp1", "gw"),), "esp"),
    what=WHAT,
    hold_ms=2000,
    bounds=Bounds(FELT, 1000, 400, "fault", 0),
    throughout=Part(silent=(Sight("isp1", marker=True),)),
    before=Part(see=(Sight("isp1", "esp"),)),
    meanwhile=Part(see=(Sight("isp2", "esp"),)),
    after=NOTHING,
)
CHANGE = Change(
    id="C1",
    about="the weights are swapped while traffic runs, and nobody notices",
    traffic=TRAFFIC,
    what="t1.weight: 0, t2.weight: 100",
    felt=Felt(lost=0),
    reach_ms=500,
    then=checks()[:1],
    throughout=NOTHING,
    before=NOTHING,
    changed=NOTHING,
    after=NOTHING,
)


def way(first: int, last: int, tunnel: str, packets: int | None = None) -> Way:
    places = ("dc-host/dc", "cgw/dc", f"cgw/{tunnel}", f"gw/{tunnel}", "gw/app", "server/app")
    return Way(first, last, last - first + 1 if packets is None else packets, places)


def course(*, sent: int = 400, rate: int = 100, lost: range = range(152, 214)) -> Course:
    """A stream that goes by t1, is cut off, goes on by t2 (which takes longer), and comes back."""
    beat = 1000 / rate
    sent_ms = tuple(round(i * beat, 2) for i in range(sent))
    delays = [11.0 if i < lost.start or i >= 350 else 16.2 for i in range(sent)]
    arrived = [None if i in lost else round(at + delays[i] + (i % 7) / 10, 2) for i, at in enumerate(sent_ms)]
    start = lost.start * beat - 3
    events = (Event(start, WHAT), Event(lost.stop * beat, "restored"), Event(start + 2000, "repair"))
    ways = (way(0, lost.start - 1, "t1"), way(lost.stop, 349, "t2"), way(350, sent - 1, "t1"))
    return Course(sent_ms, tuple(arrived), events, ways)


def drill_verdict() -> StreamVerdict:
    path = "dc-host > cgw ({}) > gw > server"
    return StreamVerdict(
        id="D1",
        about=DRILL.about,
        kind="drill",
        what=WHAT,
        verdict="pass",
        rate=100,
        sent=400,
        lost=62,
        duplicated=0,
        reordered=0,
        failback_lost=0,
        longest_gap_ms=635.4,
        restored_ms=623.0,
        loss_derived_ms=620.0,
        path_changes=2,
        tcp=TcpReport(812_000, 812_000, True, 812.4),
        way={"before": path.format("t1"), "meanwhile": path.format("t2"), "after": path.format("t1")},
        parts={"before": FLOWS[2:3], "switching": (), "meanwhile": (), "repairing": (), "after": FLOWS[2:3]},
        course=course(),
    )


def change_verdict() -> StreamVerdict:
    whole = course(lost=range(152, 152))
    events = (Event(1500, CHANGE.what), Event(1840, "reached"), Event(3100, "undone"))
    broken = TcpReport(500_000, 480_000, False, 2100.0, "connection reset")
    return replace(
        drill_verdict(),
        id="C1",
        about=CHANGE.about,
        kind="change",
        what=CHANGE.what,
        verdict="fail",
        reason="the TCP connection did not survive: connection reset",
        lost=0,
        failback_lost=None,
        restored_ms=None,
        longest_gap_ms=15.2,
        reach_ms=340.0,
        tcp=broken,
        course=replace(whole, events=events, ways=(way(0, 151, "t1"), way(152, 349, "t2"), way(350, 399, "t1"))),
        first=(replace(check_verdicts()[0], id="C1-first"),),
        then=(replace(check_verdicts()[0], id="C1-then"),),
        afterwards=(replace(check_verdicts()[0], id="C1-after"),),
        evidence="/run/evidence/vpn/1/C1",
    )


def check_verdicts() -> tuple[Verdict, ...]:
    return (
        Verdict(
            "P1",
            "the data centre reaches the VPC",
            "pass",
            "ok, from server server, client seen as 172.16.10.10",
            "ok, from server server, client seen as 172.16.10.10, mss 1318",
            elapsed_ms=171.2,
            number="171 ms",
            flows=FLOWS,
        ),
        Verdict(
            "N1",
            "what comes from the Internet in clear is dropped at the gateway",
            "fail",
            "filtered",
            "prohibited, by 198.51.100.10",
            "expected filtered, got prohibited",
            ("P1", "N1-control"),
            12.5,
            "12 ms",
            (replace(QUOTE, first_ms=2000.0, longest=68),),
            True,
            "/run/evidence/vpn/1/N1",
        ),
        Verdict("N1-control", "the same packet gets in without the tunnel", "inconclusive", "ok", "nothing", "it died"),
    )


@dataclass(frozen=True)
class Subject:
    """What a description tells the report of a run."""

    source: str
    about: str
    cites: tuple[str, ...]
    network: Network
    kinds: dict[str, str]
    checks: tuple[Check, ...]
    drills: tuple[Drill, ...]
    changes: tuple[Change, ...]


def subject() -> Subject:
    about = "Two IPsec connections over two Internet providers join a data centre to a VPC."
    cites = ("Cloud documentation, VPN Gateway: high availability",)
    return Subject("vpn.yaml", about, cites, network(), KINDS, checks(), (DRILL,), (CHANGE,))


def results() -> Results:
    seconds = {"up": 2.21, "verify": 14.32, "down": 0.13}
    return Results("vpn", "uml", 1, check_verdicts(), (drill_verdict(),), (change_verdict(),), seconds)
