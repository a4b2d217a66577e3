"""A fault is told as a compiler tells one: in a line, with a hint, and with the lines that it is about."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from labctl.description.faults import Fault, Mark, Place
from labctl.report.data import fault_data
from labctl.report.faults import fault_lines

FAULT = Fault("x.yaml", Mark(3, 5), "lab", "A", "is wrong", "do so", "lab: A", 1)


def shown(line: str, word: str, width: int = 0, other: Place | None = None) -> list[str]:
    """What is quoted under a fault of `word` in `line`."""
    fault = Fault("x.yaml", Mark(7, line.index(word) + 1), "k", "", "rule", "", line, len(word), other)
    return list(fault_lines([fault], width))[1:]


def test_a_fault_is_a_line_a_hint_and_its_source_with_a_caret() -> None:
    assert list(fault_lines((FAULT, "no fault"))) == [
        "x.yaml:3:5: lab `A`: is wrong",
        "  hint: do so",
        "  3 | lab: A",
        "    |     ^",
    ]


def test_a_program_gets_the_same_as_an_object() -> None:
    told = {"file": "x.yaml", "line": 3, "column": 5, "path": "lab", "value": "A", "rule": "is wrong", "hint": "do so"}
    assert fault_data(FAULT) == {**told, "source": "lab: A", "width": 1, "other": None}
    both = Fault("x.yaml", Mark(1, 1), "", "", "r", other=Place("b.yaml", Mark(2, 4), "  k: v", 1))
    assert fault_data(both)["other"] == {"file": "b.yaml", "line": 2, "column": 4, "source": "  k: v", "width": 1}


def test_a_second_place_is_shown_below_with_the_name_of_another_file() -> None:
    assert shown("a: 1", "1", other=Place("x.yaml", Mark(12, 4), "b: 1", 1)) == [
        "   7 | a: 1", "     |    ^", "  12 | b: 1", "     |    -",
    ]  # fmt: skip
    assert shown("a: 1", "1", other=Place("base.yaml", Mark(2, 1), "b", 1))[-1] == "    | - in base.yaml"


def test_two_places_in_one_line_share_it() -> None:
    assert shown("{a: 1, b: 1}", "b: 1", other=Place("x.yaml", Mark(7, 5), "{a: 1, b: 1}", 1)) == [
        "  7 | {a: 1, b: 1}", "    |     -  ^^^^",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "word", "quoted", "caret"),
    [
        ("\tk:\tv", "v", " k: v", "    ^"),
        ("k: \x1b[31mred", "red", "k: \\x1b[31mred", "           ^^^"),
        ("東京: x", "x", "東京: x", "      ^"),
        ("k: 東京", "東京", "k: 東京", "   ^^^^"),
        ("e\u0301: x", "x", "e\u0301: x", "   ^"),
        ("a\u202eb: x", "x", "a\\u202eb: x", "          ^"),
    ],
)
def test_the_caret_stands_under_what_is_meant_whatever_stands_before_it(
    line: str, word: str, quoted: str, caret: str
) -> None:
    assert shown(line, word) == [f"  7 | {quoted}", f"    | {caret}"]


@pytest.mark.parametrize("width", [0, 40, 60, 90])
@pytest.mark.parametrize("before", [0, 3, 50, 500])
@pytest.mark.parametrize("after", [0, 3, 50, 500])
def test_a_long_line_is_cut_around_what_is_meant(width: int, before: int, after: int) -> None:
    text, caret = shown("東" * before + "HERE" + "x" * after, "HERE", width)
    begin = caret.index("^")
    columns = [char for char in text for _ in range(2 if char == "東" else 1)]
    assert "".join(columns[begin : begin + 4]) == "HERE"
    assert caret.count("^") == 4
    assert len(columns) <= (width or 100)
    assert ("..." in text) == (len(columns) < 6 + 2 * before + 4 + after)


def test_what_is_longer_than_the_line_may_be_begins_where_it_begins() -> None:
    text, caret = shown("k: " + "y" * 300, "y" * 300, 40)
    assert len(text) <= 40
    assert text.endswith("y...")
    assert caret.strip().lstrip("| ") == "^" * text.count("y")


def test_a_place_behind_the_end_of_a_line_has_its_caret_there() -> None:
    fault = Fault("x.yaml", Mark(1, 4), "", "", "r", line="k:")
    assert list(fault_lines([fault]))[1:] == ["  1 | k:", "    |   ^"]


def test_a_terminal_gets_colours_and_a_file_none(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("lab: X\nresources: {}\n")
    command = [sys.executable, "-m", "labctl", "validate", str(file)]
    parent, child = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm-256color"}
    subprocess.run(command, stderr=child, check=False, env=env)
    os.close(child)
    seen = os.read(parent, 65536).decode()
    os.close(parent)
    plain = subprocess.run(command, capture_output=True, text=True, check=False, env=env).stderr
    assert "\x1b[1;31m" in seen
    assert "\x1b" not in plain
    assert "    |      ^\n" in plain
