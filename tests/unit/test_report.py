from __future__ import annotations

import json
from typing import Literal

import pytest

from labctl.description.faults import Fault, Mark
from labctl.probes.drills import DrillVerdict
from labctl.probes.results import Results
from labctl.probes.verdicts import Verdict, Word
from labctl.probes.wire import Flow
from labctl.report.data import check_data, drill_data, fault_data, flow_data, results_data
from labctl.report.text import check_lines, drill_lines, fault_lines, summary


def results(*words: Word, drills: tuple[Word, ...] = (), time_scale: int = 1) -> Results:
    return Results(
        lab="x",
        where="host",
        time_scale=time_scale,
        checks=tuple(Verdict(f"P{i}", "", word, "e", "o") for i, word in enumerate(words)),
        drills=tuple(DrillVerdict(f"D{i}", "", word) for i, word in enumerate(drills)),
        seconds={"up": 1.25},
    )


@pytest.mark.parametrize(
    ("checks", "drills", "verdict", "code"),
    [
        (("pass", "pass"), ("pass",), "pass", 0),
        (("pass", "fail"), (), "fail", 1),
        (("pass",), ("fail",), "fail", 1),
        (("inconclusive", "fail"), (), "fail", 1),
        (("pass", "inconclusive"), (), "inconclusive", 4),
        (("pass",), ("inconclusive",), "inconclusive", 4),
        ((), (), "inconclusive", 4),
        ((), ("pass",), "pass", 0),
    ],
)
def test_a_run_passes_only_if_all_of_it_did(
    checks: tuple[Word, ...], drills: tuple[Word, ...], verdict: str, code: Literal[0, 1, 4]
) -> None:
    found = results(*checks, drills=drills)
    assert (found.verdict, found.exit_code) == (verdict, code)


def test_the_summary_counts_each_verdict_once() -> None:
    found = results("pass", "pass", "fail", drills=("inconclusive",))
    assert summary(found) == "fail: lab x on host: 2 pass, 1 fail, 1 inconclusive (up 1.2 s)"


def test_the_summary_of_nothing_says_so() -> None:
    assert summary(results()) == "inconclusive: lab x on host: no checks (up 1.2 s)"


def test_the_summary_tells_that_time_was_stretched() -> None:
    assert summary(results("pass", time_scale=8)).endswith("(up 1.2 s, time x 8)")


def test_a_check_that_passed_is_one_line_and_another_says_why() -> None:
    assert len(list(check_lines(Verdict("P1", "claim", "pass", "e", "o")))) == 1
    lines = list(check_lines(Verdict("P1", "claim", "fail", "this", "that", "because")))
    assert [line.split()[-1] for line in lines] == ["claim", "this", "that", "because"]


def test_a_check_without_a_claim_shows_what_it_expected() -> None:
    [line] = check_lines(Verdict("P1", "", "pass", "ok, from server web", "o"))
    assert line.endswith("ok, from server web")


def test_a_drill_that_measured_nothing_shows_no_numbers() -> None:
    assert list(drill_lines(DrillVerdict("D1", "claim", "inconclusive", "died"))) == [
        "inconclusive D1           claim",
        "             reason:   died",
    ]


def test_a_flow_leaves_out_what_it_has_not() -> None:
    assert flow_data(Flow("t", "n", "d", "esp", "a", "b", spi=5, packets=1)) == {
        "tap": "t", "namespace": "n", "device": "d", "proto": "esp", "src": "a", "dst": "b", "spi": 5, "packets": 1,
    }  # fmt: skip


def test_the_packet_inside_is_written_as_a_flow() -> None:
    inner = Flow("", "", "", "tcp", "c", "d", dport=22)
    assert flow_data(Flow("t", "n", "d", "gre", "a", "b", inner=inner))["inner"] == {
        "proto": "tcp", "src": "c", "dst": "d", "dport": 22,
    }  # fmt: skip


def test_flows_come_in_the_order_in_which_they_were_first_seen() -> None:
    flows = tuple(Flow(f"t{at}", "", "", "tcp", "", "", first_ms=at) for at in (3.0, 1.0, 2.0))
    data = check_data(Verdict("P1", "", "pass", "e", "o", flows=flows))
    assert [flow["tap"] for flow in data["flows"]] == ["t1.0", "t2.0", "t3.0"]


def test_a_drill_without_numbers_has_none_and_not_nought() -> None:
    data = drill_data(DrillVerdict("D1", "", "inconclusive", "died"))
    assert [data[key] for key in ("lost", "longest_gap_ms", "restored_ms", "failback_lost")] == [None] * 4


def test_results_are_one_json_object_with_the_promised_keys() -> None:
    data = json.loads(json.dumps(results_data(results("pass", drills=("fail",)))))
    assert {"lab", "where", "verdict", "checks", "drills", "seconds"} <= set(data)
    assert {"id", "verdict", "expected", "observed", "reason"} <= set(data["checks"][0])
    assert {"id", "verdict", "lost", "longest_gap_ms", "restored_ms"} <= set(data["drills"][0])


def test_a_fault_is_told_to_people_and_to_programs() -> None:
    fault = Fault("x.yaml", Mark(3, 5), "lab", "A", "is wrong", "do so")
    assert list(fault_lines((fault, "no fault"))) == ["x.yaml:3:5: lab `A`: is wrong (do so)"]
    assert fault_data(fault) == {
        "file": "x.yaml", "line": 3, "column": 5, "path": "lab", "value": "A", "rule": "is wrong", "hint": "do so",
    }  # fmt: skip
