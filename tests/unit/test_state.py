import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labctl import __version__, state
from labctl.codec import encode
from labctl.errors import StateError, UsageError
from labctl.kernel.fingerprint import Fingerprint
from labctl.kernel.paths import Paths
from labctl.plan.objects import Namespace, Plan, Route, Ruleset, XfrmPolicy
from labctl.services.control import Roster, roster_file
from labctl.services.processes import Identity, boot_id

NET = IPv4Network("10.0.0.0/24")
PLAN = Plan(
    "demo",
    (
        Namespace("gw", forwarding=True),
        Route("gw", NET, via=IPv4Address("192.0.2.1")),
        Ruleset("gw", (("nat", ("-A POSTROUTING -j MASQUERADE",)), ("filter", ()))),
        XfrmPolicy("gw", "out", NET, NET, "protect", 7, (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))),
    ),
)
TEXT = "lab: demo\r\n# café\n"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths("demo", run=tmp_path / "run", netns=tmp_path / "netns")


def create(paths: Paths, plan: Plan = PLAN) -> None:
    state.create(paths, plan, TEXT, source="demo.yaml", time_scale=5, where="host", created_at="2024-05-06T07:08:09Z")


def contents(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*")} if folder.exists() else set()


# -- the journal


def test_what_is_written_down_is_read_back(paths: Paths) -> None:
    create(paths)
    saved = state.load(paths)
    assert saved.plan == PLAN
    assert saved.description == TEXT
    journal = saved.journal
    assert (journal.lab, journal.source, journal.time_scale) == ("demo", "demo.yaml", 5)
    assert (journal.created_at, journal.version, journal.where) == ("2024-05-06T07:08:09Z", __version__, "host")
    assert journal.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_lab_is_starting_until_it_is_marked_up(paths: Paths) -> None:
    create(paths)
    assert state.load(paths).status == "starting"
    state.mark_up(paths)
    state.mark_up(paths)
    assert state.load(paths).status == "up"


def test_a_lab_is_present_from_its_first_trace_to_its_removal(paths: Paths) -> None:
    assert not state.present(paths)
    create(paths)
    assert state.present(paths)
    state.remove(paths)
    assert not state.present(paths)


def test_nobody_else_may_look_into_the_directory(paths: Paths) -> None:
    create(paths)
    assert paths.root.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in paths.root.iterdir()} == {0o600}


@pytest.mark.parametrize(("up", "words"), [(True, "is already up"), (False, "was left half made")])
def test_a_lab_is_not_made_twice(paths: Paths, up: bool, words: str) -> None:
    create(paths)
    if up:
        state.mark_up(paths)
    with pytest.raises(StateError, match=f"lab demo {words}") as caught:
        create(paths, Plan("demo", ()))
    assert caught.value.hint == "labctl apply FILE, or labctl down demo"
    assert state.load(paths).plan == PLAN


def test_what_a_killed_command_left_half_written_is_no_lab_and_no_obstacle(paths: Paths) -> None:
    (paths.run / ".new-demo").mkdir(parents=True)
    (paths.run / ".new-demo" / "journal.json").write_text("{")
    assert state.labs(paths.run) == ()
    state.remove(paths)
    assert contents(paths.run) == set()
    (paths.run / ".new-demo").mkdir(parents=True)
    create(paths)
    assert state.load(paths).plan == PLAN


def test_a_lab_from_before_a_restart_is_stale(paths: Paths) -> None:
    create(paths)
    state.mark_up(paths)
    change_journal(paths, boot_id="another")
    assert state.load(paths).status == "stale"
    with pytest.raises(StateError, match="before the machine was restarted"):
        create(paths)


