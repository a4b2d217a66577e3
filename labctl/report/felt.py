"""What a stream came to, in words: packets are lost; records in a TCP connection are held up, or end with it."""

from __future__ import annotations

from collections.abc import Iterator

from labctl.claims.results import StreamVerdict
from labctl.report.words import milliseconds, tcp


def never_resumed(verdict: StreamVerdict) -> bool:
    """Whether it is a connection that delivered nothing more: a record that is not delivered lets none pass."""
    return verdict.stream == "tcp" and bool(verdict.lost)


def headline(verdict: StreamVerdict) -> str:
    """What users felt most, in a word and a time; "" where nothing was measured."""
    if verdict.longest_gap_ms is None:
        return ""
    if never_resumed(verdict):
        return "ended"
    return f"{'stall' if verdict.stream == 'tcp' else 'gap'} {milliseconds(verdict.longest_gap_ms)}"


def ending(verdict: StreamVerdict) -> str:
    """Of a connection that never resumed: how and when it ended, and when the last record was delivered."""
    course = verdict.course
    arrived = [at for at in course.arrived_ms if at is not None] if course else []
    reason, ended_ms = (verdict.tcp.reason, verdict.tcp.ended_ms) if verdict.tcp else ("", None)
    words = f"never resumed: {reason or 'no answer'}{_when(verdict, ended_ms)}"
    return f"{words}; last delivery{_when(verdict, max(arrived))}" if arrived else words


def _when(verdict: StreamVerdict, at_ms: float | None) -> str:
    """Where an instant lies beside the event, with a space before it; "" where that is not known."""
    struck = [each.at_ms for each in verdict.course.events if each.what == verdict.what] if verdict.course else []
    if at_ms is None or not struck:
        return ""
    after = at_ms - struck[0]
    return f" {milliseconds(abs(after))} {'after' if after >= 0 else 'before'} the event"


def numbers(verdict: StreamVerdict) -> str:
    """What a stream measured, in a line; "" where nothing was."""
    if verdict.lost is None:
        return ""
    words = _of_records(verdict) if verdict.stream == "tcp" else _of_packets(verdict)
    return "; ".join(word for word in words if word)


def _of_records(verdict: StreamVerdict) -> Iterator[str]:
    if never_resumed(verdict):
        yield ending(verdict)
        yield f"{verdict.lost} of {verdict.sent} records not delivered"
    else:
        yield f"longest stall {milliseconds(verdict.longest_gap_ms or 0.0)}"
        yield f"all {verdict.sent} records delivered, none lost"
    yield _dropped(verdict)
    if verdict.kind == "drill" and verdict.restored_ms:
        yield f"resumed {milliseconds(verdict.restored_ms)}"
    yield _reach(verdict)
    if verdict.tcp and not never_resumed(verdict):
        yield "connection intact" if verdict.tcp.intact else f"connection broken: {verdict.tcp.reason}"


def _of_packets(verdict: StreamVerdict) -> Iterator[str]:
    yield f"lost {verdict.lost} of {verdict.sent}"
    yield _dropped(verdict)
    if verdict.longest_gap_ms is not None:
        yield f"longest gap {milliseconds(verdict.longest_gap_ms)}"
    if verdict.kind == "drill" and (verdict.lost or verdict.restored_ms is None):
        yield "not restored" if verdict.restored_ms is None else f"restored {milliseconds(verdict.restored_ms)}"
    yield f"lost after the repair {verdict.failback_lost}" if verdict.failback_lost else ""
    yield _reach(verdict)
    yield f"twice {verdict.duplicated}" if verdict.duplicated else ""
    yield f"reordered {verdict.reordered}" if verdict.reordered else ""
    yield f"TCP {tcp(verdict.tcp)}" if verdict.tcp else "TCP not tried"


def _dropped(verdict: StreamVerdict) -> str:
    return "" if verdict.dropped is None else f"dropped by the fault {verdict.dropped}"


def _reach(verdict: StreamVerdict) -> str:
    return "" if verdict.reach_ms is None else f"last check began {milliseconds(verdict.reach_ms)} after the change"


def began(ms: float) -> str:
    """When the probe of a check began that stands beside a fault or a change."""
    return f"{milliseconds(ms)} after the event"
