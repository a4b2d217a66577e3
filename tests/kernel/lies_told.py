"""The lies: for every kind of claim the ways in which it is false that matter, and what the verdict must say of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import lies_servers as servers
from lies_claims import CLAIMS
from lies_lab import BEHIND, PORT, R_ADDRESSES, S, W
from lies_ways import (
    Way,
    answered_by_x,
    becomes,
    by_lower,
    commands,
    first_lost,
    forged,
    honest,
    lossy,
    rule,
    several,
    spoofed_name,
    unreachable,
)

from labctl.claims.expectations import Check, Hop, Sight
from labctl.claims.verdicts import Word


@dataclass(frozen=True)
class Lie:
    """`claim`, with `other` fields, is false where `way` is: the verdict must be `word`, its reason say `because`."""

    claim: str
    name: str
    way: Way
    because: str
    word: Word = "fail"
    other: dict[str, Any] | None = None

    @property
    def check(self) -> Check:
        return replace(CLAIMS[self.claim], **(self.other or {}))


def another_fate() -> Iterator[Lie]:
    """For each protocol and outcome, every other outcome."""
    outcomes = ("ok", "no_route", "filtered", "prohibited", "refused")
    for proto in ("tcp", "udp", "ping"):
        for claimed in outcomes:
            for real in outcomes:
                if claimed != real:
                    way = becomes(real, BEHIND[claimed])
                    yield Lie(f"{proto}-{claimed}", f"is {real}", way, f"expected {claimed}, got {real}")


def said_by_another() -> Iterator[Lie]:
    """ICMP errors of the right kind from the wrong node, and in the name of the right one."""
    for proto in ("tcp", "udp", "ping"):
        for outcome in ("no_route", "prohibited", "refused"):
            way = becomes(outcome, BEHIND[outcome], "r")
            yield Lie(f"{proto}-{outcome}", "says r", way, f"{R_ADDRESSES[0]} reported it", other={"path": ()})
        to = BEHIND["no_route"]
        swallowed = rule("r", f"FORWARD -d {to} -j DROP")
        way = several(swallowed, forged("r", "c", unreachable(str(W), to)))
        yield Lie(f"{proto}-no_route", "r says, in the name of w", way, "never crossed w", other={"see": ()})
        own = commands("c", f"ip route add unreachable {to}", f"ip route del unreachable {to}")
        yield Lie(f"{proto}-no_route", "says the sender itself", own, "no ICMP error reported it")


def never_left() -> Iterator[Lie]:
    """Silence that begins at the sender."""
    to = BEHIND["filtered"]
    for proto in ("tcp", "udp", "ping"):
        ways = {
            "its own firewall drops it": rule("c", f"OUTPUT -d {to} -j DROP"),
            "its own route swallows it": commands("c", f"ip route add blackhole {to}", f"ip route del blackhole {to}"),
        }
        for name, way in ways.items():
            yield Lie(f"{proto}-filtered", name, way, "never seen to leave c", "inconclusive")


def beside_a_control() -> Iterator[Lie]:
    """Claims that something does not work, beside a control that does not either."""
    for proto in ("tcp", "udp", "ping"):
        for outcome in ("no_route", "filtered", "prohibited", "refused"):
            broken = becomes("filtered", S)
            yield Lie(f"{proto}-{outcome}", "control broken", broken, f"{proto}-ok did not pass", "inconclusive")
    fits = rule("w", "FORWARD -p icmp -m length --length 1400 -j DROP")
    yield Lie("ping-too_big", "control broken", fits, "ping-fits did not pass", "inconclusive")
    yield Lie(
        "inject-filtered", "control broken", rule("r", "FORWARD -s 198.51.100.9 -j DROP"), "inject-ok", "inconclusive"
    )


def the_wrong_server() -> Iterator[Lie]:
    """Everything works, but another answers, or another is seen to ask."""
    for proto in ("tcp", "udp"):
        yield Lie(f"{proto}-ok", "x answers", answered_by_x(proto, PORT, PORT), "x answered")
        yield Lie(f"{proto}-ok", "an impostor answers", answered_by_x(proto, PORT, 81), "never crossed s")
        seen = rule("w", f"POSTROUTING -d {S} -p {proto} -j MASQUERADE", "nat")
        yield Lie(f"{proto}-ok", "another asks", seen, "the server saw 10.2.0.1")
        yield Lie(f"{proto}-ok", "mangled", answered_by_x(proto, PORT, 83), "got corrupt")
        yield Lie(f"{proto}-ok", "cut", answered_by_x(proto, PORT, 84), "got corrupt")
        yield Lie(f"{proto}-ok", "a stranger answers", answered_by_x(proto, PORT, 86), "got corrupt")
        late = {"timeout_ms": 500, "path": (), "see": ()}
        yield Lie(f"{proto}-ok", "late", answered_by_x(proto, PORT, 82), "would have passed at", other=late)
    yield Lie("tcp-ok", "mute", answered_by_x("tcp", PORT, 85), "got corrupt", other={"timeout_ms": 300})
    yield Lie("tcp-ok", "reset", rule("w", f"FORWARD -d {S} -p tcp -j REJECT --reject-with tcp-reset"), "got refused")
    yield Lie("tcp-reset", "reset by another", answered_by_x("tcp", 9, 9), "never crossed s")
    yield Lie("tcp-reset", "somebody serves", answered_by_x("tcp", 9, PORT), "got ok")
    yield Lie(
        "tcp-mss",
        "larger segments",
        honest(),
        "segments of 1360",
        other={"expected": replace(CLAIMS["tcp-mss"].expected, mss=1340)},
    )
    x = rule("w", f"PREROUTING -d {S} -p icmp -j DNAT --to-destination 10.2.1.2", "nat")
    yield Lie("ping-ok", "x answers", x, "never crossed s")


def the_wrong_way() -> Iterator[Lie]:
    """Everything works, but not where it should."""
    for proto in ("tcp", "udp", "ping"):
        yield Lie(f"{proto}-ok", "the other link", by_lower("r"), "on lower")
        yield Lie(f"{proto}-ok", "back by the other link", by_lower("w"), "on lower")
        copied = rule("w", f"FORWARD -s {S} -j TEE --gateway 10.4.0.1", "mangle")
        yield Lie(f"{proto}-ok", "a copy on the other link", copied, "on lower")
        path = tuple(Hop(node, f"@{node}") for node in ("c", "w", "r", "s"))
        yield Lie(f"{proto}-ok", "another order", honest(), "crossed c, r, w, s in this order", other={"path": path})
        path = tuple(Hop(node, f"@{node}") for node in ("c", "r", "x", "s"))
        taps = CLAIMS[f"{proto}-ok"].taps
        yield Lie(
            f"{proto}-ok", "a node beside the way", honest(), "never crossed x", other={"path": path, "taps": taps}
        )
        see = (Sight("lower", marker=True),)
        yield Lie(f"{proto}-ok", "not seen there", honest(), "not seen", other={"see": see})


def names() -> Iterator[Lie]:
    """What a DNS server may say instead."""
    codes = ("nxdomain", "nodata", "servfail", "refused", "ok")
    for suffix, proto in (("", "udp"), ("-by-tcp", "tcp")):
        for claimed in codes:
            for real in codes:
                if claimed != real:
                    way = answered_by_x(proto, 53, servers.NAMES[real][0])
                    yield Lie(f"dns-{claimed}{suffix}", f"is {real}", way, f"expected {claimed}, got {real}")
        for name, because in (
            ("other address", "answers 10.2.0.3"),
            ("one of two", "answers 10.2.0.2"),
            ("one more", "answers"),
            ("other order", "answers 10.2.1.2"),
            ("not authoritative", "not authoritative"),
            ("another name", "is about mail.test"),
            ("another alias", "is about mail.test"),
            ("another question", "corrupt"),
            ("same", "never crossed s"),
            ("notimp", "got servfail"),
        ):
            way = answered_by_x(proto, 53, servers.NAMES[name][0])
            path = CLAIMS["dns-ok"].path if name == "same" else ()
            yield Lie(f"dns-ok{suffix}", name, way, because, other={"timeout_ms": 300, "path": path})
        slow, late = answered_by_x(proto, 53, servers.NAMES["slow"][0]), {"timeout_ms": 500, "path": ()}
        yield Lie(f"dns-ok{suffix}", "late", slow, "would have passed at", other=late)
    yield Lie(
        "dns-servfail", "not implemented", answered_by_x("udp", 53, servers.NAMES["notimp"][0]), "never crossed s"
    )
    yield Lie("dns-any", "another address", answered_by_x("udp", 53, servers.NAMES["other address"][0]), "answers")
    yield Lie("dns-any", "one more", answered_by_x("udp", 53, servers.NAMES["one more"][0]), "answers")
    # The honest answer would race it, and sometimes win.
    spoofed = several(
        rule("w", "FORWARD -p udp --sport 53 -j DROP"), forged("r", "c", spoofed_name("10.2.0.3", right=True))
    )
    yield Lie("dns-ok", "spoofed", spoofed, "answers 10.2.0.3")
    yield Lie("dns-filtered", "answered", becomes("ok", BEHIND["filtered"]), "expected filtered, got ok")


def sizes() -> Iterator[Lie]:
    """Fragmentation needed, or not, and what is said of it."""
    bigger = commands("w", "ip link set dev s mtu 1500", "ip link set dev s mtu 1400")
    smaller = commands("w", "ip link set dev s mtu 1390", "ip link set dev s mtu 1400")
    earlier = commands("r", "ip link set dev upper mtu 1400", "ip link set dev upper mtu 1500")
    own = commands("c", "ip link set dev eth0 mtu 1400", "ip link set dev eth0 mtu 1500")
    unsaid = rule("w", "OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP")
    yield Lie("ping-too_big", "it fits", bigger, "got ", "fail")
    yield Lie("ping-too_big", "another MTU", smaller, "an MTU of 1390")
    yield Lie("ping-too_big", "another says so", earlier, f"{R_ADDRESSES[0]} reported it")
    yield Lie("ping-too_big", "the sender's own link", own, "no ICMP error reported it")
    yield Lie("ping-too_big", "nobody says so", unsaid, "got filtered")
    yield Lie("ping-fits", "too big", smaller, "got too_big")


def by_chance() -> Iterator[Lie]:
    """Packets lost at random look like silence."""
    to = str(BEHIND["filtered"])
    for id in ("tcp-filtered", "udp-filtered", "ping-filtered", "dns-filtered", "http-filtered"):
        other = {"see": (), "silent": ()}
        yield Lie(id, "the first packet is lost", first_lost(to), "got ok", other=other)
        yield Lie(id, "a fifth is lost", lossy(to), "expected filtered, got", other=other)
    let_in = several(
        rule("w", "FORWARD -s 203.0.113.0/24 -j ACCEPT"),
        rule("w", "FORWARD -s 203.0.113.0/24 -m statistic --mode nth --every 5 --packet 0 -j DROP"),
    )
    yield Lie("inject-filtered", "the first packet is lost", let_in, "seen")


def forgeries() -> Iterator[Lie]:
    """A forged packet that gets in, or never gets there."""
    yield Lie("inject-filtered", "gets in", rule("w", "FORWARD -s 203.0.113.0/24 -j ACCEPT"), "seen")
    yield Lie("inject-filtered", "never gets there", rule("r", "FORWARD -s 203.0.113.0/24 -j DROP"), "not seen")
    yield Lie("inject-ok", "kept out", rule("w", "FORWARD -s 198.51.100.9 -j DROP"), "not seen")
