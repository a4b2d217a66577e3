"""VRRP by the distribution's keepalived: a program of its own, which lives and dies with the one that runs it here.

Its files lie in a directory of the lab's. It says what it is, MASTER or BACKUP, through a named pipe, and is ready once
it is one of them for good: a BACKUP that has heard nothing for as long as a dead MASTER is given has not settled yet.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from labctl.errors import HostError, KernelError, StateError
from labctl.model.services import Vrrp
from labctl.services import processes
from labctl.services.vrrptext import GROUP, configuration

Report = Callable[[str, dict[str, str]], None]

PROGRAM = "keepalived"
SETTLING = "settling"
_ANSWER_S = 9.5
_LEAVE_S = 0.4
_SLACK_MS = 100


def _now() -> float:
    return time.monotonic() * 1000


class Keepalived:
    """The program, started and in its first state. HostError: keepalived is missing; KernelError: a device is;
    StateError: it ended at once, with its last words, or told nothing in time.
    """

    def __init__(self, config: Vrrp, node: str, place: Path, report: Report) -> None:
        self._config = config
        self._node = node
        self._place = place
        self._report = report
        self._state = ""
        self._since = _now()
        self._transitions = -1  # the first state is none
        self._settles = 0.0
        self._said: list[str] = []
        self._later: list[Callable[[], None]] = []
        self._selector = selectors.DefaultSelector()
        self._states = self._pipe()
        self._write(config)
        self._child = self._start()
        self._output = self._child.stdout.fileno() if self._child.stdout else -1
        os.set_blocking(self._output, False)
        self._selector.register(self._states, selectors.EVENT_READ, self._follow)
        self._selector.register(self._output, selectors.EVENT_READ, self._repeat)
        self._await(lambda: self._state != "", "did not say what it is")

    def reconfigure(self, config: Vrrp) -> None:
        """Go on as `config` (SIGHUP): what stays the same is not interrupted. KernelError where a device is missing,
        StateError where keepalived does not take it.
        """
        self._write(config)
        self._said.clear()
        self._child.send_signal(signal.SIGHUP)
        self._await(lambda: any("Reload complete" in each for each in self._said), "did not take its new configuration")
        self._config = config
        self._unsettle()
        self._tell()

    def run(self) -> None:
        """Go on until SIGTERM; then have keepalived give its addresses away. StateError where it ends by itself."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            while True:
                self._turn(max(0.0, self._settles - _now()) / 1000 if self._settles else None)
                if self._settles and _now() >= self._settles:
                    self._settles = 0.0
                    self._tell()
                while self._later:
                    self._later.pop()()
        finally:
            self._leave()

    def also(self, source: int, act: Callable[[], None]) -> None:
        """`run` calls `act` when `source` can be read."""
        self._selector.register(source, selectors.EVENT_READ, lambda: self._later.append(act))

    def _pipe(self) -> int:
        """The pipe for its states, in a place where nothing is left of an earlier keepalived: it takes the number in an
        old file for that of one that runs.
        """
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(parents=True)
        states = self._place / "states"
        os.mkfifo(states, 0o600)
        return os.open(states, os.O_RDWR | os.O_NONBLOCK)  # a writer, too: so the pipe has no end

    def _write(self, config: Vrrp) -> None:
        for device, _ in config.addresses:
            _find(device)
        text = configuration(config, self._node, str(self._place / "states"))
        (self._place / "keepalived.conf").write_text(text)

    def _start(self) -> subprocess.Popen[bytes]:
        program = shutil.which(PROGRAM)
        if program is None:
            raise HostError(f"the program {PROGRAM} is not installed", hint=f"apt-get install {PROGRAM}")
        files = {"-f": "keepalived.conf", "-p": "pid", "-r": "vrrp.pid", "-c": "checkers.pid"}
        places = [word for option, name in files.items() for word in (option, str(self._place / name))]
        me = os.getpid()
        return subprocess.Popen(
            [program, "--dont-fork", "--log-console", "--vrrp", *places],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: processes.die_with(me),
        )

    def _await(self, done: Callable[[], bool], fault: str) -> None:
        deadline = time.monotonic() + _ANSWER_S
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise StateError(f"{PROGRAM} of {self._node} {fault} in {_ANSWER_S:g} s: {self._last_words()}")
            self._turn(left)

    def _turn(self, seconds: float | None) -> None:
        for key, _ in self._selector.select(seconds):
            key.data()

    def _follow(self) -> None:
        """Take in its states: lines of `GROUP "all" STATE PRIORITY`, and one for each device, which says no more."""
        with contextlib.suppress(BlockingIOError):
            for line in os.read(self._states, 1 << 16).decode().splitlines():
                kind, name, state = line.split()[:3]
                if (kind, name) == ("GROUP", f'"{GROUP}"') and state != self._state:
                    self._state, self._since, self._transitions = state, _now(), self._transitions + 1
                    self._unsettle()
                    self._tell()

    def _unsettle(self) -> None:
        """A BACKUP is one for good once a MASTER would have been missed (RFC 5798 section 6.1)."""
        config = self._config
        missed = config.interval_ms * (3 + (256 - config.priority) / 256)
        self._settles = _now() + missed + _SLACK_MS if self._state == "BACKUP" else 0.0

    def _repeat(self) -> None:
        """Pass on what it prints, without the instant, which the log has no use for. StateError: it has ended."""
        printed = os.read(self._output, 1 << 16)
        if not printed:
            raise StateError(f"{PROGRAM} of {self._node} ended: {self._last_words()}")
        for line in printed.decode(errors="replace").splitlines():
            words = line.split(": ", 1)[-1]
            self._said.append(words)
            print(words, flush=True)

    def _last_words(self) -> str:
        return " | ".join(self._said[-3:]) or "it said nothing"

    def _tell(self) -> None:
        state = SETTLING if self._settles else self._state
        self._report(f"{self._state} since {self._since:.0f} ms, {self._transitions} transitions", {"vrrp": state})

    def _leave(self) -> None:
        self._child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_LEAVE_S)


def _find(device: str) -> None:
    try:
        socket.if_nametoindex(device)
    except OSError as error:
        raise KernelError(f"there is no device {device} for a virtual address", errno=errno.ENODEV) from error
