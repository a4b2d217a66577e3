"""What a command shows while it works: verdicts line by line, and progress for people at a terminal only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from labctl.plan.objects import Step
from labctl.probes.drills import DrillVerdict
from labctl.probes.verdicts import Verdict
from labctl.report.text import check_lines, drill_lines

FORCE_COLOR = "FORCE_COLOR"
"""Set where standard output is no terminal but ends at one, as in a guest (https://force-color.org)."""

_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}


class Terminal:
    """Tells people how a verb gets on: verdicts on standard output, unless `quiet`; progress on standard error."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._progress: Any = None
        self._task: Any = None

    def __enter__(self) -> Terminal:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def phase(self, what: str, steps: int) -> None:
        """A phase of `steps` steps begins (0: of unknown length)."""
        if self._progress is not None:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(what, total=steps or None)

    def step(self, step: Step) -> None:
        """One more step of the phase is done."""
        if self._progress is not None:
            self._progress.advance(self._task)

    def proving(self, what: str, number: int, of: int) -> None:
        """The check or drill `what` begins."""
        if self._progress is not None:
            if number == 1:
                self.phase("verify", of)
            self._progress.update(self._task, description=f"verify {what}", completed=number - 1)

    def checked(self, verdict: Verdict) -> None:
        """A check is decided."""
        self._show(verdict.verdict, check_lines(verdict))

    def drilled(self, verdict: DrillVerdict) -> None:
        """A drill is decided."""
        self._show(verdict.verdict, drill_lines(verdict))

    def say(self, text: str) -> None:
        """A line for people, never mixed into what a program reads."""
        print(text, file=sys.stderr, flush=True)

    def _show(self, word: str, lines: Iterable[str]) -> None:
        if self._quiet:
            return
        text = "\n".join(lines)
        if sys.stdout.isatty() or os.environ.get(FORCE_COLOR):
            from rich.console import Console
            from rich.text import Text

            styled = Text(text)
            styled.stylize(_STYLES[word], 0, len(word))
            Console(soft_wrap=True, highlight=False).print(styled)
        else:
            put(text)


def put(text: str) -> None:
    """A line on standard output; once whoever reads it has had enough, nowhere, and the verdict still counts."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        mute()


def mute() -> None:
    """Let standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Waiting:
    """Standard output for a guest, with a spinner on standard error until the guest says something."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._status: Any = None

    def __enter__(self) -> Waiting:
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(self._what)
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def write(self, data: bytes) -> None:
        """Pass `data` on."""
        self._stop()
        sys.stdout.buffer.write(data)

    def flush(self) -> None:
        """Pass on what is held back."""
        sys.stdout.buffer.flush()
