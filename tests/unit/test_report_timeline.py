from __future__ import annotations

import re
from dataclasses import replace
from xml.etree.ElementTree import Element

import pytest
from report_lab import CHANGE, DRILL, WHAT, change_verdict, course, drill_verdict, way

from labctl.claims.results import Course, Event, StreamVerdict
from labctl.report.bounds import Window, bounds_in_words, windows
from labctl.report.course import letters, outages, paused, short_way
from labctl.report.svg import ticks
from labctl.report.timeline import LEFT, RIGHT, WIDTH, timeline


def drawn(verdict: StreamVerdict, *limits: Window) -> Element:
    found = timeline(verdict, limits)
    assert found is not None
    return found


def of_class(element: Element, class_: str) -> list[Element]:
    return [each for each in element.iter() if each.get("class") == class_]


def strokes(element: Element, class_: str) -> int:
    """How many subpaths the drawing of the packets has; the legend has its own three."""
    every = [each for each in element.iter("path") if class_ in each.get("class", "").split()]
    return every[0].get("d", "").count("M")


def texts(element: Element) -> list[str]:
    return [each.text or "" for each in element.iter("text")]


def scale(at_ms: float, last_ms: float) -> float:
    return LEFT + at_ms / last_ms * (WIDTH - LEFT - RIGHT)


def test_each_packet_is_a_stroke_and_each_lost_one_red() -> None:
    svg = drawn(drill_verdict())
    assert [strokes(svg, class_) for class_ in ("sent", "lost")] == [338, 62]
    assert strokes(svg, "got") == 337  # two overtook each other as the stream came back, and touch


def test_packets_too_close_to_tell_apart_are_bands_but_a_lost_one_still_shows() -> None:
    stream = course(sent=4000, rate=1000, lost=range(2000, 2001))
    svg = drawn(replace(drill_verdict(), rate=1000, course=replace(stream, ways=())))
    assert strokes(svg, "sent") <= 2
    assert strokes(svg, "lost") == 1


def test_where_packets_are_dense_the_share_that_was_lost_is_drawn() -> None:
    stream = course(sent=4000, rate=1000, lost=range(0))
    half = tuple(None if 1000 <= i < 2000 and i % 2 else at for i, at in enumerate(stream.arrived_ms))
    svg = drawn(replace(drill_verdict(), rate=1000, course=replace(stream, arrived_ms=half, ways=())))
    [bars] = of_class(svg, "lost share")
    heights = [float(each) for each in re.findall(r"h2\.2v-([\d.]+)", bars.get("d", ""))]
    assert len(heights) > 100
    assert sum(heights) / len(heights) == pytest.approx(10, abs=0.5)


def test_the_gap_is_shaded_where_it_was_and_told_as_measured() -> None:
    stream = course()
    svg = drawn(drill_verdict())
    [shade] = of_class(svg, "gap")
    arrived = [at for at in stream.arrived_ms if at is not None]
    before, after = max(at for at in arrived if at < 1700), min(at for at in arrived if at > 1700)
    last = max(arrived)
    assert float(shade.get("x", "")) == pytest.approx(scale(before, last), abs=0.1)
    assert float(shade.get("width", "")) == pytest.approx(scale(after, last) - scale(before, last), abs=0.2)
    assert "gap 635 ms" in texts(svg)


def test_a_stream_without_loss_has_no_gap_and_no_red() -> None:
    svg = drawn(replace(change_verdict(), tcp=None))
    assert not of_class(svg, "gap") and not of_class(svg, "bracket")
    assert strokes(svg, "lost") == 0
    assert "one that never arrived" not in texts(svg)


def test_several_outages_are_shaded_each_and_the_longest_is_told_as_measured() -> None:
    stream = course()
    arrived = tuple(None if 20 <= i < 30 or 152 <= i < 214 or 300 <= i < 303 else i * 10.0 + 5 for i in range(400))
    svg = drawn(replace(drill_verdict(), course=replace(stream, arrived_ms=arrived)))
    assert len(of_class(svg, "gap")) == 3
    assert "3 gaps, the longest 635 ms" in texts(svg)


