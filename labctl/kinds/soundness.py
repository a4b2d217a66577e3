"""The part of a lab that can be built although other resources break rules: what is claimed of that can be judged.

Left out are the resources with faults, and all that mention them. What the rest says of itself is certain; what it
lacks (an address, a resolver) may be with those left out, and is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from labctl import addresses
from labctl.description.document import Document, parse
from labctl.description.faults import Fault
from labctl.description.tree import Mapping, Tree, words_of
from labctl.kinds.registry import ALIASES, KINDS
from labctl.kinds.resolve import resolve
from labctl.model.network import Network


@dataclass(frozen=True, slots=True)
class Missing:
    """What was left out of a lab: the names that it would have brought, all its words, and its addresses."""

    names: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    networks: tuple[IPv4Network, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.names)

    def concerns(self, words: Iterable[str]) -> bool:
        """Whether one of `words` names what was left out, or is an address that it may have had."""
        return any(self._concerns(word) for word in words)

    def _concerns(self, word: str) -> bool:
        if word in self.names:
            return True
        found = _network(word)
        return found is not None and any(found.overlaps(each) for each in self.networks)


def sound_part(document: Document) -> tuple[Network, Missing]:
    """The model of the resources without faults, and what that leaves out. `document` has no claims."""
    tree = document.reading.tree
    left: set[str] = set()
    while more := _faulty(document):
        left |= more
        document = parse(_without(tree, left), KINDS, ALIASES, like=document.parts)
        forget_head(document)
        net = resolve(document)
        if not document.reading.faults:
            return net, _missing(tree, left, document)
    return Network(), _missing(tree, set(document.parts.read) | left, document)


def forget_head(document: Document) -> None:
    """Let go of the faults that are not in resources: they do not matter for what the resources become."""
    faults = document.reading.faults
    faults[:] = [each for each in faults if each.path.startswith("resources")]


def _faulty(document: Document) -> set[str]:
    """The resources with faults, and those that mention them, be it by way of others."""
    paths = [each.path.removeprefix("resources.") for each in document.reading.faults]
    names = document.parts.read
    found = {name for path in paths for name in (path, re.split(r"[.\[]", path, maxsplit=1)[0]) if name in names}
    found |= {name for name in names if name not in document.resources}
    while more := {me for me, others in document.references.items() if me not in found and found & set(others)}:
        found |= more
    return found


def _without(tree: Tree, left: set[str]) -> Tree:
    resources = tree.root.entries["resources"]
    assert isinstance(resources, Mapping)
    entries = {name: each for name, each in resources.entries.items() if name not in left}
    rest = Mapping(entries, resources.keys, resources.at)
    return replace(tree, root=Mapping({**tree.root.entries, "resources": rest}, tree.root.keys, tree.root.at))


def _missing(tree: Tree, left: set[str], rest: Document) -> Missing:
    resources = tree.root.entries.get("resources")
    bodies = [resources.entries[name] for name in left] if isinstance(resources, Mapping) else []
    words = {word for body in bodies for word in words_of(body)}
    brought = left | {key for body in bodies if isinstance(body, Mapping) for key in _keys(body)}
    parts = {f"{name}.{word}" for name, body in zip(left, bodies, strict=False) for word in words_of(body)}
    networks = tuple(found for word in sorted(words) if (found := _network(word)) is not None)
    return Missing(frozenset((brought | parts) - set(rest.names)), frozenset(words), networks)


def _keys(body: Mapping) -> set[str]:
    found = set(body.entries)
    for each in body.entries.values():
        if isinstance(each, Mapping):
            found |= _keys(each)
    return found


def _network(word: str) -> IPv4Network | None:
    try:
        return addresses.interface(word).network if "/" in word else IPv4Network(addresses.address(word))
    except ValueError:
        return None


def unlike(faults: Iterable[Fault], known: Iterable[Fault]) -> list[Fault]:
    """Those of `faults` that `known` does not have."""
    there = {(each.path, each.rule) for each in known}
    return [each for each in faults if (each.path, each.rule) not in there]
