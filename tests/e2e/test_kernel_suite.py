"""The kernel tests, all of them, on a kernel that has everything: none may be skipped for want of a mechanism."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest
from kernels import full_kernel, run_on

pytestmark = pytest.mark.e2e

KERNEL = Path(__file__).parents[1] / "kernel"
FILES = sorted(path.stem for path in KERNEL.glob("test_*.py"))

LONG = os.environ.get("LABCTL_TEST_LONG") == "1"
LONGEST = [file for file in FILES if "lies" in file or file == "test_edits"]
GROUPS = [LONGEST, [file for file in FILES if file not in LONGEST]]
"""One machine for each, both at once and for about as long."""


@functools.cache
def outcomes() -> dict[str, list[str]]:
    """By file, the tests that did not pass, with the reason; a file that ran no test is not there."""
    with ThreadPoolExecutor(len(GROUPS)) as machines:
        return {file: faults for found in machines.map(outcomes_of, GROUPS) for file, faults in found.items()}


def outcomes_of(files: list[str]) -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory(prefix="kernel-suite-") as directory:
        xml = Path(directory) / "junit.xml"
        paths = [str(KERNEL / f"{file}.py") for file in files]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={xml}", *paths]
        timeout, flags = (4 * 3600, {"LABCTL_TEST_LONG": "1"}) if LONG else (1200, {})
        run_on(full_kernel(), command, Path(directory), timeout=timeout, LABCTL_TEST_REQUIRE_ALL="1", **flags)
        found: dict[str, list[str]] = {}
        if not xml.exists():
            return found
        for case in ElementTree.parse(xml).iter("testcase"):
            # With LABCTL_TEST_REQUIRE_ALL a mechanism that is missing is a failure.
            bad = [each for each in case if each.tag in ("failure", "error")]
            faults = found.setdefault(case.get("classname", "").rpartition(".")[2], [])
            faults += [f"{case.get('name')}: {each.tag}: {each.get('message')}" for each in bad]
        return found


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_kernel_tests_passes_whole(file: str) -> None:
    assert outcomes()[file] == []
