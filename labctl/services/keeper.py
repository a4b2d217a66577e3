"""The other side of the supervisor: start it, ask it, and end it with all its programs, even if it is dead already.

Light to import: it is part of every command that touches a lab.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import labctl
from labctl.codec import decode, encode
from labctl.errors import HostError, LabError, StateError
from labctl.kernel.paths import Paths
from labctl.plan.objects import Process
from labctl.services import processes
from labctl.services.control import Roster, ServiceStatus, error_from_data, line, roster_file, short_path

_START_S = 20.0
_REQUEST_S = 15.0
_SHUTDOWN_S = 3.0
_END_S = 5.0


def start(paths: Paths) -> int:
    """The pid of the lab's supervisor, started unless it runs already. `paths.root` must exist.

    It is a session of its own without a terminal; it prints to `paths.log`. HostError: no Python or no processes to
    be had; StateError: it ended at once, or told nothing in time.
    """
    roster = _roster(paths)
    if roster is not None and processes.alive(roster.supervisor):
        return roster.supervisor.pid
    heard, told = os.pipe()
    try:
        _launch(paths, told)
    finally:
        os.close(told)
    answer = _read_answer(heard, paths)
    return int(answer["pid"])


class Keeper:
    """The supervisor of the lab at `paths`, as seen by those who command it. Each call is a connection of its own."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def start(self, process: Process) -> None:
        """Start a program and wait until it listens.

        KernelError where the kernel refused it something (an address in use, no such device), StateError where it runs
        already or ended, where its namespace is missing or no supervisor runs.
        """
        self._ask({"do": "start", "process": encode(process)}, process)

    def stop(self, process: Process) -> None:
        """End a program, gently first, and wait for it; one that does not run is fine."""
        self._ask({"do": "stop", "namespace": process.namespace, "name": process.name}, process)

    def change(self, old: Process, new: Process) -> None:
        """Have the program `old` go on as `new`, with its connections and sessions, and wait until it does.

        One that does not run is started. KernelError where the kernel refused it something: it goes on as it was.
        StateError where it ended over it, or did not answer and was killed.
        """
        if type(old.program) is not type(new.program):
            self.stop(old)
            self.start(new)
        else:
            self._ask({"do": "change", "process": encode(new)}, new)

    def signal(self, process: Process, number: signal.Signals) -> None:
        """Send `number` to a program. One that does not run any more needs none."""
        request = {"do": "signal", "namespace": process.namespace, "name": process.name, "number": int(number)}
        self._ask(request, process)

    def status(self) -> tuple[ServiceStatus, ...]:
        """Every program that was started and not stopped. StateError where no supervisor runs."""
        services = self._ask({"do": "status"}, None)["services"]
        return tuple(decode(ServiceStatus, each) for each in services)

    def shutdown(self) -> None:
        """End the supervisor and its programs, and wait until they are gone; that nothing runs is fine.

        StateError where something survives even SIGKILL.
        """
        roster = _roster(self._paths)
        if roster is None:
            return
        if processes.alive(roster.supervisor):
            try:
                self._ask({"do": "shutdown"}, None, _SHUTDOWN_S)
            except LabError:  # it does not answer, or is ending: its end is that of its children (PR_SET_PDEATHSIG)
                processes.kill(roster.supervisor)
        _await_end(_roster(self._paths) or roster)
        for place in (self._paths.control, roster_file(self._paths)):
            place.unlink(missing_ok=True)

    def _ask(self, request: dict[str, Any], subject: Process | None, timeout_s: float = _REQUEST_S) -> dict[str, Any]:
        try:
            answer = _exchange(self._paths, line(request), timeout_s)
        except TimeoutError:
            raise StateError(f"the supervisor of lab {self._paths.lab} does not answer") from None
        except OSError as error:
            raise StateError(
                f"the supervisor of lab {self._paths.lab} does not run: {error.strerror}",
                hint=f"labctl down {self._paths.lab}",
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


def _launch(paths: Paths, ready: int) -> None:
    """Start the supervisor; what we start is only its parent, which ends at once, so that nobody has to wait for it.

    -P: no module is taken from the directory that the caller happens to stand in.
    """
    places = [paths.lab, str(paths.run.absolute()), str(paths.netns.absolute())]
    command = [sys.executable, "-P", "-m", "labctl.services.supervisor", *places, str(ready)]
    environment = {**os.environ, "PYTHONPATH": str(Path(labctl.__file__).parent.parent)}
    try:
        with paths.log.open("ab") as log:
            subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(ready,),
                start_new_session=True,
                check=False,
            )
    except OSError as error:
        raise HostError(f"cannot start the supervisor of lab {paths.lab}: {error}") from error


def _read_answer(heard: int, paths: Paths) -> dict[str, Any]:
    with os.fdopen(heard, "rb") as source:
        readable, _, _ = select.select([source], [], [], _START_S)
        answer = source.readline() if readable else b""
    if not answer:
        raise StateError(f"the supervisor of lab {paths.lab} did not start", hint=f"see {paths.log}")
    found: dict[str, Any] = json.loads(answer)
    if not found.get("ok"):
        raise error_from_data(found)
    return found


def _roster(paths: Paths) -> Roster | None:
    """Who ran when the supervisor last wrote it down; None where none ever did or all were seen to be gone."""
    try:
        found: Roster = decode(Roster, json.loads(roster_file(paths).read_text()))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StateError(f"{roster_file(paths)} is damaged: {error}") from error
    return found


def _await_end(roster: Roster) -> None:
    deadline = time.monotonic() + _END_S
    survivors = [each for each in (roster.supervisor, *roster.children) if not processes.wait_gone(each, deadline)]
    for each in survivors:
        processes.kill(each)
    left = [each.pid for each in survivors if not processes.wait_gone(each, time.monotonic() + 1.0)]
    if left:
        raise StateError(f"these processes do not end: {', '.join(map(str, left))}")
