"""Results as one page of HTML that needs nothing else: no script, no other file, no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol
from xml.etree.ElementTree import Element

from labctl import __version__
from labctl.claims.expectations import Change, Check, Drill
from labctl.claims.results import Results, StreamVerdict
from labctl.claims.verdicts import Verdict
from labctl.model.network import Network
from labctl.report.markup import Child, tag, written
from labctl.report.picture import Picture, draw
from labctl.report.sections import Context, anchor, badge, check_section, facts, stream_section
from labctl.report.style import sheet
from labctl.report.svg import path, rect
from labctl.report.text import Groups
from labctl.report.words import durations

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Content Security Policy: even if something of a lab became markup, a browser would neither run nor fetch it."""

LEAST_WIDTH = 760
"""What is wider is not shrunk below this, but moved sideways in its frame (see `figure.wide`)."""

TITLES = {"pass": "everything passed", "fail": "something failed", "inconclusive": "not everything is proved"}


class Subject(Protocol):
    """What a description (`labctl.describe.Described`) tells the report of a run."""

    @property
    def source(self) -> str:
        """The file's name."""

    @property
    def about(self) -> str:
        """What the lab shows."""

    @property
    def cites(self) -> tuple[str, ...]:
        """The provider's pages that it follows."""

    @property
    def network(self) -> Network:
        """The network that it means."""

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kind of each resource."""

    @property
    def checks(self) -> tuple[Check, ...]:
        """What must be true."""

    @property
    def drills(self) -> tuple[Drill, ...]:
        """What must hold while something breaks."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """What must hold while something changes."""


def to_html(subject: Subject, results: Results, when: str = "") -> str:
    """The page. `when` is the run's beginning as it is to be told, "" where it is not to be."""
    picture = draw(subject.network, subject.kinds, _root(subject))
    context = Context(
        picture=picture,
        segments=frozenset(subject.network.segments),
        checks={check.id: check for check in subject.checks},
        streams={
            **{("drill", drill.id): drill for drill in subject.drills},
            **{("change", change.id): change for change in subject.changes},
        },
        linked=frozenset(verdict.id for verdict in results.checks),
    )
    main = tag(
        "main",
        _head(subject, results, when),
        _lab(results.lab, picture),
        *_checks(results, context),
        *_streams("Drills: what breaks while traffic runs", results.drills, context),
        *_streams("Changes made while traffic runs", results.changes, context),
        tag("footer", f"labctl {__version__}, from {subject.source}"),
    )
    page = tag("html", _page_head(results), tag("body", main), lang="en")
    return f"<!doctype html>\n{written(page)}\n"


def _page_head(results: Results) -> Element:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{results.verdict}: lab {results.lab}"),
        tag("style", sheet()),
    )


def _root(subject: Subject) -> str:
    """The node from which most is probed: the picture begins there."""
    nodes = [check.node for check in subject.checks]
    nodes += [drill.traffic.node for drill in subject.drills]
    nodes += [change.traffic.node for change in subject.changes]
    return Counter(nodes).most_common(1)[0][0] if nodes else ""


def _head(subject: Subject, results: Results, when: str) -> Element:
    words = results.words
    counts = ", ".join(f"{words.count(word)} {word}" for word in ("pass", "fail", "inconclusive") if word in words)
    cites: list[Child] = []
    for cite in subject.cites:
        cites += [tag("br") if cites else None, cite]
    return tag(
        "header",
        tag("h1", badge(results.verdict), f"Lab {results.lab}: {TITLES[results.verdict]}"),
        tag("p", subject.about),
        facts(
            (
                ("verdicts", counts or "none: there was nothing to prove"),
                ("ran on", results.where),
                ("when", when.replace("T", " ").replace("+00:00", " UTC")),
                ("took", durations(results.seconds)),
                (
                    "time scale",
                    f"timers and bounds stretched by {results.time_scale}" if results.time_scale != 1 else "",
                ),
                ("stopped", "where something did not pass, with the lab left as it stood" if results.left else ""),
                ("follows", cites),
            )
        ),
        _not_passed(results),
        _reading(),
    )


