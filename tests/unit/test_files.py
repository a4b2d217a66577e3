"""Topologies are found by file and by name, and a shell can complete both."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

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
    Path("vpe-sub-mine.yaml").touch()
    Path("vpe-sub-notes.txt").touch()
    Path("vpe-sub-folder").mkdir()
    Path("vpe-sub-folder/inner.yml").touch()
    assert files.completions("vpe-sub") == ["vpe-subnet", "vpe-sub-folder/", "vpe-sub-mine.yaml"]
    assert files.completions("vpe-sub-folder/") == ["vpe-sub-folder/inner.yml"]


def test_a_new_lab_file_leads_editors_to_the_schema_of_this_installation() -> None:
    text = "lab: x\nresources: {}\n"
    head, _, rest = files.with_schema(text).partition("\n")
    path = url2pathname(urlsplit(head.removeprefix("# yaml-language-server: $schema=")).path)
    assert json.loads(Path(path).read_text())["title"] == "A lab of labctl"
    assert rest == text


def test_a_copy_of_a_shipped_file_leads_there_too() -> None:
    text = files.shipped()["vpe-subnet"].read_text()
    copy = files.with_schema(text)
    assert copy == files.with_schema(copy) != text
    assert copy.splitlines()[1:] == text.splitlines()[1:]
