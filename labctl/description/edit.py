"""Edits of a description: put a value at a path, take one away. The tree is copied along the path, never changed."""

from __future__ import annotations

from labctl.description.checks import ChangeSpec
from labctl.description.faults import Mark
from labctl.description.tree import Mapping, Node, Tree
from labctl.description.types import Refused


def edited(tree: Tree, change: ChangeSpec) -> Tree:
    """The tree after `change`. Refused where a path leads nowhere (nothing to remove, no such resource)."""
    root = tree.root
    for path, value in change.set.items():
        root = _mapping(_put(root, ("resources", *path.split(".")), value, path))
    for path in change.remove:
        root = _mapping(_taken(root, ("resources", *path.split(".")), path))
    return Tree(tree.source, root)


def _mapping(node: Node) -> Mapping:
    assert isinstance(node, Mapping)
    return node


def _put(node: Node | None, parts: tuple[str, ...], value: Node, path: str) -> Node:
    if not parts:
        return value
    if node is None:
        node = Mapping({}, {}, value.mark)
    if not isinstance(node, Mapping):
        raise Refused(f"`{path}` leads into something that has no fields")
    if len(parts) > 1 and parts[0] not in node.entries and node.entries.get("kind") is None:
        raise Refused(f"`{path}` leads to nothing: there is no `{parts[0]}`")
    child = _put(node.entries.get(parts[0]), parts[1:], value, path)
    return _with(node, parts[0], child, value.mark)


def _taken(node: Node | None, parts: tuple[str, ...], path: str) -> Node:
    if not isinstance(node, Mapping) or parts[0] not in node.entries:
        raise Refused(f"`{path}` leads to nothing: there is no `{parts[0]}` to remove")
    if len(parts) > 1:
        return _with(node, parts[0], _taken(node.entries[parts[0]], parts[1:], path), node.mark)
    entries = {key: child for key, child in node.entries.items() if key != parts[0]}
    return Mapping(entries, {key: node.keys[key] for key in entries}, node.mark)


def _with(node: Mapping, key: str, child: Node, mark: Mark) -> Mapping:
    keys = node.keys if key in node.keys else {**node.keys, key: mark}
    return Mapping({**node.entries, key: child}, keys, node.mark)
