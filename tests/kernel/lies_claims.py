"""What is claimed of the lab of the lies: every claim is true there, and each lie makes one of them false."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Literal

from lies_lab import BEHIND, PORT, SHARED, W_ADDRESSES, WEB, S, taps

from labctl.claims.expectations import Check, Expected, Hop, Sight, Spread, TraceHop
from labctl.model.stubs import NSSWITCH
from labctl.probes.wire import (
    Action,
    Connect,
    Dns,
    Flows,
    Health,
    Http,
    Inject,
    Lookup,
    Outcome,
    Ping,
    Rate,
    Tcp,
    Trace,
    Udp,
)

CLIENT = IPv4Address("10.1.0.2")
R_NEAR = IPv4Address("10.1.0.1")
NEVER, ALWAYS = IPv4Address("203.0.113.9"), IPv4Address("198.51.100.9")
"""Forged sources: the one w keeps out, and the one it lets pass."""

WITHIN_MS, WORKS_MS, LOOKUP_MS = 250, 800, 2500
FILES = (("/etc/resolv.conf", f"nameserver {S}\noptions timeout:1 attempts:1\n"), ("/etc/nsswitch.conf", NSSWITCH))
"""What the ordinary programs of c see in place of the host's files."""
ON_THE_WAY = ("c", "r", "w", "s")


def claim(
    id: str,
    action: Action,
    expected: Expected,
    *,
    see: Iterable[Sight] = (),
    silent: Iterable[Sight] = (),
    path: Iterable[str] = (),
    control: Iterable[str] = (),
    within: int = WITHIN_MS,
) -> Check:
    """A check from `c`, with the taps that its sights and its path need."""
    hops = tuple(Hop(node, f"@{node}") for node in path)
    names = dict.fromkeys([*(each.on for each in (*see, *silent)), *(hop.tap for hop in hops)])
    places = tuple(tap for name in names for tap in taps(name))
    return Check(id, "", "c", action, expected, tuple(see), tuple(silent), hops, tuple(control), within, places)


def does(proto: str, to: IPv4Address) -> Action:
    """The simplest probe of a protocol."""
    return {"tcp": Tcp(PORT, to, send=2000), "udp": Udp(to, PORT), "ping": Ping(to)}[proto]


def says(outcome: Outcome) -> Expected:
    """The outcome, and for an ICMP error that it is w's."""
    by = W_ADDRESSES if outcome in ("no_route", "prohibited", "refused") else ()
    return Expected(outcome, by=by, by_node="w" if by else "")


def _works(proto: str) -> Check:
    ip = "icmp" if proto == "ping" else proto
    served = {"server": "s", "source": CLIENT} if proto != "ping" else {}
    return claim(
        f"{proto}-ok",
        does(proto, S),
        Expected("ok", **served),  # type: ignore[arg-type]
        see=[Sight("upper", ip, CLIENT, S, marker=True), Sight("far", ip, CLIENT, S)],
        silent=[Sight("lower")],
        path=ON_THE_WAY,
        within=WORKS_MS,
    )


def _fails(proto: str, outcome: Outcome) -> Check:
    ip, to = "icmp" if proto == "ping" else proto, BEHIND[outcome]
    return claim(
        f"{proto}-{outcome}",
        does(proto, to),
        says(outcome),
        see=[Sight("upper", ip, CLIENT, to, marker=True)],
        silent=[Sight("far", dst=to)],
        path=ON_THE_WAY[:3],
        control=[f"{proto}-ok"],
    )


def _named(word: str, expected: Expected, transport: str) -> Check:
    suffix = "" if transport == "udp" else "-by-tcp"
    return claim(
        f"dns-{expected.outcome}{suffix}",
        Dns(S, f"{word}.test", transport="tcp" if transport == "tcp" else "udp"),
        expected,
        path=ON_THE_WAY,
        control=[] if expected.outcome == "ok" else [f"dns-ok{suffix}"],
    )


PROGRAMS: tuple[Literal["getent", "dig", "curl"], ...] = ("getent", "dig", "curl")


def _looked_up(by: Literal["getent", "dig", "curl"], word: str) -> Check:
    found = Expected("ok", first=S) if by == "curl" else Expected("ok", answers=(str(S), "10.2.1.2"), any_order=True)
    return claim(
        f"{by}-{word}",
        Lookup(f"{word}.test", by, (S,), FILES),
        found if word == "web" else Expected("nxdomain"),
        path=ON_THE_WAY,
        control=[] if word == "web" else [f"{by}-web"],
        within=LOOKUP_MS,
    )


_ANSWER = Expected("ok", answers=("10.2.0.2", "10.2.1.2"), authoritative=True)
_NAMES = {
    "web": _ANSWER,
    "absent": Expected("nxdomain"),
    "empty": Expected("nodata"),
    "broken": Expected("servfail"),
    "closed": Expected("refused"),
}
_HELLO = Http(WEB, "/hello", "s.test", S)
_HOPS = tuple(
    TraceHop(name, tuple(map(IPv4Address, addresses)))
    for name, addresses in (("r", ["10.1.0.1"]), ("w", ["10.3.0.2"]), ("s", [str(S)]))
)

