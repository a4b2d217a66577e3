from __future__ import annotations

from dataclasses import replace

import pytest
from report_lab import check_verdicts, drill_verdict

from labctl.cli.terminal import FORCE_COLOR, Terminal

GREEN, RED, BOLD, PLAIN = "\x1b[32m", "\x1b[1;31m", "\x1b[1m", "\x1b[0m"


def told(capsys: pytest.CaptureFixture[str], terminal: Terminal) -> str:
    passed, failed, _ = check_verdicts()
    terminal.checked(passed)
    terminal.checked(failed)
    terminal.checked(replace(passed, verdict="inconclusive", reason="its control"))
    terminal.drilled(drill_verdict())
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def nothing_of_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (FORCE_COLOR, "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def test_verdicts_stand_under_headings_with_a_line_between_groups(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, Terminal()).splitlines()
    starts = [line for line in lines if not line.startswith(" ")]
    assert [line[:20].strip() for line in starts] == [
        "What works", "pass         P1", "", "What must not work", "fail         N1", "",
        "Decided anew, since", "inconclusive P1", "", "Drills: what breaks", "pass         D1",
    ]  # fmt: skip


def test_into_a_pipe_there_are_no_colours_and_no_folding(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, Terminal())
    assert "\x1b" not in text
    assert f"gap 635 ms  {drill_verdict().about}\n" in text


def test_towards_a_terminal_words_are_coloured_and_lines_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FORCE_COLOR, "1")
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("TERM", "xterm")
    text = told(capsys, Terminal())
    assert f"{BOLD}What works{PLAIN}\n" in text
    assert f"{GREEN}pass{PLAIN}" in text
    assert f"{RED}fail{PLAIN}" in text
    assert f"gap 635 ms  {drill_verdict().about}\n" not in text


def test_who_minds_colours_gets_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORCE_COLOR, "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in told(capsys, Terminal())


def test_a_quiet_terminal_says_nothing_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, Terminal(quiet=True)) == ""
