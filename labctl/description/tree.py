"""YAML text to a tree that keeps what was written and where: scalars stay text until a field's type reads them.

So `no`, `1e3` and `10:20` are just those characters, never a boolean, a number or a time (YAML 1.1 would make them so).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from labctl.description.faults import Fault, Mark, Path, refused, written

MAX_BYTES = 2_000_000
MAX_DEPTH = 40
MAX_NODES = 200_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = ("", "~", "null", "Null", "NULL")
_STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
"""What YAML 1.1 does not allow in a file (its production c-printable)."""


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


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A node with an anchor: how many nodes it holds and how deep they are nested, which every alias of it repeats."""

    node: Node
    nodes: int
    depth: int


class _Reader:
    """Builds the tree from the parser's events: composing nodes in libyaml recurses in C, without any limit."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[Fault] = []
        self.nodes = 0
        self.deepest = 0
        self.anchors: dict[str, _Anchored] = {}

    def read(self, data: bytes) -> Tree:
        root = self._root(self._decoded(data))
        if not isinstance(root, Mapping):
            raise self._stop(root.mark, "", "a lab is a mapping: `lab: NAME`, `resources: {...}`, `checks: [...]`")
        if self.faults:
            raise refused(self.source, self.faults)
        return Tree(self.source, root)

    def _stop(self, mark: Mark, value: str, rule: str) -> Exception:
        return refused(self.source, [*self.faults, Fault(self.source, mark, "", value, rule)])

    def _decoded(self, data: bytes) -> str:
        if len(data) > MAX_BYTES:
            raise self._stop(Mark(1, 1), "", f"a description has at most {MAX_BYTES} bytes")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            column = error.start - data.rfind(b"\n", 0, error.start)
            byte = f"byte 0x{data[error.start]:02x}"
            raise self._stop(Mark(line, column), byte, "a description is UTF-8 text") from None
        strange = _STRANGE.search(text)
        if strange:
            at = strange.start()
            mark = Mark(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
            raise self._stop(mark, f"character U+{ord(strange[0]):04X}", "YAML allows no such control character")
        return text

    def _root(self, text: str) -> Node:
        loader = _Loader(text)
        try:
            loader.get_event()  # the stream's start
            if isinstance(loader.get_event(), yaml.StreamEndEvent):
                raise self._stop(Mark(1, 1), "", "the file is empty")
            root = self._node(loader, loader.get_event(), (), 0)
            loader.get_event()  # the document's end
            more = loader.get_event()
            if not isinstance(more, yaml.StreamEndEvent):
                raise self._stop(_mark(more), "", "a second document begins: a file describes one lab")
            return root
        except yaml.YAMLError as error:
            raise self._stop(*_yaml_fault(error, text)) from None
        finally:
            loader.dispose()

    def _node(self, loader: Any, event: Any, path: Path, depth: int) -> Node:
        mark = _mark(event)
        if isinstance(event, yaml.AliasEvent) and event.anchor:
            return self._alias(event.anchor, mark, depth)
        before, outer, self.deepest = self.nodes, self.deepest, depth
        self._count(1, depth, mark)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(event.value, mark, empty=_is_null(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(loader, path, depth, mark)
        else:
            node = self._mapping(loader, path, depth, mark)
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(node, self.nodes - before, self.deepest - depth)
        self.deepest = max(outer, self.deepest)
        return node

    def _count(self, nodes: int, depth: int, mark: Mark) -> None:
        self.nodes += nodes
        self.deepest = max(self.deepest, depth)
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            limit = f"{MAX_DEPTH} levels" if depth > MAX_DEPTH else f"{MAX_NODES} values, those of aliases included"
            raise self._stop(mark, "", f"the description has more than {limit}")

    def _alias(self, name: str, mark: Mark, depth: int) -> Node:
        """The same node again. Counting all of it each time is what stops a file that multiplies itself."""
        anchored = self.anchors.get(name)
        if anchored is None:
            raise self._stop(mark, f"*{name}", f"no value above this line has the anchor &{name}")
        self._count(anchored.nodes, depth + anchored.depth, mark)
        return anchored.node

    def _sequence(self, loader: Any, path: Path, depth: int, mark: Mark) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := loader.get_event(), yaml.SequenceEndEvent):
            items.append(self._node(loader, event, (*path, len(items)), depth + 1))
        return Sequence(tuple(items), mark)

    def _mapping(self, loader: Any, path: Path, depth: int, mark: Mark) -> Mapping:
        entries: dict[str, Node] = {}
        keys: dict[str, Mark] = {}
        while not isinstance(event := loader.get_event(), yaml.MappingEndEvent):
            key = self._node(loader, event, path, depth + 1)
            name = key.text if isinstance(key, Scalar) else ""
            value = self._node(loader, loader.get_event(), (*path, name), depth + 1)
            place = _mark(event)
            if not isinstance(key, Scalar):
                self.faults.append(Fault(self.source, place, written(path), "", "a key is a single word"))
            elif name in keys:
                rule = f"key given twice (lines {keys[name].line} and {place.line})"
                self.faults.append(Fault(self.source, place, written((*path, name)), "", rule))
            else:
                keys[name] = place
                entries[name] = value
        return Mapping(entries, keys, mark)


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _is_null(event: Any) -> bool:
    return event.tag == "tag:yaml.org,2002:null" or (event.implicit[0] and event.value in _NULLS)


def _yaml_fault(error: yaml.YAMLError, text: str) -> tuple[Mark, str, str]:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
    if mark and text[mark.index : mark.index + 1] == "\t":
        return place, "", "not YAML: a tab; indent with spaces"
    problem = getattr(error, "problem", None) or "cannot be read"
    context = getattr(error, "context", None)
    return place, "", f"not YAML: {problem}" + (f", {context}" if context else "")
