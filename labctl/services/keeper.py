"""The other side of the supervisor: start it, ask it, and end it with all its programs, even if it is dead already.

A supervisor exists once its roster is written; should its starter be killed before, it dies too. Light to import: it
is part of every command that touches a lab.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import labctl
from labctl import interrupts
from labctl.codec import decode, encode
from labctl.errors import HostError, LabError, StateError
from labctl.kernel.paths import Paths
from labctl.services import processes
from labctl.services.control import Roster, ServiceStatus, error_from_data, line, read_roster, roster_file, short_path

if TYPE_CHECKING:
    import subprocess

    from labctl.plan.objects import Process

_START_S = 20.0
_REQUEST_S = 15.0
_SHUTDOWN_S = 3.0
_END_S = 5.0


def start(paths: Paths) -> int:
    """The pid of the lab's supervisor, started unless it runs already. `paths.root` must exist.

    It is a session of its own without a terminal; it prints to `paths.log`. HostError: no Python or no processes to
    be had; StateError: it ended at once, or told nothing in time.
    """
    roster = read_roster(paths)
    if roster is not None and processes.alive(roster.supervisor):
        return roster.supervisor.pid
    heard, told = os.pipe()
    launcher: subprocess.Popen[bytes] | None = None
    try:
        with interrupts.held():
            launcher = _launch(paths, told)
        os.close(told)
        told = -1
        return int(_read_answer(heard, paths)["pid"])
    finally:
        for end in (heard, told) if told >= 0 else (heard,):
            os.close(end)
        if launcher is not None:  # a supervisor that has answered does not need it any more, any other ends with it
            launcher.kill()
            launcher.wait()


class Keeper:
    """The supervisor of the lab at `paths`, as seen by those who command it. Each call is a connection of its own."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def start(self, process: Process) -> None:
        """Start a program and wait until it listens.

        The lab's first program brings its supervisor along. KernelError where the kernel refused it something (an
        address in use, no such device), StateError where it runs already or ended, or where its namespace is missing.
        """
        start(self._paths)
        self._ask({"do": "start", "process": encode(process)}, process)

    def stop(self, process: Process) -> None:
        """End a program, gently first, and wait for it; one that does not run is fine."""
        if self._runs():
            self._ask({"do": "stop", "namespace": process.namespace, "name": process.name}, process)

    def change(self, old: Process, new: Process) -> None:
        """Have the program `old` go on as `new`, with its connections and sessions, and wait until it does.

        One that does not run is started. KernelError where the kernel refused it something: it goes on as it was.
        StateError where it ended over it, or did not answer and was killed.
        """
        if type(old.program) is not type(new.program) or not self._runs():
            self.stop(old)
            self.start(new)
        else:
            self._ask({"do": "change", "process": encode(new)}, new)

    def signal(self, process: Process, number: signal.Signals) -> None:
        """Send `number` to a program. One that does not run any more needs none."""
        request = {"do": "signal", "namespace": process.namespace, "name": process.name, "number": int(number)}
        self._ask(request, process)

    def status(self) -> tuple[ServiceStatus, ...]:
        """Every program that was started and not stopped. StateError where the supervisor ended before them."""
        if read_roster(self._paths) is None:
            return ()
        services = self._ask({"do": "status"}, None)["services"]
        return tuple(decode(ServiceStatus, each) for each in services)

    def programs(self) -> tuple[tuple[Process, int], ...]:
        """Every program that was started and not stopped, as it was last told to be, and its pid: 0 where it ended.
        None run where no supervisor does.
        """
        if not self._runs():
            return ()
        found = self._ask({"do": "programs"}, None)["programs"]
        from labctl.plan.objects import Process

        return tuple((decode(Process, each["process"]), each["pid"]) for each in found)

    def shutdown(self) -> None:
        """End the supervisor and its programs, and wait until they are gone; that nothing runs is fine.

        StateError where something survives even SIGKILL.
        """
        roster = read_roster(self._paths) or _listener(self._paths)
        if roster is None:
            return
        if processes.alive(roster.supervisor):
            try:
                self._ask({"do": "shutdown"}, None, _SHUTDOWN_S)
            except LabError:  # it does not answer, or is ending: its end is that of its children (PR_SET_PDEATHSIG)
                processes.kill(roster.supervisor)
        _await_end(read_roster(self._paths) or roster)
        for place in (self._paths.control, roster_file(self._paths)):
            try:
                place.unlink(missing_ok=True)
            except OSError as error:
                raise StateError(f"{place}: {error.strerror}") from error

    def _runs(self) -> bool:
        roster = read_roster(self._paths)
        return roster is not None and processes.alive(roster.supervisor)

    def _ask(self, request: dict[str, Any], subject: Process | None, timeout_s: float = _REQUEST_S) -> dict[str, Any]:
        lab = self._paths.lab
        try:
            answer = _exchange(self._paths, line(request), timeout_s)
        except TimeoutError:
            raise StateError(f"the supervisor of lab {lab} does not answer", hint=f"labctl down {lab}") from None
        except OSError as error:
            raise StateError(
                f"the supervisor of lab {lab} does not run ({error.strerror}), and without it none of its programs",
                hint=f"`labctl apply` starts them again, `labctl down {lab}` takes the lab away",
            ) from error
        if not answer.get("ok"):
            raise error_from_data(answer, subject)
        return answer


