"""What is no YAML is told where the broken thing begins, with what to do about it."""

from __future__ import annotations

import pytest

from labctl.describe import describe
from labctl.description.faults import Fault
from labctl.errors import DescriptionError


def fault(text: str) -> Fault:
    with pytest.raises(DescriptionError) as refused:
        describe(text.encode(), "x.yaml")
    [found] = refused.value.faults
    assert isinstance(found, Fault)
    return found


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("a:\n  target:kms\n  ips: 1", (2, 3), "a space after the colon?"),
        ("a:\n  b: 1\n  word\n", (3, 3), "a colon after the key?"),
        ("a: 'b\nc: d\n", (1, 4), "the quote opened here is never closed"),
        ("a: 'b\nc: 'd'\n", (1, 4), "the quote opened here is never closed"),
        ("a: [1,\n  2\nb: 3\n", (1, 4), "or a comma is missing before line 3, column 2"),
        ("a: [1}\n", (1, 4), "a `]` is missing before this `}`"),
        ("a: {b: [1]\n", (1, 4), ""),
        ("a: {b: [1,", (1, 8), ""),
        ("a:\n    b: 1\n     c: 2\n", (3, 6), "indented by 5 spaces, its neighbours by 4"),
        ("a:\n    b:\n        c: 1\n   d: 2\n", (4, 4), "indented by 3 spaces, its neighbours by 4"),
        ("a:\n  - b: 1\n - c: 2\n", (3, 2), "indented by 1 space, its neighbours by 2"),
        ("a: b: c\n", (1, 5), 'a text with a colon in it stands in quotes: "a: b"'),
        ("a: {b: c d: e}\n", (1, 11), "a comma before this?"),
        ("a: %b\n", (1, 4), "put it in quotes: '%...'"),
        ("a: {b: c}}\n", (1, 10), ""),
        ("a: *\n", (1, 5), ""),
    ],
)
def test_it_is_told_where_it_begins(text: str, place: tuple[int, int], hint: str) -> None:
    found = fault(text)
    assert (tuple(found.mark), found.hint) == (place, hint)
    assert found.rule.startswith("not YAML: ")


def test_where_the_parser_noticed_is_shown_too() -> None:
    found = fault("a: [1,\n  2\nb: 3\n")
    assert found.other is not None
    assert tuple(found.other.mark) == (3, 2)
    assert fault("a: [1,\n  2\n").other is None
