"""A whole description: its head, its resources each read by its kind, and all its references checked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from labctl.description.checks import CheckSpec
from labctl.description.drills import ChangeSpec, DrillSpec
from labctl.description.faults import Path, a, did_you_mean
from labctl.description.head import LabSpec
from labctl.description.record import RecordOf
from labctl.description.tree import Mapping as MappingNode
from labctl.description.tree import Node, Scalar, Sequence, Tree
from labctl.description.types import Incomplete, Reading, Reference, Refused
from labctl.description.words import NAME


class Written(Protocol):
    """What every kind offers to the reader of a description."""

    kind: ClassVar[str]

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        """The names that the resource `me` brings into the lab, and what each may be used as."""
        ...


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, as far as it could be read; `reading` holds the faults found so far."""

    reading: Reading
    name: str
    about: str
    cites: tuple[str, ...]
    resources: dict[str, Any]
    names: dict[str, tuple[str, ...]]
    references: dict[str, tuple[str, ...]]
    checks: tuple[CheckSpec, ...]
    drills: tuple[DrillSpec, ...]
    changes: tuple[ChangeSpec, ...]
    numbers: dict[str, tuple[int, ...]]
    unread: frozenset[str] = field(default_factory=frozenset)

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
    tree: Tree, kinds: Mapping[str, type[Written]], aliases: Mapping[str, str], beside: Collection[str] = ()
) -> Document:
    """Read `tree`. `kinds` maps a kind's word to its class, `aliases` the providers' other words to a kind's.

    `beside`: the ids of checks that are not in `tree` and may be named all the same.
    """
    return _Parser(tree, kinds, aliases, beside).parse()


