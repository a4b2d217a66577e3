"""Lies about what a tunnel hides: ESP is there but so is cleartext, of another connection, or for show; GRE around
another packet. Each claim passes where it is true.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from kernel_lab import Lab, address
from lies_bench import bench_of
from lies_ways import Way, commands, forged, header, honest, rule
from test_xfrm import tunnel

from labctl.claims.expectations import Check, Expected, Inner, Sight
from labctl.claims.verdicts import Verdict, Word, judge
from labctl.plan.objects import Gre
from labctl.probes.wire import Ping, Tap
from labctl.prove.bench import Bench

A, B = IPv4Address("10.1.0.2"), IPv4Address("10.2.0.2")
GWA, GWB = "198.51.100.2", "203.0.113.2"
WIRE = (Tap("wire", "wan", "wa", "in"), Tap("wire", "wan", "wb", "in"))


def claim(*see: Sight, silent: tuple[Sight, ...] = ()) -> Check:
    return Check("T", "", "a", Ping(B), Expected("ok"), see, silent, (), (), 800, WIRE)


HIDDEN = claim(
    Sight("wire", "esp", spis=(0x1001,), connection="t1"),
    silent=(Sight("wire", marker=True), Sight("wire", "icmp", dst=B)),
)
CARRIED = claim(Sight("wire", "gre", inner=Inner("icmp", A, B)), silent=(Sight("wire", "icmp", dst=B),))


@dataclass(frozen=True)
class Lie:
    """A claim with `other` fields, where `way` is."""

    name: str
    because: str
    way: Way = honest()
    word: Word = "fail"
    other: dict[str, Any] | None = None


def _verdict(bench: Bench, check: Check) -> Verdict:
    return judge(check, bench.session().probe(bench.probe(check)))


def _for_show(protocol: int, body: bytes) -> Way:
    """With every packet that gwa has from a goes one that looks like the tunnel's."""
    return forged("gwa", "lan", lambda packet: header(GWA, GWB, protocol, body))


def _in_clear_too() -> Way:
    """A copy of what goes into the tunnel leaves beside it."""
    return rule("gwa", f"PREROUTING -s {A} -d {B} -j TEE --gateway 198.51.100.1", "mangle")


def _ways_of_esp() -> Iterator[Lie]:
    yield Lie("in clear too", "with the marker in clear", _in_clear_too())
    other = (replace(HIDDEN.see[0], spis=(0x2001,)),)
    yield Lie("of another connection", "not seen: esp", other={"see": other})
    mute = commands("gwb", "ip route replace 10.1.0.0/24 dev lan", "ip route replace 10.1.0.0/24 dev ipsec1")
    yield Lie("nothing comes back", "got filtered", mute)


@pytest.fixture
def esp(wan: Lab) -> Iterator[tuple[Lab, Bench]]:
    tunnel(wan, "aes256-gcm")
    with bench_of(wan) as bench:
        yield wan, bench


@pytest.mark.needs("esp", "xfrm-interface", "iptables")
def test_esp_that_hides_the_probe_passes(esp: tuple[Lab, Bench]) -> None:
    found = _verdict(esp[1], HIDDEN)
    assert found.verdict == "pass", found.reason


@pytest.mark.needs("esp", "xfrm-interface", "iptables")
@pytest.mark.parametrize("lie", list(_ways_of_esp()), ids=lambda lie: lie.name)
def test_esp_that_hides_nothing_does_not_pass(esp: tuple[Lab, Bench], lie: Lie) -> None:
    lab, bench = esp
    with lie.way(lab):
        found = _verdict(bench, replace(HIDDEN, **(lie.other or {})))
    assert (found.verdict, lie.because in found.reason) == (lie.word, True), f"{found.verdict}: {found.reason}"


def _plain(wan: Lab) -> None:
    """No tunnel at all: wan knows both networks."""
    wan.route("wan", "10.1.0.0/24", via=GWA)
    wan.route("wan", "10.2.0.0/24", via=GWB)


@pytest.mark.needs("iptables")
def test_esp_for_show_beside_cleartext_does_not_pass(wan: Lab) -> None:
    _plain(wan)
    show = _for_show(50, (0x1001).to_bytes(4, "big") + secrets.token_bytes(60))
    with bench_of(wan) as bench, show(wan):
        found = _verdict(bench, HIDDEN)
    assert (found.verdict, "with the marker in clear" in found.reason) == ("fail", True), found.reason
    assert "not seen" not in found.reason


@pytest.mark.needs("iptables")
def test_gre_for_show_beside_cleartext_does_not_pass(wan: Lab) -> None:
    """It holds a packet between others: what is looked for inside is not there."""
    _plain(wan)
    show = _for_show(47, b"\0\0\x08\0" + header("10.1.0.9", str(B), 1, b"\x08\0\0\0" + bytes(40)))
    with bench_of(wan) as bench, show(wan):
        found = _verdict(bench, CARRIED)
    assert (found.verdict, "not seen: gre" in found.reason) == ("fail", True), found.reason
    assert f"seen 1 times: icmp to {B}" in found.reason


@pytest.fixture
def gre(wan: Lab) -> Iterator[tuple[Lab, Bench]]:
    near, far = IPv4Address(GWA), IPv4Address(GWB)
    wan.make(Gre("gwa", "gre1", near, far, 1376), Gre("gwb", "gre1", far, near, 1376))
    wan.make(address("gwa", "gre1", "172.16.0.1/30"), address("gwb", "gre1", "172.16.0.2/30"))
    wan.route("gwa", "10.2.0.0/24", device="gre1")
    wan.route("gwb", "10.1.0.0/24", device="gre1")
    with bench_of(wan) as bench:
        yield wan, bench


@pytest.mark.needs("gre")
def test_gre_around_the_probe_passes(gre: tuple[Lab, Bench]) -> None:
    found = _verdict(gre[1], CARRIED)
    assert found.verdict == "pass", found.reason


@pytest.mark.needs("gre", "iptables")
def test_gre_around_another_packet_does_not_pass(gre: tuple[Lab, Bench]) -> None:
    lab, bench = gre
    with rule("gwa", f"POSTROUTING -s {A} -o gre1 -j SNAT --to-source 172.16.0.1", "nat")(lab):
        found = _verdict(bench, CARRIED)
    assert (found.verdict, "not seen: gre" in found.reason) == ("fail", True), found.reason


@pytest.mark.needs("gre", "iptables")
def test_gre_and_cleartext_too_does_not_pass(gre: tuple[Lab, Bench]) -> None:
    lab, bench = gre
    with _in_clear_too()(lab):
        found = _verdict(bench, CARRIED)
    assert (found.verdict, "seen" in found.reason) == ("fail", True), found.reason