_CLAIMS = [
    *(_works(proto) for proto in ("tcp", "udp", "ping")),
    *(_fails(p, o) for p in ("tcp", "udp", "ping") for o in ("no_route", "filtered", "prohibited", "refused")),  # type: ignore[arg-type]
    claim("tcp-reset", Tcp(9, S), Expected("refused"), path=ON_THE_WAY, control=["tcp-ok"]),
    claim("tcp-mss", Tcp(PORT, S), Expected("ok", mss=1360)),
    claim("ping-fits", Ping(S, size=1372, df=True), Expected("ok")),
    claim(
        "ping-too_big",
        Ping(S, size=1400, df=True),
        Expected("too_big", mtu=1400, by=W_ADDRESSES, by_node="w"),
        silent=[Sight("far", "icmp", CLIENT, S)],
        control=["ping-fits"],
    ),
    *(_named(word, expected, transport) for word, expected in _NAMES.items() for transport in ("udp", "tcp")),
    claim("dns-any", Dns(S, "web.test"), Expected("ok", answers=("10.2.1.2", "10.2.0.2"), any_order=True)),
    claim("dns-filtered", Dns(BEHIND["filtered"], "web.test"), Expected("filtered"), control=["dns-ok"]),
    claim(
        "http-ok",
        _HELLO,
        Expected("ok", status=200, body="/hello", header=(("X-Labctl-Server", "s"),), server="s", source=CLIENT),
        path=ON_THE_WAY,
        silent=[Sight("lower")],
        within=WORKS_MS,
    ),
    claim("http-filtered", Http(WEB, "/", "s.test", BEHIND["filtered"]), Expected("filtered"), control=["http-ok"]),
    *(
        claim(
            f"trace-{proto}",
            Trace(S, proto, 33434 if proto == "udp" else 9, 8),  # type: ignore[arg-type]
            Expected("ok", hops=_HOPS),
            silent=[Sight("lower")],
            path=ON_THE_WAY,
            within=WORKS_MS,
        )
        for proto in ("udp", "icmp", "tcp")
    ),
    claim(
        "rate",
        Rate(S, "s", "udp", 3_000_000, 300),
        Expected("ok", rate_bit=3_000_000, tolerance=10),
        silent=[Sight("lower")],
        within=WORKS_MS,
    ),
    *(
        claim(f"flows-{proto}", Flows(S, PORT, 60, proto), Expected("ok"), silent=[Sight("lower")], within=WORKS_MS)  # type: ignore[arg-type]
        for proto in ("udp", "tcp")
    ),
    claim(
        "connect",
        Connect(PORT, 12, S),
        Expected("ok", established=12, server="s", source=CLIENT),
        path=ON_THE_WAY,
        silent=[Sight("lower")],
        within=WORKS_MS,
    ),
    claim(
        "connect-filtered", Connect(PORT, 3, BEHIND["filtered"]), Expected("filtered"), control=["connect"], path=["c"]
    ),
    *(_looked_up(by, word) for by in PROGRAMS for word in ("web", "absent")),
    claim("health-healthy", Health((S,)), Expected("ok", state="healthy"), path=ON_THE_WAY, within=WORKS_MS),
    claim("health-degraded", Health((S, BEHIND["filtered"])), Expected("ok", state="degraded"), within=WORKS_MS),
    claim("health-critical", Health((BEHIND["filtered"],)), Expected("ok", state="critical"), within=WORKS_MS),
    claim(
        "dns-first",
        Dns(S, "web.test"),
        Expected("ok", first=S, ttl_s=60),
        see=[Sight("upper", "udp", CLIENT, S, 53, most=1)],
    ),
    claim("dns-often", Dns(S, "web.test"), Expected("ok"), see=[Sight("upper", "udp", CLIENT, S, 53, least=1)]),
    *(
        claim(
            f"shared-{proto}",
            Flows(SHARED, PORT, 60, proto),  # type: ignore[arg-type]
            Expected("ok", spread=Spread(("upper", "lower"), 20)),
            see=[Sight("upper", proto, CLIENT, SHARED), Sight("lower", proto, CLIENT, SHARED)],
            within=WORKS_MS,
        )
        for proto in ("udp", "tcp")
    ),
    claim(
        "inject-filtered",
        Inject(NEVER, S, 4444, R_NEAR),
        Expected("filtered"),
        see=[Sight("upper", "tcp", NEVER, S, marker=True)],
        silent=[Sight("far", marker=True)],
        control=["inject-ok"],
    ),
    claim(
        "inject-ok",
        Inject(ALWAYS, S, 4444, R_NEAR),
        Expected("ok"),
        see=[Sight("upper", "tcp", ALWAYS, S, marker=True), Sight("far", "tcp", ALWAYS, S, marker=True)],
    ),
]

CLAIMS = {each.id: each for each in _CLAIMS}
"""Every claim by its id."""
