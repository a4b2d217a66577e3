"""Records: mappings with known keys, read into frozen dataclasses whose fields carry their type and their meaning."""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING
from typing import Any, Generic, TypeVar, overload

from labctl.description.faults import Path, did_you_mean, nearest
from labctl.description.tree import Mapping, Node, Scalar
from labctl.description.types import Incomplete, Reading, Refused, Type

T = TypeVar("T")


@overload
def option(kind: Type[T], doc: str) -> T: ...
@overload
def option(kind: Type[T], doc: str, default: T) -> T: ...
def option(kind: Type[Any], doc: str, default: Any = MISSING) -> Any:
    """A field of a record: its type, what it means, and its default (none: it must be given)."""
    metadata = {"type": kind, "doc": doc}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


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

    def keys(self) -> list[str]:
        """The keys that may be written. A field `with_` is written `with`, as Python reserves that word."""
        return [f.name.rstrip("_") for f in dataclasses.fields(self.of)]  # type: ignore[arg-type]

    def read(self, node: Node, path: Path, reading: Reading) -> T:
        if not isinstance(node, Mapping):
            raise Refused(f"expected {self.says}")
        before = len(reading.faults)
        self._refuse_unknown(node, path, reading)
        values = self._values(node, path, reading)
        whole = all(name in values for name in self._required()) if self.lenient else len(reading.faults) == before
        if not whole:
            raise Incomplete
        return self.of(**values)

    def _required(self) -> list[str]:
        fields = dataclasses.fields(self.of)  # type: ignore[arg-type]
        return [f.name for f in fields if f.default is MISSING and f.default_factory is MISSING]

    def _refuse_unknown(self, node: Mapping, path: Path, reading: Reading) -> None:
        keys = self.keys()
        for name in node.entries:
            if name not in keys and name not in self.also:
                hint = did_you_mean(name, keys) if keys else "nothing is to be said here"
                reading.fault((*path, name), "unknown field", hint, value="")

    def _values(self, node: Mapping, path: Path, reading: Reading) -> dict[str, Any]:
        values = {}
        for each in dataclasses.fields(self.of):  # type: ignore[arg-type]
            key = each.name.rstrip("_")
            kind: Type[Any] = each.metadata["type"]
            if key not in node.entries:
                if each.default is MISSING and each.default_factory is MISSING:
                    reading.fault(path, f"field `{key}` is missing: {kind.says}", value="")
                continue
            try:
                values[each.name] = kind.read(node.entries[key], (*path, key), reading)
            except Incomplete:
                continue
            except Refused as refusal:
                reading.fault(refusal.path or (*path, key), refusal.rule, refusal.hint)
        return values


@dataclasses.dataclass(frozen=True, slots=True)
class OneOf(Generic[T]):
    """A mapping with exactly one key, which names the record that follows: `{tcp: {to: ecs1, port: 80}}`.

    A record whose fields all have defaults may also be written as the bare word (`ok`); one in `short` may be written
    with a single value in place of its mapping (`too_big: 1300`), read into its field of that name.
    """

    records: dict[str, type[Any]]
    short: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def says(self) -> str:
        return "one of " + ", ".join(self.records)

    def read(self, node: Node, path: Path, reading: Reading) -> T:
        if isinstance(node, Scalar) and not node.empty:
            return self._record(node.text, Mapping({}, {}, node.mark), path, reading)
        if not isinstance(node, Mapping) or len(node.entries) != 1:
            raise Refused(f"expected exactly {self.says}")
        [(name, value)] = node.entries.items()
        at = (*path, name)
        if name in self.short and not isinstance(value, Mapping):
            key = self.short[name]
            value = Mapping({key: value}, {key: value.mark}, value.mark)
        return self._record(name, value, at, reading)

    def _record(self, name: str, value: Node, path: Path, reading: Reading) -> T:
        if name not in self.records:
            raise Refused(f"expected {self.says}", nearest(name, list(self.records)), path)
        record: T = RecordOf(self.records[name]).read(value, path, reading)
        return record
