"""A program as a child process: forked into its namespace, told and heard through three pipes, its end recorded.

It leads a process group, so that what it starts itself is killed and frozen with it. One pipe takes its orders
(another configuration), one brings its reports (that it did what it was asked for, or why not; the state of paths), one
what it prints.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from labctl.codec import decode, encode
from labctl.errors import LabError
from labctl.kernel.netns import enter
from labctl.kernel.paths import Paths
from labctl.plan.objects import Process
from labctl.services import processes
from labctl.services.control import ServiceStatus, error_to_data, line
from labctl.services.programs import Service, open_program, reconfigure, title

_LAST_LINES = 5


Data = dict[str, Any]


@dataclass(slots=True)
class Child:
    """A program's process as its supervisor knows it.

    `task` is what it was asked for and has not answered yet, `wanted` what it shall be then, and `failure` why it could
    not start, as an answer.
    """

    process: Process
    identity: processes.Identity
    orders: int
    reports: int
    output: int
    task: Literal["start", "change", "stop", ""] = "start"
    running: bool = True
    detail: str = ""
    wanted: Process | None = None
    failure: Data | None = None
    paths: dict[str, str] = field(default_factory=dict)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    _pending: dict[int, bytes] = field(default_factory=dict)
    _unsent: bytes = b""

    @property
    def status(self) -> ServiceStatus:
        """For those who ask."""
        return ServiceStatus(
            namespace=self.process.namespace,
            name=self.process.name,
            pid=self.identity.pid,
            state="running" if self.running else "exited",
            detail=self.detail,
            paths=dict(self.paths) if self.running else dict.fromkeys(self.paths, "down"),
        )

    def change(self, process: Process) -> None:
        """Ask it to become `process`; `send` does the rest."""
        self.task, self.wanted = "change", process
        self._unsent += line(encode(process))

    def send(self) -> bool:
        """Send what it will take; whether that was all. One that has ended takes all."""
        try:
            self._unsent = self._unsent[os.write(self.orders, self._unsent) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent = b""
        return not self._unsent

    def hear(self) -> Data | None:
        """Take in the reports that wait; its answer to what it was asked for, if it is there."""
        answer: Data | None = None
        for report in self._lines(self.reports):
            data = json.loads(report)
            self.detail = data.get("detail", self.detail)
            self.paths = data.get("paths", self.paths)
            if "ok" in data:
                answer = self._answered(data)
        return answer

    def _answered(self, data: Data) -> Data | None:
        task, self.task = self.task, "stop" if self.task == "stop" else ""
        if task == "change" and data["ok"] and self.wanted:
            self.process = self.wanted
        if task == "start" and not data["ok"]:
            self.failure = data  # it ends now, and only then that is said
            return None
        return data if task in ("start", "change") else None

    def read(self) -> list[str]:
        """Take in what it printed: whole lines."""
        printed = [text.decode(errors="replace") for text in self._lines(self.output)]
        self.lines.extend(printed)
        return printed

    def end(self, status: int) -> None:
        """It ended with the wait status `status`; both pipes have been read."""
        self.running = False
        self.lines.extend(text.decode(errors="replace") for text in [self._pending.get(self.output)] if text)
        code = os.waitstatus_to_exitcode(status)
        how = f"exit status {code}" if code >= 0 else f"killed by {_signal_name(-code)}"
        self.detail = ": ".join([how, *([" | ".join(self.lines)] if self.lines else [])])
        for pipe in (self.orders, self.reports, self.output):
            os.close(pipe)

    def _lines(self, pipe: int) -> list[bytes]:
        received = self._pending.get(pipe, b"")
        try:
            while chunk := os.read(pipe, 65536):
                received += chunk
        except BlockingIOError:
            pass
        *whole, self._pending[pipe] = received.split(b"\n")
        return whole


def spawn(process: Process, paths: Paths, release: Callable[[], None]) -> Child:
    """Fork `process` into its namespace; `release` is called in the child to let go of the parent's files."""
    taken, orders = os.pipe()
    reports, told = os.pipe()
    output, printed = os.pipe()
    mine, theirs = (orders, reports, output), _Ends(taken, told, printed)
    parent = os.getpid()
    pid = os.fork()
    with contextlib.suppress(ProcessLookupError):  # both do this: whoever comes first, it is done when either goes on
        os.setpgid(pid, pid or os.getpid())
    if pid == 0:
        for end in mine:
            os.close(end)
        _live(process, paths, parent, theirs, release)
    for end in (taken, told, printed):
        os.close(end)
    for end in mine:
        os.set_blocking(end, False)
    # Not yet waited for: the pid is still this process's, even if it has ended.
    return Child(process, processes.identify(pid) or processes.Identity(pid, 0), *mine)


@dataclass(frozen=True, slots=True)
class _Ends:
    """The program's ends of its pipes."""

    orders: int
    reports: int
    output: int

    def say(self, data: Data) -> None:
        """Report."""
        os.write(self.reports, line(data))


def _live(process: Process, paths: Paths, parent: int, ends: _Ends, release: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        processes.die_with(parent)
        _own_signals()
        release()
        os.dup2(ends.output, 1)
        os.dup2(ends.output, 2)
        processes.set_name(title(process.program, process.namespace))
        with enter(paths.namespace(process.namespace)):
            place = paths.program(process.namespace, process.name)
            service = open_program(process, lambda detail, states: ends.say({"detail": detail, "paths": states}), place)
            service.also(ends.orders, _Orders(ends, service).take)
            ends.say({"ok": True, "pid": os.getpid()})
            service.run()
        status = 0
    except SystemExit:
        status = 0
    except LabError as error:
        os.write(2, f"{error.message}\n".encode())
        ends.say(error_to_data(error))
    except Exception as error:  # the end of the process whatever it is: told in one line, to be found in the log
        os.write(2, f"{_where(error)}\n".encode())
    finally:
        os._exit(status)


class _Orders:
    """What the supervisor wants of a program that runs: configurations to go on with, one a line."""

    def __init__(self, ends: _Ends, service: Service) -> None:
        self._ends = ends
        self._service = service
        self._received = b""

    def take(self) -> None:
        """Carry out what has come. SystemExit where the supervisor is gone."""
        chunk = os.read(self._ends.orders, 1 << 16)
        if not chunk:
            raise SystemExit
        *whole, self._received = (self._received + chunk).split(b"\n")
        for each in whole:
            try:
                reconfigure(self._service, decode(Process, json.loads(each)).program)
            except LabError as error:
                self._ends.say(error_to_data(error))
            else:
                self._ends.say({"ok": True, "pid": os.getpid()})


def _own_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _signal_name(number: int) -> str:
    return next((each.name for each in signal.Signals if each == number), f"signal {number}")


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}: {error}{place}"
