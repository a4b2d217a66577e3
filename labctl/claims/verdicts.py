"""From what was found to what it proves. Nothing that was not shown passes: what proves nothing is inconclusive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from labctl.claims.expectations import Check, Expected, TraceHop
from labctl.claims.quantities import rate, time, times
from labctl.claims.sightings import path_findings, sight_faults, spread_findings
from labctl.probes.httpanswer import KEPT
from labctl.probes.wire import Action, Connect, Flow, Flows, Health, Http, Inject, Lookup, Rate, Reply, Trace

Word = Literal["pass", "fail", "inconclusive"]

_OWN = ("no_route", "too_big", "prohibited")
"""Outcomes that the sender's own kernel may state, without an ICMP error."""

_OF_NAMES = ("nxdomain", "nodata", "servfail")
"""Outcomes that only the lookup of a name can have."""

_SHORT, _PRINTED, _ANSWERS = 60, 160, 8
"""Characters of a body that are told, and of what a program printed; answers that are told one by one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one check: `expected` and `observed` in words, `reason` where it did not pass.

    `number` is the one that matters, with its unit ("171 ms", "9.4 Mbit/s", "mtu 1300"). `negative`: the check claims
    that something does not work. `edit` says how the lab differed for it. `evidence` is the directory that holds the
    packets and tables behind it, "" for none. `began_ms`: of a check while something is broken or changed, when its
    probe began, from the beginning of that.
    """

    id: str
    about: str
    verdict: Word
    expected: str
    observed: str
    reason: str = ""
    control: tuple[str, ...] = ()
    elapsed_ms: float = 0.0
    number: str = ""
    flows: tuple[Flow, ...] = ()
    negative: bool = False
    evidence: str = ""
    began_ms: float | None = None
    edit: str = ""


def judge(check: Check, reply: Reply) -> Verdict:
    """What `reply` proves of `check`, its controls left aside (see `settle`)."""
    word, reason = _weigh(check, reply)
    return Verdict(
        id=check.id,
        about=check.about,
        verdict=word,
        expected=str(check),
        observed="sent" if isinstance(check.action, Inject) and reply.outcome == "ok" else observed(reply),
        reason=reason,
        control=check.control,
        elapsed_ms=reply.elapsed_ms,
        number=number(check, reply),
        flows=reply.flows,
        negative=check.negative,
        edit=check.edit,
    )


def unproved(check: Check, reason: str) -> Verdict:
    """The verdict on a check whose evidence could not be gathered."""
    return Verdict(
        id=check.id,
        about=check.about,
        verdict="inconclusive",
        expected=str(check),
        observed="nothing",
        reason=reason,
        control=check.control,
        negative=check.negative,
        edit=check.edit,
    )


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
    text = " ".join(reply.body.split())
    body = _shortened(text, _SHORT)
    output = " ".join(reply.said.split())
    words = [
        f"filtered for {time(reply.elapsed_ms)}" if reply.outcome == "filtered" else str(reply.outcome),
        f"answers {_several(reply.answers)}" if reply.answers else "",
        f"{reply.established} established" if reply.established else "",
        reply.rest,
        reply.state,
        f"at {' after '.join(reversed(reply.tried))}" if reply.tried else "",
        "authoritative" if reply.authoritative else "",
        f"ttl {reply.ttl_s} s" if reply.ttl_s >= 0 else "",
        f"from server {reply.server}" if reply.server else "",
        f"client seen as {reply.peer}" if reply.peer else "",
        f"mss {reply.mss}" if reply.mss else "",
        f"mtu {reply.mtu}" if reply.mtu else "",
        f"by {reply.reporter}" if reply.reporter else "",
        _unanswered(reply),
        f"status {reply.status}" if reply.status else "",
        f"body `{body}`" if body else "",
        f"printed `{_shortened(output, _PRINTED)}`" if output and not reply.state else output,
        f"hops {', '.join(reply.hops)}" if reply.hops else "",
        rate(reply.rate_bit) if reply.rate_bit else "",
        f"{reply.answered} flows answered" if reply.answered else "",
    ]
    return ", ".join(word for word in words if word)


def _several(answers: Sequence[str]) -> str:
    """Answers, the first alone of many."""
    return ", ".join(answers) if len(answers) <= _ANSWERS else f"{len(answers)} addresses, the first {answers[0]}"


