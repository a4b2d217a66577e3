"""`labctl new`: where the description goes, and what it never writes over."""

from __future__ import annotations

from pathlib import Path

import pytest

from labctl.cli.creating import create
from labctl.cli.files import read
from labctl.errors import HostError, UsageError


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_file_and_the_lab_are_called_by_shape_and_size_unless_they_are_named(tmp_path: Path) -> None:
    create("", "leaf-spine", 6, "", force=False)
    create("mine", "ring", 3, "", force=False)
    create("", "star", 3, "other.yaml", force=False)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["leaf-spine-6.yaml", "mine.yaml", "other.yaml"]
    names = [read(f"./{each}").name for each in ("leaf-spine-6.yaml", "mine.yaml", "other.yaml")]
    assert names == ["leaf-spine-6", "mine", "star-3"]


def test_a_file_that_is_there_stays_as_it_is_unless_forced() -> None:
    file = Path("chain-3.yaml")
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"chain-3\.yaml is there already") as refused:
        create("", "chain", 3, "", force=False)
    assert (file.read_text(), refused.value.hint) == ("mine", "--force writes over it")
    create("", "chain", 3, "", force=True)
    assert read("./chain-3.yaml").name == "chain-3"


def test_a_dash_is_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create("", "chain", 3, "-", force=False)
    assert capsys.readouterr().out.splitlines()[1] == "lab: chain-3"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["Mine", "a/b", "x" * 33, "-"])
def test_a_name_that_no_lab_can_have_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a lab"):
        create(name, "chain", 3, "", force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(HostError, match=r"no/such/x\.yaml: cannot be written: No such file"):
        create("", "chain", 3, "no/such/x.yaml", force=False)
