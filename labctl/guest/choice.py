"""Where a lab runs, decided from what is missing: pure, and never one mechanism in place of another.

`auto` takes the first of host, kvm, uml, tcg that will do. An engine that was named is taken or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labctl.errors import HostError, UsageError

HOST = "host"
GUESTS = ("kvm", "uml", "tcg")
WHERE = ("auto", HOST, *GUESTS)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether the engine `name` can be used here: `detail` says why or why not, `remedy` is what to run ("" if ok)."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The place that was chosen and, in one line, why."""

    engine: str
    reason: str


def choose(wanted: str, missing: Sequence[str], look: Callable[[str], Availability]) -> Choice:
    """Choose for `--on wanted`; `missing` names what the host lacks, and `look` examines one guest engine.

    `look` is called only for the engines that have to be considered. Raises UsageError for an unknown `wanted`,
    HostError with every engine's remedy where nothing will do.
    """
    if wanted not in WHERE:
        raise UsageError(f"--on {wanted}: not one of {', '.join(WHERE)}")
    if wanted == "auto":
        return _first(missing, look)
    if wanted == HOST:
        return _host(missing)
    return _named(look(wanted))


def _host(missing: Sequence[str]) -> Choice:
    if missing:
        raise HostError(
            f"this machine lacks {', '.join(missing)}",
            hint="a guest kernel may have it: use --on auto, and see `labctl doctor`",
        )
    return Choice(HOST, "host: as asked")


def _named(found: Availability) -> Choice:
    if not found.ok:
        raise HostError(f"no {found.name} guest can run here: {found.detail}", hint=found.remedy)
    return Choice(found.name, f"{found.name}: as asked")


def _first(missing: Sequence[str], look: Callable[[str], Availability]) -> Choice:
    if not missing:
        return Choice(HOST, "host: it has everything this needs")
    lacking = f"the host lacks {', '.join(missing)}"
    passed: list[Availability] = []
    for name in GUESTS:
        found = look(name)
        if found.ok:
            return Choice(name, "; ".join([f"{name}: {lacking}", *map(_why_not, passed)]))
        passed.append(found)
    ways = [f"{found.name}: {found.detail}; {found.remedy}" for found in passed]
    raise HostError(f"{lacking}, and no guest kernel can run here", hint="\n".join(ways))


def _why_not(found: Availability) -> str:
    """One passed-over engine; how to get uml is told, for it is what makes the next run fast."""
    faster = f" (faster: {found.remedy})" if found.name == "uml" and found.remedy else ""
    return f"{found.name}: {found.detail}{faster}"