def test_gaps_with_no_room_for_words_between_them_are_told_after_the_last() -> None:
    arrived = tuple(
        None if 100 <= i < 300 and i % 10 < (6 if i // 10 == 20 else 5) else i * 10.0 + 5 for i in range(400)
    )
    svg = drawn(replace(drill_verdict(), longest_gap_ms=60.0, course=replace(course(), arrived_ms=arrived)))
    assert "20 gaps, the longest 60 ms" in texts(svg)
    [words] = of_class(svg, "gap-text")
    assert float(words.get("x", "")) > max(float(each.get("x", "")) for each in of_class(svg, "gap"))


def test_packets_that_were_held_up_are_a_gap_and_a_sender_that_paused_is_none() -> None:
    even = course(lost=range(0))
    assert outages(even, 100) == []
    held = tuple(at if at is None or not 1000 <= at < 1400 else 1400.0 + i / 10 for i, at in enumerate(even.arrived_ms))
    [(since, until, length)] = outages(replace(even, arrived_ms=held), 100)
    assert (round(since), round(until), round(length)) == (996, 1407, 411)
    late = tuple(at if i < 100 else at + 400 for i, at in enumerate(even.sent_ms))
    arrived = tuple(at + 11 for at in late)
    stalled = replace(even, sent_ms=late, arrived_ms=arrived)
    assert outages(stalled, 100) == []
    assert paused(stalled, 100) and not paused(even, 100)
    assert any("kept the sender waiting" in each for each in texts(drawn(replace(drill_verdict(), course=stalled))))


def test_a_single_lost_packet_is_a_gap() -> None:
    [(_, _, length)] = outages(course(lost=range(200, 201)), 100)
    assert round(length) == 25


def test_time_counts_from_the_first_event() -> None:
    svg = drawn(drill_verdict())
    shown = texts(svg)
    assert {WHAT, "restored  +623 ms", "repair  +2000 ms", "0 s", "+0.5 s"} <= set(shown)
    assert len(of_class(svg, "event")) == 3


def test_flags_of_events_do_not_cover_each_other() -> None:
    events = tuple(Event(1500.0 + i, f"event number {i} with a long name") for i in range(4))
    svg = drawn(replace(drill_verdict(), course=replace(course(), events=events)))
    rows = [float(each.get("y", "")) for each in of_class(svg, "event-text")]
    assert len(set(rows)) == 4


def test_what_happens_at_the_end_is_told_inside_the_drawing() -> None:
    svg = drawn(replace(drill_verdict(), course=replace(course(), events=(Event(3990.0, "the very last event"),))))
    [flag] = of_class(svg, "event-text")
    assert float(flag.get("x", "")) + 7 * len(flag.text or "") < WIDTH


def test_a_band_tells_the_way_by_what_is_its_own() -> None:
    stream = course()
    assert list(letters(stream).values()) == ["A", "B"]
    assert [short_way(stream, places) for places in letters(stream)] == ["t1", "t2"]
    assert {"A  t1", "B  t2"} <= set(texts(drawn(drill_verdict())))


def test_a_way_that_all_packets_took_has_nothing_of_its_own() -> None:
    one = replace(course(), ways=(way(0, 399, "t1"),))
    assert short_way(one, one.ways[0].places) == ""


def test_bounds_count_from_the_event_that_they_name() -> None:
    stream = course()
    early, allowed = windows(DRILL, stream)
    assert (early.sort, early.since_ms, early.until_ms) == ("early", 1517.0, 1917.0)
    assert (allowed.sort, allowed.since_ms, allowed.until_ms) == ("allowed", 1917.0, 2517.0)
    late = replace(DRILL, bounds=replace(DRILL.bounds, after="repair", not_before_ms=None))
    assert [(each.since_ms, each.until_ms) for each in windows(late, stream)] == [(3517.0, 4517.0)]
    assert windows(late, replace(stream, events=stream.events[:1])) == []


def test_the_bound_of_a_change_counts_from_the_change() -> None:
    found = change_verdict().course
    assert found is not None
    [window] = windows(CHANGE, found)
    assert (window.since_ms, window.until_ms) == (1500.0, 2000.0)
    assert windows(replace(CHANGE, reach_ms=None), found) == []


def test_every_bound_is_told() -> None:
    assert bounds_in_words(DRILL) == [
        "whole again within 1000 ms of the fault",
        "and not before 400 ms",
        "at most 0 packets lost after the repair",
        "at most 100 packets lost",
        "TCP survives",
    ]
    felt = replace(CHANGE.felt, lost=1, duplicated=2, reordered=3, gap_ms=40, path_changes=1, tcp_survives=False)
    assert bounds_in_words(replace(CHANGE, felt=felt)) == [
        "true within 500 ms of the change",
        "at most 1 packet lost",
        "at most 2 packets twice",
        "at most 3 packets reordered",
        "at most 1 change of the path",
        "no gap longer than 40 ms",
        "TCP may break",
    ]


def test_a_drill_that_sent_nothing_has_no_drawing() -> None:
    assert timeline(replace(drill_verdict(), course=None)) is None
    assert timeline(replace(drill_verdict(), course=Course((), (), (), ()))) is None


@pytest.mark.parametrize("arrived", [None, 5.0])
def test_a_single_packet_is_drawn(arrived: float | None) -> None:
    assert drawn(replace(drill_verdict(), longest_gap_ms=0.0, course=Course((0.0,), (arrived,), (), ())))


def test_the_drawing_is_told_to_those_who_cannot_see_it() -> None:
    svg = drawn(drill_verdict())
    assert svg.get("role") == "img"
    assert svg.findtext("title") == "D1: the stream against time"
    assert "62 lost, longest gap 635 ms" in (svg.findtext("desc") or "")


def test_ticks_are_round_and_few() -> None:
    assert ticks(-1.5, 2.5, 12) == [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert ticks(0, 61, 12) == [0, 10, 20, 30, 40, 50, 60]
    assert ticks(0, 0.02, 12) == [0, 0.002, 0.004, 0.006, 0.008, 0.01, 0.012, 0.014, 0.016, 0.018, 0.02]