def change_journal(paths: Paths, **fields: object) -> None:
    file = paths.root / "journal.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("journal.json", "{"),
        ("journal.json", "[]"),
        ("journal.json", "{}"),
        ("journal.json", '{"format": 1}'),
        ("plan.json", '{"is": "Plan", "lab": "demo", "objects": [{"is": "Novelty"}]}'),
        ("plan.json", '{"is": "Plan", "lab": "demo"}'),
        ("plan.json", '{"is": "Plan", "lab": "demo", "objects": 5}'),
        ("plan.json", "\x00"),
        ("description.yaml", None),
    ],
)
def test_a_damaged_journal_says_how_to_go_on_and_can_be_removed(paths: Paths, name: str, content: str | None) -> None:
    create(paths)
    if content is None:
        (paths.root / name).unlink()
    else:
        (paths.root / name).write_text(content)
    with pytest.raises(StateError, match=r"journal of lab demo .* cannot be read") as caught:
        state.load(paths)
    assert caught.value.hint == "labctl down demo"
    state.remove(paths)
    assert contents(paths.run) == set()


def test_a_journal_of_a_newer_labctl_is_refused_with_its_version(paths: Paths) -> None:
    create(paths)
    change_journal(paths, format=state.FORMAT + 1, version="9.9")
    with pytest.raises(StateError, match=r"labctl 9\.9 wrote it in format 2"):
        state.load(paths)
    assert [summary.status for summary in state.labs(paths.run)] == ["unreadable"]


def test_there_is_nothing_to_load_where_no_lab_is(paths: Paths) -> None:
    for act in (state.load, state.mark_up, state.load_fingerprint):
        with pytest.raises(StateError, match="there is no lab demo"):
            act(paths)


@pytest.mark.parametrize("name", ["../etc", "a/b", ".locks", "", "A", "x y", "x\n"])
def test_a_name_that_is_no_lab_name_becomes_no_path(tmp_path: Path, name: str) -> None:
    paths = Paths(name, run=tmp_path / "run")
    for act in (state.load, state.remove, create, lambda p: state.lock(p, "up").__enter__()):
        with pytest.raises(UsageError, match="is not the name of a lab"):
            act(paths)
    assert not (tmp_path / "run").exists()


def test_the_fingerprint_is_kept(paths: Paths) -> None:
    create(paths)
    assert state.load_fingerprint(paths) is None
    fingerprint = Fingerprint(links=("lo mtu 65536",))
    state.save_fingerprint(paths, fingerprint)
    assert state.load_fingerprint(paths) == fingerprint


# -- the list


def test_labs_are_listed_by_name(paths: Paths) -> None:
    other = dataclasses.replace(paths, lab="another")
    create(paths)
    create(other)
    state.mark_up(other)
    (paths.run / "foreign").mkdir()
    assert [(each.lab, each.status, each.nodes) for each in state.labs(paths.run)] == [
        ("another", "up", 1),
        ("demo", "starting", 1),
    ]


def test_where_nothing_was_ever_made_there_are_no_labs(tmp_path: Path) -> None:
    assert state.labs(tmp_path / "run") == ()


# -- removal


def test_removal_leaves_nothing_and_may_be_repeated(paths: Paths) -> None:
    create(paths)
    paths.keyring.write_text("{}")
    paths.namespaces.mkdir()
    (paths.namespaces / "gw").touch()
    state.remove(paths)
    assert contents(paths.run) == set()
    state.remove(paths)


def test_a_directory_without_our_mark_is_left_alone(paths: Paths) -> None:
    paths.root.mkdir(parents=True)
    (paths.root / "precious").write_text("x")
    for act in (state.remove, state.load, state.present, create):
        with pytest.raises(StateError, match="is not labctl's"):
            act(paths)
    assert (paths.root / "precious").read_text() == "x"


def test_a_mark_of_another_lab_is_not_ours(paths: Paths) -> None:
    create(paths)
    paths.root.rename(paths.run / "moved")
    moved = dataclasses.replace(paths, lab="moved")
    with pytest.raises(StateError, match="is not labctl's"):
        state.remove(moved)
    assert (moved.root / "plan.json").exists()


def test_a_link_in_the_place_of_the_directory_is_not_followed(paths: Paths, tmp_path: Path) -> None:
    create(paths)
    paths.root.rename(tmp_path / "elsewhere")
    paths.root.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="is not labctl's"):
        state.remove(paths)
    assert (tmp_path / "elsewhere" / "plan.json").exists()


