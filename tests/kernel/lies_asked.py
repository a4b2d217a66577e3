"""Lies about what is asked by others: many connections at once, ordinary programs, a resolver of several locations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import lies_servers as servers
from lies_claims import CLAIMS, FILES
from lies_lab import BEHIND, PORT, S
from lies_told import Lie
from lies_ways import answered_by_x, becomes, commands, honest, rule

from labctl.claims.expectations import Sight
from labctl.probes.wire import Action, Lookup


def connections() -> Iterator[Lie]:
    """Connections of which not all come about, or to a server that is none."""
    syn = f"FORWARD -d {S} -p tcp --syn -m statistic --mode nth --every 4 --packet 3 -j DROP"
    yield Lie("connect", "every fourth is dropped", rule("w", syn), "9 of 12 connections were established together")
    fewer = {"expected": replace(CLAIMS["connect"].expected, established=9)}
    yield Lie("connect", "more than claimed", honest(), "12 of 12 connections were established", other=fewer)
    for name, port in (("mute", 85), ("stranger", 86)):
        yield Lie("connect", f"the server is {name}", answered_by_x("tcp", PORT, port), "got corrupt")
    yield Lie("connect", "each is closed at once", answered_by_x("tcp", PORT, 87), "then closed by the server")
    yield Lie("connect", "x answers", answered_by_x("tcp", PORT, PORT), "x answered")
    refused = becomes("refused", BEHIND["filtered"])
    yield Lie("connect-filtered", "is refused", refused, "expected filtered, got refused")
    kept_in = rule("c", f"OUTPUT -d {BEHIND['filtered']} -j DROP")
    yield Lie("connect-filtered", "never left", kept_in, "never seen to leave c", "inconclusive")


def _with_files(claim: str, *files: tuple[str, str]) -> Action:
    action = CLAIMS[claim].action
    assert isinstance(action, Lookup)
    return replace(action, files=files)


def programs() -> Iterator[Lie]:
    """Names that a program finds elsewhere, or does not find for another reason than is claimed."""
    for real in ("nxdomain", "nodata", "servfail", "refused"):
        way = answered_by_x("udp", 53, servers.NAMES[real][0])
        yield Lie("getent-web", f"is {real}", way, f"expected ok, got {real}")
        if real != "nxdomain":
            yield Lie("getent-absent", f"is {real}", way, f"expected nxdomain, got {real}")
    for by in ("dig", "curl"):
        way = answered_by_x("udp", 53, servers.NAMES["servfail"][0])
        yield Lie(f"{by}-absent", "is servfail", way, "expected nxdomain, got servfail")
    for by in ("getent", "dig", "curl"):
        dead = rule("w", f"FORWARD -d {S} -p udp --dport 53 -j DROP")
        yield Lie(f"{by}-absent", "nobody answers", dead, "expected nxdomain, got filtered")
        yield Lie(f"{by}-web", "x answers", answered_by_x("udp", 53, servers.NAMES["same"][0]), "never crossed s")
        none = {"action": _with_files(f"{by}-web")}
        yield Lie(f"{by}-web", "the host's own resolv.conf", honest(), "servers to ask", "inconclusive", none)
    hosts = _with_files("getent-web", *FILES, ("/etc/hosts", f"{S} web.test\n10.2.1.2 web.test\n"))
    beside = {"action": hosts, "path": ()}
    yield Lie("getent-web", "a hosts file answers", honest(), "never seen to leave c", "inconclusive", beside)
    other = answered_by_x("udp", 53, servers.NAMES["other address"][0])
    for by in ("getent", "dig"):
        yield Lie(f"{by}-web", "another address", other, "answers 10.2.0.3")


def health() -> Iterator[Lie]:
    """Locations that are dead or alive where that is not claimed, or were never asked."""
    silent = rule("w", f"FORWARD -d {S} -p udp --dport 53 -j DROP")
    alive = becomes("ok", BEHIND["filtered"])
    yield Lie("health-healthy", "is dead", silent, "it is critical")
    refused = rule("w", f"FORWARD -d {S} -p udp --dport 53 -j REJECT --reject-with icmp-port-unreachable")
    yield Lie("health-healthy", "nobody listens", refused, "it is critical")
    yield Lie("health-degraded", "both are dead", silent, "it is critical")
    yield Lie("health-degraded", "both are alive", alive, "it is healthy")
    yield Lie("health-critical", "is alive", alive, "it is healthy")
    to = BEHIND["filtered"]
    kept_in = commands("c", f"ip route add blackhole {to}", f"ip route del blackhole {to}")
    for claim in ("health-degraded", "health-critical"):
        yield Lie(claim, "one was never asked", kept_in, "seen to leave c", "inconclusive")


def counts() -> Iterator[Lie]:
    """The order of addresses, how long they may be kept, and how many packets there were."""
    yield Lie(
        "dns-first", "another comes first", answered_by_x("udp", 53, servers.NAMES["other order"][0]), "came first"
    )
    briefly = {"expected": replace(CLAIMS["dns-first"].expected, ttl_s=59)}
    yield Lie("dns-first", "may be kept longer", honest(), "a time-to-live of 60 s", other=briefly)
    again = rule("w", f"FORWARD -d {S} -p udp --dport 53 -m statistic --mode nth --every 2 --packet 0 -j DROP")
    slow = {"timeout_ms": 2500}
    yield Lie("dns-first", "asked twice", again, "seen 2 times", other=slow)
    twice = {"see": (Sight("upper", "udp", dst=S, port=53, least=2),)}
    yield Lie("dns-often", "asked once", honest(), "seen 1 times", other=twice)
