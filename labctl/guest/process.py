"""A guest as a process group of the host: started out of the terminal's reach, and ended with everything in it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from types import FrameType

from labctl.errors import GuestError
from labctl.guest.job import Launch

CONSOLE_LINES = 40
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Guest:
    """A guest that runs, with the last lines of its console, which a thread gathers.

    The console is a pipe, since QEMU would truncate and overwrite a regular file.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._console: deque[str] = deque(maxlen=CONSOLE_LINES)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The first process, which leads the group."""
        return self._process.pid

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._console.append(line.decode(errors="replace").rstrip())

    def ended(self) -> bool:
        """True once the first process has ended; it is not reaped, so that its group is still this guest's."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self) -> None:
        """End every process of the guest, now; does nothing the second time."""
        if self._process.returncode is not None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join(1.0)

    def last_words(self) -> str:
        """Kill the guest, and give the end of its console as lines to put after a message."""
        self.kill()
        lines = [line for line in self._console if line.strip()]
        return "\n  ".join(["; its console ended with:", *lines]) if lines else "; its console shows nothing"


@contextlib.contextmanager
def started(launch: Launch) -> Iterator[Guest]:
    """Run a guest for as long as the block lasts; raises GuestError where its command cannot be started.

    Should this process be killed, so is the first process of the guest.
    """

    def child() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, launch.processors)

    with launch.claim or contextlib.nullcontext():
        try:
            process = subprocess.Popen(
                launch.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=launch.variables,
                start_new_session=True,
                preexec_fn=child,
                pass_fds=launch.passed,
            )
        except OSError as fault:
            raise GuestError(f"{launch.command[0]} does not start: {fault.strerror}") from fault
        with process:
            guest = Guest(process)
            try:
                yield guest
            finally:
                guest.kill()


class _Death(BaseException):
    """A signal that would have ended this process at once."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def late_death() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP unwind the stack first, and then end this process as they would have.

    A handler that someone else has set is left alone: it is expected to raise.
    """

    def die(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise _Death(number)

    main = threading.current_thread() is threading.main_thread()
    ours = [n for n in (signal.SIGTERM, signal.SIGHUP) if main and signal.getsignal(n) is signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, die)
        yield
    except _Death as death:
        signal.signal(death.number, signal.SIG_DFL)
        signal.raise_signal(death.number)
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
