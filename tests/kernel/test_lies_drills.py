"""Prove the drills: claims of what users feel of a fault or a change that are false, and none of them passes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from kernel_lab import Lab
from lies_bench import bench_of
from lies_claims import CLAIMS
from lies_drills import (
    BY_LOWER,
    CHANGE,
    DRILL,
    MIDDLE,
    NOTICED_MS,
    NOWHERE,
    RECORDS,
    Watched,
    changed,
    changing,
    drilled,
)
from lies_lab import PORT, S, build, spare
from lies_ways import Way, answered_by_x, by_lower, doubled, honest, lossy, meanwhile, rule, several

from labctl.claims.expectations import Bounds, Felt, Part, Sight
from labctl.claims.results import StreamVerdict
from labctl.claims.verdicts import Word
from labctl.errors import StateError
from labctl.kernel import keys, netns
from labctl.kernel.paths import Paths
from labctl.plan.faults import Drop
from labctl.plan.objects import Route
from labctl.probes.wire import Tap
from labctl.prove.bench import SETTLE_MS, Bench
from labctl.prove.prover import measured

pytestmark = [pytest.mark.needs("iptables"), pytest.mark.once]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("lies")
    lab = Lab(Paths("liesd", run=place / "run", netns=place / "netns"))
    try:
        build(lab)
        keys.save(lab.paths, {})
        yield lab
    finally:
        netns.destroy(lab.paths)


@pytest.fixture(scope="module")
def bench(lab: Lab) -> Iterator[Bench]:
    with bench_of(lab) as bench:
        bench.session()
        yield bench


@dataclass(frozen=True)
class Lie:
    """The drill, with `other` fields, where `way` is and faults are noticed after `noticed_ms`."""

    name: str
    because: str
    way: Way = honest()
    word: Word = "fail"
    noticed_ms: float | None = NOTICED_MS
    other: dict[str, Any] = field(default_factory=dict)


BLIND: dict[str, Any] = dict.fromkeys(("before", "meanwhile", "after"), DRILL.throughout)
"""No sight that could give the lie away."""

ONE_IN_SIXTY = "-m statistic --mode nth --every 60 --packet 59 -j DROP"


def blocked(rule: str, since_s: float, until_s: float) -> Way:
    """`w` has a rule for a part of the time, in seconds after the fault."""

    def at(seconds: float, how: str) -> Way:
        words = ("iptables", "-w", how, *rule.split())
        return meanwhile(SETTLE_MS / 1000 + seconds, lambda lab: lab.run("w", *words))

    return several(at(since_s, "-I"), at(until_s, "-D"))


def felt(**other: Any) -> dict[str, Any]:
    """Other claims of what is felt, and no sights."""
    return {**BLIND, "bounds": replace(DRILL.bounds, felt=replace(DRILL.bounds.felt, **other))}


def _lies() -> Iterator[Lie]:
    udp, tcp = f"FORWARD -d {S} -p udp", f"FORWARD -d {S} -p tcp"
    yield Lie("never restored", "not restored before the repair", noticed_ms=None, other=felt(tcp_survives=False))
    yield Lie("restored too late", "ms after the fault, bound", noticed_ms=1200, other=BLIND)
    yield Lie("restored before it can be noticed", "sooner than can be", noticed_ms=40, other=BLIND)
    beside = several(by_lower("r"), by_lower("w"))
    yield Lie("the fault is beside the way", "the fault was not felt", beside, "inconclusive", 10_000, BLIND)
    yield Lie("a fifth is lost all the time", "lost before the event", lossy(str(S)), "inconclusive", other=BLIND)
    yield Lie(
        "one in sixty is lost", "lost before the event", rule("w", f"{udp} {ONE_IN_SIXTY}"), "inconclusive", other=BLIND
    )
    standby = rule("w", f"{udp} -i lower -m statistic --mode random --probability 0.2 -j DROP")
    yield Lie("a fifth is lost on the standby link", "restored", standby, other=BLIND)
    yield Lie("each packet arrives twice", "packets arrived twice", doubled(), other=BLIND)
    yield Lie("more is lost", "packets lost, bound 5", other=felt(lost=5))
    yield Lie("a longer gap", "ms without a packet", other=felt(gap_ms=200))
    yield Lie("the way changes", "changes of the path", other=felt(path_changes=1))
    yield Lie("a copy on the standby link", "before: seen", rule("w", f"{udp} -j TEE --gateway 10.4.0.1", "mangle"))
    yield Lie(
        "restored by another link", "meanwhile: not seen", other={"meanwhile": Part(see=(Sight("upper", "gre"),))}
    )
    leak = rule("w", f"{udp} -i lower -j TEE --gateway 10.2.1.2", "mangle")
    spilt = Part(silent=(Sight("aside", dst=S),))
    traffic = replace(DRILL.traffic, taps=(*DRILL.traffic.taps, Tap("aside", "w", "x")))
    yield Lie("a leak during the switch", "throughout: seen", leak, other={"throughout": spilt, "traffic": traffic})
    cut = blocked(f"{tcp} -j REJECT --reject-with tcp-reset", 0.8, 1.3)
    yield Lie("the TCP connection breaks", "the TCP connection did not survive", cut, other=BLIND)
    yield Lie(
        "lost again after the repair", "packets lost after the repair", blocked(f"{udp} -j DROP", 1.8, 2.1), other=BLIND
    )


def _of_drops() -> Iterator[Lie]:
    bounds = replace(DRILL.bounds, restore_ms=None, not_before_ms=None, felt=replace(DRILL.bounds.felt, lost=3))
    claim = {**BLIND, "fault": Drop(MIDDLE, 3, "udp"), "bounds": bounds}
    beside = several(by_lower("r"), by_lower("w"))
    yield Lie("fewer were dropped", "0 packets were dropped instead of 3", beside, "inconclusive", None, claim)
    fewer = {**claim, "bounds": replace(bounds, felt=replace(bounds.felt, lost=2))}
    yield Lie("more were dropped", "packets lost, bound 2", noticed_ms=None, other=fewer)
    also = blocked(f"FORWARD -d {S} -p udp -j DROP", 0.5, 0.6)
    yield Lie("more were lost than dropped", "packets lost, bound 3", also, noticed_ms=None, other=claim)


LIES = [*_lies(), *(pytest.param(lie, marks=pytest.mark.needs("budget")) for lie in _of_drops())]


def test_a_drill_that_is_true_passes(lab: Lab, bench: Bench) -> None:
    bench.breaker = Watched(lab, NOTICED_MS)
    found = measured(lambda: drilled(bench, DRILL))
    assert found.verdict == "pass", found.reason


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.name)
def test_a_drill_that_is_false_does_not_pass(lab: Lab, bench: Bench, lie: Lie) -> None:
    def once() -> StreamVerdict:
        bench.breaker = Watched(lab, lie.noticed_ms)
        with lie.way(lab):
            return drilled(bench, replace(DRILL, **lie.other))

    found = measured(once)
    assert (found.verdict, lie.because in found.reason) == (lie.word, True), f"{found.verdict}: {found.reason}"


def _of_records() -> Iterator[Lie]:
    bounds = RECORDS.bounds
    yield Lie("never restored", "not restored before the repair", noticed_ms=None, other=BLIND)
    soon = {**BLIND, "bounds": replace(bounds, restore_ms=NOTICED_MS)}
    yield Lie("restored too late", "ms after the fault, bound", other=soon)
    beside = several(by_lower("r"), by_lower("w"))
    yield Lie("the fault is beside the way", "the fault was not felt", beside, "inconclusive", 10_000, BLIND)
    gap = {**BLIND, "bounds": replace(bounds, felt=replace(bounds.felt, gap_ms=200))}
    yield Lie("a longer stall", "ms of stall", other=gap)
    earlier = blocked(f"FORWARD -d {S} -p tcp -j DROP", -0.9, -0.4)
    yield Lie("held up before the fault", "held up before the event", earlier, "inconclusive", other=BLIND)
    reset = blocked(f"FORWARD -d {S} -p tcp -j REJECT --reject-with tcp-reset", 0.8, 1.3)
    yield Lie("the connection breaks", "the TCP connection did not survive: Connection reset", reset, other=BLIND)
    closed = {**BLIND, "traffic": replace(RECORDS.traffic, port=9)}
    yield Lie("it never began", "cannot be opened: TCP RST", honest(), "inconclusive", other=closed)
    for name, port, because in (
        ("to no test server", 86, "no labctl test server"),
        ("to a server that says nothing", 85, "no labctl test server"),
        ("the server goes away before", 87, "held up before the event"),
    ):
        way = answered_by_x("tcp", PORT, port)
        yield Lie(name, because, way, "inconclusive", other=BLIND)
    yield Lie("other bytes come out", "bytes were sent and 64 came out", answered_by_x("tcp", PORT, 83), other=BLIND)


def test_a_drill_with_records_that_is_true_passes(lab: Lab, bench: Bench) -> None:
    bench.breaker = Watched(lab, NOTICED_MS)
    found = measured(lambda: drilled(bench, RECORDS))
    assert found.verdict == "pass", found.reason
    assert (found.stream, found.lost, found.way) == ("tcp", 0, {})


@pytest.mark.parametrize("lie", [*_of_records()], ids=lambda lie: lie.name)
def test_a_drill_with_records_that_is_false_does_not_pass(lab: Lab, bench: Bench, lie: Lie) -> None:
    def once() -> StreamVerdict:
        bench.breaker = Watched(lab, lie.noticed_ms)
        with lie.way(lab):
            return drilled(bench, replace(RECORDS, **lie.other))

    found = measured(once)
    assert (found.verdict, lie.because in found.reason) == (lie.word, True), f"{found.verdict}: {found.reason}"


NOT_YET = replace(CLAIMS["ping-no_route"], id="first", control=())


def test_a_drill_is_not_begun_unless_what_comes_first_is_true(lab: Lab, bench: Bench) -> None:
    bench.breaker = Watched(lab, NOTICED_MS)
    false = replace(NOT_YET, action=CLAIMS["ping-ok"].action, see=(), silent=(), path=())
    found = drilled(bench, replace(DRILL, first=(false,)))
    assert (found.verdict, found.lost) == ("inconclusive", None)
    assert found.reason.startswith("it was not begun, first: expected no_route, got ok")


def test_what_is_to_be_true_after_the_repair_and_is_not_fails_the_drill(lab: Lab, bench: Bench) -> None:
    bench.breaker = Watched(lab, NOTICED_MS)
    found = drilled(bench, replace(DRILL, first=(CLAIMS["ping-ok"],), afterwards=(SEEN_BELOW,)))
    assert (found.verdict, "after the repair then: " in found.reason) == ("fail", True), found.reason


def test_a_prober_that_is_killed_during_a_drill_has_shown_nothing(lab: Lab, bench: Bench) -> None:
    bench.breaker, pid = Watched(lab, NOTICED_MS), bench.session().pid
    with meanwhile(1.5, lambda lab: os.kill(pid, signal.SIGKILL))(lab):
        found = drilled(bench, DRILL)
    assert (found.verdict, "the prober died" in found.reason) == ("inconclusive", True), found.reason
    assert drilled(bench, DRILL).verdict == "pass"


def test_a_sender_that_stood_still_has_measured_nothing(lab: Lab, bench: Bench) -> None:
    """It sleeps through the outage, so that hardly anything is lost."""
    bench.breaker, pid = Watched(lab, 1200), bench.session().pid
    stop = meanwhile(1.1, lambda lab: os.kill(pid, signal.SIGSTOP))
    go_on = meanwhile(2.3, lambda lab: os.kill(pid, signal.SIGCONT))
    bounds = Bounds(Felt(lost=50), None, None, "fault", None)
    with several(stop, go_on)(lab):
        found = drilled(bench, replace(DRILL, bounds=bounds, **BLIND))
    assert (found.verdict, "stood still" in found.reason) == ("inconclusive", True), f"{found.lost}: {found.reason}"


def test_a_tap_whose_device_goes_away_saw_nothing_of_the_rest_of_a_drill(lab: Lab, bench: Bench) -> None:
    bench.breaker = Watched(lab, NOTICED_MS)
    with meanwhile(1.5, lambda lab: lab.run("w", "ip", "link", "del", "spare"))(lab):
        found = drilled(bench, DRILL)
    lab.make(spare(lab))
    assert (found.verdict, "spare" in found.reason) == ("inconclusive", True), f"{found.verdict}: {found.reason}"


def test_a_lab_that_does_not_recover_fails_its_drill(lab: Lab) -> None:
    def never(paths: Paths, within_ms: float) -> None:
        raise StateError("after 15 s still not up: path t1 of gw")

    with bench_of(lab, never) as bench:
        bench.breaker = Watched(lab, NOTICED_MS)
        found = drilled(bench, DRILL)
    assert (found.verdict, "did not recover: after 15 s" in found.reason) == ("fail", True), found.reason


SEEN_BELOW = replace(
    CLAIMS["ping-ok"], id="then", see=(Sight("lower", "icmp", dst=S),), silent=(Sight("upper", dst=S),), timeout_ms=400
)
THEN = replace(CHANGE, then=(SEEN_BELOW,))


def _by_lower_after(seconds: float) -> Way:
    """What the change is to bring comes so long after it, from somebody else."""
    route = ("10.2.0.0/24", "via", "10.4.0.2")
    since = meanwhile(SETTLE_MS / 1000 + seconds, lambda lab: lab.run("r", "ip", "route", "add", *route))
    return several(since, meanwhile(SETTLE_MS / 1000 + 2, lambda lab: lab.run("r", "ip", "route", "del", *route)))


@dataclass(frozen=True)
class Untrue:
    """The change, with `other` fields, where `way` is and it makes `objects`."""

    name: str
    because: str
    way: Way = honest()
    word: Word = "fail"
    objects: tuple[Route, ...] = (BY_LOWER,)
    other: dict[str, Any] = field(default_factory=dict)


UNTRUE = [
    Untrue("nothing gets through", "packets lost, bound 0", objects=(NOWHERE,), other={"changed": Part(), "then": ()}),
    Untrue("what is promised stays untrue", "after the change then: not seen", objects=()),
    Untrue("too late", "ms after the change, bound 250 ms", _by_lower_after(0.35), objects=(), other={"reach_ms": 250}),
    Untrue("the way changes once more", "changes of the path, bound 1", other={"felt": Felt(path_changes=1)}),
    Untrue("a fifth is lost all the time", "lost before the event", lossy(str(S)), "inconclusive"),
    Untrue("each packet arrives twice", "packets arrived twice", doubled(), other={"then": ()}),
    Untrue(
        "it loses a little",
        "packets lost, bound 0",
        rule("w", f"FORWARD -i lower -d {S} -p udp {ONE_IN_SIXTY}"),
    ),
    Untrue("nothing is changed", "changed: not seen", objects=(), other={"then": ()}),
]


def test_a_change_that_is_true_passes(bench: Bench) -> None:
    with changing(bench, BY_LOWER):
        found = changed(bench, THEN)
    assert found.verdict == "pass", found.reason


@pytest.mark.parametrize("lie", UNTRUE, ids=lambda lie: lie.name)
def test_a_change_that_is_false_does_not_pass(lab: Lab, bench: Bench, lie: Untrue) -> None:
    with changing(bench, *lie.objects), lie.way(lab):
        found = changed(bench, replace(THEN, **lie.other))
    assert (found.verdict, lie.because in found.reason) == (lie.word, True), f"{found.verdict}: {found.reason}"
