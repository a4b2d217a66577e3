"""Verdicts, faults and plans as JSON values: what `--json` prints. `results.schema.json` is its JSON Schema."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labctl.claims.results import Course, Results, StreamVerdict
from labctl.claims.verdicts import Verdict
from labctl.codec import encode
from labctl.description.faults import Fault, Place
from labctl.errors import DescriptionError, LabError
from labctl.probes.wire import Flow, TcpReport

VERSION = 1
"""Of this form of the results; greater when a reader of the one before would misread it."""


def results_data(results: Results) -> dict[str, Any]:
    """A whole run."""
    return {
        "version": VERSION,
        "lab": results.lab,
        "where": results.where,
        "verdict": results.verdict,
        "exit_code": results.exit_code,
        "time_scale": results.time_scale,
        "checks": [check_data(each) for each in results.checks],
        "drills": [stream_data(each) for each in results.drills],
        "changes": [stream_data(each) for each in results.changes],
        "seconds": results.seconds,
        "left": results.left,
    }


def check_data(verdict: Verdict) -> dict[str, Any]:
    """One check, with its packets as seen on each link, first seen first."""
    return {
        "id": verdict.id,
        "verdict": verdict.verdict,
        "expected": verdict.expected,
        "observed": verdict.observed,
        "reason": verdict.reason,
        "about": verdict.about,
        "negative": verdict.negative,
        "control": list(verdict.control),
        "edit": verdict.edit,
        "number": verdict.number,
        "elapsed_ms": round(verdict.elapsed_ms, 1),
        "began_ms": _rounded(verdict.began_ms),
        "evidence": verdict.evidence,
        "flows": [flow_data(flow) for flow in sorted(verdict.flows, key=lambda flow: flow.first_ms)],
    }


def stream_data(verdict: StreamVerdict) -> dict[str, Any]:
    """One drill or live change, with its stream packet by packet and what was seen on each link in each part."""
    return {
        "id": verdict.id,
        "kind": verdict.kind,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "about": verdict.about,
        "what": verdict.what,
        "rate": verdict.rate,
        "stream": verdict.stream,
        "sent": verdict.sent,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "reordered": verdict.reordered,
        "failback_lost": verdict.failback_lost,
        "longest_gap_ms": _rounded(verdict.longest_gap_ms),
        "restored_ms": _rounded(verdict.restored_ms),
        "loss_derived_ms": _rounded(verdict.loss_derived_ms),
        "reach_ms": _rounded(verdict.reach_ms),
        "path_changes": verdict.path_changes,
        "tcp": _tcp_data(verdict.tcp) if verdict.tcp else None,
        "way": dict(verdict.way),
        "first": [check_data(each) for each in verdict.first],
        "then": [check_data(each) for each in verdict.then],
        "afterwards": [check_data(each) for each in verdict.afterwards],
        "dropped": verdict.dropped,
        "spoiled": verdict.spoiled,
        "attempts": verdict.attempts,
        "evidence": verdict.evidence,
        "parts": {name: [flow_data(flow) for flow in flows] for name, flows in verdict.parts.items()},
        "course": _course_data(verdict.course) if verdict.course else None,
    }


def flow_data(flow: Flow) -> dict[str, Any]:
    """Packets alike at one tap; what they do not have is left out."""
    data = {
        key: round(value, 3) if isinstance(value, float) else value
        for key, value in encode(flow).items()
        if key not in ("is", "inner") and value != (-1 if key == "vni" else 0) and value != ""
    }
    if flow.inner:
        data["inner"] = flow_data(replace(flow.inner, tap="", namespace="", device=""))
    return data


def _tcp_data(report: TcpReport) -> dict[str, Any]:
    return {
        "sent": report.sent,
        "received": report.received,
        "intact": report.intact,
        "longest_stall_ms": round(report.longest_stall_ms, 1),
        "reason": report.reason,
        "ended_ms": _rounded(report.ended_ms),
    }


def _course_data(course: Course) -> dict[str, Any]:
    return {
        "sent_ms": [round(at, 2) for at in course.sent_ms],
        "arrived_ms": [_rounded(at, 2) for at in course.arrived_ms],
        "events": [{"at_ms": round(each.at_ms, 2), "what": each.what} for each in course.events],
        "ways": [
            {"first": each.first, "last": each.last, "packets": each.packets, "places": list(each.places)}
            for each in course.ways
        ],
    }


def _rounded(number: float | None, digits: int = 1) -> float | None:
    return None if number is None else round(number, digits)


def error_data(error: LabError) -> dict[str, Any]:
    """An error in place of what was asked for."""
    faults = error.faults if isinstance(error, DescriptionError) else ()
    return {
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
        "faults": [fault_data(each) for each in faults if isinstance(each, Fault)],
    }


def fault_data(fault: Fault) -> dict[str, Any]:
    """One fault of a description."""
    return {
        "file": fault.source,
        "line": fault.mark.line,
        "column": fault.mark.column,
        "path": fault.path,
        "value": fault.value,
        "rule": fault.rule,
        "hint": fault.hint,
        "source": fault.line,
        "width": fault.width,
        "other": _place_data(fault.other) if fault.other else None,
    }


def _place_data(place: Place) -> dict[str, Any]:
    return {
        "file": place.source,
        "line": place.mark.line,
        "column": place.mark.column,
        "source": place.line,
        "width": place.width,
    }
