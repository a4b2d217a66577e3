"""What the supervisor and its keeper say to each other, and how they know a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import time
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from labctl.codec import decode, encode
from labctl.errors import DescriptionError, HostError, KernelError, LabError, ProbeError, StateError
from labctl.kernel.paths import Paths
from labctl.model.services import Resolver
from labctl.plan.objects import Process
from labctl.services import control, processes
from labctl.services.control import Roster, ServiceStatus, error_from_data, error_to_data, short_path
from labctl.services.keeper import Keeper
from labctl.services.processes import Identity

PROCESS = Process("gw", "dns", Resolver((IPv4Address("10.0.0.1"),), ()))


@pytest.mark.parametrize(
    "error",
    [
        DescriptionError("d"),
        HostError("h", hint="do this"),
        StateError("s"),
        KernelError("k", subject="subject", errno=98, hint="that"),
    ],
)
def test_errors_cross_the_socket_with_kind_hint_and_number(error: LabError) -> None:
    back = error_from_data(error_to_data(error), "subject")
    assert type(back) is type(error)
    assert (back.message, back.hint) == (error.message, error.hint)
    if isinstance(back, KernelError):
        assert (back.errno, back.subject) == (98, "subject")


def test_an_error_of_an_unexpected_kind_is_a_state_error() -> None:
    assert type(error_from_data(error_to_data(ProbeError("p")))) is StateError


@pytest.mark.parametrize(
    "value",
    [
        Roster(Identity(1, 2), (Identity(3, 4), Identity(5, 6)), "boot"),
        ServiceStatus("gw", "paths", 7, "running", "a up since 3 ms", {"a": "up", "b": "down"}),
    ],
)
def test_what_is_written_down_is_read_back(value: object) -> None:
    assert decode(type(value), encode(value)) == value


def test_a_process_is_known_by_its_start_too() -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    assert processes.alive(me)
    assert not processes.alive(Identity(me.pid, me.started + 1))


def sleeper() -> Identity:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    found = processes.identify(pid)
    assert found is not None
    return found


def test_only_the_process_meant_is_killed() -> None:
    child = sleeper()
    processes.kill(Identity(child.pid, child.started + 1))
    assert not processes.wait_gone(child, time.monotonic() + 0.05)
    processes.kill(child)
    assert processes.wait_gone(child, time.monotonic() + 5.0)
    assert not processes.alive(child)  # a zombie does nothing any more
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == -signal.SIGKILL
    processes.kill(child)
    assert processes.wait_gone(child, time.monotonic())


def test_a_socket_may_lie_in_a_directory_of_any_length(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        with short_path(deep / "s") as name:
            listener.bind(name)
        listener.listen()
        with short_path(deep / "s") as name:
            client.connect(name)
    assert (deep / "s").is_socket()


def paths_with(tmp_path: Path, roster: str) -> Paths:
    paths = Paths("t", run=tmp_path, netns=tmp_path)
    paths.root.mkdir()
    (paths.root / "supervisor.json").write_text(roster)
    return paths


def roster(*identities: Identity, boot: str = "") -> str:
    return json.dumps(encode(Roster(*identities, boot=boot or processes.boot_id())))


GONE = Identity(1, 1)


def test_a_lab_that_never_had_a_supervisor_has_no_programs(tmp_path: Path) -> None:
    keeper = Keeper(Paths("t", run=tmp_path, netns=tmp_path))
    keeper.shutdown()
    keeper.stop(PROCESS)
    assert keeper.status() == ()


def test_without_its_supervisor_a_lab_cannot_be_asked_and_ends_all_the_same(tmp_path: Path) -> None:
    paths = paths_with(tmp_path, roster(GONE))
    assert control.broken(paths)
    with pytest.raises(StateError, match=r"does not run .*, and without it none of its programs") as caught:
        Keeper(paths).status()
    assert "labctl down t" in caught.value.hint
    Keeper(paths).shutdown()
    assert list(paths.root.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[", "{}", '{"is": "Roster"}', "\udcff"])
def test_a_damaged_roster_names_nobody_and_hinders_nothing(tmp_path: Path, text: str) -> None:
    paths = paths_with(tmp_path, "")
    (paths.root / "supervisor.json").write_bytes(text.encode(errors="surrogateescape"))
    assert (control.read_roster(paths), control.broken(paths)) == (None, False)
    Keeper(paths).shutdown()


def test_whoever_listens_is_found_where_the_roster_is_damaged(tmp_path: Path) -> None:
    paths = paths_with(tmp_path, "[")
    with socket.socket(socket.AF_UNIX) as listener:
        with short_path(paths.control) as name:
            listener.bind(name)
        listener.listen()
        heard, told = os.pipe()
        child = os.fork()
        if child == 0:
            listener.listen()  # from now on it is the child's
            os.write(told, b".")
            time.sleep(60)
            os._exit(0)
        os.read(heard, 1)
        assert peer(paths) == child
    for end in (heard, told):
        os.close(end)
    Keeper(paths).shutdown()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def peer(paths: Paths) -> int:
    with socket.socket(socket.AF_UNIX) as client, short_path(paths.control) as name:
        client.connect(name)
        return int(struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def test_a_roster_from_before_a_restart_names_nobody(tmp_path: Path) -> None:
    child = sleeper()
    paths = paths_with(tmp_path, roster(child, boot="another"))
    Keeper(paths).shutdown()
    assert processes.alive(child)
    processes.kill(child)
    os.waitpid(child.pid, 0)


def test_a_process_dies_with_its_parent_until_it_lives_on() -> None:
    for lives in (False, True):
        heard, told = os.pipe()
        parent = os.fork()
        if parent == 0:
            me = os.getpid()
            child = os.fork()
            if child == 0:
                processes.die_with(me)
                if lives:
                    processes.live_on()
                os.write(told, str(os.getpid()).encode())
                time.sleep(60)
                os._exit(0)
            os.waitpid(child, 0)
            os._exit(0)
        found = processes.identify(int(os.read(heard, 20)))
        assert found is not None
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        assert processes.wait_gone(found, time.monotonic() + (0.1 if lives else 5.0)) != lives
        processes.kill(found)
        os.close(heard)
        os.close(told)
