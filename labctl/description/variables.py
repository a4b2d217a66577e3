"""Variables of a description, `${name}` and `${name:-default}`: one word each, put in before anything else is read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from labctl.description.faults import Path, did_you_mean, nearest
from labctl.description.reader import MAX_BYTES, Reader
from labctl.description.tree import At, Node, Scalar, Sequence
from labctl.description.tree import Mapping as MappingNode
from labctl.description.types import Refused

NAME = re.compile(r"[a-z][a-z0-9_]*")
NAMES = "a variable's name is of small letters, digits and underscores"
MAX_LENGTH = 1000
"""Characters of one value."""
_USE = re.compile(r"\$\$\{|\$\{(?P<name>[^}:]*)(?P<default>:-[^}]*)?(?P<end>\})?")


class Variables:
    """The variables of a description. `given` are the values from outside, over those in its files, `roots`."""

    def __init__(self, reader: Reader, given: Mapping[str, str], roots: list[MappingNode]) -> None:
        self.reader = reader
        self.given = given
        self.values: dict[str, str] = {}
        self.written: dict[str, At] = {}
        self.used: set[str] = set()
        self.missing = False
        """Whether there is so much that is not known that nothing more can be said."""
        self._size = 0
        self._roots = roots  # kept, so that no other node gets the identity of one of theirs
        self._done: dict[int, Node] = {}
        for root in reversed(roots):
            self._declare(root.entries.get("variables"))
        self.values.update(given)

    def _declare(self, node: Node | None) -> None:
        if node is None:
            return
        if not isinstance(node, MappingNode):
            self._refuse(node.at, ("variables",), "expected a mapping of names to values")
            return
        for name, value in node.entries.items():
            path: Path = ("variables", name)
            if not NAME.fullmatch(name):
                self._refuse(node.keys[name], path, NAMES)
            elif not isinstance(value, Scalar) or value.empty:
                self._refuse(node.keys[name], path, "a variable's value is one word or number")
            elif "${" in value.text:
                self._refuse(value.at, path, "a variable's value holds no other variable", value=value.text)
            elif len(value.text) > MAX_LENGTH:
                self._refuse(value.at, path, f"a variable's value has at most {MAX_LENGTH} characters")
            else:
                self.values[name], self.written[name] = value.text, node.keys[name]

    def put_in(self, root: MappingNode) -> MappingNode:
        """The root of a file with the values in place of their names."""
        if not any("${" in text for text in self.reader.texts.values()):
            return root
        kept: dict[str, Node] = {key: root.entries[key] for key in ("include", "variables") if key in root.entries}
        rest = {key: each for key, each in root.entries.items() if key not in kept}
        done = self._anew(MappingNode(rest, root.keys, root.at), ())
        assert isinstance(done, MappingNode)
        return MappingNode({**kept, **done.entries}, {**root.keys, **done.keys}, root.at)

    def refuse_unused(self) -> None:
        """Report values that are given for nothing: most likely their name is spelt in another way where it is used."""
        known = sorted(self.used)
        for name in sorted(self.given.keys() - self.used):
            hint = did_you_mean(name, known) or ("" if known else "the description has no variables")
            self.reader.source = self.reader.main
            self.reader.refuse_file(f"--var {name}: nothing uses ${{{name}}}", hint)
        for name in self.written.keys() - self.used:
            rule = f"nothing uses ${{{name}}}"
            self.reader.refuse(self.written[name], ("variables", name), rule, did_you_mean(name, known))

    def _node(self, node: Node, path: Path) -> Node:
        known = self._done.get(id(node))
        if known is None:
            known = self._done[id(node)] = self._anew(node, path)
        return known

    def _anew(self, node: Node, path: Path) -> Node:
        if isinstance(node, Scalar):
            return self._scalar(node, path) if "${" in node.text else node
        if isinstance(node, Sequence):
            return Sequence(tuple(self._node(each, (*path, i)) for i, each in enumerate(node.items)), node.at)
        entries: dict[str, Node] = {}
        keys: dict[str, At] = {}
        for key, each in node.entries.items():
            at = node.keys[key]
            name = self._key(key, at, path) if "${" in key else key
            if name in entries:
                self.reader.refuse(at, (*path, name), "this key is given twice, by way of a variable", other=keys[name])
            entries[name], keys[name] = self._node(each, (*path, name)), at
        return MappingNode(entries, keys, node.at)

    def _scalar(self, node: Scalar, path: Path) -> Scalar:
        try:
            return Scalar(self._word(node.text, node.at, path), node.at, node.empty)
        except Refused as refusal:
            self.reader.refuse(node.at, path, refusal.rule, refusal.hint, node.text)
            return Scalar(node.text, node.at, node.empty, (refusal.rule, refusal.hint))

    def _key(self, text: str, at: At, path: Path) -> str:
        try:
            return self._word(text, at, path)
        except Refused as refusal:
            self._refuse(at, path, refusal.rule, refusal.hint, text)
            return text

    def _word(self, text: str, at: At, path: Path) -> str:
        """The text with the values put in; Refused where there is one that is not known."""
        done = _USE.sub(self._value, text)
        self._size += len(done)
        if self._size > MAX_BYTES:
            self._size = 0
            self._refuse(at, path, f"variables make the description longer than {MAX_BYTES} characters")
        return done

    def _value(self, found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        if found[0] == "$${":
            return "${"
        if found["end"] is None or not NAME.fullmatch(name):
            rule = NAMES if found["end"] else "`${` begins a variable that does not end"
            raise Refused(rule, "${name} or ${name:-default}; $${ is a plain ${")
        self.used.add(name)
        if name in self.values:
            return self.values[name]
        if default is None:
            hint = nearest(name, sorted(self.values)) or f"--var {name}=VALUE, or ${{{name}:-default}}"
            raise Refused(f"the variable `{name}` has no value", hint)
        return str(default[2:])

    def _refuse(self, at: At, path: Path, rule: str, hint: str = "", value: str = "") -> None:
        self.missing = True
        self.reader.refuse(at, path, rule, hint, value)
