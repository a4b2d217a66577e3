"""What is said of a stream of records in one TCP connection: nothing that only packets can suffer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_lab import CHANGE, Subject, change_verdict, course, drill_verdict, results, subject

from labctl.claims.results import Course, StreamVerdict
from labctl.probes.wire import TcpReport
from labctl.report.bounds import Window, bounds_in_words
from labctl.report.felt import ending, headline, numbers
from labctl.report.html import to_html
from labctl.report.markup import written
from labctl.report.text import drill_lines
from labctl.report.timeline import RIGHT, WIDTH, timeline


def of_records(lost: int, longest_gap_ms: float, restored_ms: float | None, tcp: TcpReport) -> StreamVerdict:
    felt = replace(drill_verdict(), stream="tcp", lost=lost, longest_gap_ms=longest_gap_ms, restored_ms=restored_ms)
    return replace(felt, tcp=tcp, duplicated=None, reordered=None, loss_derived_ms=None, path_changes=None, way={})


def held_up() -> StreamVerdict:
    """Records that came late, all of them."""
    whole = course(lost=range(152, 152))
    late = tuple(2140.0 if at and 1520 <= at < 2140 else at for at in whole.arrived_ms)
    tcp = TcpReport(25_600, 25_600, True, 761.0)
    return replace(of_records(0, 761.0, 758.0, tcp), course=replace(whole, arrived_ms=late, ways=()))


def ended(ended_ms: float | None = 1900.0) -> StreamVerdict:
    """A connection that delivers nothing more from the fault on."""
    cut = course(lost=range(152, 400))
    tcp = TcpReport(25_600, 9_728, False, 2480.0, "Connection reset by peer", ended_ms)
    return replace(of_records(248, 2471.0, None, tcp), course=replace(cut, events=cut.events[:1], ways=()))


def drawn(verdict: StreamVerdict, *limits: Window) -> str:
    found = timeline(verdict, limits)
    assert found is not None
    return written(found)


def test_what_is_held_up_is_told_as_a_stall_in_which_nothing_is_lost() -> None:
    assert headline(held_up()) == "stall 761 ms"
    assert numbers(held_up()) == (
        "longest stall 761 ms; all 400 records delivered, none lost; resumed 758 ms; connection intact"
    )
    assert "stall 761 ms" in drawn(held_up())


def test_a_connection_that_never_resumes_is_told_with_how_and_when_it_ended() -> None:
    assert headline(ended()) == "ended"
    assert ending(ended()) == (
        "never resumed: Connection reset by peer 383 ms after the event; last delivery 4.4 ms after the event"
    )
    assert numbers(ended()) == f"{ending(ended())}; 248 of 400 records not delivered"
    assert ending(replace(ended(None), course=None)) == "never resumed: Connection reset by peer"
    assert "never resumed" in drawn(ended())


def test_a_connection_that_breaks_once_all_is_delivered_is_broken() -> None:
    tcp = TcpReport(25_600, 25_600, False, 761.0, "other bytes came out than were sent")
    assert numbers(replace(held_up(), tcp=tcp)).endswith("; connection broken: other bytes came out than were sent")


@pytest.mark.parametrize("verdict", [held_up(), ended()])
def test_nothing_that_only_packets_can_suffer_is_said_of_records(verdict: StreamVerdict) -> None:
    page = to_html(lab(), replace(results(), drills=(verdict,), changes=()))
    drill = page[page.index('id="drill-D1"') :]
    told = f"{drill} {numbers(verdict)} {' '.join(drill_lines(verdict))}"
    for word in ("RFC 6412", "reordered", "arrived twice", "a packet sent", "restored after", "longest gap"):
        assert word not in told
    assert "a record written" in drill


def lab() -> Subject:
    [drill] = subject().drills
    return replace(subject(), drills=(replace(drill, traffic=replace(drill.traffic, port=443)),))


def test_the_bounds_of_records_are_told_in_records() -> None:
    felt = replace(CHANGE.felt, lost=1, gap_ms=40)
    assert bounds_in_words(replace(CHANGE, felt=felt, traffic=replace(CHANGE.traffic, port=443))) == [
        "true within 500 ms of the change",
        "at most 1 record not delivered",
        "no stall longer than 40 ms",
        "the connection survives",
    ]
    [drill] = lab().drills
    assert "at most 0 records not delivered after the repair" in bounds_in_words(drill)


def test_a_bound_beyond_the_end_of_the_stream_ends_with_its_axis() -> None:
    found = timeline(ended(), [Window(1517, 99_000, "allowed", "whole within 98 s")])
    assert found is not None
    [bar] = [each for each in found.iter("rect") if each.get("class") == "allowed"]
    assert float(bar.get("x", "")) + float(bar.get("width", "")) == pytest.approx(WIDTH - RIGHT)


def test_of_packets_the_gap_until_the_end_is_shown_too() -> None:
    cut = course(lost=range(152, 400))
    assert "gap 2471 ms" in drawn(replace(drill_verdict(), course=replace(cut, ways=()), longest_gap_ms=2471.0))
    assert "bracket" not in drawn(replace(drill_verdict(), course=Course((0.0,), (None,), (), ())))


def test_when_a_check_beside_a_change_began_is_told_with_it() -> None:
    change = change_verdict()
    begun = replace(change, then=(replace(change.then[0], began_ms=120.4),))
    assert any(line.endswith("(began 120 ms after the event)") for line in drill_lines(begun))
    page = to_html(subject(), replace(results(), changes=(begun,)))
    assert "<dt>began</dt><dd>120 ms after the event</dd>" in page
    assert "last check began 340 ms after the change" in numbers(change)
