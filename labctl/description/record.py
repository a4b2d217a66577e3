"""Records: mappings with known keys, read into frozen dataclasses whose fields carry their type and their meaning."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import MISSING
from typing import Any, Generic, NamedTuple, TypeVar, overload

from labctl.description.faults import Path, did_you_mean, near_to, nearest
from labctl.description.schema import Definitions, Schema, either, one_field, one_of_words, record
from labctl.description.tree import Mapping, Node, Scalar
from labctl.description.types import Incomplete, Reading, Refused, Type, refuse_unknown, shown

T = TypeVar("T")


@overload
def option(kind: Type[T], doc: str) -> T: ...
@overload
def option(kind: Type[T], doc: str, default: T, *, must: bool = ...) -> T: ...
def option(kind: Type[Any], doc: str, default: Any = MISSING, *, must: bool = False) -> Any:
    """A field of a record: its type, what it means, and its default (none: it must be given).

    With `must` it must be given all the same, and somebody else says so where it is not.
    """
    metadata = {"type": kind, "doc": doc, "must": must or default is MISSING}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Field(NamedTuple):
    """A field of a record: its name, how it is written, its type, and whether the record needs it.

    `doc` says what it means, `default` what holds where it is not given ("" where that is nothing), `must` whether
    people have to give it.
    """

    name: str
    key: str
    kind: Type[Any]
    required: bool
    doc: str
    default: str
    must: bool

    def schema(self, known: Definitions) -> Schema:
        """Its JSON Schema, with what an editor shows of it."""
        schema = {**self.kind.schema(known), "description": self.doc}
        return schema | ({"default": self.default} if self.default else {})


_OTHERS = {
    "bandwidth": "speed",
    "cidr": "prefix",
    "cidrs": "prefixes",
    "hostname": "fqdn",
    "ip": "address",
    "ip_address": "address",
    "vswitch": "subnet",
    "vswitches": "subnets",
}
"""What some providers call a field that stands here under another name."""

_FIELDS: dict[object, tuple[Field, ...]] = {}
_WORDS: dict[object, frozenset[str]] = {}


def fields(of: object) -> tuple[Field, ...]:
    """The fields of a dataclass, looked up once."""
    if of not in _FIELDS:
        _FIELDS[of] = tuple(map(_field, dataclasses.fields(of)))  # type: ignore[arg-type]
    return _FIELDS[of]


def _field(of: dataclasses.Field[Any]) -> Field:
    required = of.default is MISSING and of.default_factory is MISSING
    kind, default = of.metadata["type"], of.default if of.default is not MISSING else None
    return Field(
        name=of.name,
        key=of.name.rstrip("_"),
        kind=kind,
        required=required,
        doc=of.metadata["doc"],
        default=shown(kind, default),
        must=of.metadata["must"],
    )


def about(of: type) -> str:
    """What a record is: its docstring, each paragraph on one line."""
    paragraphs = inspect.cleandoc(of.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


def record_schema(of: type, known: Definitions) -> Schema:
    """The JSON Schema of a record."""
    return record(
        about(of), {each.key: each.schema(known) for each in fields(of)}, [each.key for each in fields(of) if each.must]
    )


def name_of(of: type) -> str:
    """The name under which a record's schema stands: `checks.Sight`."""
    return f"{of.__module__.rpartition('.')[2]}.{of.__name__.removesuffix('Spec')}"


def _words(of: object, also: tuple[str, ...]) -> frozenset[str]:
    """Every key that may be written in a record."""
    if (of, also) not in _WORDS:
        _WORDS[of, also] = frozenset((*(each.key for each in fields(of)), *also))
    return _WORDS[of, also]


