"""Verdicts, faults and plans as JSON values: what `--json` prints."""

from __future__ import annotations

from typing import Any

from labctl.codec import encode
from labctl.description.faults import Fault
from labctl.errors import DescriptionError, LabError
from labctl.probes.drills import DrillVerdict
from labctl.probes.results import Results
from labctl.probes.verdicts import Verdict
from labctl.probes.wire import Flow


def results_data(results: Results) -> dict[str, Any]:
    """A whole run."""
    return {
        "lab": results.lab,
        "where": results.where,
        "verdict": results.verdict,
        "time_scale": results.time_scale,
        "checks": [check_data(each) for each in results.checks],
        "drills": [drill_data(each) for each in results.drills],
        "seconds": results.seconds,
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
        "control": list(verdict.control),
        "elapsed_ms": round(verdict.elapsed_ms, 1),
        "flows": [flow_data(flow) for flow in sorted(verdict.flows, key=lambda flow: flow.first_ms)],
    }


def drill_data(verdict: DrillVerdict) -> dict[str, Any]:
    """One drill, with its packets on each link in each part."""
    return {
        "id": verdict.id,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "about": verdict.about,
        "sent": verdict.sent,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "reordered": verdict.reordered,
        "failback_lost": verdict.failback_lost,
        "longest_gap_ms": verdict.longest_gap_ms,
        "restored_ms": verdict.restored_ms,
        "tcp": verdict.tcp,
        "parts": {name: [flow_data(flow) for flow in flows] for name, flows in verdict.parts.items()},
    }


def flow_data(flow: Flow) -> dict[str, Any]:
    """Packets alike at one tap; what they do not have is left out."""
    data = {key: value for key, value in encode(flow).items() if key != "is" and value not in (0, 0.0, "", None)}
    if flow.inner:
        data["inner"] = flow_data(flow.inner)
    return data


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
    }
