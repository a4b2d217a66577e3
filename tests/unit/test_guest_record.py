"""A guest's record: it appears and goes whole, is ours by its mark, and takes no other process for the guest's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labctl.errors import GuestError, HostError
from labctl.guest import places, record, staying
from labctl.guest.record import Place, Record

WRITTEN = Record("west", "uml", "west.yaml", 5, "2026-01-02T03:04:05+00:00")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place("west", tmp_path / "guests")


def test_what_was_written_down_is_read_and_listed(place: Place) -> None:
    record.create(place, WRITTEN)
    assert record.present(place)
    assert record.read(place) == WRITTEN
    assert record.labs(place.home) == (record.Summary("west", "dead", WRITTEN),)
    assert place.root.stat().st_mode & 0o077 == 0


def test_a_guest_is_starting_then_up_then_dead(place: Place) -> None:
    record.create(place, WRITTEN)
    with subprocess.Popen(["sleep", "100"]) as monitor:
        record.note(place, "monitor", monitor.pid)
        assert record.condition(place) == "starting"
        record.mark_up(place)
        assert record.condition(place) == "up"
        monitor.kill()
        monitor.wait()
        assert record.condition(place) == "dead"


def test_a_process_that_only_bears_the_pid_is_not_the_guests_and_lives_on(place: Place) -> None:
    record.create(place, WRITTEN)
    with subprocess.Popen(["sleep", "100"]) as other:
        record.note(place, "guest", other.pid)
        file = place.root / "guest.json"
        for change in ({"started": 1}, {"boot_id": "another"}):
            file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
            assert record.process(place, "guest") is None
        staying.end(place)
        assert other.poll() is None
        other.kill()
    assert not os.path.lexists(place.root)


def test_the_end_of_a_guest_whose_monitor_is_gone_kills_it(place: Place) -> None:
    record.create(place, WRITTEN)
    with subprocess.Popen(["sleep", "100"]) as left:
        record.note(place, "guest", left.pid)
        staying.end(place)
        assert left.wait(5) == -9
    assert not os.path.lexists(place.root)


def test_there_is_one_guest_of_a_name(place: Place) -> None:
    record.create(place, WRITTEN)
    with pytest.raises(GuestError, match="lab west is there already, in a guest"):
        record.create(place, WRITTEN)


def test_what_is_not_ours_is_neither_listed_nor_removed_nor_written_over(place: Place) -> None:
    (place.root / "precious").mkdir(parents=True)
    assert record.labs(place.home) == ()
    for act in (record.present, record.remove, staying.end):
        with pytest.raises(GuestError, match="no owner mark"):
            act(place)
    with pytest.raises(GuestError, match="no owner mark"):
        record.create(place, WRITTEN)
    assert (place.root / "precious").is_dir()


def test_a_link_to_a_record_is_not_ours(place: Place, tmp_path: Path) -> None:
    record.create(place, WRITTEN)
    place.root.rename(tmp_path / "elsewhere")
    place.root.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GuestError, match="no owner mark"):
        record.remove(place)
    assert (tmp_path / "elsewhere" / "owner").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1, "lab": "west"}'])
def test_an_unreadable_record_is_listed_and_can_be_removed(place: Place, text: str) -> None:
    record.create(place, WRITTEN)
    (place.root / "record.json").write_text(text)
    with pytest.raises(GuestError, match="cannot be read"):
        record.read(place)
    assert record.labs(place.home) == (record.Summary("west", "unreadable", None),)
    staying.end(place)
    assert not record.present(place)


def test_nothing_is_left_of_what_a_killed_command_began_to_remove(place: Place) -> None:
    (place.home / ".gone-west-123" / "work").mkdir(parents=True)
    (place.home / ".new-west").mkdir()
    record.create(place, WRITTEN)
    record.remove(place)
    record.remove(place)
    assert not place.home.exists()


def test_a_dead_guest_says_how_it_died_and_what_to_do(place: Place) -> None:
    record.create(place, WRITTEN)
    assert "is dead, and so is its monitor" in record.dead(place).message
    record.obituary(place, "Kernel panic")
    assert (record.dead(place).message, record.dead(place).hint) == ("Kernel panic", "labctl down west")


def test_a_path_that_a_kernels_command_line_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="command line cannot hold"):
        record.create(Place("west", tmp_path / "a b"), WRITTEN)


def test_no_name_of_a_lab_leads_out_of_the_directory(place: Place) -> None:
    assert not record.present(Place("../west", place.home))
    assert not record.present(Place("", place.home))


def test_a_user_has_a_directory_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert places.guests() == tmp_path / "labctl-guests"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert places.guests() == tmp_path / "cache" / "labctl" / "guests"


def test_a_monitor_that_does_not_start_leaves_nothing_and_its_complaint_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labctl.guest import client
    from labctl.guest.frames import Start

    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(GuestError, match="is dead"), staying.raised(place, WRITTEN) as connection:
        client.perform(connection, Start(["up"], "/", {}), place)
    assert not record.present(place)
