"""A program as a child process: forked into its namespace, heard through two pipes, its end recorded.

One pipe brings its reports (ready, failed, state of paths), one what it prints.
"""

from __future__ import annotations

import json
import os
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from labctl.errors import LabError
from labctl.kernel.netns import enter
from labctl.kernel.paths import Paths
from labctl.plan.objects import Process
from labctl.services import processes
from labctl.services.control import ServiceStatus, error_to_data, line
from labctl.services.programs import open_program, title

_LAST_LINES = 5


@dataclass(slots=True)
class Child:
    """A program's process as its supervisor knows it. `failure`: why it could not start, as an answer."""

    process: Process
    identity: processes.Identity
    reports: int
    output: int
    ready: bool = False
    running: bool = True
    stopping: bool = False
    detail: str = ""
    failure: dict[str, Any] | None = None
    paths: dict[str, str] = field(default_factory=dict)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    _pending: dict[int, bytes] = field(default_factory=dict)

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

    def hear(self) -> None:
        """Take in the reports that wait."""
        for report in self._lines(self.reports):
            data = json.loads(report)
            self.ready = self.ready or bool(data.get("ready"))
            self.detail = data.get("detail", self.detail)
            self.paths = data.get("paths", self.paths)
            if data.get("ok") is False:
                self.failure = data

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
        os.close(self.reports)
        os.close(self.output)

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
    reports, report_end = os.pipe()
    output, output_end = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reports)
        os.close(output)
        _live(process, paths, parent, report_end, output_end, release)
    for mine, theirs in ((reports, report_end), (output, output_end)):
        os.close(theirs)
        os.set_blocking(mine, False)
    # Not yet waited for: the pid is still this process's, even if it has ended.
    return Child(process, processes.identify(pid) or processes.Identity(pid, 0), reports, output)


def _live(
    process: Process, paths: Paths, parent: int, reports: int, output: int, release: Callable[[], None]
) -> NoReturn:
    status = 1

    def say(data: dict[str, Any]) -> None:
        os.write(reports, line(data))

    try:
        processes.die_with(parent)
        _own_signals()
        release()
        os.dup2(output, 1)
        os.dup2(output, 2)
        processes.set_name(title(process.program, process.namespace))
        with enter(paths.namespace(process.namespace)):
            service = open_program(process, lambda detail, states: say({"detail": detail, "paths": states}))
            say({"ready": True})
            service.run()
        status = 0
    except SystemExit:
        status = 0
    except LabError as error:
        os.write(2, f"{error.message}\n".encode())
        say(error_to_data(error))
    except Exception as error:  # the end of the process whatever it is: told in one line, to be found in the log
        os.write(2, f"{_where(error)}\n".encode())
    finally:
        os._exit(status)


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
