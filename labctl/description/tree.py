"""YAML text to a tree that keeps what was written and where: scalars stay text until a field's type reads them.

So `no`, `1e3` and `10:20` are just those characters, never a boolean, a number or a time (YAML 1.1 would make them so).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from labctl.description.faults import Fault, Mark, Path, refused, written

MAX_BYTES = 2_000_000
MAX_DEPTH = 40
MAX_NODES = 200_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A word. `empty`: nothing (or null) was written."""

    text: str
    mark: Mark
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order written; `keys` says where each key stands."""

    entries: dict[str, Node]
    keys: dict[str, Mark]
    mark: Mark


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole file: its name as the user gave it, and its root."""

    source: str
    root: Mapping

    def find(self, path: Path) -> Mark:
        """Where `path` stands; the nearest ancestor that exists where it does not."""
        node: Node = self.root
        mark = self.root.mark
        for part in path:
            if isinstance(node, Mapping) and isinstance(part, str) and part in node.entries:
                mark, node = node.keys[part], node.entries[part]
            elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
                mark = node.mark
            else:
                break
        return mark

    def text_at(self, path: Path) -> str:
        """The scalar at `path`, or "" where there is none."""
        node: Node | None = self.root
        for part in path:
            if isinstance(node, Mapping):
                node = node.entries.get(str(part))
            elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            else:
                return ""
        return node.text if isinstance(node, Scalar) else ""


def read_tree(text: bytes, source: str) -> Tree:
    """The tree of a file's bytes. DescriptionError (all duplicate keys at once) where it is no YAML mapping."""
    return _Reader(source).read(text)


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[Fault] = []
        self.nodes = 0

    def read(self, data: bytes) -> Tree:
        root = self._convert(self._compose(self._decoded(data)), (), 0)
        if not isinstance(root, Mapping):
            raise self._stop(root.mark, "", "a lab is a mapping: `lab: NAME`, `resources: {...}`, `checks: [...]`")
        if self.faults:
            raise refused(self.source, self.faults)
        return Tree(self.source, root)

    def _stop(self, mark: Mark, value: str, rule: str) -> Exception:
        return refused(self.source, [*self.faults, Fault(self.source, mark, "", value, rule)])

    def _decoded(self, data: bytes) -> str:
        if len(data) > MAX_BYTES:
            raise self._stop(Mark(1, 1), f"{len(data)} bytes", f"a description has at most {MAX_BYTES} bytes")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            column = error.start - data.rfind(b"\n", 0, error.start)
            byte = f"byte 0x{data[error.start]:02x}"
            raise self._stop(Mark(line, column), byte, "a description is UTF-8 text") from None

    def _compose(self, text: str) -> Any:
        loader = None
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
        except yaml.reader.ReaderError as error:
            mark = Mark(text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position))
            raise self._stop(mark, f"character #x{error.character:04x}", "not allowed in YAML") from None
        except yaml.YAMLError as error:
            raise self._stop(*_yaml_fault(error)) from None
        except RecursionError:
            raise self._stop(Mark(1, 1), "", f"nested deeper than {MAX_DEPTH} levels") from None
        finally:
            if loader is not None:
                loader.dispose()
        if node is None:
            raise self._stop(Mark(1, 1), "", "the file is empty")
        return node

    def _convert(self, node: Any, path: Path, depth: int) -> Node:
        mark = Mark(node.start_mark.line + 1, node.start_mark.column + 1)
        self.nodes += 1
        # An alias is the same node again: counting each visit is what stops a file that multiplies itself.
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            limit = f"{MAX_DEPTH} levels" if depth > MAX_DEPTH else f"{MAX_NODES} values"
            raise self._stop(mark, "", f"the description has more than {limit}")
        if isinstance(node, yaml.ScalarNode):
            return Scalar(node.value, mark, empty=node.tag == "tag:yaml.org,2002:null")
        if isinstance(node, yaml.SequenceNode):
            items = (self._convert(item, (*path, i), depth + 1) for i, item in enumerate(node.value))
            return Sequence(tuple(items), mark)
        return self._mapping(node, path, depth, mark)

    def _mapping(self, node: Any, path: Path, depth: int, mark: Mark) -> Mapping:
        entries: dict[str, Node] = {}
        keys: dict[str, Mark] = {}
        for key, value in node.value:
            place = Mark(key.start_mark.line + 1, key.start_mark.column + 1)
            if not isinstance(key, yaml.ScalarNode):
                self.faults.append(Fault(self.source, place, written(path), "", "a key is a single word"))
                continue
            name = key.value
            if name in keys:
                rule = f"key given twice (lines {keys[name].line} and {place.line})"
                self.faults.append(Fault(self.source, place, written((*path, name)), "", rule))
                continue
            keys[name] = place
            entries[name] = self._convert(value, (*path, name), depth + 1)
        return Mapping(entries, keys, mark)


def _yaml_fault(error: yaml.YAMLError) -> tuple[Mark, str, str]:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
    problem = getattr(error, "problem", None) or "cannot be read"
    context = getattr(error, "context", None)
    return place, "", f"not YAML: {problem}" + (f", {context}" if context else "")
