"""Lies about what is measured: web pages, hops, rates, and how flows share links."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

import lies_servers as servers
from lies_claims import CLAIMS
from lies_lab import BEHIND, BOTH, SHARED, WEB, S
from lies_told import Lie
from lies_ways import (
    Way,
    answered_by_x,
    becomes,
    by_lower,
    checksum,
    commands,
    forged,
    header,
    honest,
    lossy,
    rule,
    several,
)

from labctl.claims.expectations import Hop
from labctl.probes.wire import Rate


def the_web() -> Iterator[Lie]:
    """Another page, another server, or no web at all."""
    alone = {"path": ()}
    for name, because in (
        ("web-missing", "status 404"),
        ("web-other-body", "body"),
        ("web-other-header", "X-Labctl-Server"),
        ("web-garbage", "got corrupt"),
        ("mute", "got corrupt"),
        ("web-slow", "would have passed at"),
    ):
        way = answered_by_x("tcp", WEB, servers.DIALOGUES[name][0])
        yield Lie("http-ok", name, way, because, other={**alone, "timeout_ms": 500})
    yield Lie("http-ok", "x answers", answered_by_x("tcp", WEB, WEB), "x answered")
    yield Lie("http-ok", "an impostor answers", answered_by_x("tcp", WEB, 8081), "never crossed s")
    seen = rule("w", f"POSTROUTING -d {S} -p tcp -j MASQUERADE", "nat")
    yield Lie("http-ok", "another asks", seen, "the server saw 10.2.0.1")
    yield Lie("http-ok", "the other link", by_lower("r"), "on lower")
    for real in ("no_route", "filtered", "prohibited", "refused"):
        yield Lie("http-ok", f"is {real}", becomes(real, S), f"expected ok, got {real}")
    for real in ("ok", "no_route", "prohibited", "refused"):
        way = becomes(real, BEHIND["filtered"])
        yield Lie("http-filtered", f"is {real}", way, f"expected filtered, got {real}")
    yield Lie("http-filtered", "control broken", becomes("filtered", S), "http-ok did not pass", "inconclusive")


def traces() -> Iterator[Lie]:
    """Hops that are others, hidden, silent, out of reach, or made up."""
    for proto in ("udp", "icmp", "tcp"):
        id = f"trace-{proto}"
        yield Lie(id, "the other link", by_lower("r"), "on lower")
        hidden = rule("r", f"FORWARD -d {S} -j TTL --ttl-inc 1", "mangle")
        yield Lie(id, "a hop is hidden", hidden, "hop")
        mute = rule("w", "OUTPUT -p icmp --icmp-type time-exceeded -j DROP")
        yield Lie(id, "a hop is silent", mute, "hop")
        yield Lie(id, "the target is silent", becomes("filtered", S), "got filtered")
        yield Lie(id, "forbidden on the way", becomes("prohibited", S), "got prohibited")
        made_up = several(rule("r", f"FORWARD -d {S} -j DROP"), forged("r", "c", _hops_made_up))
        yield Lie(id, "made up", made_up, "never crossed w")
        path = tuple(Hop(node, f"@{node}") for node in ("c", "w", "r", "s"))
        yield Lie(id, "another order", honest(), "in this order", other={"path": path})
        hops = CLAIMS[id].expected.hops
        expected = replace(CLAIMS[id].expected, hops=(hops[0], hops[2]))
        yield Lie(id, "a hop more", honest(), "hop", other={"expected": expected})


def _hops_made_up(packet: bytes) -> bytes | None:
    """What w and s would say of a packet of a trace, said by whoever swallows it."""
    ttl, at = packet[8], (packet[0] & 15) * 4
    if packet[16:20] != S.packed or ttl < 2:
        return None
    if ttl == 2:
        return _complaint(11, 0, "10.3.0.2", packet)
    if packet[9] == 1:
        echo = b"\0\0\0\0" + packet[at + 4 :]
        return header(str(S), "10.1.0.2", 1, echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:])
    if packet[9] == 6:
        return _reset(packet, at)
    return _complaint(3, 3, str(S), packet)


def _complaint(kind: int, code: int, source: str, packet: bytes) -> bytes:
    message = struct.pack("!BBHI", kind, code, 0, 0) + packet[:28]
    return header(source, "10.1.0.2", 1, message[:2] + struct.pack("!H", checksum(message)) + message[4:])


def _reset(packet: bytes, at: int) -> bytes:
    """RFC 9293 section 3.10.7.1, with its checksum over the pseudo-header."""
    source, target, number = struct.unpack_from("!HHI", packet, at)
    segment = struct.pack("!HHIIBBHHH", target, source, 0, number + 1 & 0xFFFFFFFF, 0x50, 0x14, 0, 0, 0)
    pseudo = packet[16:20] + packet[12:16] + struct.pack("!BBH", 0, 6, len(segment))
    segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
    return header(str(S), "10.1.0.2", 6, segment)


def rates() -> Iterator[Lie]:
    """Less, more, or by another link."""
    slow = "dev s root tbf rate 2mbit burst 20kb latency 50ms"
    narrow = commands("w", f"tc qdisc add {slow}", f"tc qdisc del {slow}")
    yield Lie("rate", "a narrow link", narrow, "got through")
    yield Lie("rate", "a fifth is lost", lossy(str(S), "--mode nth --every 5 --packet 0"), "got through")
    yield Lie("rate", "nothing gets through", becomes("filtered", S), "got filtered")
    yield Lie("rate", "refused", becomes("refused", S), "got refused")
    yield Lie("rate", "the other link", by_lower("r"), "on lower")
    offered = Rate(S, "s", "udp", 4_500_000, 300)
    yield Lie("rate", "no limit", honest(), "got through", other={"action": offered})
    tcp = Rate(S, "s", "tcp", 0, 300)
    yield Lie("rate", "no limit for tcp", honest(), "got through", other={"action": tcp})


def flows() -> Iterator[Lie]:
    """Flows that go unanswered, or do not share."""
    for proto in ("udp", "tcp"):
        id = f"flows-{proto}"
        yield Lie(id, "some are lost", _some_lost(proto), "flows were answered")
        yield Lie(id, "the other link", by_lower("r"), "on lower")
        for real in ("no_route", "filtered", "prohibited", "refused"):
            yield Lie(id, f"is {real}", becomes(real, S), f"got {real}")
        one = commands("r", f"ip route replace {SHARED} via 10.3.0.2", f"ip route replace {SHARED} {BOTH}")
        yield Lie(f"shared-{proto}", "all by one link", one, "lower", other={"see": ()})
        few = commands("r", f"ip route replace {SHARED} {_MOST}", f"ip route replace {SHARED} {BOTH}")
        yield Lie(f"shared-{proto}", "hardly any by the other link", few, "lower", other={"see": ()})


_MOST = "nexthop via 10.3.0.2 weight 99 nexthop via 10.4.0.2 weight 1"


def _some_lost(proto: str) -> Way:
    """A fourth of the flows, by their source ports, is not let through, however often it asks."""
    return rule("w", f"FORWARD -d {S} -p {proto} -m u32 --u32 0>>22&0x3C@0>>16&6=0 -j DROP")