@dataclasses.dataclass(frozen=True, slots=True)
class RecordOf(Generic[T]):
    """A mapping with the keys of the dataclass `of`; unknown and missing keys are faults, all of them at once.

    A record with a fault anywhere below it has no value, unless it is `lenient`: then what could be read is kept.
    """

    of: type[T]
    also: tuple[str, ...] = ()
    lenient: bool = False

    @property
    def says(self) -> str:
        return "a mapping with " + ", ".join(self.keys())

    def schema(self, known: Definitions) -> Schema:
        return known.refer(name_of(self.of), lambda: record_schema(self.of, known))

    def keys(self) -> list[str]:
        """The keys that may be written. A field `with_` is written `with`, as Python reserves that word."""
        return [each.key for each in fields(self.of)]

    def read(self, node: Node, path: Path, reading: Reading) -> T:
        if not isinstance(node, Mapping):
            raise Refused(f"expected {self.says}")
        before = len(reading.faults)
        meant: set[str] = set()
        if not node.entries.keys() <= _words(self.of, self.also):
            meant = self._refuse_unknown(node, path, reading)
        values = self._values(node, path, reading, meant)
        if self.lenient:
            whole = all(each.name in values for each in fields(self.of) if each.required)
        else:
            whole = len(reading.faults) == before
        if not whole:
            raise Incomplete
        return self.of(**values)

    def _refuse_unknown(self, node: Mapping, path: Path, reading: Reading) -> set[str]:
        """Record a fault for each unknown field; the fields that they are meant to be."""
        keys, meant = self.keys(), set()
        for name in node.entries:
            if name not in keys and name not in self.also:
                never: dict[str, str] = getattr(self.of, "never", {})
                other = _OTHERS.get(name)
                known = f"here it is called `{other}`" if other in keys else did_you_mean(name, keys)
                if name not in never:
                    meant.add(other if other in keys else near_to(name, keys))
                hint, value = never.get(name) or (known if keys else "nothing is to be said here"), ""
                if (head := name.partition(":")[0]) != name and head in keys:
                    hint, value = "a space after the colon?", name
                    meant.add(head)
                reading.fault((*path, name), "unknown field", hint, value)
        return meant

    def _values(self, node: Mapping, path: Path, reading: Reading, meant: set[str]) -> dict[str, Any]:
        """The fields that can be read. One that is missing is a fault, unless an unknown one is `meant` to be it."""
        values = {}
        none: dict[str, str] = getattr(self.of, "none", {})
        for name, key, kind, required, *_ in fields(self.of):
            child = node.entries.get(key)
            if child is None:
                if required and key not in meant:
                    reading.fault(path, f"field `{key}` is missing: {kind.says}", none.get(key, ""), value="")
                continue
            at = (*path, key)
            try:
                values[name] = kind.read(child, at, reading)
            except Incomplete:
                continue
            except Refused as refusal:
                reading.fault(refusal.path or at, refusal.rule, refusal.hint)
        return values


@dataclasses.dataclass(frozen=True, slots=True)
class OneOf(Generic[T]):
    """A mapping with exactly one key, which names the record that follows: `{tcp: {to: ecs1, port: 80}}`.

    A record whose fields all have defaults may also be written as the bare word (`ok`); one in `short` may be written
    with a single value in place of its mapping (`too_big: 1300`), read into its field of that name. `vague` has hints
    for words that people are likely to write instead of one.
    """

    records: dict[str, type[Any]]
    short: dict[str, str] = dataclasses.field(default_factory=dict)
    vague: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def says(self) -> str:
        return "one of " + ", ".join(self.records)

    @property
    def bare(self) -> tuple[str, ...]:
        """The words that may stand alone."""
        return tuple(word for word, of in self.records.items() if not any(each.required for each in fields(of)))

    def schema(self, known: Definitions) -> Schema:
        whole = one_field({word: self._schema(word, of, known) for word, of in self.records.items()})
        return either(one_of_words(self.bare), whole) if self.bare else whole

    def _schema(self, word: str, of: type, known: Definitions) -> Schema:
        schema = RecordOf(of).schema(known)
        if word in self.short:
            [value] = [each.kind.schema(known) for each in fields(of) if each.key == self.short[word]]
            schema = either(value, schema)
        return {**schema, "description": about(of)}

    def read(self, node: Node, path: Path, reading: Reading) -> T:
        if isinstance(node, Scalar) and not node.empty:
            refuse_unknown(node)
            return self._record(node.text, Mapping({}, {}, node.at), path, reading)
        if not isinstance(node, Mapping) or len(node.entries) != 1:
            raise Refused(f"expected exactly {self.says}")
        [(name, value)] = node.entries.items()
        at = (*path, name)
        if isinstance(value, Scalar) and value.empty and name in self.bare:
            raise Refused("has no value", f"the word may stand alone: {name}", at)
        if name in self.short and not isinstance(value, Mapping):
            key = self.short[name]
            value = Mapping({key: value}, {key: value.at}, value.at)
        return self._record(name, value, at, reading)

    def _record(self, name: str, value: Node, path: Path, reading: Reading) -> T:
        if name not in self.records:
            hint = self.vague.get(name.lower()) or nearest(name, list(self.records))
            reading.fault(path, f"expected {self.says}", hint, name)
            raise Incomplete
        record: T = RecordOf(self.records[name]).read(value, path, reading)
        return record
