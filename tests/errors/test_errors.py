"""Every bad description has its exact message: NAME.yaml, and beside it NAME.txt with every line of it.

After a deliberate change of a message: LABCTL_GOLDEN=write pytest tests/errors, and read the difference.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labctl.cli.files import read
from labctl.describe import describe
from labctl.description.faults import MOST, Fault
from labctl.description.reader import MAX_BYTES
from labctl.errors import DescriptionError
from labctl.report.faults import fault_lines

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*.yaml"))
ACCEPTED = sorted((HERE / "accepted").glob("*.yaml"))


def message(text: bytes, source: str) -> str:
    """What a user reads; the file's name stands for its path."""
    with pytest.raises(DescriptionError) as refused:
        describe(text, source)
    return "".join(f"{line}\n" for line in (*fault_lines(refused.value.faults), refused.value.message))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_bad_description_gets_exactly_its_message(case: Path) -> None:
    found = message(case.read_bytes(), case.name)
    golden = case.with_suffix(".txt")
    if os.environ.get("LABCTL_GOLDEN") == "write":
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_faults_of_a_description_are_sorted_by_place_and_each_told_once(case: Path) -> None:
    with pytest.raises(DescriptionError) as refused:
        describe(case.read_bytes(), case.name)
    marks = [(fault.source != case.name, fault.mark) for fault in refused.value.faults if isinstance(fault, Fault)]
    assert marks == sorted(marks)
    assert len(set(refused.value.faults)) == len(refused.value.faults) == len(marks)


def test_every_message_belongs_to_a_description() -> None:
    assert {path.stem for path in HERE.glob("*.txt")} == {path.stem for path in CASES}


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.stem)
def test_an_unusual_description_is_accepted(case: Path) -> None:
    assert describe(case.read_bytes(), case.name).plan.lab


def test_a_byte_order_mark_changes_no_position() -> None:
    case = HERE / "kind-missing.yaml"
    assert message(b"\xef\xbb\xbf" + case.read_bytes(), case.name) == case.with_suffix(".txt").read_text()


def test_carriage_returns_change_no_position() -> None:
    case = HERE / "several-at-once.yaml"
    text = case.read_bytes().replace(b"\n", b"\r\n")
    assert message(text, case.name) == case.with_suffix(".txt").read_text()


def test_a_file_over_the_limit_is_refused_unread() -> None:
    text = b"lab: x\n" + b"#" * MAX_BYTES
    assert message(text, "big.yaml").startswith(f"big.yaml:1:1: a description has at most {MAX_BYTES} bytes\n")


def test_no_more_of_a_file_is_read_than_may_be_in_it() -> None:
    with pytest.raises(DescriptionError) as refused:
        read("/dev/zero")
    assert f"at most {MAX_BYTES} bytes" in str(refused.value.faults[0])


def test_a_file_of_nothing_but_faults_is_given_up_in_time() -> None:
    rows = "".join(f"  r{i}: {{kind: instance, subnet: v.a{i}, address: 10.0.0.1}}\n" for i in range(5000))
    told = message(f"lab: x\nresources:\n{rows}".encode(), "x.yaml")
    assert told.endswith(f"x.yaml: {MOST} faults, and no more were looked for; nothing was created\n")


def test_a_file_at_the_limit_is_read() -> None:
    text = b"lab: x\nresources: {}\n#"
    assert describe(text + b"#" * (MAX_BYTES - len(text)), "big.yaml").name == "x"


WATCHED = """
import sys
from pathlib import Path
from labctl.describe import describe
from labctl.errors import DescriptionError
from labctl.report.faults import fault_lines

texts = [Path(name).read_bytes() for name in sys.argv[1:]]
describe(b"lab: x\\nresources: {}", "warm.yaml")
acts = ("open", "socket.", "subprocess.", "os.", "shutil.", "tempfile.", "ctypes.")

def watch(event, args):
    if event.startswith(acts):
        print("describe() does", event, args)

sys.addaudithook(watch)
refused = 0
for text in texts:
    try:
        describe(text, "x.yaml")
    except DescriptionError:
        refused += 1
print(refused, "refused")
"""
"""Describes every bad file while the interpreter reports whatever touches the machine (PEP 578)."""


def test_nothing_is_created_for_a_bad_description(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED, *CASES], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{len(CASES)} refused\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_refused_with_its_name() -> None:
    with pytest.raises(DescriptionError) as refused:
        read("topologies/vpe-subnett.yaml")
    assert refused.value.message == "topologies/vpe-subnett.yaml: cannot be read: No such file or directory"


def test_a_shipped_topology_misspelt_is_guessed() -> None:
    with pytest.raises(DescriptionError) as refused:
        read("vpe-subnett")
    assert (refused.value.exit_code, refused.value.hint) == (2, "did you mean `vpe-subnet`?")


def test_a_directory_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError) as refused:
        read(str(tmp_path))
    assert refused.value.message == f"{tmp_path}: cannot be read: Is a directory"


def test_a_name_with_a_nul_byte_cannot_be_read() -> None:
    with pytest.raises(DescriptionError):
        read("a\0b")


def test_a_name_that_is_too_long_cannot_be_read() -> None:
    with pytest.raises(DescriptionError):
        read("x" * 5000)
