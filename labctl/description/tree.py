"""A description as a tree that keeps what was written and where: scalars stay text until a field's type reads them.

So `no`, `1e3` and `10:20` are just those characters, never a boolean, a number or a time (YAML 1.1 would make them so).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from labctl.description.faults import Fault, Mark, Path, Place

At = Any
"""Where something stands: a `Mark`, or what the parser has for one, of which few are ever asked for."""

_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line in YAML 1.1."""


class Scalar(NamedTuple):
    """A word. `empty`: nothing (or null) was written; `unknown`: why its value is not known, and what to do then."""

    text: str
    at: At
    empty: bool = False
    unknown: tuple[str, str] | None = None

    @property
    def mark(self) -> Mark:
        """Where it stands."""
        return mark_of(self.at)


class Sequence(NamedTuple):
    """A list."""

    items: tuple[Node, ...]
    at: At

    @property
    def mark(self) -> Mark:
        """Where it begins."""
        return mark_of(self.at)


class Mapping(NamedTuple):
    """Keys and values in the order written; `keys` says where each key stands."""

    entries: dict[str, Node]
    keys: dict[str, At]
    at: At

    @property
    def mark(self) -> Mark:
        """Where it begins."""
        return mark_of(self.at)


Node = Scalar | Sequence | Mapping


def mark_of(at: At) -> Mark:
    """The place that the parser's mark stands for."""
    return at if isinstance(at, Mark) else Mark(at.line + 1, at.column + 1)


def words_of(node: Node) -> Iterator[str]:
    """Every key and every word of a node."""
    if isinstance(node, Scalar):
        yield node.text
    elif isinstance(node, Sequence):
        for child in node.items:
            yield from words_of(child)
    else:
        for key, child in node.entries.items():
            yield key
            yield from words_of(child)


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole description: its file's name as the user gave it, and its root. `texts` are those of all its files.

    What stands in an included file has that file's name in its mark. `faults` do not hinder its being read; `unread`
    are words that may be names but were not kept.
    """

    source: str
    root: Mapping
    texts: Table[str, str] = field(default_factory=dict, compare=False)
    faults: tuple[Fault, ...] = field(default=(), compare=False)
    unread: frozenset[str] = field(default=frozenset(), compare=False)
    numbers: Table[str, tuple[int, ...]] = field(default_factory=dict, compare=False)
    """Of lists that several files have items of: which number each item has in its own file."""

    def find(self, path: Path) -> Mark:
        """Where `path` stands; the nearest ancestor that exists where it does not."""
        return mark_of(self._found(path)[0])

    def place(self, path: Path, shown: str = "") -> Place:
        """The same, with its line: the value where it is `shown` (of a claim its id), else its key."""
        at, node, word = self._found(path)
        if isinstance(node, Mapping) and shown:
            node = node.entries.get("id")
        if isinstance(node, Scalar) and shown == node.text and self._follows(node.at, at):
            at, word = node.at, node.text
        return self.place_of(at, word)

    def place_of(self, at: At, word: str = "") -> Place:
        """The place of a mark, where `word` begins."""
        source, mark = self._source(at), mark_of(at)
        line = line_of(self.texts.get(source, ""), mark.line)
        return Place(source, mark, line, _width(line[mark.column - 1 :], word))

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

    def _found(self, path: Path) -> tuple[At, Node | None, str]:
        """Where `path`, or its nearest ancestor, stands; the word or all that stands there; its key, if any."""
        node: Node = self.root
        at, last = self.root.at, ""
        for part in path:
            if isinstance(node, Mapping) and isinstance(part, str) and part in node.entries:
                at, node, last = node.keys[part], node.entries[part], part
            elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
                node, last = node.items[part], ""
                at = node.at
            else:  # a word may stand for the mapping that it is short for
                return at, node if isinstance(node, Scalar) else None, last
        return at, node, last

    def _source(self, at: At) -> str:
        name = getattr(at, "name", "")
        return name if name in self.texts else self.source

    def _follows(self, value: At, key: At) -> bool:
        """Whether a value stands behind its key: that of an alias does not, it stands at its anchor."""
        return self._source(value) == self._source(key) and mark_of(value) >= mark_of(key)


def line_of(text: str, number: int) -> str:
    """A line of a text, from 1, without its end."""
    lines = _lines(text)
    return lines[number - 1] if number <= len(lines) else ""


@functools.lru_cache(8)  # many faults stand in the same file
def _lines(text: str) -> list[str]:
    return _BREAKS.split(text)


def _width(rest: str, word: str) -> int:
    """How many characters at the beginning of `rest` are `word` as it was written: with its quotes, or by variables."""
    if not word or not rest:
        return 1
    if rest[0] in "'\"":
        end = rest.find(rest[0], 1)
        return end + 1 if end > 0 else len(rest)
    if rest.startswith(word):
        return len(word)
    if rest[0] in "&!" and word in rest:  # an anchor or a tag stands before it
        return rest.index(word) + len(word)
    written = re.match(r"[^\s,\]}]*\$\{[^}]*\}[^\s,\]}]*", rest)
    return written.end() if written else 1
