"""The resources of a description, each read by its kind, with the names that they bring and what each mentions.

What was read once is not read again for an edit of the same file: an edited tree shares all that the edit left alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from labctl.description.faults import MOST, Fault, Path, did_you_mean, near_to, refused
from labctl.description.record import RecordOf
from labctl.description.tree import Mapping as MappingNode
from labctl.description.tree import Node, Scalar, Sequence, Tree
from labctl.description.types import Incomplete, Reading, Reference, Refused
from labctl.description.words import NAME

Names = dict[str, tuple[str, ...]]
"""Every name with what it may be used as."""


class Written(Protocol):
    """What every kind offers to the reader of a description."""

    kind: ClassVar[str]

    def names(self, me: str) -> Names:
        """The names that the resource `me` brings into the lab, and what each may be used as."""
        ...


class Read(NamedTuple):
    """What came of one resource. `unread`: words in it that may be names, where it could not be read."""

    body: Node
    value: Any
    references: tuple[Reference, ...]
    faults: tuple[Fault, ...]
    unread: frozenset[str]


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources of a tree as far as they could be read. `owners` says which resource brings each name."""

    node: Node | None
    read: dict[str, Read]
    values: dict[str, Any]
    names: Names
    owners: dict[str, str]
    mentions: dict[str, tuple[str, ...]]
    """Which resources each resource mentions, in the order of their names."""
    loose: tuple[Reference, ...]
    """References that are to nothing among `names`, or to something of another kind."""
    faults: tuple[Fault, ...]
    unread: frozenset[str]


def fits(reference: Reference, names: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether what a reference mentions is there, and is of a kind that it accepts."""
    return any(use in reference.accepts for use in names.get(reference.name, ()))


def read_resources(
    tree: Tree, kinds: Mapping[str, type[Written]], aliases: Mapping[str, str], like: Resources | None = None
) -> Resources:
    """Read the resources of `tree`; those that are written in `like` as well are taken from there.

    `kinds` maps a kind's word to its class, `aliases` other words to a kind's, or to a part of one.
    """
    node = tree.root.entries.get("resources")
    if like is not None and like.node is node:
        return like
    return _Reader(tree, kinds, aliases).read(node, like.read if like else {})


class _Reader:
    def __init__(self, tree: Tree, kinds: Mapping[str, type[Written]], aliases: Mapping[str, str]) -> None:
        self.tree = tree
        self.kinds = kinds
        self.aliases = aliases
        self.reading = Reading(tree)

    def read(self, node: Node | None, known: Mapping[str, Read]) -> Resources:
        if node is not None and not isinstance(node, MappingNode):
            self.reading.fault(("resources",), "expected a mapping of names to resources")
        entries = node.entries if isinstance(node, MappingNode) else {}
        read: dict[str, Read] = {}
        faults: list[Fault] = []
        for name, body in entries.items():
            read[name] = self._read(name, body, known.get(name))
            faults += read[name].faults
            if len(faults) >= MOST:
                raise refused(self.tree.source, faults)
        values = {name: each.value for name, each in read.items() if each.value is not None}
        names, owners = self._names(values)
        return Resources(
            node=node,
            read=read,
            values=values,
            names=names,
            owners=owners,
            mentions={me: _mentioned(me, read[me].references, owners) for me in values},
            loose=tuple(each for one in read.values() for each in one.references if not fits(each, names)),
            faults=(*faults, *self.reading.faults),
            unread=self.tree.unread.union(*(each.unread for each in read.values())),
        )

    def _read(self, name: str, body: Node, known: Read | None) -> Read:
        if known is not None and known.body is body:
            return known
        reading = Reading(self.tree)
        value, unread = self._value(name, body, reading), frozenset[str]()
        if value is None:
            unread = frozenset((name, *_keys(body)))
        return Read(body, value, tuple(reading.references), tuple(reading.faults), unread)

    def _value(self, name: str, body: Node, reading: Reading) -> Any:
        """The resource, or None once its faults are recorded."""
        path: Path = ("resources", name)
        try:
            NAME.read(Scalar(name, body.at), path, reading)
            return _record(self._kind(body, path, reading)).read(body, path, reading)
        except Incomplete:
            pass
        except Refused as refusal:
            value = name if refusal.path is None else None
            reading.fault(refusal.path or path, refusal.rule, refusal.hint, value)
        return None

    def _kind(self, body: Node, path: Path, reading: Reading) -> type[Written]:
        if not isinstance(body, MappingNode):
            raise Refused("a resource is a mapping with a `kind`")
        word = body.entries.get("kind")
        for key in body.entries if word is None else ():
            if near_to(key.partition(":")[0], ("kind",)):
                hint = "a space after the colon?" if ":" in key else "did you mean `kind`?"
                reading.fault((*path, key), "unknown field", hint, value=key if ":" in key else "")
                raise Incomplete
        if not isinstance(word, Scalar) or word.empty:
            raise Refused("field `kind` is missing", f"one of {', '.join(self.kinds)}", (*path, "kind"))
        if word.unknown:
            raise Refused(*word.unknown, (*path, "kind"))
        known = self.aliases.get(word.text, word.text)
        if known not in self.kinds:
            hint = did_you_mean(word.text, [*self.kinds, *self.aliases]) or f"one of {', '.join(self.kinds)}"
            part = f"it is a part of another kind, {known}" if "." in known else ""
            raise Refused("unknown kind", part or hint, (*path, "kind"))
        return self.kinds[known]

    def _names(self, values: Mapping[str, Any]) -> tuple[Names, dict[str, str]]:
        names: Names = {}
        owners: dict[str, str] = {}
        for me, value in values.items():
            for name, uses in value.names(me).items():
                if name in names:
                    first: Path = ("resources", owners[name])
                    rule = f"the name `{name}` is taken by {owners[name]} at {self.reading.told(first)}"
                    self.reading.fault(("resources", me), rule, value="", other=first)
                names[name], owners[name] = uses, me
        return names, owners


@functools.cache
def _record(kind: type[Written]) -> RecordOf[Written]:
    return RecordOf(kind, also=("kind",))


def _keys(node: Node) -> Iterator[str]:
    """What stands in a part that could not be read may be a name: references to it are then not faults."""
    if isinstance(node, MappingNode):
        for key, child in node.entries.items():
            yield key
            yield from _keys(child)
    elif isinstance(node, Sequence):
        for child in node.items:
            yield from _keys(child)


def _mentioned(me: str, references: Iterable[Reference], owners: Mapping[str, str]) -> tuple[str, ...]:
    found = {owners[each.name] for each in references if each.name in owners}
    return tuple(sorted(found - {me}))