def _unanswered(reply: Reply) -> str:
    """Whom the kernel that says that there is no route sought in vain."""
    asked = [flow for flow in reply.flows if flow.proto == "arp" and reply.outcome == "no_route"]
    there = {flow.src for flow in asked}
    sought = dict.fromkeys(flow.dst for flow in asked if flow.src == reply.reporter and flow.dst not in there)
    return f"nobody answered ARP for {', '.join(sought)}" if sought else ""


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def number(check: Check, reply: Reply) -> str:
    """The number that matters most of what a probe found, with its unit; "" where there is none."""
    if reply.outcome == "error" or isinstance(check.action, Inject):
        return ""
    if reply.outcome == "too_big":
        return f"mtu {reply.mtu}"
    match check.action:
        case Rate() if reply.rate_bit:
            return rate(reply.rate_bit)
        case Trace() if reply.hops:
            return f"{len(reply.hops)} hop{'s' if len(reply.hops) > 1 else ''}"
        case Connect() if reply.established:
            return f"{reply.established} held"
        case Flows() if reply.answered:
            return f"{reply.answered} flows"
        case _:
            return time(reply.elapsed_ms)


def _weigh(check: Check, reply: Reply) -> tuple[Word, str]:
    """What proves nothing first, then what is wrong, then what the evidence leaves open, and last whether in time."""
    proof = _no_evidence(check, reply)
    if proof:
        return "inconclusive", proof
    path = path_findings(check.action, check.path, reply.flows)
    faults = [*_outcome_faults(check, reply), *sight_faults(check.see, check.silent, reply.flows), *path.faults]
    doubts = [*_cut_body(check.expected, reply), *path.doubts]
    if isinstance(check.action, Flows) and check.expected.spread:
        spread = spread_findings(check.action, check.expected.spread, reply.flows)
        faults += spread.faults
        doubts += spread.doubts
    if faults:
        return "fail", "; ".join(faults)
    if doubts:
        return "inconclusive", "; ".join(doubts)
    late = _late(check, reply)
    return ("fail", late) if late else ("pass", "")


def _no_evidence(check: Check, reply: Reply) -> str:
    """Why `reply` proves nothing, "" where it does."""
    if reply.outcome == "error":
        return f"the probe itself failed: {reply.reason}"
    if not reply.ready:
        return f"a tap was not listening all the time: {reply.reason}"
    if not reply.sent and (reply.outcome == "filtered" or isinstance(check.action, (Inject, Lookup))):
        return f"the probe was never seen to leave {check.node}"
    questions = _questions(check.action)
    if questions > reply.sent:
        return f"only {reply.sent} packets of {questions} or more were seen to leave {check.node}"
    kept_in = reply.outcome in ("no_route", "prohibited", "too_big") and not reply.reporter
    if not reply.sent and not kept_in and any(sight.marker for sight in check.silent):
        return "no packet of the probe could be told by its marker, so that its silence proves nothing"
    if reply.outcome == "filtered" and reply.elapsed_ms < check.timeout_ms - 1:  # for what two clocks may differ by
        waited, stated = times(reply.elapsed_ms, check.timeout_ms)
        return f"nothing came back for {waited}, but only {stated} would be silence"
    return ""


def _questions(action: Action) -> int:
    """How many packets must leave for what does not answer to count as silent, beyond one."""
    match action:
        case Connect():
            return action.count
        case Health():
            return len(action.servers)
        case _:
            return 0


def _late(check: Check, reply: Reply) -> str:
    """What an answer after its time proves: that it would have come."""
    if reply.outcome == "filtered" or reply.elapsed_ms <= check.timeout_ms:
        return ""
    took, bound = times(reply.elapsed_ms, check.timeout_ms)
    return f"would have passed at {took}, bound {bound}"


def _outcome_faults(check: Check, reply: Reply) -> list[str]:
    if isinstance(check.action, Inject) and reply.outcome == "ok":
        return []  # A forged packet gets no answer: it was sent, and the taps alone tell what became of it.
    expected = check.expected
    if reply.outcome != expected.outcome:
        return [f"expected {expected.outcome}, got {reply.outcome}" + (f": {reply.reason}" if reply.reason else "")]
    if reply.lookup and reply.outcome not in _OF_NAMES:
        return [f"{reply.outcome} is what became of the lookup of the name, nothing was sent to its address"]
    faults = [*_detail_faults(expected, reply), *_reporter_faults(check, reply)]
    if isinstance(check.action, Http) and expected.outcome == "ok":
        faults += _http_faults(expected, reply)
    if isinstance(check.action, Flows) and expected.outcome == "ok" and reply.answered < check.action.count:
        faults.append(f"{reply.answered} of {check.action.count} flows were answered")
    if isinstance(check.action, Connect) and expected.outcome == "ok":
        faults += _connection_faults(check.action, expected, reply)
    if expected.hops:
        faults += _hop_faults(expected.hops, reply.hops)
    return faults


