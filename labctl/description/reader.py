"""YAML text to the nodes of a tree: anchors, aliases and merge keys (`<<`) are resolved here, and bounded.

`<<: *base`, or a list of such mappings, puts in what is not there: a mapping's own keys win, then the first of the list
(YAML 1.1, "Merge Key"). What was merged still stands where it is written.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import yaml

from labctl.description.broken import Broken, broken
from labctl.description.faults import MOST, Fault, Mark, Path, Place, located, refused, written
from labctl.description.tree import At, Mapping, Node, Scalar, Sequence, Tree, mark_of, words_of

MAX_BYTES = 2_000_000
MAX_DEPTH = 40
MAX_NODES = 200_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCALAR, _MAPPING_END = yaml.ScalarEvent, yaml.MappingEndEvent
_NULLS = ("", "~", "null", "Null", "NULL")
_MERGE = "<<"
_NOTHING = "nothing is written here", "a lab begins with `lab: NAME`"
_STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
"""What YAML 1.1 does not allow in a file (its production c-printable)."""


class _Named(io.StringIO):
    """A text with a name, which the parser writes into its marks."""

    name: str


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A node with an anchor: how many nodes it holds and how deep they are nested, which every alias of it repeats."""

    node: Node
    nodes: int
    depth: int


class Reader:
    """Builds trees from the parser's events: composing nodes in libyaml recurses in C, without any limit.

    The limits are those of all the files that it reads. `texts` has each file's text, `faults` what was wrong so far.
    """

    def __init__(self, main: str) -> None:
        self.main = main
        self.source = main
        self.texts: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.fatal = False
        """Whether so much is not known that nothing more can be said."""
        self.dropped: set[str] = set()
        """Words of values that were not kept; they may be names."""
        self.nodes = 0
        self.deepest = 0
        self.anchors: dict[str, _Anchored] = {}

    def read(self, data: bytes, source: str) -> Mapping:
        """The root of a file's bytes. DescriptionError where it is no YAML mapping; other faults are kept."""
        self.source = source
        self.anchors = {}
        self.deepest = 0
        self.texts[source] = text = self._decoded(data)
        root = self._root(text)
        if isinstance(root, Scalar) and root.empty:
            raise self._stop(Mark(1, 1), "", *_NOTHING)
        if not isinstance(root, Mapping):
            raise self._stop(root.mark, "", "a lab is a mapping: `lab: NAME`, `resources: {...}`, `checks: [...]`")
        return root

    def place(self, at: At, word: str = "") -> Place:
        """Where `word` stands: in the file that is read where a mark does not say."""
        source = self.source if isinstance(at, Mark) else self.main
        return Tree(source, Mapping({}, {}, at), self.texts).place_of(at, word)

    def refuse(self, at: At, path: Path, rule: str, hint: str = "", value: str = "", other: At = None) -> None:
        """Keep a fault."""
        if len(self.faults) >= MOST:
            raise refused(self.main, self.faults)
        word = value or (str(path[-1]) if path else "")
        beside = self.place(other, word) if other is not None else None
        self.faults.append(located(self.place(at, word), written(path), value, rule, hint, beside))

    def refuse_file(self, rule: str, hint: str = "") -> None:
        """Keep a fault of the description as a whole."""
        self.faults.append(Fault(self.main, Mark(1, 1), "", "", rule, hint))

    def _stop(self, mark: Mark, value: str, rule: str, hint: str = "") -> Exception:
        self.refuse(mark, (), rule, hint, value)
        return refused(self.main, self.faults)

    def _not_yaml(self, said: Broken) -> Exception:
        self.refuse(said.mark, (), said.rule, said.hint, said.value, said.other)
        return refused(self.main, self.faults)

    def _decoded(self, data: bytes) -> str:
        if len(data) > MAX_BYTES:
            raise self._stop(Mark(1, 1), "", f"a description has at most {MAX_BYTES} bytes")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.texts[self.source] = data.decode("utf-8", "replace")
            line = data.count(b"\n", 0, error.start) + 1
            before = data[data.rfind(b"\n", 0, error.start) + 1 : error.start]
            byte = f"byte 0x{data[error.start]:02x}"
            mark = Mark(line, len(before.decode("utf-8", "replace")) + 1)
            raise self._stop(mark, byte, "a description is UTF-8 text", _encoding(data)) from None
        strange = _STRANGE.search(text)
        if strange:
            self.texts[self.source] = text
            at = strange.start()
            mark = Mark(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
            raise self._stop(mark, f"character U+{ord(strange[0]):04X}", "YAML allows no such control character")
        return text

    def _root(self, text: str) -> Node:
        stream = _Named(text)
        stream.name = self.source
        loader = _Loader(text if self.source == self.main else stream)
        try:
            loader.get_event()  # the stream's start
            if isinstance(loader.get_event(), yaml.StreamEndEvent):
                raise self._stop(Mark(1, 1), "", *_NOTHING)
            root = self._node(loader, loader.get_event(), (), 0)
            loader.get_event()  # the document's end
            more = loader.get_event()
            if not isinstance(more, yaml.StreamEndEvent):
                raise self._stop(mark_of(more.start_mark), "", "a second document begins: a file describes one lab")
            return root
        except yaml.YAMLError as error:
            raise self._not_yaml(broken(error, text)) from None
        finally:
            loader.dispose()

    def _node(self, loader: Any, event: Any, path: Path, depth: int) -> Node:
        if type(event) is _SCALAR and event.anchor is None:
            return self._scalar(event, depth)
        if isinstance(event, yaml.AliasEvent) and event.anchor:
            return self._alias(event.anchor, event.start_mark, depth)
        before, outer, self.deepest = self.nodes, self.deepest, depth
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(loader, path, depth, event.start_mark)
        else:
            node = self._mapping(loader, path, depth, event.start_mark)
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(node, self.nodes - before, self.deepest - depth)
        self.deepest = max(outer, self.deepest)
        return node

    def _count(self, nodes: int, depth: int, at: At) -> None:
        self.nodes += nodes
        if depth > self.deepest:
            self.deepest = depth
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            limit = f"{MAX_DEPTH} levels" if depth > MAX_DEPTH else f"{MAX_NODES} values, those of aliases included"
            raise self._stop(mark_of(at), "", f"the description has more than {limit}")

    def _scalar(self, event: Any, depth: int) -> Scalar:
        self._count(1, depth, event.start_mark)
        return Scalar(
            event.value, event.start_mark, (event.value in _NULLS or event.tag is not None) and _is_null(event)
        )

    def _alias(self, name: str, at: At, depth: int) -> Node:
        """The same node again. Counting all of it each time is what stops a file that multiplies itself."""
        anchored = self.anchors.get(name)
        if anchored is None:
            raise self._stop(mark_of(at), f"*{name}", f"no value above this line has the anchor &{name}")
        self._count(anchored.nodes, depth + anchored.depth, at)
        return anchored.node

    def _sequence(self, loader: Any, path: Path, depth: int, at: At) -> Sequence:
        self._count(1, depth, at)
        items: list[Node] = []
        while not isinstance(event := loader.get_event(), yaml.SequenceEndEvent):
            items.append(self._node(loader, event, (*path, len(items)), depth + 1))
        return Sequence(tuple(items), at)

    def _mapping(self, loader: Any, path: Path, depth: int, at: At) -> Mapping:
        self._count(1, depth, at)
        entries: dict[str, Node] = {}
        keys: dict[str, At] = {}
        next_event, inner = loader.get_event, depth + 1
        while type(event := next_event()) is not _MAPPING_END:
            name: str | None
            if type(event) is _SCALAR and event.anchor is None:
                name = event.value
                self.nodes += 1  # the limit is looked at with the value beside it
            else:
                key = self._node(loader, event, path, inner)
                name = key.text if isinstance(key, Scalar) else None
            after = next_event()
            if type(after) is _SCALAR and after.anchor is None:
                value: Node = self._scalar(after, inner)
            else:
                value = self._node(loader, after, (*path, name or ""), inner)
            if name is None or name in keys:
                self._refuse_key(name, keys, path, event.start_mark)
                self.dropped.update(words_of(value))
            else:
                keys[name] = event.start_mark
                entries[name] = value
        if _MERGE in entries:
            self._merge(entries, keys, path)
        return Mapping(entries, keys, at)

    def _merge(self, entries: dict[str, Node], keys: dict[str, At], path: Path) -> None:
        value, place = entries.pop(_MERGE), keys.pop(_MERGE)
        for each in value.items if isinstance(value, Sequence) else (value,):
            if not isinstance(each, Mapping):
                rule = "merges mappings: `<<: *name` or `<<: [*name, *other]`, and each has keys of its own"
                self.refuse(place, (*path, _MERGE), rule)
                continue
            for key, node in each.entries.items():
                if key not in entries:
                    entries[key], keys[key] = node, each.keys[key]

    def _refuse_key(self, name: str | None, keys: dict[str, At], path: Path, at: At) -> None:
        if name is None:
            self.refuse(at, path, "a key is a single word, not a list or mapping")
            return
        first = keys[name]
        rule = f"this key is given twice, first at line {mark_of(first).line}"
        self.refuse(at, (*path, name), rule, "keep one of the two", other=first)


def _is_null(event: Any) -> bool:
    return bool(event.tag == "tag:yaml.org,2002:null" or (event.implicit[0] and event.value in _NULLS))


def _encoding(data: bytes) -> str:
    return "this looks like UTF-16: save the file as UTF-8" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
