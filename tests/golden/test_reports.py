"""What a run's results look like, to people and to programs: results.txt, .json, .xml, timeline.svg beside this file.

After a deliberate change: LABCTL_GOLDEN=write pytest tests/golden, and read the difference.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from labctl.claims.results import Course, Event, Results, StreamVerdict
from labctl.claims.verdicts import Verdict
from labctl.probes.wire import Flow, TcpReport, Way
from labctl.report.bounds import Window
from labctl.report.data import results_data
from labctl.report.junit import to_junit
from labctl.report.markup import written
from labctl.report.text import Groups, check_lines, drill_lines, summary
from labctl.report.timeline import timeline

HERE = Path(__file__).parent

INNER = Flow("", "", "", "tcp", "172.20.10.10", "192.168.50.10", sport=40000, dport=22)
COUNTED = Flow("", "", "", "", "", "", packets=9, data=1200, longest=160, hop_limit=64, first_ms=12.5, last_ms=40.25)
ESP = replace(
    COUNTED, tap="inet", namespace="inet.0", device="cpe", proto="esp", src="203.0.113.2", dst="198.51.100.2", spi=4098
)
GRE = replace(
    COUNTED, tap="dl", namespace="dl", device="classic", proto="gre", src="10.148.252.83", dst="172.16.3.1", inner=INNER
)
MARKED_GRE = replace(GRE, marked=9, first_ms=11.5, first_marked_ms=12.0)
GENEVE = replace(
    GRE, tap="lb", namespace="lb", device="gw", proto="udp", src="10.0.0.1", dst="10.0.0.2", dport=6081, vni=0
)
QUOTE = replace(COUNTED, tap="inet", proto="icmp", src="198.51.100.2", dst="10.0.0.1", icmp="3/13", inner=INNER)

KEPT = "/var/lib/labctl/evidence/pvs/3"
CHECKS = (
    Verdict(
        id="P1",
        about="it is reached",
        verdict="pass",
        expected="ok, from server s",
        observed="ok, from server s",
        elapsed_ms=12.34,
        number="12 ms",
        flows=(ESP, MARKED_GRE, GENEVE),
    ),
    Verdict(
        id="N1",
        about="",
        verdict="fail",
        expected="no_route, by vra",
        observed="filtered",
        reason="expected no_route, got filtered",
        control=("P1",),
        elapsed_ms=1000.4,
        number="1000 ms",
        flows=(QUOTE,),
        negative=True,
        evidence=f"{KEPT}/N1",
    ),
    Verdict(
        id="a-name-of-thirty-two-characters-",
        about="what a claim says may be long: longer than a line of a terminal, so that it has to be folded somewhere",
        verdict="inconclusive",
        expected="filtered",
        observed="filtered",
        reason="proves nothing without its control: P9 did not pass",
        control=("P9",),
        negative=True,
    ),
    Verdict("N3", "a dead prober", "inconclusive", "refused", "nothing", "the prober died", ("P1",), negative=True),
)

WHAT = "link_down of isp1"
PLACES = ("a/lan", "gw/{}", "far/{}", "b/lan")
COURSE = Course(
    sent_ms=tuple(i * 50.0 for i in range(24)),
    arrived_ms=tuple(None if 8 <= i < 12 else i * 50.0 + (5 if i < 12 else 9) for i in range(24)),
    events=(Event(398.0, WHAT), Event(600.0, "restored"), Event(900.0, "repair")),
    ways=(
        Way(0, 7, 8, tuple(place.format("t1") for place in PLACES)),
        Way(12, 23, 12, tuple(place.format("t2") for place in PLACES)),
    ),
)
DRILL = StreamVerdict(
    id="D1",
    about="the link goes down",
    kind="drill",
    what=WHAT,
    verdict="pass",
    rate=20,
    sent=24,
    lost=4,
    duplicated=0,
    reordered=1,
    failback_lost=0,
    longest_gap_ms=254.0,
    restored_ms=202.0,
    loss_derived_ms=200.0,
    path_changes=1,
    tcp=TcpReport(40_000, 40_000, True, 210.0),
    way={"before": "a > gw (t1) > b", "meanwhile": "a > gw (t2) > b", "after": "a > gw (t2) > b"},
    parts={"before": (ESP,), "switching": (), "meanwhile": (), "repairing": (), "after": (GRE,)},
    course=COURSE,
)
BROKEN = TcpReport(40_000, 20_000, False, 2100.0, "connection reset")
CHANGE = replace(
    DRILL,
    id="C1",
    about="the weights are swapped",
    kind="change",
    what="set t1.weight: 0",
    verdict="fail",
    reason="the TCP connection did not survive: connection reset",
    failback_lost=None,
    restored_ms=None,
    reach_ms=140.0,
    tcp=BROKEN,
    course=None,
    first=(replace(CHECKS[0], id="T0", flows=()),),
    then=(replace(CHECKS[0], id="T1", flows=()),),
    afterwards=(replace(CHECKS[0], id="T2", flows=()),),
    evidence=f"{KEPT}/C1",
)
RESULTS = Results(
    lab="pvs",
    where="uml",
    time_scale=2,
    checks=CHECKS,
    drills=(DRILL, StreamVerdict("D2", "it did not run", "drill", WHAT, "inconclusive", "the prober died")),
    changes=(CHANGE,),
    seconds={"up": 0.412, "verify": 8.05, "down": 0.03},
)


def compare(found: str, golden: Path) -> None:
    if os.environ.get("LABCTL_GOLDEN") == "write":
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.parametrize("width", [0, 100])
def test_results_look_like_this_to_people(width: int) -> None:
    groups, lines = Groups(), []
    settled = replace(CHECKS[0], verdict="inconclusive", reason="proves nothing without its control: N1 did not pass")
    for check in (*CHECKS, settled):
        lines += [groups.heading(check), *check_lines(check, width)]
    for stream in (*RESULTS.drills, *RESULTS.changes):
        lines += [groups.heading(stream), *drill_lines(stream, width)]
    text = "".join(f"{line}\n" for line in [*(line for line in lines if line), summary(RESULTS)])
    compare(text, HERE / f"results{'-narrow' if width else ''}.txt")
    assert not width or max(map(len, text.splitlines()[:-1])) <= width


def test_results_look_like_this_to_programs() -> None:
    compare(json.dumps(results_data(RESULTS), indent=1) + "\n", HERE / "results.json")


def test_results_look_like_this_to_a_ci_server() -> None:
    compare(to_junit(RESULTS, "2025-11-21T12:51:00"), HERE / "results.xml")


def test_a_stream_looks_like_this_against_time() -> None:
    windows = [Window(398, 498, "early", "not before 100 ms"), Window(498, 798, "allowed", "whole within 400 ms")]
    drawn = timeline(DRILL, windows)
    assert drawn is not None
    compare(written(drawn, "xml").replace("><", ">\n<") + "\n", HERE / "timeline.svg")


def schema() -> Draft202012Validator:
    text = files("labctl.report").joinpath("results.schema.json").read_text()
    Draft202012Validator.check_schema(json.loads(text))
    return Draft202012Validator(json.loads(text))


def test_the_results_are_as_their_shipped_schema_says() -> None:
    schema().validate(json.loads((HERE / "results.json").read_text()))


def spoil(data: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    found: Any = data
    for step in path[:-1]:
        found = found[step]
    found[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("verdict",), "passed"),
        (("more",), 1),
        (("checks", 0, "more"), 1),
        (("checks", 0, "flows", 0, "sport"), 70000),
        (("checks", 0, "flows", 0, "inner", "more"), 1),
        (("drills", 0, "lost"), "4"),
        (("drills", 0, "tcp", "more"), 1),
        (("drills", 0, "course", "events", 0, "more"), 1),
        (("drills", 0, "course", "arrived_ms", 0), "never"),
        (("changes", 0, "then", 0, "verdict"), None),
    ],
)
def test_the_schema_refuses_what_is_not_so(path: tuple[str | int, ...], value: object) -> None:
    data = spoil(json.loads((HERE / "results.json").read_text()), path, value)
    with pytest.raises(ValidationError):
        schema().validate(data)
