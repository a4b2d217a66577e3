"""`pip install .` gives a `labctl` that finds the shipped topologies by name."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel built from a copy of the sources."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for part in ("labctl", "topologies", "pyproject.toml", "README.md"):
        subprocess.run(["cp", "-r", str(TOP / part), str(copy / part)], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(out), str(copy)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return zipfile.ZipFile(next(out.glob("*.whl"))).namelist()


def test_every_module_is_installed(wheel: list[str]) -> None:
    modules = {str(path.relative_to(TOP)) for path in (TOP / "labctl").rglob("*.py")}
    assert modules <= set(wheel)


def test_every_topology_its_schema_and_the_guest_kernels_recipe_are_installed(wheel: list[str]) -> None:
    topologies = {f"labctl/topologies/{path.name}" for path in (TOP / "topologies").iterdir()}
    recipe = {str(path.relative_to(TOP)) for path in (TOP / "labctl" / "guest" / "uml").iterdir()}
    assert topologies | recipe <= set(wheel)


def test_every_package_is_listed() -> None:
    listed = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {str(path.parent.relative_to(TOP)).replace("/", ".") for path in (TOP / "labctl").rglob("__init__.py")}
    assert set(listed) == found | {"labctl.topologies"}
