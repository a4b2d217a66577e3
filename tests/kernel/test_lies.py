"""Prove the prover: claims that are false in every way that matters, on a real datapath, and none of them passes.

Each claim is true in the honest lab and passes there, so that no lie is caught for a trivial reason.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import lies_asked as asked
import lies_measured as measured
import lies_told as told
import pytest
from kernel_lab import Lab
from lies_bench import bench_of, verdict
from lies_claims import CLAIMS
from lies_lab import BEHIND, PORT, S, X, build, spare, taps
from lies_told import Lie
from lies_ways import forged, meanwhile, rule, several, spoofed_name

from labctl.claims.expectations import Check, Sight
from labctl.claims.verdicts import judge, settle
from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.probes.actions import perform
from labctl.probes.attempt import Attempt
from labctl.probes.wire import Ping, Tap, Tcp
from labctl.prove.bench import Bench

pytestmark = [pytest.mark.needs("iptables"), pytest.mark.once]

LIES: list[Lie] = [
    *told.another_fate(),
    *told.said_by_another(),
    *told.never_left(),
    *told.beside_a_control(),
    *told.the_wrong_server(),
    *told.the_wrong_way(),
    *told.names(),
    *told.sizes(),
    *told.by_chance(),
    *told.forgeries(),
    *measured.the_web(),
    *measured.traces(),
    *measured.rates(),
    *measured.flows(),
    *asked.connections(),
    *asked.programs(),
    *asked.health(),
    *asked.counts(),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("lies")
    lab = Lab(Paths("lies", run=place / "run", netns=place / "netns"))
    try:
        build(lab)
        yield lab
    finally:
        netns.destroy(lab.paths)


@pytest.fixture(scope="module")
def bench(lab: Lab) -> Iterator[Bench]:
    with bench_of(lab) as bench:
        yield bench


@pytest.mark.parametrize("id", CLAIMS)
def test_a_claim_that_is_true_passes(bench: Bench, id: str) -> None:
    found = verdict(bench, CLAIMS[id])
    assert found.verdict == "pass", found.reason


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: f"{lie.claim}: {lie.name}")
def test_a_lie_does_not_pass(lab: Lab, bench: Bench, lie: Lie) -> None:
    with lie.way(lab):
        found = verdict(bench, lie.check)
    assert (found.verdict, lie.because in found.reason) == (lie.word, True), f"{found.verdict}: {found.reason}"


def test_a_forged_answer_that_does_not_fit_is_no_answer(lab: Lab, bench: Bench) -> None:
    """The honest one comes after it, and is the one that counts."""
    with forged("r", "c", spoofed_name("10.2.0.3", right=False))(lab):
        found = verdict(bench, CLAIMS["dns-ok"])
    assert found.verdict == "pass", found.reason


def test_a_control_that_was_not_run_is_none(bench: Bench) -> None:
    check = CLAIMS["ping-no_route"]
    [found] = settle([judge(check, bench.session().probe(bench.probe(check)))])
    assert (found.verdict, "ping-ok was not run" in found.reason) == ("inconclusive", True), found.reason


@pytest.mark.parametrize(
    ("fake", "because"),
    [("", "the program dig is not on this machine (package bind9-dnsutils)"), ("exit 3", "dig ended with status 3")],
    ids=["missing", "failing"],
)
def test_a_program_that_says_nothing_of_the_name_proves_nothing(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: str, because: str
) -> None:
    if fake:
        (tmp_path / "dig").write_text(f"#!/bin/sh\n{fake}\n")
        (tmp_path / "dig").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with bench_of(lab) as bench:
        for id in ("dig-web", "dig-absent"):
            check = replace(CLAIMS[id], control=())
            found = verdict(bench, check)
            assert (found.verdict, because in found.reason) == ("inconclusive", True), found.reason


WATCHED = {
    "answered": replace(CLAIMS["ping-ok"], silent=(Sight("spare"),), taps=(*CLAIMS["ping-ok"].taps, *taps("spare"))),
    "silent": replace(
        CLAIMS["ping-filtered"],
        silent=(Sight("spare"),),
        taps=(*CLAIMS["ping-filtered"].taps, *taps("spare")),
        timeout_ms=600,
    ),
}
"""Claims that nothing passes a cable."""


@pytest.mark.parametrize("check", WATCHED.values(), ids=WATCHED)
def test_a_cable_that_is_watched_stays_silent(bench: Bench, check: Check) -> None:
    found = verdict(bench, check)
    assert found.verdict == "pass", found.reason


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made anew"])
def test_a_tap_whose_device_goes_away_saw_nothing_of_the_rest(lab: Lab, bench: Bench, again: bool) -> None:
    def pull(lab: Lab) -> None:
        lab.run("w", "ip", "link", "del", "spare")
        if again:
            lab.make(spare(lab))

    bench.session()
    with meanwhile(1.0, pull)(lab):
        found = verdict(bench, replace(WATCHED["silent"], timeout_ms=2500))
    if not again:
        lab.make(spare(lab))
    assert (found.verdict, "spare" in found.reason) == ("inconclusive", True), f"{found.verdict}: {found.reason}"
    assert verdict(bench, WATCHED["silent"]).verdict == "pass"


@pytest.mark.parametrize("place", [("w", "nowhere"), ("nobody", "eth0")])
def test_a_tap_that_cannot_be_saw_nothing(bench: Bench, place: tuple[str, str]) -> None:
    for id in ("ping-ok", "ping-filtered"):
        check = replace(CLAIMS[id], taps=(*CLAIMS[id].taps, Tap("near", *place)))
        found = verdict(bench, check)
        assert (found.verdict, place[1] in found.reason) == ("inconclusive", True), found.reason


@pytest.mark.parametrize("id", ["tcp-filtered", "udp-filtered", "ping-filtered", "dns-filtered", "inject-filtered"])
def test_a_prober_that_is_killed_has_shown_nothing_and_the_next_one_has(lab: Lab, bench: Bench, id: str) -> None:
    check = replace(CLAIMS[id], control=(), timeout_ms=2000)
    pid = bench.session().pid
    with meanwhile(0.5, lambda lab: os.kill(pid, signal.SIGKILL))(lab):
        found = verdict(bench, check)
    assert (found.verdict, "the prober died" in found.reason) == ("inconclusive", True), found.reason
    assert verdict(bench, CLAIMS[id]).verdict == "pass"


@pytest.mark.parametrize("stop_s", [0.0, 0.1, 0.3])
def test_an_answer_that_came_while_the_prober_stood_still_is_no_silence(lab: Lab, bench: Bench, stop_s: float) -> None:
    """It comes after 0.7 s and is read only once the time is up."""
    check, pid = replace(CLAIMS["udp-filtered"], control=(), see=(), silent=(), timeout_ms=1000), bench.session().pid
    late = rule("w", f"PREROUTING -d {BEHIND['filtered']} -p udp -j DNAT --to-destination {X}:82", "nat")
    stop = meanwhile(stop_s, lambda lab: os.kill(pid, signal.SIGSTOP))
    go_on = meanwhile(stop_s + 1.5, lambda lab: os.kill(pid, signal.SIGCONT))
    with several(late, stop, go_on)(lab):
        found = verdict(bench, check)
    assert found.verdict != "pass", found.observed


def test_an_answer_is_looked_for_once_more_when_the_time_is_up(lab: Lab) -> None:
    """As it is for whoever was held up from the first packet to the end of its time."""
    for action in (Ping(S), Tcp(PORT, S)):
        attempt = Attempt(lab.paths.namespace("c"), b"labctl:held-up", 0)
        assert perform(attempt, action).outcome != "filtered", action
