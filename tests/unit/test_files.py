"""Topologies are found by file and by name, and a shell can complete both."""

from __future__ import annotations

from pathlib import Path

import pytest

from labctl.cli import files


def test_a_shipped_topology_is_found_by_its_name() -> None:
    assert files.find("vpe-subnet").name == "vpe-subnet.yaml"


def test_a_file_goes_before_a_shipped_topology_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vpe-subnet").write_text("lab: mine\n")
    assert files.find("vpe-subnet").read_text() == "lab: mine\n"


def test_names_files_and_folders_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vpe-mine.yaml").touch()
    Path("vpe-notes.txt").touch()
    Path("vpe-folder").mkdir()
    Path("vpe-folder/inner.yml").touch()
    assert files.completions("vpe-") == ["vpe-subnet", "vpe-folder/", "vpe-mine.yaml"]
    assert files.completions("vpe-folder/") == ["vpe-folder/inner.yml"]
