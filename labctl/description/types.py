"""The types of fields: each reads one node of the tree into a value, or says which rule it breaks.

A type knows its own name for people (`says`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from labctl.description.faults import Fault, Path, a, nearest, written
from labctl.description.tree import Mapping, Node, Scalar, Tree
from labctl.description.tree import Sequence as Items

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Refused(Exception):
    """A value breaks a rule; caught by the nearest container, which goes on with its other values."""

    def __init__(self, rule: str, hint: str = "", path: Path | None = None) -> None:
        super().__init__(rule)
        self.rule = rule
        self.hint = hint
        self.path = path


class Incomplete(Refused):
    """A record whose faults are recorded already: it has no value, and nothing more is to be said of it."""

    def __init__(self) -> None:
        super().__init__("")


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that a field mentions, to be checked once all names are known."""

    path: Path
    name: str
    accepts: tuple[str, ...]
    why_not: dict[str, str]


@dataclass(slots=True)
class Reading:
    """What is gathered while a file is read: its faults and the references to check afterwards."""

    tree: Tree
    faults: list[Fault] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)

    def fault(self, path: Path, rule: str, hint: str = "", value: str | None = None) -> None:
        """Record a fault at `path`; `value` is what stands there unless given."""
        shown = self.tree.text_at(path) if value is None else value
        self.faults.append(Fault(self.tree.source, self.tree.find(path), written(path), shown, rule, hint))


class Type(Protocol[T_co]):
    """What a field may hold."""

    def read(self, node: Node, path: Path, reading: Reading) -> T_co:
        """The value of `node`; Refused where it breaks the type's rule."""
        ...

    @property
    def says(self) -> str:
        """What people should write."""
        ...


def _word(node: Node, says: str) -> str:
    if not isinstance(node, Scalar):
        shape = "a mapping" if isinstance(node, Mapping) else "a list"
        raise Refused(f"expected {says}, found {shape}")
    if node.empty:
        raise Refused(f"has no value; expected {says}")
    return node.text


@dataclass(frozen=True, slots=True)
class Word(Generic[T]):
    """A scalar that `parse` turns into a value; ValueError (its text is the rule) where it cannot."""

    says: str
    parse: Callable[[str], T]

    def read(self, node: Node, path: Path, reading: Reading) -> T:
        text = _word(node, self.says)
        try:
            return self.parse(text)
        except ValueError as error:
            raise Refused(f"expected {self.says}", str(error) if str(error) else "") from None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def says(self) -> str:
        return "one of " + ", ".join(self.words)

    def read(self, node: Node, path: Path, reading: Reading) -> str:
        text = _word(node, self.says)
        if text not in self.words:
            raise Refused(f"expected {self.says}", nearest(text, self.words))
        return text


@dataclass(frozen=True, slots=True)
class Ref:
    """The name of another resource, or of a part of one (`vpc1.app`), of an accepted kind.

    `why_not`: the reason, for things of other kinds that people are likely to name here.
    """

    accepts: tuple[str, ...]
    why_not: dict[str, str] = field(default_factory=dict)

    @property
    def says(self) -> str:
        return f"the name of {a(' or '.join(self.accepts))}"

    def read(self, node: Node, path: Path, reading: Reading) -> str:
        name = _word(node, self.says)
        reading.references.append(Reference(path, name, self.accepts, self.why_not))
        return name


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list; a single value stands for a list of one."""

    item: Type[T]
    least: int = 0

    @property
    def says(self) -> str:
        return f"a list of {self.item.says}"

    def read(self, node: Node, path: Path, reading: Reading) -> tuple[T, ...]:
        if not isinstance(node, Items):
            return (self.item.read(node, path, reading),)
        if len(node.items) < self.least:
            raise Refused(f"expected a list of at least {self.least}: {self.item.says}")
        read = [_kept(self.item, item, (*path, i), reading) for i, item in enumerate(node.items)]
        return tuple(value for kept in read for value in kept)


@dataclass(frozen=True, slots=True)
class MapOf(Generic[T]):
    """A mapping from names to values of one type; `key` reads each name (a reference, or a plain name)."""

    key: Type[str]
    value: Type[T]

    @property
    def says(self) -> str:
        return f"a mapping of names to {self.value.says}"

    def read(self, node: Node, path: Path, reading: Reading) -> dict[str, T]:
        if not isinstance(node, Mapping):
            raise Refused(f"expected {self.says}")
        found: dict[str, T] = {}
        for name, child in node.entries.items():
            at = (*path, name)
            if _kept(self.key, Scalar(name, node.keys[name]), at, reading, name):
                for value in _kept(self.value, child, at, reading):
                    found[name] = value
        return found


def _kept(kind: Type[T], node: Node, path: Path, reading: Reading, shown: str | None = None) -> Sequence[T]:
    """The value as a list of one, or nothing once its fault is recorded (showing `shown`, or what stands at `path`)."""
    try:
        return (kind.read(node, path, reading),)
    except Incomplete:
        return ()
    except Refused as refusal:
        reading.fault(refusal.path or path, refusal.rule, refusal.hint, shown)
        return ()


@dataclass(frozen=True, slots=True)
class Raw:
    """Anything: kept as written, for the field it will be put into."""

    @property
    def says(self) -> str:
        return "a value"

    def read(self, node: Node, path: Path, reading: Reading) -> Node:
        return node
