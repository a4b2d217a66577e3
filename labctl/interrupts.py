"""SIGINT, SIGTERM and SIGHUP: the first undoes what was begun, at an instant that bears it; a second ends at once.

`install` makes the first signal raise KeyboardInterrupt. Within `held` it waits: for a block of `allowed` in there, for
`check`, or for the end. Ending at once is no worse than SIGKILL, after which `labctl down` finds everything.
Without `install`, as in tests, a signal does what it does in Python.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

STATUS = 130
"""The exit status of a command that was interrupted: 128 and the number of SIGINT, whichever signal it was."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CURSOR_ON = "\x1b[?25h"


@dataclass(slots=True)
class _Case:
    """What is known of this process. `promise`: what the first signal leads to, in words."""

    held: bool = False
    promise: str = ""
    came: bool = False
    waiting: bool = False
    over: bool = False


_case = _Case()


def install() -> None:
    """From now on signals are treated as this module says. For the main thread of a command."""
    for number in _SIGNALS:
        signal.signal(number, _take)


@contextlib.contextmanager
def held(promise: str = "") -> Iterator[None]:
    """A signal that comes meanwhile waits; whoever sent it is told `promise` ("undoing what was begun").

    Raises KeyboardInterrupt at the end where one waits, unless the block fails by itself or lies within another.
    """
    before = (_case.held, _case.promise)
    _case.held, _case.promise = True, promise or _case.promise
    try:
        yield
    finally:
        _case.held, _case.promise = before
    if not _case.held:
        check()


@contextlib.contextmanager
def allowed(*, if_so: bool = True) -> Iterator[None]:
    """A part of `held` that bears being interrupted anywhere; with `if_so` false all stays as it is."""
    before = _case.held
    if if_so:
        check()
        _case.held = False
    try:
        yield
    finally:
        _case.held = before


def holding() -> bool:
    """Whether a signal would wait now."""
    return _case.held


def check() -> None:
    """Raise KeyboardInterrupt if a signal waits."""
    if _case.waiting:
        _case.waiting = False
        raise KeyboardInterrupt


def forget() -> None:
    """The command has done what it was asked for: a signal changes nothing any more."""
    _case.over, _case.waiting = True, False


def _take(number: int, frame: FrameType | None) -> None:
    if _case.over:
        return
    name = signal.Signals(number).name
    if not _case.came:
        _case.came = True
        more = f"{_case.promise}; once more ends at once, and `labctl down` does the rest"
        _say(f"labctl: {name}: {more if _case.promise else 'interrupted'}")
        if not _case.held:
            raise KeyboardInterrupt
        _case.waiting = True
    elif number != signal.SIGHUP:  # a terminal that is closed sends more than one of these
        _say(f"labctl: {name} again: ended at once; `labctl down` takes away what is left")
        os._exit(STATUS)


def _say(text: str) -> None:
    """Without buffers, which may be in use; a progress bar may stand in the line."""
    before = f"{_CURSOR_ON}\r\n" if os.isatty(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{before}{text}\n".encode())
