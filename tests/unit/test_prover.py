"""What is to be proved when a few are named, and what is carried out again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from report_lab import checks

from labctl.claims.expectations import Check, Expected
from labctl.claims.results import StreamVerdict
from labctl.describe import Described, describe
from labctl.errors import UsageError
from labctl.probes.wire import Reply
from labctl.prove.bench import Bench, now_ms
from labctl.prove.changing import meanwhile
from labctl.prove.prover import ATTEMPTS, chosen, measured

TOPOLOGIES = Path(__file__).parents[2] / "topologies"


@pytest.fixture(scope="module")
def vpn() -> Described:
    file = TOPOLOGIES / "vpn-dc-failover.yaml"
    return describe(file.read_bytes(), file.name)


def test_without_a_name_everything_is_proved_in_the_order_written(vpn: Described) -> None:
    found = chosen(vpn, [])
    assert (found.checks, found.drills, found.changes) == (vpn.checks, vpn.drills, vpn.changes)
    assert found.ids == [each.id for part in (vpn.checks, vpn.drills, vpn.changes) for each in part]


def test_a_named_check_brings_its_controls_and_theirs(vpn: Described) -> None:
    assert chosen(vpn, ["P3"]).ids == ["P1", "P3", "N2", "N2-control"]


def test_a_named_drill_or_change_comes_alone(vpn: Described) -> None:
    assert chosen(vpn, ["C1", "D2"]).ids == ["D2", "C1"]


def test_a_change_brings_the_controls_of_its_own_checks() -> None:
    file = TOPOLOGIES / "vpe-subnet.yaml"
    lab = describe(file.read_bytes(), file.name)
    [change] = [each for each in lab.changes if each.id == "C1"]
    controls = {word for check in (*change.first, *change.then, *change.afterwards) for word in check.control}
    ids = chosen(lab, ["C1"]).ids
    assert ids[-1] == "C1"
    assert controls and controls & {check.id for check in lab.checks} <= set(ids)
    assert "N3" not in ids


def test_what_the_lab_does_not_have_is_refused_with_what_it_has(vpn: Described) -> None:
    with pytest.raises(UsageError, match="no check, drill or change D99") as refusal:
        chosen(vpn, ["P1", "D99"])
    assert "D7, C1" in refusal.value.hint


def outcomes(*spoiled: bool) -> list[StreamVerdict]:
    return [StreamVerdict("D1", "", "drill", "", "inconclusive", spoiled=each) for each in spoiled]


def test_what_a_busy_machine_spoiled_is_carried_out_again() -> None:
    waiting = outcomes(True, True, False)
    found = measured(lambda: waiting.pop(0))
    assert (found.spoiled, found.attempts, waiting) == (False, 3, [])


def test_a_machine_that_is_always_busy_ends_it() -> None:
    waiting = outcomes(*[True] * 9)
    found = measured(lambda: waiting.pop(0))
    assert (found.spoiled, found.attempts, len(waiting)) == (True, ATTEMPTS, 9 - ATTEMPTS)


@pytest.mark.parametrize("word", ["pass", "fail", "inconclusive"])
def test_what_the_lab_did_is_never_given_another_try(word: str) -> None:
    waiting = [StreamVerdict("D1", "", "drill", "", word) for _ in range(3)]  # type: ignore[arg-type]
    assert (measured(lambda: waiting.pop(0)).attempts, len(waiting)) == (1, 2)


class Answering:
    """A session in which every check finds at its third probe what it asks for; when each was probed."""

    def __init__(self) -> None:
        self.tried: dict[str, list[float]] = {}

    def probe(self, check: Check) -> Reply:
        tries = self.tried.setdefault(check.id, [])
        tries.append(now_ms())
        return Reply("ok" if len(tries) > 2 else "refused", ready=True, sent=1)


class Asking:
    """A bench in which the probe of a check is the check itself."""

    def __init__(self) -> None:
        self.answering = Answering()

    def session(self) -> Answering:
        return self.answering

    def probe(self, check: Check) -> Check:
        return check


def test_a_check_beside_an_event_began_with_the_probe_by_which_it_came_true() -> None:
    bench = Asking()
    check = replace(checks()[0], see=(), silent=(), path=(), expected=Expected("ok"))
    event = now_ms() - 500
    found = meanwhile(cast("Bench", bench), (check, replace(check, id="P2")), event, now_ms() + 60_000)
    assert [each.verdict for each in found] == ["pass", "pass"]
    for verdict in found:
        *_, failed, passed = (at - event for at in bench.answering.tried[verdict.id])
        assert 500 <= failed < (verdict.began_ms or 0.0) <= passed
