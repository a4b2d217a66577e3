"""Work done aside while the process goes on: by a forked child, which on a second processor costs no time, or by a
thread, which costs nothing to start.

A child ends with its parent, whatever ends that, and leaves signals from a terminal to it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Generic, NoReturn, Self, TypeVar

from labctl import interrupts
from labctl.errors import HostError, LabError

T = TypeVar("T")
_PR_SET_PDEATHSIG = 1  # prctl.h
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Child:
    """A process that does `work`, which is given where to write to; `heard` is the other end. A context manager: it
    does not outlive the block.

    HostError where there are no more processes to be had.
    """

    def __init__(self, work: Callable[[int], None]) -> None:
        self.heard, told = os.pipe()
        self.pid = 0
        parent = os.getpid()
        try:
            with interrupts.held():
                self.pid = os.fork()
                if self.pid == 0:
                    _work(work, told, parent)
        except OSError as error:
            os.close(self.heard)
            raise HostError(f"cannot start a process: {error.strerror}") from error
        except KeyboardInterrupt:
            self.end()
            raise
        finally:
            os.close(told)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Kill it if it has not come to its end."""
        with interrupts.held():
            if self.pid:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                os.close(self.heard)
                self.pid = 0

    def read(self) -> bytes:
        """Everything that it writes until it ends."""
        return read_all(self.heard)


class Strand:
    """A `Child` that is a thread, for work that comes to its end by itself once nobody wants more of it."""

    def __init__(self, work: Callable[[int], None]) -> None:
        self.heard, told = os.pipe()
        self._thread = threading.Thread(target=_work_along, args=(work, told))
        self._thread.start()

    def end(self) -> None:
        """Wait for its end."""
        with interrupts.held():  # what it does shall not go on beside its undoing
            self._thread.join()
        if self.heard >= 0:
            os.close(self.heard)
            self.heard = -1

    def read(self) -> bytes:
        """Everything that it writes until it ends."""
        return read_all(self.heard)


class Aside(Generic[T]):
    """The value of `work`, found by a child. A context manager."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._child = Child(lambda told: _tell(work, told))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.end()

    def result(self) -> T:
        """What `work` returned, once, or the LabError that it raised. HostError where it did not come to an end."""
        told = self._child.read()
        if not told:
            raise HostError("a process of labctl's own was killed")
        outcome = pickle.loads(told)
        if isinstance(outcome, LabError):
            raise outcome
        value: T = outcome
        return value


def read_all(fd: int) -> bytes:
    """What comes out of a pipe until its other end is closed."""
    return b"".join(iter(partial(os.read, fd, 1 << 20), b""))


def _work_along(work: Callable[[int], None], told: int) -> None:
    try:
        work(told)
    finally:
        os.close(told)


def _tell(work: Callable[[], T], told: int) -> None:
    try:
        outcome: T | LabError = work()
    except LabError as error:
        outcome = error
    with os.fdopen(told, "wb", closefd=False) as file:
        file.write(pickle.dumps(outcome))


def _work(work: Callable[[int], None], told: int, parent: int) -> NoReturn:
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        gc.disable()
        if os.getppid() == parent:
            work(told)
    finally:
        os._exit(0)
