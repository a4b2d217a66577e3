"""A whole description: its head and its claims, its resources each read by its kind, and all its references checked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labctl.description.checks import CheckSpec
from labctl.description.drills import ChangeSpec, DrillSpec
from labctl.description.faults import Path, a, did_you_mean
from labctl.description.head import LabSpec
from labctl.description.record import RecordOf
from labctl.description.resources import Names, Resources, Written, fits, read_resources
from labctl.description.tree import Mapping as MappingNode
from labctl.description.tree import Scalar, Sequence, Tree
from labctl.description.types import Incomplete, Reading, Reference
from labctl.description.words import NAME

_CLAIMS = ("checks", "drills", "changes")


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, as far as it could be read; `reading` holds the faults found so far."""

    reading: Reading
    parts: Resources
    name: str
    about: str
    cites: tuple[str, ...]
    allow_public: bool
    profile: str
    names: Names
    checks: tuple[CheckSpec, ...]
    drills: tuple[DrillSpec, ...]
    changes: tuple[ChangeSpec, ...]
    numbers: dict[str, tuple[int, ...]]

    @property
    def resources(self) -> dict[str, Any]:
        """The resources by name."""
        return self.parts.values

    @property
    def references(self) -> dict[str, tuple[str, ...]]:
        """Which resources each resource mentions."""
        return self.parts.mentions

    @property
    def unread(self) -> frozenset[str]:
        """What may be a name, but stands where something could not be read."""
        return self.parts.unread

    def numbered_checks(self) -> Iterator[tuple[int, CheckSpec]]:
        """The checks that could be read, each with its place in the file's list."""
        return zip(self.numbers["checks"], self.checks, strict=True)

    def numbered_drills(self) -> Iterator[tuple[int, DrillSpec]]:
        """The drills likewise."""
        return zip(self.numbers["drills"], self.drills, strict=True)

    def numbered_changes(self) -> Iterator[tuple[int, ChangeSpec]]:
        """The live changes likewise."""
        return zip(self.numbers["changes"], self.changes, strict=True)


def parse(
    tree: Tree,
    kinds: Mapping[str, type[Written]],
    aliases: Mapping[str, str],
    beside: Collection[str] = (),
    like: Resources | None = None,
) -> Document:
    """Read `tree`. `kinds` maps a kind's word to its class, `aliases` other words to a kind's, or to a part of one.

    `beside`: the ids of checks that are not in `tree` and may be named all the same. `like`: what was read of a tree
    with the same resources, or some of them.
    """
    return _Parser(tree, beside).parse(read_resources(tree, kinds, aliases, like))


class _Parser:
    def __init__(self, tree: Tree, beside: Collection[str]) -> None:
        self.tree = tree
        self.reading = Reading(tree)
        self.ids: set[str] = {*beside, *self._ids()}
        self.fitting: dict[tuple[str, ...], list[str]] = {}

    def parse(self, parts: Resources) -> Document:
        head = self._head()
        claims = {part: getattr(head, part) if head else () for part in _CLAIMS}
        numbers = {part: self._numbers(part) if head else () for part in _CLAIMS}
        self.reading.faults += parts.faults
        names = dict(parts.names)
        for check in claims["checks"]:
            names.setdefault(check.id, ("check",))
        for part, each in claims.items():
            self._refuse_twins(part, numbers, [claim.id for claim in each])
        for reference in (*self.reading.references, *parts.loose):
            self._verify(reference, names, parts.unread)
        return Document(
            reading=self.reading,
            parts=parts,
            name=self.tree.text_at(("lab",)),
            about=head.about if head else "",
            cites=head.cites if head else (),
            allow_public=head is None or head.allow_public,
            profile=head.profile if head else "fast",
            names=names,
            checks=claims["checks"],
            drills=claims["drills"],
            changes=claims["changes"],
            numbers=numbers,
        )

    def _head(self) -> LabSpec | None:
        if "lab" not in self.tree.root.entries:
            self.reading.fault((), f"field `lab` is missing: {NAME.says}")
        try:
            return RecordOf(LabSpec, lenient=True).read(self.tree.root, (), self.reading)
        except Incomplete:
            return None

    def _ids(self) -> Iterator[str]:
        """The ids of checks, those of checks that cannot be read included."""
        checks = self.tree.root.entries.get("checks")
        for check in checks.items if isinstance(checks, Sequence) else ():
            word = check.entries.get("id") if isinstance(check, MappingNode) else None
            if isinstance(word, Scalar):
                yield word.text

    def _numbers(self, part: str) -> tuple[int, ...]:
        """The places of those items of a list that were read: all in which no fault was found so far."""
        node = self.tree.root.entries.get(part)
        count = len(node.items) if isinstance(node, Sequence) else int(isinstance(node, MappingNode))
        # One that is written without a list has no number in its path.
        written = [re.match(rf"{part}(?:\[([0-9]+)\]|\.|$)", each.path) for each in self.reading.faults]
        faulty = {int(each[1] or 0) for each in written if each}
        return tuple(i for i in range(count) if i not in faulty)

    def _refuse_twins(self, part: str, numbers: dict[str, tuple[int, ...]], ids: list[str]) -> None:
        seen: dict[str, int] = {}
        for i, word in zip(numbers[part], ids, strict=True):
            if word in seen:
                first: Path = (part, seen[word], "id")
                rule = f"two {part} have this id; the other is at {self.reading.told(first)}"
                self.reading.fault((part, i, "id"), rule, other=first)
            seen.setdefault(word, i)

    def _verify(self, reference: Reference, names: Names, unread: frozenset[str]) -> None:
        if fits(reference, names):
            return
        uses = names.get(reference.name)
        words = {reference.name, *reference.name.split(".")}
        if uses is not None:
            wanted = " or ".join(reference.accepts)
            rule, hint = f"is {a(uses[0])}; expected {a(wanted)}", reference.why_not.get(uses[0], "")
            self.reading.fault(reference.path, rule, hint, value=reference.name)
        elif not words & self.ids and not words & unread:
            if reference.accepts not in self.fitting:
                accepted = set(reference.accepts)
                self.fitting[reference.accepts] = [name for name, uses in names.items() if accepted & set(uses)]
            hint = did_you_mean(reference.name, self.fitting[reference.accepts])
            rule = f"there is no {' or '.join(reference.accepts)} of this name"
            self.reading.fault(reference.path, rule, hint, value=reference.name)