def _detail_faults(expected: Expected, reply: Reply) -> list[str]:
    least, most = expected.rates
    answers = (sorted(reply.answers), sorted(expected.answers)) if expected.any_order else (
        list(reply.answers), list(expected.answers),
    )  # fmt: skip
    claims = (
        (not expected.answers or answers[0] == answers[1], f"answers {', '.join(reply.answers) or 'nothing'}"),
        (
            not expected.first or reply.answers[:1] == (str(expected.first),),
            f"{', '.join(reply.answers[:1])} came first",
        ),
        (expected.ttl_s is None or (0 <= reply.ttl_s <= expected.ttl_s), f"a time-to-live of {reply.ttl_s} s"),
        (not expected.authoritative or reply.authoritative, "the answer is not authoritative"),
        (not expected.reached or reply.tried[-1:] == (str(expected.reached),), f"{_ended_at(reply)} was connected to"),
        (not expected.state or reply.state == expected.state, f"it is {reply.state or 'nothing'}"),
        (not expected.server or reply.server == expected.server, f"{reply.server or 'nobody'} answered"),
        (not expected.source or reply.peer == str(expected.source), f"the server saw {reply.peer or 'nobody'}"),
        (not expected.mss or 0 < reply.mss <= expected.mss, f"segments of {reply.mss} bytes"),
        (not expected.mtu or reply.mtu == expected.mtu, f"the error names an MTU of {reply.mtu}"),
        (expected.rate_bit is None or least <= reply.rate_bit <= most, f"{rate(reply.rate_bit)} got through"),
    )
    return [wrong for holds, wrong in claims if not holds]


def _ended_at(reply: Reply) -> str:
    return ", ".join(reply.tried[-1:]) or "no address of a name"


def _reporter_faults(check: Check, reply: Reply) -> list[str]:
    expected = check.expected
    own = not reply.reporter and reply.outcome in _OWN and expected.by_node == check.node
    if not expected.by_node or own or reply.reporter in (str(address) for address in expected.by):
        return []
    return [f"{reply.reporter or 'no ICMP error'} reported it"]


def _http_faults(expected: Expected, reply: Reply) -> Iterator[str]:
    if expected.status is None and not 200 <= reply.status < 300:
        yield f"status {reply.status} is no success"
    elif expected.status is not None and reply.status != expected.status:
        yield f"status {reply.status}"
    if expected.body not in reply.body and not _cut_body(expected, reply):
        yield f"the body has no `{expected.body}`"
    for name, value in expected.header:
        values = [found for each, found in reply.header if each.lower() == name.lower()]
        if value not in values:
            yield f"the header {name} is {' and '.join(values)}" if values else f"there is no header {name}"


def _cut_body(expected: Expected, reply: Reply) -> list[str]:
    """Only the beginning of a body is kept: what is not in it may follow."""
    if expected.body in reply.body or len(reply.body.encode()) < KEPT:
        return []
    return [f"`{expected.body}` is not in the first {KEPT} bytes of the body, and no more of it are kept"]


def _connection_faults(action: Connect, expected: Expected, reply: Reply) -> Iterator[str]:
    wanted = action.count if expected.established is None else expected.established
    if reply.established != wanted:
        rest = f": {reply.rest}" if reply.rest else ""
        yield f"{reply.established} of {action.count} connections were established together, expected {wanted}{rest}"


def _hop_faults(expected: Sequence[TraceHop], found: Sequence[str]) -> Iterator[str]:
    if len(found) != len(expected):
        yield f"{len(found)} hops, where {len(expected)} are expected: {', '.join(found) or 'none'}"
        return
    for i, (hop, who) in enumerate(zip(expected, found, strict=True), 1):
        if who != "*" if not hop.addresses else who not in map(str, hop.addresses):
            yield f"hop {i} is {'silent' if who == '*' else who}, expected {hop.name}"
