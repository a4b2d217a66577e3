"""What a command shows while it works: verdicts line by line, and progress for people at a terminal only."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labctl.claims.results import StreamVerdict
    from labctl.claims.verdicts import Verdict
    from labctl.plan.objects import Step
    from labctl.prove.prover import After
    from labctl.report.text import Groups

FORCE_COLOR = "FORCE_COLOR"
"""Set where standard output is no terminal but ends at one, as in a guest (https://force-color.org)."""

_FAULT_STYLES = {"": "", "number": "dim", "fault": "bold", "mark": "bold red", "hint": "green"}
_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}


class Terminal:
    """Tells people how a verb gets on: verdicts on standard output, unless `quiet`; progress on standard error."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._groups: Groups | None = None
        self._begun = False
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
        from labctl.report.text import check_lines

        self._show(verdict, check_lines(verdict, width()))

    def drilled(self, verdict: StreamVerdict) -> None:
        """A drill or a live change is decided."""
        from labctl.report.text import drill_lines

        self._show(verdict, drill_lines(verdict, width()))

    def stopped(self, verdict: Verdict | StreamVerdict) -> After:
        """Something did not pass: on with the next."""
        return "go on"

    @contextmanager
    def resting(self) -> Iterator[None]:
        """No progress is shown within the block, so that other lines can be."""
        if self._progress is not None:
            self._progress.stop()
        yield
        if self._progress is not None:
            self._progress.start()

    def say(self, text: str) -> None:
        """A line for people, never mixed into what a program reads."""
        print(text, file=sys.stderr, flush=True)

    def _show(self, verdict: Verdict | StreamVerdict, lines: Iterable[str]) -> None:
        from labctl.report.text import Groups

        self._groups = self._groups or Groups()
        heading = self._groups.heading(verdict)
        if self._quiet:
            return
        before = f"{chr(10) if self._begun else ''}{heading}{chr(10)}" if heading else ""
        self._begun = True
        text = "\n".join(lines)
        if coloured():
            from rich.console import Console
            from rich.text import Text

            styled = Text.assemble((before, "bold"), text)
            styled.stylize(_STYLES[verdict.verdict], len(before), len(before) + len(verdict.verdict))
            Console(soft_wrap=True, highlight=False).print(styled)
        else:
            put(before + text)


def coloured() -> bool:
    """Whether standard output is read at a terminal by somebody who does not mind colours (https://no-color.org)."""
    return (sys.stdout.isatty() or bool(os.environ.get(FORCE_COLOR))) and not os.environ.get("NO_COLOR")


def width() -> int:
    """How wide lines may be: as the terminal is; 0, any, where the output goes elsewhere."""
    if sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if os.environ.get(FORCE_COLOR) and columns.isdecimal() else 0


def tell_faults(faults: Iterable[object]) -> None:
    """Every fault of a description on standard error."""
    from labctl.description.faults import Fault
    from labctl.report.faults import fault_lines, fault_parts

    if not sys.stderr.isatty():
        for line in fault_lines(faults):
            print(line, file=sys.stderr)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False, no_color=bool(os.environ.get("NO_COLOR")) or None)
    for fault in faults:
        for parts in fault_parts(fault, shutil.get_terminal_size().columns) if isinstance(fault, Fault) else ():
            console.print(Text.assemble(*((text, _FAULT_STYLES[kind]) for text, kind in parts)))


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