def _not_passed(results: Results) -> Element | None:
    """What a reader who looks for the trouble wants first."""
    every: tuple[Verdict | StreamVerdict, ...] = (*results.checks, *results.drills, *results.changes)
    rows = [
        tag(
            "tr",
            tag("td", badge(each.verdict)),
            tag("td", tag("a", each.id, href=f"#{anchor(each)}")),
            tag("td", each.reason),
        )
        for each in every
        if each.verdict != "pass"
    ]
    if not rows:
        return None
    return tag("section", tag("h2", "What did not pass, and why"), tag("div", tag("table", *rows), class_="scroll"))


READING = (
    ("pass", "shown to be true by an answer and by captured packets"),
    ("fail", "shown to be false"),
    ("inconclusive", "neither was shown, and that is no pass: say, because a control did not pass"),
    ("control", "the same probe with one thing changed, which must work: without it, silence would prove nothing"),
    ("marker in clear", "the probe's own mark could be read in the packet: at this place it is not encrypted"),
    ("drill", "something is broken while traffic runs; what the traffic feels is measured"),
    ("traffic", "numbered UDP packets with a TCP connection beside them, or numbered records in one TCP connection"),
    ("gap", "the longest time between two packets that arrived"),
    ("restored", "from the fault until a packet was sent after which none was lost"),
    ("stall", "the longest time between two acknowledgements of records: TCP delivers late what was lost on the way"),
    ("resumed", "from the fault until the records were acknowledged again as before it"),
    ("ended", "the connection delivered nothing more: it was reset, or nobody acknowledged anything"),
    (
        "began",
        "when the probe began by which a check was decided: checks are made one after the other: one that waits "
        "for silence, or for a neighbour that does not answer, puts off those after it",
    ),
)


def _reading() -> Element:
    words = facts((word, meaning) for word, meaning in READING)
    summary = tag("summary", "How to read this page")
    return tag("details", summary, tag("div", words, class_="inside"), class_="plain")


def _lab(lab: str, picture: Picture) -> Element:
    drawn = picture.whole(f"The lab {lab}")
    class_ = "wide" if picture.width > LEAST_WIDTH else None
    return tag("section", tag("h2", "The lab"), tag("figure", drawn, class_=class_), _legend(picture))


def _legend(picture: Picture) -> Element:
    """What the shapes of the picture are, as far as it has them."""
    sorts = {route.sort for route in picture.graph.routes}
    overlay = any(part.kind == "overlay" for part in picture.graph.parts.values())
    level = "M2 8H32"
    entries: list[tuple[bool, Element, str]] = [
        (True, rect(3, 2, 28, 12, "box", 3), "a host"),
        (True, rect(3, 2, 28, 12, "box router", 3), "a router"),
        ("plug" in sorts, rect(3, 3, 28, 10, "segment", 3), "a segment, with its prefix"),
        (overlay, rect(3, 3, 28, 10, "segment", 3), "with a VNI: an overlay, in Geneve tunnels between its hosts"),
        ("esp" in sorts, path(level, "link esp"), "an ESP tunnel (IPsec)"),
        ("gre" in sorts, path(level, "link gre"), "a GRE tunnel"),
        (True, path(level, "lit"), "in the pictures below: where the probe itself was seen"),
        (True, path(level, "lit other"), "where other packets were seen, such as a tunnel's"),
    ]
    swatches = (
        tag("span", tag("svg", shape, width=34, height=16, aria_hidden="true"), words)
        for there, shape, words in entries
        if there
    )
    return tag("div", *swatches, class_="legend")


def _checks(results: Results, context: Context) -> Iterable[Element]:
    """The checks under their headings, as a terminal shows them."""
    if not results.checks:
        return
    groups = Groups()
    section = tag("section", tag("h2", "Checks"))
    for verdict in results.checks:
        heading = groups.heading(verdict)
        if heading:
            section.append(tag("h3", heading))
        section.append(check_section(verdict, context, context.checks.get(verdict.id)))
    yield section


def _streams(title: str, verdicts: Iterable[StreamVerdict], context: Context) -> Iterable[Element]:
    sections = [stream_section(verdict, context) for verdict in verdicts]
    if sections:
        yield tag("section", tag("h2", title), *sections)
