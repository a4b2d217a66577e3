"""Results as JUnit XML, in the dialect that Jenkins, GitLab and GitHub readers share.

What failed is a `failure`, what proves nothing an `error` of type inconclusive: neither is ever a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, indent

from labctl.claims.results import Results, StreamVerdict
from labctl.claims.verdicts import Verdict
from labctl.probes.wire import Flow
from labctl.report.felt import numbers
from labctl.report.markup import tag, written
from labctl.report.text import ways
from labctl.report.words import counted, milliseconds, packet, streamed

MOST_PACKETS = 100
"""Kinds of packets told of one check: readers keep all of it in memory, and cut long texts themselves."""

ELEMENTS = {"fail": "failure", "inconclusive": "error"}


def to_junit(results: Results, when: str = "") -> str:
    """The XML text. `when` is the run's beginning, ISO 8601, "" where it is not to be told."""
    groups: dict[str, Sequence[Verdict | StreamVerdict]] = {
        "checks": results.checks,
        "drills": results.drills,
        "changes": results.changes,
    }
    suites = [_suite(name, verdicts, results, when) for name, verdicts in groups.items() if verdicts]
    every = [each for verdicts in groups.values() for each in verdicts]
    root = tag("testsuites", *suites, name=results.lab, **_counts(every))
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{written(root, "xml")}\n'


def _suite(name: str, verdicts: Sequence[Verdict | StreamVerdict], results: Results, when: str) -> Element:
    facts = (("lab", results.lab), ("where", results.where), ("time scale", results.time_scale))
    properties = tag("properties", *(tag("property", name=key, value=value) for key, value in facts))
    cases = [_case(each, f"{results.lab}.{name}") for each in verdicts]
    attributes = {"name": f"{results.lab}.{name}", "timestamp": when or None, **_counts(verdicts)}
    return tag("testsuite", properties, *cases, **attributes)


def _counts(verdicts: Iterable[Verdict | StreamVerdict]) -> dict[str, object]:
    every = list(verdicts)
    words = [each.verdict for each in every]
    return {
        "tests": len(every),
        "failures": words.count("fail"),
        "errors": words.count("inconclusive"),
        "skipped": 0,
        "time": f"{sum(_seconds(each) for each in every):.3f}",
    }


def _seconds(verdict: Verdict | StreamVerdict) -> float:
    if isinstance(verdict, Verdict):
        return verdict.elapsed_ms / 1000
    return verdict.course.sent_ms[-1] / 1000 if verdict.course and verdict.course.sent_ms else 0.0


def _case(verdict: Verdict | StreamVerdict, classname: str) -> Element:
    name = f"{verdict.id}: {verdict.about}" if verdict.about else verdict.id
    lines = _lines(verdict)
    case = tag("testcase", name=name, classname=classname, time=f"{_seconds(verdict):.3f}")
    if verdict.verdict != "pass":
        body = "\n".join([*lines, *_seen(verdict)])
        case.append(tag(ELEMENTS[verdict.verdict], body, message=verdict.reason, type=verdict.verdict))
    case.append(tag("system-out", "\n".join(lines)))
    return case


def _lines(verdict: Verdict | StreamVerdict) -> list[str]:
    if isinstance(verdict, Verdict):
        facts = [
            ("changed", verdict.edit),
            ("expected", verdict.expected),
            ("observed", verdict.observed),
            ("number", verdict.number),
            ("control", ", ".join(verdict.control)),
        ]
    else:
        facts = [
            ("event", verdict.what),
            ("rate", f"{verdict.rate} {streamed(verdict.stream)} a second"),
            ("numbers", numbers(verdict)),
            ("way", ways(verdict)),
            *(("first", f"{each.verdict} {each.id}: {each.observed}") for each in verdict.first),
            *(("then", f"{each.verdict} {each.id}: {each.observed}") for each in verdict.then),
            *(("afterwards", f"{each.verdict} {each.id}: {each.observed}") for each in verdict.afterwards),
        ]
    facts += [("reason", verdict.reason), ("evidence", verdict.evidence)]
    return [f"{label}: {text}" for label, text in facts if text]


def _seen(verdict: Verdict | StreamVerdict) -> list[str]:
    if isinstance(verdict, Verdict):
        return _packets("packets seen, first seen first:", verdict.flows)
    return [line for part, flows in verdict.parts.items() for line in _packets(f"packets seen {part}:", flows)]


def _packets(heading: str, flows: Sequence[Flow]) -> list[str]:
    ordered = sorted(flows, key=lambda flow: flow.first_ms)
    if not ordered:
        return []
    start = ordered[0].first_ms
    lines = [
        f"  +{milliseconds(flow.first_ms - start)} {flow.tap} ({flow.namespace}/{flow.device}): {packet(flow)}, "
        f"{counted(flow.packets, 'packet')}{', marker in clear' if flow.marked else ''}"
        for flow in ordered[:MOST_PACKETS]
    ]
    left = len(ordered) - len(lines)
    return [heading, *lines, *([f"  and {left} more kinds of packets"] if left else [])]
