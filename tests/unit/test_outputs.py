"""Files that a run leaves: refused beforehand where they cannot be written, and written whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from labctl.cli.outputs import Outputs, prepare, refuse_in_guest
from labctl.errors import HostError, UsageError


def test_what_is_not_asked_for_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = prepare(None, None, None)
    outputs.write({})
    assert (outputs.reports, outputs.evidence) == ({}, tmp_path / "labctl-evidence")
    assert list(tmp_path.iterdir()) == []


def test_reports_are_written_with_the_mode_of_any_new_file(tmp_path: Path) -> None:
    outputs = prepare(tmp_path / "a.xml", tmp_path / "b.html", None)
    assert list(tmp_path.iterdir()) == []
    outputs.write({"--junit": b"<a/>", "--html": b"<b/>"})
    (tmp_path / "plain").touch()
    found = {each.name: (each.read_text(), each.stat().st_mode) for each in tmp_path.iterdir()}
    mode = found.pop("plain")[1]
    assert found == {"a.xml": ("<a/>", mode), "b.html": ("<b/>", mode)}


def test_a_report_of_an_earlier_run_is_taken_away_first(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("passed")
    prepare(tmp_path / "a.xml", None, None)
    assert not (tmp_path / "a.xml").exists()


def test_nothing_is_taken_away_where_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("passed")
    with pytest.raises(UsageError):
        prepare(tmp_path / "a.xml", tmp_path / "nowhere" / "b.html", None)
    assert (tmp_path / "a.xml").read_text() == "passed"


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "link.xml").symlink_to(tmp_path / "real.xml")
    prepare(tmp_path / "link.xml", None, None).write({"--junit": b"<a/>"})
    assert (tmp_path / "link.xml").is_symlink()
    assert (tmp_path / "real.xml").read_text() == "<a/>"


def test_a_device_is_written_to_and_never_replaced() -> None:
    before = Path("/dev/null").stat()
    prepare(Path("/dev/null"), None, None).write({"--junit": b"<a/>"})
    assert Path("/dev/null").stat().st_ino == before.st_ino
    with pytest.raises(HostError, match="--junit /dev/full: cannot be written: No space left on device"):
        prepare(Path("/dev/full"), None, None).write({"--junit": b"<a/>"})


def test_a_reader_finds_the_old_text_or_the_new_one(tmp_path: Path) -> None:
    outputs = prepare(tmp_path / "a.xml", None, None)
    outputs.write({"--junit": b"old"})
    with (tmp_path / "a.xml").open() as reader:
        outputs.write({"--junit": b"new"})
        assert reader.read() == "old"
    assert (tmp_path / "a.xml").read_text() == "new"


REFUSED = {
    "a directory": ("", "is a directory"),
    "below a file": ("file/a.xml", "Not a directory"),
    "nowhere": ("no/such/a.xml", "No such file or directory"),
    "a circle": ("circle/a.xml", "Too many levels of symbolic links"),
    "too long": ("a" * 300, "File name too long"),
}


@pytest.mark.parametrize(("name", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_report_that_could_not_be_written_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for junit, html, option in ((tmp_path / name, None, "--junit"), (None, tmp_path / name, "--html")):
        with pytest.raises(UsageError, match=f"^{option} .*: .*{reason}"):
            prepare(junit, html, None)


def test_one_file_for_two_reports_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match="the same file"):
        prepare(tmp_path / "a", tmp_path / "link", None)


def test_a_place_for_evidence_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert prepare(None, None, tmp_path / "a" / "b").evidence == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()
    for wrong in ("file", "file/b"):
        with pytest.raises(UsageError, match=f"--evidence .*{wrong}: cannot be written to: "):
            prepare(None, None, tmp_path / wrong)


def test_a_guest_writes_to_places_lent_to_it_and_reports_are_put_where_they_belong(tmp_path: Path) -> None:
    outputs = prepare(tmp_path / "a.xml", tmp_path / "b.html", tmp_path / "kept")
    with outputs.lent() as lent:
        given = dict(zip(lent.arguments[::2], lent.arguments[1::2], strict=True))
        assert given["--evidence"] == str(tmp_path / "kept")
        assert tmp_path / "kept" in lent.writable
        assert tmp_path not in lent.writable
        assert {Path(given[option]).parent for option in ("--junit", "--html")} < set(lent.writable)
        Path(given["--junit"]).write_text("<a/>")
        (tmp_path / "kept" / "demo").mkdir()
    # A guest that ended early has written less than was asked for.
    assert (tmp_path / "a.xml").read_text() == "<a/>"
    assert not (tmp_path / "b.html").exists()
    assert (tmp_path / "kept" / "demo").is_dir()


def test_evidence_that_was_not_needed_leaves_no_directory(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for place in ("some/where", "mine"):
        with Outputs({}, tmp_path / place).lent() as lent:
            assert lent.writable == [tmp_path / place]
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_without_a_place_for_evidence_a_guest_gets_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Outputs({}, tmp_path / "file" / "kept").lent() as lent:
        assert (lent.arguments, lent.writable) == ([], [])


def test_what_a_guest_has_of_its_own_is_no_place_for_evidence() -> None:
    with pytest.raises(UsageError, match="--evidence /run: a guest kernel has its own /run"):
        refuse_in_guest(Path("/run"))
    refuse_in_guest(Path("/run/user/evidence"))
