"""Edits of a description: put a value, add to a list or mapping, take one away; and an edit in words.

The tree is copied along the path, never changed. A refusal's path begins inside the edit: `set.t1.weight`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from labctl.description.checks import EditSpec
from labctl.description.faults import Path
from labctl.description.tree import At, Mapping, Node, Scalar, Sequence, Tree
from labctl.description.types import Refused

_SHORT = 120
"""Characters of a value that is told in words; of a longer one only the path is."""


def edited(tree: Tree, change: EditSpec, refusals: list[Refused] | None = None) -> Tree:
    """The tree after `change`: what it sets first, then what it adds, then what it removes.

    Refused where a path leads nowhere (nothing to remove, no such resource), or where what is added is there already;
    with a list of `refusals` these are kept there, and the rest of the edit is made.
    """
    root: Node = tree.root
    for at, step in _steps(change):
        try:
            root = step(root)
        except Refused as refusal:
            refused = Refused(refusal.rule, refusal.hint, at)
            if refusals is None:
                raise refused from None
            refusals.append(refused)
    assert isinstance(root, Mapping)
    return replace(tree, root=root)


def words(change: EditSpec, tree: Tree | None = None) -> str:
    """The edit for reports: `t1.weight: 0, + power.subnets.own2, - vra.static_routes`; with the `tree` that it is made
    in also what a single value was before: `t1.weight: 0 (was 100)`.
    """
    root = tree.root if tree else None
    told = [each for path, value in change.set.items() for each in _told(path, value, _at(root, _parts(path)))]
    told += [f"+ {each}" for path, value in change.add.items() for each in _told(path, value)]
    return ", ".join([*told, *(f"- {path}" for path in change.remove)])


def culprit(change: EditSpec, path: str) -> Path:
    """Which part of an edit has to do with the key path `path` of a resource, as a path inside the edit; () if none."""
    for part, written in (("set", change.set), ("add", change.add)):
        for key in written:
            if f"{path}.".startswith((f"resources.{key}.", f"resources.{key}[")):
                return part, key
    return ()


def added_twice(tree: Tree, change: EditSpec, part: Path) -> Refused | None:
    """Why what an edit adds at `part` of itself is refused where a single value is there already, if that is so."""
    if part[:1] != ("add",):
        return None
    there, new = _at(tree.root, _parts(str(part[1]))), change.add[str(part[1])]
    if isinstance(there, Scalar) and isinstance(new, Scalar):
        return Refused("is there already", "`set` puts another value in its place")
    return None


def _steps(change: EditSpec) -> Iterator[tuple[Path, Callable[[Node], Node]]]:
    for path, value in change.set.items():
        yield ("set", path), partial(_put, parts=_parts(path), value=value, path=path)
    for path, value in change.add.items():
        yield ("add", path), partial(_added, parts=_parts(path), value=value, path=path)
    for i, path in enumerate(change.remove):
        yield ("remove", i), partial(_taken, parts=_parts(path), path=path)


def _parts(path: str) -> tuple[str, ...]:
    return ("resources", *path.split("."))


def _put(node: Node | None, parts: tuple[str, ...], value: Node, path: str) -> Node:
    if not parts:
        return value
    if node is None:
        node = Mapping({}, {}, value.at)
    if not isinstance(node, Mapping):
        raise Refused(f"`{path}` leads into something that has no fields")
    if len(parts) > 1 and parts[0] not in node.entries and node.entries.get("kind") is None:
        raise Refused(f"`{path}` leads to nothing: there is no `{parts[0]}`")
    child = _put(node.entries.get(parts[0]), parts[1:], value, path)
    return _with(node, parts[0], child, value.at)


def _added(node: Node, parts: tuple[str, ...], value: Node, path: str) -> Node:
    there = _at(node, parts)
    if there is None:
        return _put(node, parts, value, path)
    if isinstance(there, Mapping):
        return _put(node, parts, _merged(there, value, path), path)
    # A field that takes a list may hold one value without its brackets, before and after.
    present, new = _items(there), _items(value)
    twice = [_flow(item) for item in new if _flow(item) in map(_flow, present)]
    if twice:
        raise Refused(f"`{path}` has `{twice[0]}` already")
    return _put(node, parts, Sequence((*present, *new), there.at), path)


def _merged(there: Mapping, value: Node, path: str) -> Mapping:
    if not isinstance(value, Mapping):
        raise Refused(f"`{path}` is a mapping; what is added to it is a mapping of new entries")
    twice = [key for key in value.entries if key in there.entries]
    if twice:
        raise Refused(f"`{path}` has `{twice[0]}` already", "`set` puts another value in its place")
    return Mapping({**there.entries, **value.entries}, {**there.keys, **value.keys}, there.at)


def _at(node: Node | None, parts: tuple[str, ...]) -> Node | None:
    """What stands there, if anything is written."""
    for part in parts:
        node = node.entries.get(part) if isinstance(node, Mapping) else None
    return None if isinstance(node, Scalar) and node.empty else node


def _items(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else (node,)


def _taken(node: Node, parts: tuple[str, ...], path: str) -> Node:
    if not isinstance(node, Mapping) or parts[0] not in node.entries:
        raise Refused(f"`{path}` leads to nothing: there is no `{parts[0]}` to remove")
    if len(parts) > 1:
        return _with(node, parts[0], _taken(node.entries[parts[0]], parts[1:], path), node.at)
    entries = {key: child for key, child in node.entries.items() if key != parts[0]}
    return Mapping(entries, {key: node.keys[key] for key in entries}, node.at)


def _with(node: Mapping, key: str, child: Node, at: At) -> Mapping:
    keys = node.keys if key in node.keys else {**node.keys, key: at}
    return Mapping({**node.entries, key: child}, keys, node.at)


def _told(path: str, value: Node, before: Node | None = None) -> list[str]:
    entries = value.entries if isinstance(value, Mapping) else {}
    if entries and all(isinstance(each, Mapping) for each in entries.values()):
        return [f"{path}.{key}" for key in entries]
    text = ", ".join(map(_flow, value.items)) if isinstance(value, Sequence) and value.items else _flow(value)
    was = f" (was {before.text})" if isinstance(before, Scalar) and isinstance(value, Scalar) else ""
    return [f"{path}: {text}{was}" if len(text) <= _SHORT else path]


def _flow(node: Node) -> str:
    """YAML in one line."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return f"[{', '.join(map(_flow, node.items))}]"
    return f"{{{', '.join(f'{key}: {_flow(each)}' for key, each in node.entries.items())}}}"
