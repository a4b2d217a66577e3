"""What separates a lab from what it is to be: as lines of text, and as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from labctl.plan.objects import Change, Create, Delete, KernelObject, Step
from labctl.plan.reasons import Difference
from labctl.plan.render import describe, home, render_step
from labctl.report.words import shortened

_MOST = 120
"""Characters of an object that are told: a ruleset in full says nothing more of what differs."""


def difference_lines(found: Sequence[Difference]) -> list[str]:
    """A line for each: `+ - ~`, where, what; and why."""
    return [f"{shortened(render_step(each.step), _MOST)}  ({each.reason})" for each in found]


def difference_data(found: Sequence[Difference]) -> list[dict[str, str]]:
    """The same as JSON values."""
    return [
        {
            "sign": sign(each.step),
            "namespace": home(subject(each.step)),
            "what": describe(subject(each.step)),
            "why": each.reason,
        }
        for each in found
    ]


def counted(found: Sequence[Difference], *, done: bool = False) -> str:
    """How many there are of each sign, in words."""
    signs = [sign(each.step) for each in found]
    words = {"+": ("to make", "made"), "-": ("to remove", "removed"), "~": ("to change", "changed")}
    told = [f"{signs.count(each)} {word[done]}" for each, word in words.items() if each in signs]
    return ", ".join(told) or "nothing differs"


def subject(step: Step) -> KernelObject:
    """What a step is about: as it was of one that removes it, else as it is to be."""
    return step.old if isinstance(step, Delete) else step.new


def sign(step: Step) -> str:
    """+ made, - removed, ~ changed."""
    match step:
        case Create():
            return "+"
        case Delete():
            return "-"
        case Change():
            return "~"
        case _:
            assert_never(step)
