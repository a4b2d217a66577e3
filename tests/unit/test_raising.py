"""How many namespaces are begun with before a description is read: near enough, and never a reason to fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labctl.cli.raising import guess
from labctl.shapes import SHAPES, describe_shape, shape


@pytest.mark.parametrize("name", SHAPES)
def test_the_nodes_of_a_generated_network_are_counted(tmp_path: Path, name: str) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(describe_shape(name, shape(name, 40), "x"))
    assert guess(str(file)) == (40 if os.geteuid() == 0 else 0)


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert [guess(str(tmp_path)), guess(str(tmp_path / "no")), guess("a\0b")] == [0, 0, 0]
