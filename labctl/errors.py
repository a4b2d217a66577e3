"""What can go wrong, sorted by who must act.

LabError
|- UsageError         exit 2   the user: the command line asks for what cannot be
|- DescriptionError   exit 2   the user: the description must be amended (carries every fault of it)
|- HostError          exit 3   the machine: a privilege, a kernel mechanism or a program is missing
|- KernelError        exit 3   the kernel refused an object of the plan
|- StateError         exit 3   a lab is locked, already up, absent, or something foreign is in the way
|- GuestError         exit 3   a throw-away kernel did not start, died or ran out of time
`- ProbeError         exit 4   evidence could not be gathered: nothing is proved either way

A check that fails is not an error: it is a verdict (exit 1), see `labctl.claims.verdicts`.
Only `labctl.cli` turns an error into a message and an exit status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar


class LabError(Exception):
    """The root: every error that labctl raises on purpose.

    `hint` is one line that says what to do about it, or "" where nothing is known to help.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LabError):
    """The command line asks for what cannot be; the user should call again, corrected."""

    exit_code = 2


class DescriptionError(LabError):
    """The description must be amended. `faults` holds every fault, each already located."""

    exit_code = 2

    def __init__(self, message: str, faults: Sequence[object] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.faults = tuple(faults)


class HostError(LabError):
    """The machine lacks a privilege, a kernel mechanism or a program; `hint` says how to get it."""


class KernelError(LabError):
    """The kernel refused `subject`, an object of the plan; `errno` is its answer (0: not known)."""

    def __init__(self, message: str, *, subject: object = None, errno: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.subject = subject
        self.errno = errno


class StateError(LabError):
    """A lab is locked, already up or absent, or something that is not ours is in the way."""


class GuestError(LabError):
    """A guest kernel did not start, died, or ran out of its time."""


class ProbeError(LabError):
    """Evidence could not be gathered (prober died, a tap was not ready): inconclusive, never a pass."""

    exit_code = 4


def attempt_all(acts: Iterable[Callable[[], object]]) -> None:
    """Do every one of `acts`, whatever becomes of the others. The LabErrors that they raise come out together."""
    errors: list[LabError] = []
    for act in acts:
        try:
            act()
        except LabError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        hints = dict.fromkeys(each.hint for each in errors if each.hint)
        messages = dict.fromkeys(each.message for each in errors)
        raise StateError("; ".join(messages), hint="; ".join(hints))
