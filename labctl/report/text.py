"""Verdicts and findings as lines of text.

A verdict's line has columns: word, name, the number that matters, claim. A name too long for its column stands alone,
the rest below it. With `width` the claim and the facts are folded into what is left of the line, or begin a line of
their own where little is left; 0 folds nothing.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator

from labctl.claims.results import Results, StreamVerdict
from labctl.claims.verdicts import Verdict
from labctl.report.felt import began, headline, numbers
from labctl.report.words import durations, listed, streamed

WORD, NAME, NUMBER, LABEL = 13, 15, 13, 9
"""Columns: the verdict, the name, the number, and below a verdict the label of a fact; each with the space after it."""

LEAST = 30
"""Less room than this is too little to fold a text into."""

WORKS, MUST_NOT, DRILLS, CHANGES = "What works", "What must not work", "Drills: what breaks", "Changes while it runs"
REVISED = "Decided anew, since a control did not pass"

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Groups:
    """Under which heading each verdict belongs, in the order in which they come.

    The control of a check that something does not work stays beside it.
    """

    def __init__(self) -> None:
        self._group = ""
        self._control: tuple[str, ...] = ()
        self._told: set[str] = set()

    def heading(self, verdict: Verdict | StreamVerdict) -> str:
        """The heading to print before `verdict`; "" where it belongs to the same group as the one before."""
        group = self._of(verdict)
        changed = group != self._group
        self._group = group
        return group if changed else ""

    def _of(self, verdict: Verdict | StreamVerdict) -> str:
        if isinstance(verdict, StreamVerdict):
            return DRILLS if verdict.kind == "drill" else CHANGES
        if verdict.id in self._told:
            return REVISED
        self._told.add(verdict.id)
        if verdict.negative:
            self._control = verdict.control
        beside = self._group == MUST_NOT and verdict.id in self._control
        return MUST_NOT if verdict.negative or beside else WORKS


def check_lines(verdict: Verdict, width: int = 0) -> Iterator[str]:
    """A check: one line, and under one that did not pass what was expected, what was observed, and why."""
    yield from _head(verdict.verdict, verdict.id, verdict.number, verdict.about or verdict.expected, width)
    if verdict.verdict != "pass":
        yield from _facts(
            (
                ("changed", verdict.edit),
                ("expected", verdict.expected),
                ("observed", verdict.observed),
                ("reason", verdict.reason),
                ("evidence", verdict.evidence),
            ),
            width,
        )


def drill_lines(verdict: StreamVerdict, width: int = 0) -> Iterator[str]:
    """A drill or a change: its claim, its numbers, and why it did not pass."""
    yield from _head(verdict.verdict, verdict.id, headline(verdict), verdict.about or verdict.what, width)
    facts = [("event", verdict.what)]
    facts += [("stream", streamed(verdict.stream))] if verdict.stream == "tcp" else []
    facts += [*(("numbers", line) for line in [numbers(verdict)] if line)]
    facts += [("way", ways(verdict))] if verdict.way else []
    for when, asides in (("first", verdict.first), ("then", verdict.then), ("after", verdict.afterwards)):
        facts += [(when, _aside(each)) for each in asides]
    if verdict.attempts > 1:
        facts.append(("attempts", f"{verdict.attempts}: the one before was spoiled"))
    if verdict.verdict != "pass":
        facts += [("reason", verdict.reason), ("evidence", verdict.evidence)]
    yield from _facts(facts, width)


def _aside(verdict: Verdict) -> str:
    when = "" if verdict.began_ms is None else f" (began {began(verdict.began_ms)})"
    return f"{verdict.verdict} {verdict.id}: {verdict.about or verdict.expected}{when}"


def ways(verdict: StreamVerdict) -> str:
    """By which way the stream went in each part of the time; parts that went the same way are told together."""
    parts: dict[str, list[str]] = {}
    for part, way in verdict.way.items():
        parts.setdefault(way, []).append(part)
    return "; ".join(f"{', '.join(names)}: {way}" for way, names in parts.items())


def summary(results: Results) -> str:
    """The last line of a run."""
    counts = [_count(results, word) for word in ("pass", "fail", "inconclusive") if word in results.words]
    scale = f", time x {results.time_scale}" if results.time_scale != 1 else ""
    counted = ", ".join(counts) or "no checks"
    left = ", left as it stood" if results.left else ""
    return (
        f"{results.verdict}: lab {results.lab} on {results.where}: {counted}; {durations(results.seconds)}{scale}{left}"
    )


def _count(results: Results, word: str) -> str:
    verdicts: tuple[Verdict | StreamVerdict, ...] = (*results.checks, *results.drills, *results.changes)
    names = [each.id for each in verdicts if each.verdict == word]
    return f"{len(names)} {word}" + (f" ({listed(names, 5)})" if word != "pass" else "")


def _head(word: str, name: str, number: str, claim: str, width: int) -> Iterator[str]:
    first = f"{word:<{WORD}}{name:<{NAME}}"
    if len(name) >= NAME:
        yield first.rstrip()
        first = " " * (WORD + NAME)
    first = f"{first}{number:>{NUMBER - 2}}  "
    if 0 < width < len(first) + LEAST:
        yield first.rstrip()
        first = " " * WORD
    yield from _folded(first, claim, width)


def _facts(facts: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    for label, text in facts:
        if text:
            yield from _folded(f"{'':{WORD}}{label:<{LABEL}} ", text, width)


def _folded(before: str, text: str, width: int) -> Iterator[str]:
    room = width - len(before)
    plain = _CONTROLS.sub(lambda found: " " if found[0] in "\n\t" else "\ufffd", text)
    lines = textwrap.wrap(plain, room, break_on_hyphens=False) if room >= LEAST else [plain]
    yield from (f"{before if i == 0 else ' ' * len(before)}{line}".rstrip() for i, line in enumerate(lines or [""]))
