"""A description from all its files: included ones, and variables.

`include: base.yaml`, or a list of such names, at the top of a file. A name is relative to the file that it stands in;
it leads to the folder of the lab's own file or below, never out of it, neither by an absolute path nor by a link: a
description from somebody else reads nothing of yours. An included file is a mapping like the lab's own file. What
stands in the including file wins, and of several included files the last: a resource named in both is merged field by
field (with another `kind` it is another resource, whole), a check, drill or change with the same `id` takes the
other's place, and of everything else that which wins is taken whole.

`${name}` in any word of any file is the value of a variable, `${name:-default}` has a value where none is given, and
`$${` is a plain `${`. Values come from the command line (`--var name=value`), else from `variables: {name: value}` at
the top of the file, else from those of the files that it includes. A variable is one word, put in before anything is
read as an address or a number, so that all of it is checked as if it were written there. A name that is used and not
given is a fault, and so is one that is given and not used.

A lab is read again from its run directory and inside a guest, where those files are not. So `packed` writes all of
them into one text, which `read_tree` reads as it read the files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from labctl.description.faults import refused
from labctl.description.reader import MAX_BYTES, Reader
from labctl.description.tree import At, Node, Scalar, Sequence, Tree
from labctl.description.tree import Mapping as MappingNode
from labctl.description.types import Refused
from labctl.description.variables import Variables
from labctl.errors import DescriptionError

Fetch = Callable[[str], bytes]
"""Gives a file's bytes by its path from the folder of the lab's own file; Refused, with the reason, where it cannot."""

MAX_INCLUDES = 8
"""How deep files may include each other."""
MAX_FILES = 64
MAX_PACKED = MAX_BYTES + 100_000
"""Bytes of a packed text, the names and sizes of its files included."""
_PACKED = b"# labctl: several files in one: "
_BY_ID = ("checks", "drills", "changes")


def nothing_more(name: str) -> bytes:
    """The Fetch of a description that is all in one text."""
    raise Refused("there is nothing beside this text to include")


def read_tree(
    data: bytes, source: str, fetch: Fetch = nothing_more, variables: Mapping[str, str] | None = None
) -> Tree:
    """The tree of a description, with what it includes. DescriptionError where it cannot be read.

    `source` is the name of the file as the user gave it, `variables` the values given beside it.
    """
    given = dict(variables or {})
    whole = _unpacked(data)
    if whole is not None:
        data, fetch, given = whole.main, whole.fetch, {**whole.variables, **given}
    return _Files(source, fetch).tree(data, given)


def packed(data: bytes, tree: Tree, variables: Mapping[str, str]) -> bytes:
    """One text that `read_tree` reads as it has read `tree` from `data` and what that includes."""
    if _unpacked(data) is not None or (len(tree.texts) == 1 and not variables):
        return data
    folder = _folder(tree.source)
    texts = {source.removeprefix(folder): text.encode() for source, text in tree.texts.items()}
    head = {"variables": dict(variables), "files": [[name, len(text)] for name, text in texts.items()]}
    return _PACKED + json.dumps(head).encode() + b"\n" + b"".join(texts.values())


class _Whole(NamedTuple):
    """A packed text."""

    main: bytes
    files: dict[str, bytes]
    variables: dict[str, str]

    def fetch(self, name: str) -> bytes:
        if name not in self.files:
            raise Refused("there is no such file")
        return self.files[name]


def _unpacked(data: bytes) -> _Whole | None:
    """The parts of a packed text; None where it is none, or not whole."""
    if not data.startswith(_PACKED):
        return None
    head, _, rest = data.removeprefix(_PACKED).partition(b"\n")
    try:
        said = json.loads(head)
        variables = {str(name): str(value) for name, value in said["variables"].items()}
        sizes = [(str(name), int(size)) for name, size in said["files"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    files: dict[str, bytes] = {}
    for name, size in sizes:
        files[name], rest = rest[: max(size, 0)], rest[max(size, 0) :]
    return _Whole(next(iter(files.values())), files, variables) if files else None


class _Files:
    """The files of one description while they are read."""

    def __init__(self, source: str, fetch: Fetch) -> None:
        self.source = source
        self.fetch = fetch
        self.reader = Reader(source)
        self.size = 0
        self.files = 0

    def tree(self, data: bytes, given: Mapping[str, str]) -> Tree:
        roots = self._read(data, ())
        if self.reader.fatal:
            raise refused(self.source, self.reader.faults)
        variables = Variables(self.reader, given, roots)
        roots = [variables.put_in(root) for root in roots]
        variables.refuse_unused()
        root = roots[0]
        for base in roots[1:]:
            root = _merged(root, base)
        if variables.missing:
            raise refused(self.source, self.reader.faults)
        faults, dropped = tuple(self.reader.faults), frozenset(self.reader.dropped)
        return Tree(self.source, root, self.reader.texts, faults, dropped, _numbers(root, roots))

    def _read(self, data: bytes, chain: tuple[str, ...]) -> list[MappingNode]:
        """The root of a file and those of all that it includes, the one that wins first."""
        self.size += len(data)
        self.files += 1
        name = chain[-1] if chain else ""
        root = self.reader.read(data, _folder(self.source) + name if name else self.source)
        found = [root]
        names = list(self._names(root))
        for at, word in reversed(names):
            found += self._include(at, word, chain)
        return found

    def _names(self, root: MappingNode) -> list[tuple[At, str]]:
        node = root.entries.get("include")
        items = _items(node)
        for each in items:
            if not isinstance(each, Scalar) or each.empty:
                self._refuse(each.at, "", "expected the name of a file, or a list of such names")
        return [(each.at, each.text) for each in items if isinstance(each, Scalar) and not each.empty]

    def _include(self, at: At, word: str, chain: tuple[str, ...]) -> list[MappingNode]:
        here, above = self.reader.source, [self.source, *(_folder(self.source) + each for each in chain)]
        name = _joined(chain[-1] if chain else "", word)
        if name is None:
            hint = "an included file lies in the folder of the lab's own file, or below"
            return self._refuse(at, word, "leads out of the folder of the lab", hint)
        if _folder(self.source) + name in above:
            circle = " -> ".join([*above[above.index(_folder(self.source) + name) :], _folder(self.source) + name])
            return self._refuse(at, word, f"includes itself: {circle}")
        if len(chain) >= MAX_INCLUDES or self.files >= MAX_FILES:
            limit = f"{MAX_INCLUDES} deep" if len(chain) >= MAX_INCLUDES else f"{MAX_FILES} files"
            return self._refuse(at, word, f"is one too many: files include each other at most {limit}")
        try:
            data = self.fetch(name)
        except Refused as refusal:
            return self._refuse(at, word, f"cannot be included: {refusal.rule}", refusal.hint)
        if self.size + len(data) > MAX_BYTES:
            return self._refuse(at, word, f"is too large: all files of a description have at most {MAX_BYTES} bytes")
        try:
            return self._read(data, (*chain, name))
        except DescriptionError:  # the reader has kept its faults
            self.reader.fatal = True
            return []
        finally:
            self.reader.source = here

    def _refuse(self, at: At, word: str, rule: str, hint: str = "") -> list[MappingNode]:
        self.reader.refuse(at, ("include",), rule, hint, word)
        self.reader.fatal = True
        return []


def _folder(source: str) -> str:
    return source[: source.rfind("/") + 1]


def _joined(name: str, word: str) -> str | None:
    """The path that `word` means in the file `name`, both from the folder of the lab; None where it leads out of it."""
    parts = name.split("/")[:-1]
    for part in word.split("/") if not word.startswith("/") else [".."] * (len(parts) + 1):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or None


# -- what wins


def _merged(mine: MappingNode, base: MappingNode) -> MappingNode:
    """`base` under `mine`."""
    entries, keys = dict(mine.entries), dict(mine.keys)
    for key, below in base.entries.items():
        above = entries.get(key)
        if above is None:
            entries[key], keys[key] = below, base.keys[key]
        elif key == "resources" and isinstance(above, MappingNode) and isinstance(below, MappingNode):
            entries[key] = _resources(above, below)
        elif key in _BY_ID:
            entries[key] = _claims(above, below)
    return MappingNode(entries, keys, mine.at)


def _resources(mine: MappingNode, base: MappingNode) -> MappingNode:
    entries, keys = dict(base.entries), dict(base.keys)
    for name, above in mine.entries.items():
        below = base.entries.get(name)
        if isinstance(above, MappingNode) and isinstance(below, MappingNode) and _same_kind(above, below):
            above = MappingNode({**below.entries, **above.entries}, {**below.keys, **above.keys}, above.at)
        entries[name], keys[name] = above, mine.keys[name]
    return MappingNode(entries, keys, mine.at)


def _same_kind(mine: MappingNode, base: MappingNode) -> bool:
    words = [each.entries.get("kind") for each in (mine, base)]
    kinds = [each.text if isinstance(each, Scalar) else None for each in words]
    return words[0] is None or kinds[0] == kinds[1]


def _claims(mine: Node, base: Node) -> Node:
    """The claims of the including file, then those of the other that it does not replace."""
    known = {_id(each) for each in _items(mine)} - {None}
    others = (each for each in _items(base) if _id(each) not in known)
    return Sequence((*_items(mine), *others), mine.at)


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else () if node is None else (node,)


def _numbers(root: MappingNode, roots: list[MappingNode]) -> dict[str, tuple[int, ...]]:
    """Which number each claim has in its own file."""
    found = {}
    for part in _BY_ID if len(roots) > 1 else ():
        written = {id(each): i for own in roots for i, each in enumerate(_items(own.entries.get(part)))}
        found[part] = tuple(written[id(each)] for each in _items(root.entries.get(part)))
    return found


def _id(claim: Node) -> str | None:
    word = claim.entries.get("id") if isinstance(claim, MappingNode) else None
    return word.text if isinstance(word, Scalar) else None
