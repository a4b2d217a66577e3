from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_lab import Subject, check_verdicts, drill_verdict, results, subject

from labctl.claims.results import Course, Results
from labctl.model.network import Network
from labctl.report.html import to_html

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """The elements of a page, each with its attributes, and its text; complains of tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(to_html(subject(), results(), "2025-11-21T12:51:00+00:00"))


def test_the_head_tells_the_verdict_the_lab_and_the_run(page: Page) -> None:
    assert "✗ fail Lab vpn: something failed" in page.words
    assert "Two IPsec connections over two Internet providers" in page.words
    for fact in ("2 pass, 2 fail, 1 inconclusive", "uml", "2025-11-21 12:51:00 UTC", "up 2.2 s, verify 14.3 s"):
        assert fact in page.words
    assert "Cloud documentation, VPN Gateway: high availability" in page.words


def test_the_page_needs_nothing_else(page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {
        tag for tag, _ in page.elements
    }
    outside = [
        (tag, key)
        for tag, attributes in page.elements
        for key, value in attributes.items()
        if key in ("href", "src", "action", "style") or key.startswith("on")
        if key != "href" or not value.startswith("#")
    ]
    assert outside == []
    assert "url(" not in to_html(subject(), results()) and "@import" not in to_html(subject(), results())


def test_what_did_not_pass_is_told_first_and_links_to_its_proof(page: Page) -> None:
    words = page.words
    trouble = words.index("What did not pass, and why")
    assert trouble < words.index("The lab ") < words.index("Checks ")
    assert words[trouble:].index("N1-control") < words[trouble:].index("C1")
    targets = {each["id"] for _, each in page.elements if "id" in each}
    links = {each["href"][1:] for tag in ("a", "use") for each in page.of(tag)}
    assert {"check-N1", "check-N1-control", "change-C1", "check-P1", "lab-picture"} <= links <= targets


def test_no_name_is_given_to_two_elements(page: Page) -> None:
    names = [each["id"] for _, each in page.elements if "id" in each]
    assert len(names) == len(set(names))


def test_every_claim_can_be_opened_and_what_did_not_pass_is_open(page: Page) -> None:
    found = {each["id"]: "open" in each for each in page.of("details") if "id" in each}
    assert found == {
        "check-P1": False, "check-N1": True, "check-N1-control": True,
        "drill-D1": True, "change-C1": True, "change-C1-C1-first": False, "change-C1-C1-then": False,
            "change-C1-C1-after": False,
    }  # fmt: skip


def test_a_check_tells_what_was_done_expected_and_observed(page: Page) -> None:
    for fact in (
        "from dc-host: connect to 10.0.1.10:8080 by TCP and send 1 MB",
        "ok, from server server, client seen as 172.16.10.10, mss 1318",
        "must be seen esp longer than 1000 B on isp1",
        "must not be seen ip with the marker in clear on isp1; esp longer than 200 B on isp2",
        "path dc-host > cgw > gw > server",
        "expected filtered observed prohibited, by 198.51.100.10 reason expected filtered, got prohibited",
        "control P1 , N1-control",
        "/run/evidence/vpn/1/N1",
    ):
        assert fact in page.words


def test_the_packets_of_a_check_are_told_place_by_place(page: Page) -> None:
    assert re.search(
        r"\+0\.0 ms dc: port of dc-host TCP 172.* \+0\.4 ms isp1: port of cgw ESP .* \+11\.3 ms", page.words
    )


def test_a_drill_shows_its_stream_its_bounds_its_numbers_and_its_ways(page: Page) -> None:
    for fact in (
        "gap 635 ms",
        "623 ms restored after",
        "62 lost of 400",
        "812 ms TCP, longest stall",
        "whole again within 1000 ms of the fault; and not before 400 ms",
        "way A: dc-host (dc) > cgw (t1) > gw (app) > server",
        "way B: dc-host (dc) > cgw (t2) > gw (app) > server",
        "must be seen, meanwhile esp on isp2",
    ):
        assert fact in page.words


def test_a_change_shows_what_was_checked_after_it(page: Page) -> None:
    assert "340 ms until its last check began" in page.words
    assert "While changed, this was checked ✓ pass C1-then the data centre reaches the VPC" in page.words


def test_drawings_have_names_for_those_who_cannot_see_them(page: Page) -> None:
    drawings = [each for each in page.of("svg") if "aria-hidden" not in each]
    assert len(drawings) >= 7
    assert all(each.get("role") == "img" and each.get("aria-label") for each in drawings)


def test_colours_are_not_all_that_tells_a_verdict(page: Page) -> None:
    assert {"✓ pass", "✗ fail", "? inconclusive"} <= set(page.text)


def test_a_run_without_anything_says_so() -> None:
    empty = replace(results(), checks=(), drills=(), changes=())
    bare = replace(subject(), network=Network(), checks=(), drills=(), changes=(), cites=())
    words = Page(to_html(bare, empty)).words
    assert "none: there was nothing to prove" in words
    assert "What did not pass" not in words


def test_verdicts_whose_claims_are_not_known_are_told_all_the_same() -> None:
    words = Page(to_html(replace(subject(), checks=(), drills=(), changes=()), results())).words
    assert "the data centre reaches the VPC" in words
    assert "100 numbered packets a second" in words


def test_a_drill_that_did_not_run_is_told_without_a_drawing() -> None:
    dead = replace(drill_verdict(), verdict="inconclusive", reason="the prober died", course=None, lost=None, way={})
    words = Page(to_html(subject(), replace(results(), drills=(dead,), changes=()))).words
    assert "reason the prober died" in words
    assert "longest gap" not in words.split("Drills:")[1].split("labctl")[0].replace("gap 635 ms", "")


def poisoned(value: Any, poison: str) -> Any:
    """`value` with every free text in it replaced."""
    if isinstance(value, str):
        return poison
    if isinstance(value, tuple):
        return tuple(poisoned(each, poison) for each in value)
    if isinstance(value, dict):
        return {key: poisoned(each, poison) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        kept = ("verdict", "kind", "id", "course", "proto", "icmp", "stream")
        names = [field.name for field in fields(value) if field.name not in kept]
        return replace(value, **{name: poisoned(getattr(value, name), poison) for name in names})
    return value


def poisoned_run(poison: str) -> tuple[Subject, Results]:
    found = results()
    checks = poisoned(check_verdicts(), poison)
    drill = poisoned(drill_verdict(), poison)
    course = drill.course
    assert isinstance(course, Course)
    events = tuple(replace(each, what=poison) for each in course.events)
    ways = tuple(replace(each, places=tuple(f"{place}{poison}" for place in each.places)) for each in course.ways)
    drill = replace(drill, course=replace(course, events=events, ways=ways))
    about = replace(subject(), about=poison, source=poison, cites=(poison,), kinds={"gw": poison})
    return about, replace(found, lab=poison, where=poison, checks=checks, drills=(drill,), seconds={poison: 1.0})


def skeleton(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Every element with the names of its attributes: what text alone must not change."""
    return [(tag, tuple(attributes)) for tag, attributes in Page(text).elements]


HARMLESS = "x"
NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='x",
    "</style><b>",
    "</title></svg><p>",
    "<!--",
    "]]>",
    "&lt;b&gt;",
    "a\x00b\x1b[31m\ud800",
]


@pytest.mark.parametrize("poison", NASTY)
def test_no_text_of_a_lab_becomes_markup(poison: str) -> None:
    assert skeleton(to_html(*poisoned_run(poison))) == skeleton(to_html(*poisoned_run(HARMLESS)))


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec=None, categories=None), min_size=1, max_size=12))
def test_whatever_is_in_the_texts_it_does_not_become_markup(poison: str) -> None:
    text = to_html(*poisoned_run(poison))
    assert skeleton(text) == skeleton(to_html(*poisoned_run(HARMLESS)))
    assert text.encode()
