from __future__ import annotations

import json
from dataclasses import fields, replace
from importlib.resources import files
from typing import Literal

import pytest

from labctl.claims.results import Course, Event, Results, StreamVerdict
from labctl.claims.verdicts import Verdict, Word
from labctl.probes.wire import Flow, TcpReport, Way
from labctl.report.data import check_data, flow_data, results_data, stream_data
from labctl.report.felt import numbers
from labctl.report.text import (
    CHANGES,
    DRILLS,
    MUST_NOT,
    REVISED,
    WORKS,
    Groups,
    check_lines,
    drill_lines,
    summary,
    ways,
)
from labctl.report.words import amount


def results(*words: Word, drills: tuple[Word, ...] = (), time_scale: int = 1) -> Results:
    return Results(
        lab="x",
        where="host",
        time_scale=time_scale,
        checks=tuple(Verdict(f"P{i}", "", word, "e", "o") for i, word in enumerate(words)),
        drills=tuple(StreamVerdict(f"D{i}", "", "drill", "what", word) for i, word in enumerate(drills)),
        changes=(),
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
    assert summary(found) == "fail: lab x on host: 2 pass, 1 fail (P2), 1 inconclusive (D0); up 1.2 s"


def test_the_summary_of_nothing_says_so() -> None:
    assert summary(results()) == "inconclusive: lab x on host: no checks; up 1.2 s"


def test_the_summary_tells_that_time_was_stretched() -> None:
    assert summary(results("pass", time_scale=8)).endswith("; up 1.2 s, time x 8")


def test_the_summary_tells_that_the_lab_was_left() -> None:
    assert summary(replace(results("fail"), left=True)).endswith("; up 1.2 s, left as it stood")


def test_a_check_that_passed_is_one_line_and_another_says_why() -> None:
    assert len(list(check_lines(Verdict("P1", "claim", "pass", "e", "o")))) == 1
    lines = list(check_lines(Verdict("P1", "claim", "fail", "this", "that", "because")))
    assert [line.split()[-1] for line in lines] == ["claim", "this", "that", "because"]


def test_a_check_without_a_claim_shows_what_it_expected() -> None:
    [line] = check_lines(Verdict("P1", "", "pass", "ok, from server web", "o"))
    assert line.endswith("ok, from server web")


def test_a_drill_that_measured_nothing_shows_no_numbers() -> None:
    assert [
        line.split() for line in drill_lines(StreamVerdict("D1", "claim", "drill", "fault", "inconclusive", "died"))
    ] == [
        ["inconclusive", "D1", "claim"],
        ["event", "fault"],
        ["reason", "died"],
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
    data = stream_data(StreamVerdict("D1", "", "drill", "fault", "inconclusive", "died"))
    assert [data[key] for key in ("lost", "longest_gap_ms", "restored_ms", "failback_lost")] == [None] * 4


def test_results_are_one_json_object_with_the_promised_keys() -> None:
    data = json.loads(json.dumps(results_data(results("pass", drills=("fail",)))))
    assert {"lab", "where", "verdict", "checks", "drills", "seconds"} <= set(data)
    assert {"id", "verdict", "expected", "observed", "reason"} <= set(data["checks"][0])
    assert {"id", "verdict", "lost", "longest_gap_ms", "restored_ms"} <= set(data["drills"][0])


def grouped(*verdicts: Verdict | StreamVerdict) -> list[str]:
    groups = Groups()
    return [groups.heading(each) for each in verdicts]


def claim(name: str, *control: str, negative: bool = False) -> Verdict:
    return Verdict(name, "", "pass", "e", "o", control=control, negative=negative)


def test_a_heading_is_told_when_the_group_changes() -> None:
    drill = StreamVerdict("D1", "", "drill", "what", "pass")
    found = grouped(
        claim("P1"), claim("P2"), claim("N1", "P1", negative=True), drill, drill, replace(drill, kind="change")
    )
    assert found == [WORKS, "", MUST_NOT, DRILLS, "", CHANGES]


def test_the_control_of_a_negative_stays_beside_it() -> None:
    one, two = claim("N1", "N1-control", negative=True), claim("N2", "P1", "N2-control", negative=True)
    found = grouped(claim("P1"), one, claim("N1-control"), two, claim("N2-control"), claim("P9"))
    assert found == [WORKS, MUST_NOT, "", "", "", WORKS]


def test_a_verdict_told_again_is_told_as_revised() -> None:
    first = claim("P1")
    assert grouped(first, claim("P2"), replace(first, verdict="inconclusive"), claim("P2")) == [WORKS, "", REVISED, ""]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_are_folded_below_their_column(width: int) -> None:
    long = Verdict("P1", "word " * 40, "fail", "this " * 30, "that", "x" * 200, number="12 ms")
    lines = list(check_lines(long, width))
    assert max(map(len, lines)) <= width
    [column] = {line.index("word") for line in lines if "word" in line}
    assert column == (41 if width > 70 else 13)


def test_the_numbers_of_checks_end_in_one_column_whatever_their_names() -> None:
    names = ("P1", "P2-control", "a-name-of-thirty-two-characters-")
    ends = set()
    for name, number in zip(names, ("171 ms", "9.4 Mbit/s", "mtu 1300"), strict=True):
        lines = list(check_lines(Verdict(name, "claim", "pass", "e", "o", number=number)))
        ends.add((lines[-1].index(number) + len(number), lines[-1].index("claim")))
    assert len(ends) == 1


def test_no_text_can_steer_a_terminal_or_break_its_line() -> None:
    lines = list(check_lines(Verdict("P1", "a\nb\x1b[2Jc\x9b", "fail", "e", "o", "r\r")))
    assert lines[0].endswith("a b\ufffd[2Jc\ufffd")
    assert not any(ord(each) < 32 for line in lines for each in line)


def test_parts_that_went_the_same_way_are_told_together() -> None:
    stream = StreamVerdict(
        "D1", "", "drill", "", "pass", way={"before": "a > b", "meanwhile": "a > c", "after": "a > b"}
    )
    assert ways(stream) == "before, after: a > b; meanwhile: a > c"


def test_a_stream_tells_only_what_it_measured() -> None:
    stream = StreamVerdict("D1", "", "drill", "", "pass", sent=10, lost=0, longest_gap_ms=10.0, restored_ms=0.0)
    assert numbers(stream) == "lost 0 of 10; longest gap 10 ms; TCP not tried"
    assert "lost 1 of 10; longest gap 10 ms; restored 12 ms;" in numbers(replace(stream, lost=1, restored_ms=12.0))
    assert numbers(replace(stream, restored_ms=None, reordered=2, duplicated=1, failback_lost=3)) == (
        "lost 0 of 10; longest gap 10 ms; not restored; lost after the repair 3; twice 1; reordered 2; TCP not tried"
    )


def test_a_virtual_network_of_zero_is_told() -> None:
    assert flow_data(Flow("t", "n", "d", "geneve", "a", "b", vni=0))["vni"] == 0


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (64, "64 B"), (999, "999 B"), (1000, "1 kB"), (812_345, "812 kB"), (999_600, "1 MB"),
    (1_050_000, "1.05 MB"), (10_000_000, "10 MB")],
)  # fmt: skip
def test_amounts_have_three_digits(count: float, words: str) -> None:
    assert amount(count) == words


def names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def test_nothing_that_a_verdict_holds_is_left_out_of_the_data() -> None:
    course = Course((0.0,), (1.0,), (Event(0.0, "what"),), (Way(0, 0, 1, ("a/b",)),))
    tcp = TcpReport(1, 1, True, 0.0)
    data = stream_data(StreamVerdict("D1", "", "drill", "", "pass", tcp=tcp, course=course))
    assert set(check_data(Verdict("P1", "", "pass", "e", "o"))) == names(Verdict)
    assert set(data) == names(StreamVerdict)
    assert set(data["tcp"]) == names(TcpReport)
    assert set(data["course"]) == names(Course)
    assert set(data["course"]["events"][0]) == names(Event)
    assert set(data["course"]["ways"][0]) == names(Way)
    assert set(results_data(results())) == names(Results) | {"version", "verdict", "exit_code"}


def test_the_schema_knows_every_field_of_a_flow() -> None:
    schema = json.loads(files("labctl.report").joinpath("results.schema.json").read_text())
    assert set(schema["$defs"]["flow"]["properties"]) == names(Flow)
