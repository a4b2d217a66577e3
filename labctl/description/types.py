"""The types of fields: each reads one node of the tree into a value, or says which rule it breaks.

A type knows its own name for people (`says`), its JSON Schema for editors, and how a value is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from labctl.description import schema
from labctl.description.faults import MOST, Fault, Path, Place, a, located, nearest, refused, written
from labctl.description.schema import Definitions, Schema
from labctl.description.tree import Mapping, Node, Scalar, Tree
from labctl.description.tree import Sequence as Items

K = TypeVar("K")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_NAMED = r"[A-Za-z][A-Za-z0-9]*(?:[.-][A-Za-z0-9]+)*"


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


class Reference(NamedTuple):
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

    def fault(self, path: Path, rule: str, hint: str = "", value: str | None = None, other: Path | None = None) -> None:
        """Record a fault at `path`; `value` is what stands there unless given, `other` what it does not fit to."""
        if len(self.faults) >= MOST:
            raise refused(self.tree.source, self.faults)
        shown = self.tree.text_at(path) if value is None else value
        beside = None if other is None else self.place(other)
        self.faults.append(located(self.tree.place(path, shown), written(path), shown, rule, hint, beside))

    def place(self, path: Path) -> Place:
        """Where the value at `path` stands."""
        return self.tree.place(path, self.tree.text_at(path))

    def told(self, path: Path) -> str:
        """Where it stands, in words: `line 14`, with the file's name where it is an included one."""
        return self.place(path).told(self.tree.source)


class Type(Protocol[T_co]):
    """What a field may hold."""

    def read(self, node: Node, path: Path, reading: Reading) -> T_co:
        """The value of `node`; Refused where it breaks the type's rule."""
        ...

    def schema(self, known: Definitions) -> Schema:
        """What may be written, as far as that can be said without the rest of the file."""
        ...

    @property
    def says(self) -> str:
        """What people should write."""
        ...


def shown(kind: Type[object], value: object) -> str:
    """A value as people write it; "" for nothing, and for what is no value of its own but means that none is given."""
    match kind:
        case _ if value is None:
            return ""
        case Word():
            text = kind.show(value)
            return text if kind.takes(text) else ""
        case ListOf() if isinstance(value, tuple) and value:
            return f"[{', '.join(shown(kind.item, each) for each in value)}]"
        case Choice() | Ref():
            return str(value)
        case _:
            return ""


def _word(node: Node, kind: Type[object]) -> str:
    if isinstance(node, Items) and isinstance(kind, Word) and kind.single:
        raise Refused(kind.single, f"expected {kind.says}, found a list")
    if not isinstance(node, Scalar):
        shape = "a mapping" if isinstance(node, Mapping) else "a list"
        raise Refused(f"expected {kind.says}, found {shape}")
    refuse_unknown(node)
    if node.empty:
        raise Refused(f"has no value; expected {kind.says}")
    return node.text


def refuse_unknown(node: Scalar) -> None:
    """Refused for a word whose value is not known."""
    if node.unknown:
        raise Refused(*node.unknown)


@dataclass(frozen=True, slots=True)
class Word(Generic[T]):
    """A scalar that `parse` turns into a value; ValueError (its text is the rule) where it cannot.

    `pattern` matches every text that it can take (""  any), `bounds` hold every whole number; `like` is an example of
    one, `about` says more of how it is written, `show` writes a value, and `single` is the rule that a list breaks.
    """

    says: str
    parse: Callable[[str], T]
    pattern: str = ""
    like: str = ""
    about: str = ""
    show: Callable[[Any], str] = str
    bounds: tuple[int, int] | None = None
    single: str = ""

    def takes(self, text: str) -> bool:
        """Whether `text` is one."""
        try:
            self.parse(text)
        except ValueError:
            return False
        return not self.pattern or re.fullmatch(self.pattern, text) is not None

    def schema(self, known: Definitions) -> Schema:
        return schema.scalar(self.pattern, self.says, self.bounds)

    def read(self, node: Node, path: Path, reading: Reading) -> T:
        text = _word(node, self)
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

    def schema(self, known: Definitions) -> Schema:
        return schema.one_of_words(self.words)

    def read(self, node: Node, path: Path, reading: Reading) -> str:
        text = _word(node, self)
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

    def schema(self, known: Definitions) -> Schema:
        return schema.scalar(_NAMED, self.says)

    def read(self, node: Node, path: Path, reading: Reading) -> str:
        name = _word(node, self)
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

    def schema(self, known: Definitions) -> Schema:
        item = self.item.schema(known)
        items: Schema = {"type": "array", "items": item}
        return schema.either(items | ({"minItems": self.least} if self.least else {}), item)

    def read(self, node: Node, path: Path, reading: Reading) -> tuple[T, ...]:
        if not isinstance(node, Items):
            return (self.item.read(node, path, reading),)
        if len(node.items) < self.least:
            raise Refused(f"expected a list of at least {self.least}: {self.item.says}")
        read = [_kept(self.item, item, (*path, i), reading) for i, item in enumerate(node.items)]
        return tuple(value for value in read if value is not None)


@dataclass(frozen=True, slots=True)
class MapOf(Generic[K, T]):
    """A mapping to values of one type; `key` reads what each is found by: a reference, a plain name, a prefix. People
    call them `keys`, and one of them `one` ("": what its type says).
    """

    key: Type[K]
    value: Type[T]
    keys: str = "names"
    one: str = ""

    @property
    def says(self) -> str:
        return f"a mapping of {self.keys} to {self.value.says}"

    def schema(self, known: Definitions) -> Schema:
        return schema.mapping(self.key.schema(known), self.value.schema(known))

    def read(self, node: Node, path: Path, reading: Reading) -> dict[K, T]:
        if not isinstance(node, Mapping):
            raise Refused(f"expected {self.says}")
        found: dict[K, T] = {}
        for name, child in node.entries.items():
            at = (*path, name)
            key = _kept(self.key, Scalar(name, node.keys[name]), at, reading, name)
            if key is None:
                continue
            if key in found:
                reading.fault(at, "stands there already, written in another way", value=name)
            value = _kept(self.value, child, at, reading)
            if value is not None:
                found[key] = value
        return found


def _kept(kind: Type[T], node: Node, path: Path, reading: Reading, shown: str | None = None) -> T | None:
    """The value, or None once its fault is recorded (showing `shown`, or what stands at `path`)."""
    try:
        return kind.read(node, path, reading)
    except Incomplete:
        return None
    except Refused as refusal:
        reading.fault(refusal.path or path, refusal.rule, refusal.hint, shown)
        return None


@dataclass(frozen=True, slots=True)
class Raw:
    """Anything: kept as written, for the field it will be put into. `like`: what it will be read as later, if known."""

    like: Type[Any] | None = None

    @property
    def says(self) -> str:
        return self.like.says if self.like else "a value"

    def schema(self, known: Definitions) -> Schema:
        return self.like.schema(known) if self.like else {}

    def read(self, node: Node, path: Path, reading: Reading) -> Node:
        return node
