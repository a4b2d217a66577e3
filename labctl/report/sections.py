"""A check, a drill and a change as parts of the page: the claim, what came of it, and the packets that show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from labctl.claims.expectations import Change, Check, Drill, Part, Sight
from labctl.claims.results import StreamVerdict
from labctl.claims.verdicts import Verdict, Word
from labctl.report.bounds import bounds_in_words, windows
from labctl.report.course import letters
from labctl.report.felt import began, ending, headline, never_resumed
from labctl.report.ladder import ladder, places_of
from labctl.report.markup import Child, tag
from labctl.report.picture import Picture
from labctl.report.timeline import timeline
from labctl.report.words import amount, milliseconds, probe, route, streamed

MOST_WAYS = 4
"""Pictures of ways; further ones are told in words alone."""

LAST_BEGAN = "until its last check began"

MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}


@dataclass(frozen=True, slots=True)
class Context:
    """What the parts of a page refer to: the picture, the lab's segments, and the claims by their names."""

    picture: Picture
    segments: frozenset[str]
    checks: Mapping[str, Check]
    streams: Mapping[tuple[str, str], Drill | Change]
    linked: frozenset[str]


def badge(word: Word) -> Element:
    """A verdict, told by more than its colour."""
    return tag("span", f"{MARKS[word]} {word}", class_=f"badge {word}")


def anchor(verdict: Verdict | StreamVerdict) -> str:
    """The name by which the page links to a verdict."""
    return f"{verdict.kind if isinstance(verdict, StreamVerdict) else 'check'}-{verdict.id}"


def facts(rows: Iterable[tuple[str, Child | Sequence[Child]]]) -> Element:
    """Labels and what belongs to them; what is empty is left out."""
    found = tag("dl")
    for label, what in rows:
        children = [what] if isinstance(what, (Element, str)) or what is None else list(what)
        if any(child is not None and child != "" for child in children):
            found.append(tag("dt", label))
            found.append(tag("dd", *children, class_="reason" if label == "reason" else None))
    return found


def check_section(verdict: Verdict, context: Context, check: Check | None, name: str = "") -> Element:
    """A check, folded unless it did not pass."""
    seen = ladder(verdict.flows, context.segments, "packets as they were seen, earliest first")
    seen_at = places_of(verdict.flows, marked=True), places_of(verdict.flows, marked=False)
    lit = context.picture.lit(f"{verdict.id}: where its packets were seen", *seen_at)
    figure = tag("figure", lit, tag("figcaption", "where its packets were seen")) if lit is not None else None
    told = _check_facts(verdict, context, check)
    top = tag("div", told, figure, class_="side") if figure is not None else told
    inside = tag("div", top, seen, class_="inside")
    claim = verdict.about or (f"{probe(check.action)}: {verdict.expected}" if check else verdict.expected)
    return _folding(verdict, verdict.number, claim, inside, name or anchor(verdict))


def _folding(
    verdict: Verdict | StreamVerdict, number: str, claim: str, inside: Element, name: str, *, unfolded: bool = False
) -> Element:
    summary = tag(
        "summary",
        tag("span", badge(verdict.verdict)),
        tag("span", verdict.id, class_="id"),
        tag("span", claim, class_="claim"),
        tag("span", number, class_="number"),
    )
    opened = "open" if unfolded or verdict.verdict != "pass" else None
    return tag("details", summary, inside, id=name, open=opened)


def _check_facts(verdict: Verdict, context: Context, check: Check | None) -> Element:
    probed = f"from {check.node}: {probe(check.action)}" if check else ""
    return facts(
        (
            ("lab changed for it", verdict.edit),
            ("probe", probed),
            ("expected", verdict.expected),
            ("observed", verdict.observed),
            ("reason", verdict.reason),
            *_sights(check.see if check else (), check.silent if check else ()),
            ("path", " > ".join(hop.node for hop in check.path) if check else ""),
            ("control", _links(verdict.control, context)),
            ("began", "" if verdict.began_ms is None else began(verdict.began_ms)),
            ("took", milliseconds(verdict.elapsed_ms) if verdict.elapsed_ms else ""),
            ("evidence", tag("code", verdict.evidence) if verdict.evidence else None),
        )
    )


def _sights(see: Sequence[Sight], silent: Sequence[Sight], when: str = "") -> list[tuple[str, str]]:
    """What must and must not be seen, as rows of facts."""
    return [
        (f"must be seen{when}", "; ".join(map(str, see))),
        (f"must not be seen{when}", "; ".join(map(str, silent))),
    ]


def _links(names: Sequence[str], context: Context) -> list[Child]:
    found: list[Child] = []
    for name in names:
        found += [", " if found else None, tag("a", name, href=f"#check-{name}") if name in context.linked else name]
    return found


def stream_section(verdict: StreamVerdict, context: Context) -> Element:
    """A drill or a change: its stream against time, the numbers, the ways, and the packets of each part."""
    claim = context.streams.get((verdict.kind, verdict.id))
    limits = windows(claim, verdict.course) if claim and verdict.course else []
    drawn = timeline(verdict, limits)
    told = (
        ("event", verdict.what),
        ("reason", verdict.reason),
        ("connection", ending(verdict) if never_resumed(verdict) else ""),
        ("bounds", "; ".join(bounds_in_words(claim)) if claim else ""),
        ("traffic", _traffic(verdict, claim)),
        *(row for name, part in _parts(claim) for row in _sights(part.see, part.silent, f", {name}")),
        ("evidence", tag("code", verdict.evidence) if verdict.evidence else None),
    )
    inside = tag(
        "div",
        tag("figure", drawn, class_="wide") if drawn is not None else None,
        _figures(verdict),
        _ways(verdict, context),
        facts(told),
        *_asides(verdict, context, claim),
        _packets(verdict, context),
        class_="inside",
    )
    return _folding(verdict, headline(verdict), verdict.about or verdict.what, inside, anchor(verdict), unfolded=True)


