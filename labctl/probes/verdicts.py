"""From what was found to what it proves. Nothing that was not shown passes: what proves nothing is inconclusive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from labctl.probes.expectations import Check, Expected, Hop, Sight
from labctl.probes.wire import Flow, Inject, Reply

Word = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one check: `expected` and `observed` in words, `reason` where it did not pass."""

    id: str
    about: str
    verdict: Word
    expected: str
    observed: str
    reason: str = ""
    control: tuple[str, ...] = ()
    elapsed_ms: float = 0.0
    flows: tuple[Flow, ...] = ()


def judge(check: Check, reply: Reply) -> Verdict:
    """What `reply` proves of `check`, its controls left aside (see `settle`)."""
    if isinstance(check.action, Inject) and reply.outcome == "ok":
        # A forged packet gets no answer: it was sent, and the taps alone tell what became of it.
        reply = replace(reply, outcome=check.expected.outcome)
    word, reason = _weigh(check, reply)
    return Verdict(
        id=check.id,
        about=check.about,
        verdict=word,
        expected=str(check.expected),
        observed=observed(reply),
        reason=reason,
        control=check.control,
        elapsed_ms=reply.elapsed_ms,
        flows=reply.flows,
    )


def unproved(check: Check, reason: str) -> Verdict:
    """The verdict on a check whose evidence could not be gathered."""
    return Verdict(check.id, check.about, "inconclusive", str(check.expected), "nothing", reason, check.control)


def settle(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The final verdicts: what passed stays passed only beside controls that stay passed in the same run."""
    passed = {each.id: each.verdict == "pass" for each in verdicts}
    settled = tuple(_beside_controls(each, passed) for each in verdicts)
    return settled if settled == tuple(verdicts) else settle(settled)


def _beside_controls(verdict: Verdict, passed: Mapping[str, bool]) -> Verdict:
    missing = [word for word in verdict.control if not passed.get(word, False)]
    if verdict.verdict != "pass" or not missing:
        return verdict
    how = ", ".join(f"{word} {'did not pass' if word in passed else 'was not run'}" for word in missing)
    return replace(verdict, verdict="inconclusive", reason=f"proves nothing without its control: {how}")


def observed(reply: Reply) -> str:
    """What a probe found, in a line."""
    words = [
        str(reply.outcome),
        f"answers {', '.join(reply.answers)}" if reply.answers else "",
        "authoritative" if reply.authoritative else "",
        f"from server {reply.server}" if reply.server else "",
        f"client seen as {reply.peer}" if reply.peer else "",
        f"mss {reply.mss}" if reply.mss else "",
        f"mtu {reply.mtu}" if reply.mtu else "",
        f"by {reply.reporter}" if reply.reporter else "",
    ]
    return ", ".join(word for word in words if word)


def _weigh(check: Check, reply: Reply) -> tuple[Word, str]:
    if reply.outcome == "error":
        return "inconclusive", f"the probe itself failed: {reply.reason}"
    if not reply.ready:
        return "inconclusive", f"a tap was not listening all the time: {reply.reason}"
    if reply.outcome == "filtered" and not reply.sent:
        return "inconclusive", f"the probe was never seen to leave {check.node}"
    faults = [*_outcome_faults(check.expected, reply), *sight_faults(check.see, check.silent, reply.flows)]
    faults += _path_faults(check.path, reply.flows)
    return ("fail", "; ".join(faults)) if faults else ("pass", "")


def _outcome_faults(expected: Expected, reply: Reply) -> list[str]:
    if reply.outcome != expected.outcome:
        return [f"expected {expected.outcome}, got {reply.outcome}" + (f": {reply.reason}" if reply.reason else "")]
    by = tuple(str(address) for address in expected.by)
    claims = (
        (not expected.answers or reply.answers == expected.answers, f"answers {', '.join(reply.answers)}"),
        (not expected.authoritative or reply.authoritative, "the answer is not authoritative"),
        (not expected.server or reply.server == expected.server, f"{reply.server or 'nobody'} answered"),
        (not expected.source or reply.peer == str(expected.source), f"the server saw {reply.peer or 'nobody'}"),
        (not expected.mss or 0 < reply.mss <= expected.mss, f"segments of {reply.mss} bytes"),
        (not expected.mtu or reply.mtu == expected.mtu, f"the error names an MTU of {reply.mtu}"),
        (not expected.by_node or reply.reporter in by, f"{reply.reporter or 'nobody'} reported it"),
    )
    return [wrong for holds, wrong in claims if not holds]


def sight_faults(see: Iterable[Sight], silent: Iterable[Sight], flows: Sequence[Flow]) -> list[str]:
    """What was not seen and should have been, and what was seen and should not."""
    faults = [f"not seen: {sight}" for sight in see if not any(matches(sight, flow) for flow in flows)]
    for sight in silent:
        seen = [flow for flow in flows if matches(sight, flow)]
        if seen:
            packets = sum(flow.marked if sight.marker else flow.packets for flow in seen)
            first = seen[0]
            faults.append(f"seen {packets} times: {sight} (first {first.proto} {first.src} to {first.dst})")
    return faults


def matches(sight: Sight, flow: Flow) -> bool:
    """Whether `flow` is such a packet, at such a place."""
    inner = sight.inner
    return (
        flow.tap == sight.on
        and (flow.proto == sight.proto if sight.proto else flow.proto != "arp")
        and (sight.src is None or flow.src == str(sight.src))
        and (sight.dst is None or flow.dst == str(sight.dst))
        and (not sight.port or flow.dport == sight.port)
        and (not sight.marker or flow.marked > 0)
        and flow.longest >= (sight.longer + 1 if sight.longer else 0)
        and (inner is None or _matches_inner(flow.inner, inner.proto, str(inner.src or ""), str(inner.dst or "")))
    )


def _matches_inner(flow: Flow | None, proto: str, src: str, dst: str) -> bool:
    wanted = (proto, src, dst)
    found = (flow.proto, flow.src, flow.dst) if flow else ("", "", "")
    return flow is not None and all(not want or want == have for want, have in zip(wanted, found, strict=True))


def _path_faults(path: Sequence[Hop], flows: Sequence[Flow]) -> list[str]:
    """The probe itself, told by its marker, must be at each node, and at none before the one that precedes it."""
    at: list[tuple[str, float]] = []
    for hop in path:
        seen = [flow.first_marked_ms for flow in flows if flow.tap == hop.tap and flow.marked]
        if not seen:
            return [f"the probe never crossed {hop.node}"]
        at.append((hop.node, min(seen)))
    order = [node for node, _ in sorted(at, key=lambda each: each[1])]
    wanted = [hop.node for hop in path]
    return [] if order == wanted else [f"the probe crossed {', '.join(order)} in this order"]