class _Parser:
    def __init__(
        self, tree: Tree, kinds: Mapping[str, type[Written]], aliases: Mapping[str, str], beside: Collection[str]
    ) -> None:
        self.tree = tree
        self.kinds = kinds
        self.aliases = aliases
        self.reading = Reading(tree)
        self.resources: dict[str, Any] = {}
        self.unread: set[str] = set()
        self.ids: set[str] = set(beside)

    def parse(self) -> Document:
        head = self._head()
        numbers = {part: self._numbers(part) if head else () for part in ("checks", "drills", "changes")}
        self._read_resources()
        names = self._names()
        for check in head.checks if head else ():
            names.setdefault(check.id, ("check",))
        self._refuse_twins("checks", numbers, [each.id for each in head.checks] if head else [])
        self._refuse_twins("drills", numbers, [each.id for each in head.drills] if head else [])
        self._refuse_twins("changes", numbers, [each.id for each in head.changes] if head else [])
        for reference in self.reading.references:
            self._verify(reference, names)
        return Document(
            reading=self.reading,
            name=self.tree.text_at(("lab",)),
            about=head.about if head else "",
            cites=head.cites if head else (),
            resources=self.resources,
            names=names,
            references=self._references(),
            checks=head.checks if head else (),
            drills=head.drills if head else (),
            changes=head.changes if head else (),
            numbers=numbers,
            unread=frozenset(self.unread),
        )

    def _head(self) -> LabSpec | None:
        if "lab" not in self.tree.root.entries:
            self.reading.fault((), f"field `lab` is missing: {NAME.says}")
        try:
            return RecordOf(LabSpec, lenient=True).read(self.tree.root, (), self.reading)
        except Incomplete:
            return None
        finally:
            self._remember_ids()

    def _read_resources(self) -> None:
        node = self.tree.root.entries.get("resources")
        if node is None:
            return
        if not isinstance(node, MappingNode):
            self.reading.fault(("resources",), "expected a mapping of names to resources")
            return
        for name, body in node.entries.items():
            self._read_resource(name, body)

    def _read_resource(self, name: str, body: Node) -> None:
        path: Path = ("resources", name)
        try:
            NAME.read(Scalar(name, body.mark), path, self.reading)
            kind = self._kind(body, path)
            self.resources[name] = RecordOf(kind, also=("kind",)).read(body, path, self.reading)
            return
        except Incomplete:
            pass
        except Refused as refusal:
            value = name if refusal.path is None else None
            self.reading.fault(refusal.path or path, refusal.rule, refusal.hint, value)
        self.unread.add(name)
        self._remember_keys(body)

    def _remember_keys(self, node: Node | None) -> None:
        """What stands in a part that could not be read may be a name: references to it are then not faults."""
        if isinstance(node, MappingNode):
            for key, child in node.entries.items():
                self.unread.add(key)
                self._remember_keys(child)
        elif isinstance(node, Sequence):
            for child in node.items:
                self._remember_keys(child)

    def _remember_ids(self) -> None:
        checks = self.tree.root.entries.get("checks")
        for check in checks.items if isinstance(checks, Sequence) else ():
            word = check.entries.get("id") if isinstance(check, MappingNode) else None
            if isinstance(word, Scalar):
                self.ids.add(word.text)

    def _kind(self, body: Node, path: Path) -> type[Written]:
        if not isinstance(body, MappingNode):
            raise Refused("a resource is a mapping with a `kind`")
        word = body.entries.get("kind")
        if not isinstance(word, Scalar) or word.empty:
            raise Refused("field `kind` is missing", f"one of {', '.join(self.kinds)}", (*path, "kind"))
        known = self.aliases.get(word.text, word.text)
        if known not in self.kinds:
            hint = did_you_mean(word.text, [*self.kinds, *self.aliases]) or f"one of {', '.join(self.kinds)}"
            raise Refused("unknown kind", hint, (*path, "kind"))
        return self.kinds[known]

    def _names(self) -> dict[str, tuple[str, ...]]:
        names: dict[str, tuple[str, ...]] = {}
        owners: dict[str, str] = {}
        for me, resource in self.resources.items():
            for name, uses in resource.names(me).items():
                if name in names:
                    line = self.tree.find(("resources", owners[name])).line
                    rule = f"the name `{name}` is taken by {owners[name]} at line {line}"
                    self.reading.fault(("resources", me), rule, value="")
                names[name], owners[name] = uses, me
        return names

    def _numbers(self, part: str) -> tuple[int, ...]:
        """The places of those items of a list that were read: all in which no fault was found so far."""
        node = self.tree.root.entries.get(part)
        count = len(node.items) if isinstance(node, Sequence) else int(isinstance(node, MappingNode))
        written = [re.match(rf"{part}\[([0-9]+)\]", each.path) for each in self.reading.faults]
        faulty = {int(each[1]) for each in written if each}
        return tuple(i for i in range(count) if i not in faulty)

    def _refuse_twins(self, part: str, numbers: dict[str, tuple[int, ...]], ids: list[str]) -> None:
        seen: dict[str, int] = {}
        for i, word in zip(numbers[part], ids, strict=True):
            if word in seen:
                line = self.tree.find((part, seen[word])).line
                self.reading.fault((part, i, "id"), f"two {part} have this id; the other is at line {line}")
            seen.setdefault(word, i)

    def _verify(self, reference: Reference, names: dict[str, tuple[str, ...]]) -> None:
        uses = names.get(reference.name)
        if uses is not None:
            if not set(uses) & set(reference.accepts):
                wanted = " or ".join(reference.accepts)
                rule, hint = f"is {a(uses[0])}; expected {a(wanted)}", reference.why_not.get(uses[0], "")
                self.reading.fault(reference.path, rule, hint, value=reference.name)
        elif not (self.unread | self.ids) & {reference.name, *reference.name.split(".")}:
            fitting = [name for name, uses in names.items() if set(uses) & set(reference.accepts)]
            hint = did_you_mean(reference.name, fitting)
            rule = f"there is no {' or '.join(reference.accepts)} of this name"
            self.reading.fault(reference.path, rule, hint, value=reference.name)

    def _references(self) -> dict[str, tuple[str, ...]]:
        """Which resources each resource mentions, by name of resource."""
        owners = {name: me for me, resource in self.resources.items() for name in resource.names(me)}
        found: dict[str, set[str]] = {me: set() for me in self.resources}
        for reference in self.reading.references:
            if reference.path[0] == "resources" and reference.name in owners:
                found.get(str(reference.path[1]), set()).add(owners[reference.name])
        return {me: tuple(sorted(others - {me})) for me, others in found.items()}
