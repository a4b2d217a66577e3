"""What the model of a part of the lab can say for certain: only what no missing resource could make otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from labctl.claims.places import is_domain
from labctl.description.document import Document
from labctl.description.faults import Fault
from labctl.description.tree import Mapping, Node, Scalar, Sequence
from labctl.kinds.soundness import Missing

_CLAIM = re.compile(r"(checks|drills|changes)\[([0-9]+)\]")


def unplaced(document: Document, missing: Missing, unknown: Collection[str], refuse: Callable[[], None]) -> list[Fault]:
    """The faults that `refuse` finds in `document` by its model, without those that are only due to other faults.

    `missing`: what that model leaves out; `unknown`: the ids of checks whose own lab could not be had.
    """
    faults = document.reading.faults
    count = len(faults)
    told = [each.path for each in faults]
    refuse()
    found = faults[count:]
    del faults[count:]
    return [each for each in found if not _follows(each, told) and _certain(each, document, missing, unknown)]


def _follows(fault: Fault, told: list[str]) -> bool:
    """Whether there is a fault in that very place already, or inside it, or in what a control is to be like."""
    places = [fault.path]
    if fault.path.endswith(".control"):
        check = fault.path.removesuffix(".control")
        places += [f"{check}.do", f"{check}.expect"]
    return any(path == each or path.startswith((f"{each}.", f"{each}[")) for path in told for each in places)


def _certain(fault: Fault, document: Document, missing: Missing, unknown: Collection[str]) -> bool:
    root = document.reading.tree.root
    claim = _claim(root, fault.path)
    words = {word for each in _with_controls(root, claim) for word in _said(each)}
    if unknown and words & set(unknown):
        return False
    if not missing:
        return True
    breaks = claim.entries.get("fault") if isinstance(claim, Mapping) and ".fault." in fault.path else None
    said = {fault.value, *(_said(breaks) if breaks else ())}
    by_name = is_domain(fault.value) or fault.path.endswith(".spi")
    return not (by_name or said & missing.words or missing.concerns(words))


def _said(node: Node) -> Iterator[str]:
    """Every word of a claim, without the names of its fields."""
    if isinstance(node, Scalar):
        yield node.text
    else:
        for child in node.items if isinstance(node, Sequence) else node.entries.values():
            yield from _said(child)


def _claim(root: Mapping, path: str) -> Node | None:
    match = _CLAIM.match(path)
    part = root.entries.get(match[1]) if match else None
    number = int(match[2]) if match else 0
    items = part.items if isinstance(part, Sequence) else () if part is None else (part,)
    return items[number] if number < len(items) else None


def _with_controls(root: Mapping, claim: Node | None) -> Iterator[Node]:
    """A claim, and the checks that it names."""
    if claim is None:
        return
    yield claim
    checks = root.entries.get("checks")
    named = set(_said(claim))
    for each in checks.items if isinstance(checks, Sequence) else ():
        word = each.entries.get("id") if isinstance(each, Mapping) else None
        if each is not claim and isinstance(word, Scalar) and word.text in named:
            yield each
