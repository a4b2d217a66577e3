from __future__ import annotations

from dataclasses import replace
from xml.etree.ElementTree import Element, fromstring

from hypothesis import given
from hypothesis import strategies as st
from report_lab import FLOWS, check_verdicts, results

from labctl.claims.results import Results
from labctl.claims.verdicts import Verdict
from labctl.report.junit import MOST_PACKETS, to_junit


def parsed(found: Results) -> Element:
    return fromstring(to_junit(found).encode())


def only(*checks: Verdict) -> Results:
    return replace(results(), checks=checks, drills=(), changes=())


def test_each_group_is_a_suite_and_counts_what_is_in_it() -> None:
    root = parsed(results())
    counts = ("tests", "failures", "errors", "skipped")
    assert root.tag == "testsuites"
    assert [root.get(key) for key in counts] == ["5", "2", "1", "0"]
    assert [[suite.get(key) for key in ("name", *counts)] for suite in root] == [
        ["vpn.checks", "3", "1", "1", "0"],
        ["vpn.drills", "1", "0", "0", "0"],
        ["vpn.changes", "1", "1", "0", "0"],
    ]
    for suite in root:
        assert len(suite.findall("testcase")) == int(suite.get("tests", ""))
        assert len(suite.findall("testcase/failure")) == int(suite.get("failures", ""))
        assert len(suite.findall("testcase/error")) == int(suite.get("errors", ""))


def test_times_add_up() -> None:
    root = parsed(results())
    cases = [float(case.get("time", "")) for case in root.iter("testcase")]
    assert cases == [0.171, 0.013, 0.0, 3.99, 3.99]
    assert [round(float(suite.get("time", "")), 2) for suite in root] == [0.18, 3.99, 3.99]


def test_a_failure_says_why_and_where_the_evidence_is() -> None:
    case = parsed(results())[0][2]
    assert (case.get("name"), case.get("classname")) == (
        "N1: what comes from the Internet in clear is dropped at the gateway",
        "vpn.checks",
    )
    failure = case.find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("fail", "expected filtered, got prohibited")
    lines = (failure.text or "").splitlines()
    assert {"expected: filtered", "observed: prohibited, by 198.51.100.10"} <= set(lines)
    assert "evidence: /run/evidence/vpn/1/N1" in lines
    assert lines[-1].startswith("  +0.0 ms isp1 (isp1/gw): ICMP prohibited 198.51.100.10 → 198.51.100.66 about (TCP")


def test_what_is_inconclusive_is_an_error_and_never_a_pass() -> None:
    error = parsed(results())[0][3].find("error")
    assert error is not None
    assert (error.get("type"), error.get("message")) == ("inconclusive", "it died")


def test_what_passed_has_its_numbers_and_nothing_else() -> None:
    case = parsed(results())[0][1]
    assert [child.tag for child in case] == ["system-out"]
    assert "number: 171 ms" in (case.findtext("system-out") or "")


def test_a_drill_tells_its_numbers_and_its_ways() -> None:
    out = parsed(results())[1].findtext("testcase/system-out") or ""
    assert "numbers: lost 62 of 400; longest gap 635 ms; restored 623 ms; TCP intact, longest stall 812 ms" in out
    assert "way: before, after: dc-host > cgw (t1) > gw > server; meanwhile: dc-host > cgw (t2)" in out


def test_the_suite_knows_the_lab_and_the_kernel() -> None:
    found = {each.get("name"): each.get("value") for each in parsed(results())[0].iter("property")}
    assert found == {"lab": "vpn", "where": "uml", "time scale": "1"}


def test_a_timestamp_is_there_when_it_was_given() -> None:
    assert 'timestamp="2025-11-21T12:51:00"' in to_junit(results(), "2025-11-21T12:51:00")
    assert "timestamp" not in to_junit(results())


def test_a_group_of_nothing_is_left_out() -> None:
    assert [suite.get("name") for suite in parsed(only(*check_verdicts()))] == ["vpn.checks"]
    assert (len(parsed(only())), parsed(only()).get("tests")) == (0, "0")


def test_more_packets_than_a_reader_bears_are_counted() -> None:
    flows = tuple(replace(FLOWS[0], dport=i + 1) for i in range(MOST_PACKETS + 5))
    failed = replace(check_verdicts()[1], flows=flows)
    text = parsed(only(failed)).findtext("testsuite/testcase/failure") or ""
    assert text.splitlines()[-1] == "  and 5 more kinds of packets"


@given(st.text(st.characters(codec=None, categories=None), max_size=40))
def test_whatever_is_in_the_texts_the_xml_can_be_read(text: str) -> None:
    verdict = replace(check_verdicts()[1], about=text, reason=text, observed=text, evidence=text)
    root = parsed(only(verdict))
    [case] = root.iter("testcase")
    assert [child.tag for child in case] == ["failure", "system-out"]
    assert len(list(root.iter())) == 1 + 1 + 4 + 3
