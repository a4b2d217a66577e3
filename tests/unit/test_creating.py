"""`labctl new`: where the description goes, and what it never writes over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from labctl.cli.creating import STARTER, Wanted, create
from labctl.cli.files import read, shipped
from labctl.errors import HostError, UsageError

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_file_and_the_lab_are_called_by_shape_and_size_unless_they_are_named(tmp_path: Path) -> None:
    create(Wanted(shape="leaf-spine", nodes=6))
    create(Wanted(name="mine", shape="ring", nodes=3))
    create(Wanted(shape="star", nodes=3, output="other.yaml"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["leaf-spine-6.yaml", "mine.yaml", "other.yaml"]
    names = [read(f"./{each}").name for each in ("leaf-spine-6.yaml", "mine.yaml", "other.yaml")]
    assert names == ["leaf-spine-6", "mine", "star-3"]


def test_a_file_that_is_there_stays_as_it_is_unless_forced() -> None:
    file = Path("chain-3.yaml")
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"chain-3\.yaml is there already") as refused:
        create(Wanted(shape="chain", nodes=3))
    assert (file.read_text(), refused.value.hint) == ("mine", "--force writes over it")
    create(Wanted(shape="chain", nodes=3, force=True))
    assert read("./chain-3.yaml").name == "chain-3"


def test_a_dash_is_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create(Wanted(shape="chain", nodes=3, output="-"))
    assert capsys.readouterr().out.splitlines()[2] == "lab: chain-3"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["Mine", "a/b", "x" * 33, "-"])
def test_a_name_that_no_lab_can_have_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a lab"):
        create(Wanted(name=name, shape="chain", nodes=3))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(HostError, match=r"no/such/x\.yaml: cannot be written: No such file"):
        create(Wanted(shape="chain", nodes=3, output="no/such/x.yaml"))


def test_a_lab_to_start_from_is_written_where_nothing_else_is_asked_for() -> None:
    create(Wanted())
    create(Wanted(name="mine"))
    assert [read(f"./{each}.yaml").name for each in ("hello", "mine")] == ["hello", "mine"]
    assert [check.id for check in read("./mine.yaml").checks] == ["P1", "N1"]


def test_the_readme_shows_the_lab_to_start_from() -> None:
    text = STARTER.read_text().split("\n", 1)[1]
    assert f"```yaml\n{text}```" in README.read_text()


@pytest.mark.parametrize("topology", sorted(shipped()))
def test_a_copy_of_a_shipped_topology_is_the_same_but_for_its_name(topology: str) -> None:
    create(Wanted(of=topology))
    create(Wanted(of=topology, name="other"))
    found, original = read("./other.yaml"), read(str(shipped()[topology]))
    assert (read(f"./my-{topology}.yaml").name, found.name) == (f"my-{topology}", "other")
    assert (found.plan.objects, found.checks, found.drills) == (original.plan.objects, original.checks, original.drills)


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(of="vpe-subnet"), Wanted(shape="star", nodes=3)])
def test_what_is_written_tells_editors_where_its_schema_is(wanted: Wanted, capsys: pytest.CaptureFixture[str]) -> None:
    create(replace(wanted, output="-"))
    head, *rest = capsys.readouterr().out.splitlines()
    assert Path(head.removeprefix("# yaml-language-server: $schema=file://")).is_file()
    assert not any("$schema" in line for line in rest)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted(shape="chain"), "go together"),
        (Wanted(nodes=5), "go together"),
        (Wanted(shape="chain", nodes=3, of="vpe-subnet"), "exclude each other"),
        (Wanted(of="vpe-subnets"), "no topology `vpe-subnets` comes with labctl"),
        (Wanted(of="../etc/passwd"), "no topology"),
    ],
)
def test_what_does_not_go_together_is_refused(wanted: Wanted, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        create(wanted)
    assert list(tmp_path.iterdir()) == []
