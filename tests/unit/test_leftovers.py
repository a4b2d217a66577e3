"""Directories of guests: a dead one is cleared away, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labctl.guest.leftovers import clear, directory

HOLDER = """
import sys
from pathlib import Path
from labctl.guest.leftovers import directory
with directory("guest", Path(sys.argv[1])) as place:
    (place / "console").write_text("x")
    print(place, flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that runs a guest, as it were."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        yield child, Path(child.stdout.readline().strip())
        child.kill()


def test_a_directory_is_gone_with_its_block(tmp_path: Path) -> None:
    with directory("reports", tmp_path) as place:
        assert place.parent == tmp_path.resolve() and place.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_a_dead_one_is_cleared_and_a_live_one_is_not(tmp_path: Path) -> None:
    with holder(tmp_path) as (child, place):
        assert clear(tmp_path) == ()
        assert (place / "console").exists()
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert place.exists()
        assert [each.name for each in clear(tmp_path)] == [place.name]
        assert list(tmp_path.iterdir()) == []


def test_the_next_guest_clears_what_is_dead(tmp_path: Path) -> None:
    with holder(tmp_path) as (child, _):
        child.kill()
        child.wait()
        with directory("reports", tmp_path) as mine:
            assert [each.name for each in tmp_path.iterdir()] == [mine.name]


def test_what_bears_no_mark_or_a_strange_one_stays(tmp_path: Path) -> None:
    foreign = tmp_path / "labctl-guest-theirs"
    foreign.mkdir()
    (foreign / "precious").touch()
    strange = tmp_path / "labctl-guest-strange"
    strange.mkdir()
    (strange / "owner").write_text("somebody")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner").write_text("x")
    (tmp_path / "labctl-guest-link").symlink_to(elsewhere)
    (tmp_path / "labctl-guest-file").touch()
    pipe = tmp_path / "labctl-guest-pipe"
    pipe.mkdir()
    os.mkfifo(pipe / "owner")
    before = sorted(tmp_path.rglob("*"))
    assert clear(tmp_path) == ()
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_one_goes_when_nobody_can_be_making_it_any_more(tmp_path: Path) -> None:
    young, old = tmp_path / "labctl-guest-young", tmp_path / "labctl-guest-old"
    for each in (young, old):
        each.mkdir()
    os.utime(old, (time.time() - 7200,) * 2)
    assert clear(tmp_path) == (old,)
    assert young.exists()