def _traffic(verdict: StreamVerdict, claim: Drill | Change | None) -> str:
    if claim is None:
        return f"{verdict.rate} {streamed(verdict.stream)} a second"
    return str(claim.traffic)


def _parts(claim: Drill | Change | None) -> list[tuple[str, Part]]:
    match claim:
        case None:
            return []
        case Drill():
            middle = ("meanwhile", claim.meanwhile)
        case Change():
            middle = ("while changed", claim.changed)
    return [("throughout", claim.throughout), ("before", claim.before), middle, ("after", claim.after)]


def _figures(verdict: StreamVerdict) -> Element | None:
    """The numbers, large."""
    if verdict.lost is None:
        return None
    rows = _of_records(verdict) if verdict.stream == "tcp" else _of_packets(verdict)
    boxes = (tag("div", tag("b", str(what)), tag("span", label)) for label, what in rows if what is not None)
    return tag("div", *boxes, class_="figures")


Figures = list[tuple[str, str | int | None]]


def _of_packets(verdict: StreamVerdict) -> Figures:
    restored = "never" if verdict.restored_ms is None else milliseconds(verdict.restored_ms)
    rows: Figures = [
        ("longest gap", _time(verdict.longest_gap_ms)),
        ("restored after", restored if verdict.kind == "drill" and (verdict.lost or restored == "never") else None),
        (LAST_BEGAN, _time(verdict.reach_ms)),
        (f"lost of {verdict.sent}", verdict.lost),
        ("dropped by the fault", verdict.dropped),
        ("lost after the repair", verdict.failback_lost),
        ("lost, as time (RFC 6412)", _time(verdict.loss_derived_ms)),
        ("arrived twice", verdict.duplicated),
        ("reordered", verdict.reordered),
        ("path changes", verdict.path_changes),
    ]
    if verdict.tcp:
        rows.append(("TCP", "intact" if verdict.tcp.intact else "broken"))
        rows.append(("TCP, longest stall", _time(verdict.tcp.longest_stall_ms)))
        rows.append(("TCP, arrived", f"{amount(verdict.tcp.received)} of {amount(verdict.tcp.sent)}"))
    return rows


def _of_records(verdict: StreamVerdict) -> Figures:
    ended = never_resumed(verdict)
    delivered = verdict.sent - (verdict.lost or 0)
    return [
        ("resumed", "never") if ended else ("longest stall", _time(verdict.longest_gap_ms)),
        ("resumed after", _time(verdict.restored_ms or None) if verdict.kind == "drill" else None),
        (LAST_BEGAN, _time(verdict.reach_ms)),
        (f"records delivered of {verdict.sent}", delivered),
        ("dropped by the fault", verdict.dropped),
        ("the connection", ("intact" if verdict.tcp.intact else "broken") if verdict.tcp else None),
    ]


def _time(ms: float | None) -> str | None:
    return None if ms is None else milliseconds(ms)


def _ways(verdict: StreamVerdict, context: Context) -> Element | None:
    """Each way that the stream went, lit in the picture, by the letter that it has in the timeline."""
    if verdict.course is None or not verdict.course.ways:
        return None
    figures = []
    named = letters(verdict.course)
    for places, letter in list(named.items())[:MOST_WAYS]:
        pairs = [(node, device) for node, _, device in (place.partition("/") for place in places)]
        lit = context.picture.lit(f"{verdict.id}: way {letter}", pairs)
        words = f"way {letter}: {route(places)}"
        figures.append(tag("figure", lit, tag("figcaption", words)))
    more = len(named) - len(figures)
    rest = tag("p", f"and {more} more ways, in the JSON results") if more else None
    return tag("div", tag("div", *figures, class_="ways"), rest)


def _asides(verdict: StreamVerdict, context: Context, claim: Drill | Change | None) -> Iterator[Element]:
    checks = {check.id: check for check in (*claim.first, *claim.then, *claim.afterwards)} if claim else {}
    words = ("While changed", "Once undone") if verdict.kind == "change" else ("While broken", "Once repaired")
    parts = (("Before", verdict.first), (words[0], verdict.then), (words[1], verdict.afterwards))
    for when, asides in parts:
        if asides:
            yield tag("h4", f"{when}, this was checked")
        for each in asides:
            yield check_section(each, context, checks.get(each.id), f"{anchor(verdict)}-{each.id}")


def _packets(verdict: StreamVerdict, context: Context) -> Element | None:
    """The packets of each part of the time, folded."""
    tables = [ladder(flows, context.segments, f"packets {part}") for part, flows in verdict.parts.items()]
    found = [table for table in tables if table is not None]
    if not found:
        return None
    return tag(
        "details",
        tag("summary", "packets as they were seen, part by part"),
        tag("div", *found, class_="inside"),
        class_="plain",
    )
