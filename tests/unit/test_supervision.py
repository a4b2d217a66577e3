"""What the supervisor and its keeper say to each other, and how they know a process."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from labctl.codec import decode, encode
from labctl.errors import DescriptionError, HostError, KernelError, LabError, ProbeError, StateError
from labctl.kernel.paths import Paths
from labctl.services import processes
from labctl.services.control import Roster, ServiceStatus, error_from_data, error_to_data, short_path
from labctl.services.keeper import Keeper
from labctl.services.processes import Identity


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
        Roster(Identity(1, 2), (Identity(3, 4), Identity(5, 6))),
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


def test_without_a_supervisor_shutdown_is_fine_and_questions_are_not(tmp_path: Path) -> None:
    keeper = Keeper(Paths("t", run=tmp_path, netns=tmp_path))
    keeper.shutdown()
    with pytest.raises(StateError, match="does not run"):
        keeper.status()


def test_a_damaged_roster_is_told_by_its_name(tmp_path: Path) -> None:
    paths = Paths("t", run=tmp_path, netns=tmp_path)
    paths.root.mkdir()
    (paths.root / "supervisor.json").write_text("[")
    with pytest.raises(StateError, match=r"supervisor\.json is damaged"):
        Keeper(paths).shutdown()