def test_links_in_the_directory_are_removed_and_not_what_they_lead_to(paths: Paths, tmp_path: Path) -> None:
    create(paths)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (paths.root / "link").symlink_to(tmp_path / "kept")
    state.remove(paths)
    assert (tmp_path / "kept" / "file").exists()


def test_something_strange_where_the_directory_is_put_together_is_left_alone(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    paths.run.mkdir()
    (paths.run / ".new-demo").symlink_to(tmp_path / "precious")
    for act in (state.remove, create):
        with pytest.raises(StateError, match=r"\.new-demo is in the way"):
            act(paths)
    assert (tmp_path / "precious").is_dir()


def test_what_killed_commands_left_is_named_with_the_labs(paths: Paths) -> None:
    create(paths)
    (paths.run / ".new-half").mkdir()
    (paths.run / ".locks").mkdir()
    (paths.run / ".locks" / "dead").touch()
    (paths.run / "foreign").mkdir()
    (paths.run / ".new-").mkdir()
    assert state.traces(paths.run) == ("dead", "demo", "half")


def test_an_empty_directory_of_locks_is_tidied_away_and_no_other(paths: Paths) -> None:
    state.tidy(paths.run)
    (paths.run / ".locks").mkdir(parents=True)
    (paths.run / ".locks" / "held").touch()
    state.tidy(paths.run)
    (paths.run / ".locks" / "held").unlink()
    state.tidy(paths.run)
    assert contents(paths.run) == set()


def test_a_lab_whose_supervisor_ended_is_broken(paths: Paths) -> None:
    create(paths)
    state.mark_up(paths)
    roster = Roster(Identity(1, 1), boot=boot_id())
    roster_file(paths).write_text(json.dumps(encode(roster)))
    assert state.load(paths).status == "broken"
    with pytest.raises(StateError, match="already up, but its supervisor ended"):
        create(paths)


# -- the lock

HOLDER = """
import sys, time
from pathlib import Path
from labctl import state
from labctl.kernel.paths import Paths
with state.lock(Paths("demo", run=Path(sys.argv[1])), "up"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(run: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lab `demo` until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


def test_a_second_command_is_told_who_holds_the_lab(paths: Paths) -> None:
    with (
        holder(paths.run) as child,
        pytest.raises(StateError, match=rf"lab demo is busy: labctl up \(pid {child.pid}\) holds it"),
        state.lock(paths, "down", wait_s=0.1),
    ):
        pass


def test_a_second_command_goes_on_once_the_first_is_done(paths: Paths) -> None:
    with holder(paths.run) as child:
        assert child.stdin is not None
        child.stdin.close()
        with state.lock(paths, "down", wait_s=5):
            held = json.loads((paths.run / ".locks" / "demo").read_text())
    assert held == {"pid": os.getpid(), "command": "down"}


def test_another_lab_never_waits(paths: Paths) -> None:
    with holder(paths.run):
        started = time.monotonic()
        with state.lock(dataclasses.replace(paths, lab="other"), "up", wait_s=5):
            assert time.monotonic() - started < 1


def test_the_lock_of_a_killed_command_is_free(paths: Paths) -> None:
    with holder(paths.run) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
        with state.lock(paths, "down", wait_s=0.1):
            pass
    assert contents(paths.run) == set()


def test_a_forked_child_does_not_keep_the_lock(paths: Paths) -> None:
    ready, go = os.pipe()
    with state.lock(paths, "up"):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(ready, 1)  # until the parent closes its end
            os._exit(0)
    os.close(ready)
    with state.lock(paths, "down", wait_s=0.1):
        pass
    os.close(go)
    assert os.waitpid(child, 0)[1] == 0


def test_a_child_that_outlives_a_killed_holder_does_not_keep_the_lock(paths: Paths) -> None:
    script = HOLDER.replace('    print("held", flush=True)\n', FORKING)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(paths.run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        os.kill(child, 0)  # it lives
        with state.lock(paths, "down", wait_s=0.1):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()


FORKING = """
    import os
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    print(child, flush=True)
"""


def test_a_lock_leaves_nothing_behind(paths: Paths) -> None:
    with state.lock(paths, "up"):
        create(paths)
        state.remove(paths)
    assert contents(paths.run) == set()