def _exchange(paths: Paths, request: bytes, timeout_s: float) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        with short_path(paths.control) as name:
            connection.connect(name)
        connection.sendall(request)
        with connection.makefile("rb") as answers:
            answer = answers.readline()
    if not answer.endswith(b"\n"):
        raise StateError(f"the supervisor of lab {paths.lab} ended before it answered")
    found: dict[str, Any] = json.loads(answer)
    return found


def _launch(paths: Paths, ready: int) -> subprocess.Popen[bytes]:
    """Start the supervisor; what we start is only its parent, which ends soon, so that nobody has to wait for it.

    -P: no module is taken from the directory that the caller happens to stand in.
    """
    import subprocess  # whoever only ends a lab does not need it

    places = [paths.lab, str(paths.run.absolute()), str(paths.netns.absolute())]
    command = [sys.executable, "-P", "-m", "labctl.services.supervisor", *places, str(ready), str(os.getpid())]
    environment = {**os.environ, "PYTHONPATH": str(Path(labctl.__file__).parent.parent)}
    try:
        with paths.log.open("ab") as log:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(ready,),
                start_new_session=True,
            )
    except OSError as error:
        raise HostError(f"cannot start the supervisor of lab {paths.lab}: {error}") from error


def _read_answer(heard: int, paths: Paths) -> dict[str, Any]:
    readable, _, _ = select.select([heard], [], [], _START_S)
    answer = os.read(heard, 1 << 16) if readable else b""
    if not answer:
        raise StateError(f"the supervisor of lab {paths.lab} did not start", hint=f"see {paths.log}")
    found: dict[str, Any] = json.loads(answer)
    if not found.get("ok"):
        raise error_from_data(found)
    return found


def _listener(paths: Paths) -> Roster | None:
    """Who listens at the control socket, where the roster does not say it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_SHUTDOWN_S)
        with short_path(paths.control) as name:
            connection.connect(name)
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        found = processes.identify(pid)
        return Roster(found) if found else None
    return None


def _await_end(roster: Roster) -> None:
    deadline = time.monotonic() + _END_S
    survivors = [each for each in (roster.supervisor, *roster.children) if not processes.wait_gone(each, deadline)]
    for each in survivors:
        processes.kill(each)
    left = [each.pid for each in survivors if not processes.wait_gone(each, time.monotonic() + 1.0)]
    if left:
        raise StateError(f"these processes do not end: {', '.join(map(str, left))}")
