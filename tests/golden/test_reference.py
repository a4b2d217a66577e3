"""The reference and the schema that are shipped are those of the classes that read a description.

After a change of the language: LABCTL_GOLDEN=write pytest tests/golden, and read the difference.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labctl.cli.explaining import schema
from labctl.cli.files import shipped
from labctl.report.reference import reference
from labctl.report.topics import every_topic

TOP = Path(__file__).resolve().parents[2]


def compare(found: str, file: Path) -> None:
    if os.environ.get("LABCTL_GOLDEN") == "write":
        file.write_text(found)
    assert found == file.read_text(), f"{file} is stale"


def test_the_reference_is_fresh() -> None:
    compare(reference(every_topic()), TOP / "docs" / "reference.md")


def test_the_schema_beside_the_topologies_is_fresh() -> None:
    compare(schema(), TOP / "topologies" / "labctl.schema.json")


@pytest.mark.parametrize("file", shipped().values(), ids=lambda file: file.stem)
def test_a_shipped_topology_tells_editors_its_schema(file: Path) -> None:
    head, path = file.read_text().splitlines()[0].split("=")
    assert head == "# yaml-language-server: $schema"
    assert (file.parent / path).is_file()


def labctl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "labctl", *words], capture_output=True, text=True)


def test_the_commands_print_them() -> None:
    assert labctl("schema").stdout == (TOP / "topologies" / "labctl.schema.json").read_text()
    assert labctl("explain", "--markdown").stdout == (TOP / "docs" / "reference.md").read_text()
    told = labctl("explain", "vsi")
    assert (told.returncode, told.stdout.splitlines()[0].partition(" ")[0]) == (0, "instance")


def test_a_word_that_cannot_be_explained_is_guessed() -> None:
    done = labctl("explain", "vpn_gatway", "--json")
    assert (done.returncode, json.loads(done.stdout)["hint"]) == (2, "did you mean `vpn_gateway`?")
