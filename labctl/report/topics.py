"""What can be explained of the description language: a topic for each kind, each part of a claim, each form of a word.

All of it is taken from the classes that read a description.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from labctl.description.faults import a
from labctl.description.head import LabSpec
from labctl.description.record import Field, OneOf, RecordOf, about, fields
from labctl.description.resources import read_resources
from labctl.description.sources import read_tree
from labctl.description.types import ListOf, MapOf, Raw, Type, Word
from labctl.description.units import UNITS
from labctl.description.words import WORDS, Servers
from labctl.kinds.base import Kind
from labctl.kinds.registry import ALIASES, KINDS, PROVIDERS

CLAIMS = ("checks", "drills", "changes")
GROUPS = ("Places", "In a cloud", "Private endpoints", "VPN", "Circuits and Power", "Plain networks")
"""The groups of kinds, in the order in which a reader wants them."""
_WITHOUT = (
    "Where a node has none: its name is all of its links for a capture (`on: NODE`), a fault names the subnet or link "
    "that it is plugged into, and `one_way: {link: SUBNET, source: NODE}` what it alone sends."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A field: `path` leads to it from its topic (`subnets.NAME.zone`), `see` names the topic that says more."""

    path: str
    says: str
    doc: str
    required: bool
    default: str
    see: str = ""


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that can be explained. `fields` are what is written in it, `choices` the words that it is one of."""

    word: str
    group: str
    about: str
    fields: tuple[Entry, ...] = ()
    choices: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    becomes: str = ""
    cites: tuple[str, ...] = ()
    example: str = ""

    @property
    def sides(self) -> tuple[str, ...]:
        """Those of the names that are one side of a node."""
        return tuple(name for name, uses in self.names.items() if "side" in uses)

    @property
    def without_sides(self) -> str:
        """What to name instead, of a kind of node that has no sides with names and is no link itself; "" for others."""
        node = next((name for name, uses in self.names.items() if "node" in uses and "link" not in uses), "")
        return (
            f"{node} has no sides with names; `labctl explain side` says what is named instead."
            if node and not self.sides
            else ""
        )

    @property
    def line(self) -> str:
        """What it is, in its first sentence."""
        return _first(self.about)


def _first(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def every_topic() -> dict[str, Topic]:
    """Every topic by its word, in the order in which a reader wants them."""
    claims = _Claims()
    kinds = list(map(_kind, sorted(KINDS.values(), key=_order)))
    topics = [claims.lab(), *kinds, *claims.topics(), _side(kinds), *_forms()]
    return {topic.word: topic for topic in topics}


def _order(kind: type[Kind]) -> tuple[int, int]:
    return GROUPS.index(kind.group), list(KINDS.values()).index(kind)


# -- fields


def plain(kind: Type[Any]) -> str:
    """What may be written, in plain words: the shape of a mapping is told by its own fields."""
    match kind:
        case Word(says=says, like=like):
            return f"{says}, such as {like}" if like else says
        case ListOf(item=item) | Servers(item=item):
            return f"{plain(item)}; or a list of them"
        case MapOf(key=key, value=value, one=one):
            named = a(one) if one else "a name" if key is WORDS["name"] else key.says
            return f"a mapping from {named} to {plain(value)}"
        case Raw(like=like):
            return plain(like) if like else "a value of that field"
        case RecordOf() | OneOf():
            return "a mapping"
        case _:
            return kind.says


def inside(kind: Type[Any]) -> tuple[str, Type[Any] | None]:
    """The record that a type holds or is a list or mapping of, and the way there: `.NAME` into a mapping by name."""
    match kind:
        case ListOf(item=item):
            return inside(item)
        case MapOf(key=key, value=value):
            way, found = inside(value)
            name = "PREFIX" if key is WORDS["prefix"] else "DOMAIN" if key is WORDS["domain"] else "NAME"
            return f".{name}{way}", found
        case Raw(like=like) if like is not None:
            return inside(like)
        case RecordOf() | OneOf():
            return "", kind
        case _:
            return "", None


def _entry(each: Field, path: str, see: str = "") -> Entry:
    return Entry(path, plain(each.kind), each.doc, each.must, each.default, see)


def _nested(of: type, path: str = "") -> Iterator[Entry]:
    """The fields of a record, each followed by those of the record that it holds."""
    for each in fields(of):
        yield _entry(each, path + each.key)
        way, found = inside(each.kind)
        if isinstance(found, RecordOf):
            yield from _nested(found.of, f"{path}{each.key}{way}.")


# -- kinds


def _kind(kind: type[Kind]) -> Topic:
    words = {who: tuple(word for word, of in said.items() if of == kind.kind) for who, said in PROVIDERS.items()}
    return Topic(
        word=kind.kind,
        group=kind.group,
        about=about(kind),
        fields=tuple(_nested(kind)),
        aliases={who: each for who, each in words.items() if each},
        names=_names(kind),
        becomes=kind.becomes,
        cites=kind.cites,
        example=whole(kind.example),
    )


def whole(example: str) -> str:
    """The example of a kind as a whole lab."""
    lines = "".join(f"  {line}\n" for line in example.splitlines())
    return f"lab: example\nresources:\n{lines}"


def _side(kinds: list[Topic]) -> Topic:
    """What is no field and no kind, but brought by some of them."""
    return Topic(
        "side",
        "Forms",
        f"One side of a node: the one device by which it is on a network, written NODE.NETWORK. {_WITHOUT}",
        choices={each.word: ", ".join(each.sides) for each in kinds if each.sides},
    )


def _names(kind: type[Kind]) -> dict[str, tuple[str, ...]]:
    """The names that the resource of this kind in its example brings, and what each may be used as."""
    resources = read_resources(read_tree(whole(kind.example).encode(), kind.kind), KINDS, ALIASES)
    mine = [(me, each) for me, each in resources.values.items() if isinstance(each, kind)]
    return dict(chain.from_iterable(each.names(me).items() for me, each in mine[:1]))


# -- the head and the claims


class _Claims:
    """The topics of what a lab file claims: a record that stands in several places is told of once."""

    def __init__(self) -> None:
        self._at: dict[object, str] = {}
        self._topics: list[Topic] = []

    def lab(self) -> Topic:
        entries = tuple(_entry(each, each.key, each.key if each.key in CLAIMS else "") for each in fields(LabSpec))
        return Topic("lab", "A lab file", about(LabSpec), entries, example=LabSpec.example)

    def topics(self) -> list[Topic]:
        for each in fields(LabSpec):
            if each.key in CLAIMS:
                self._record(each.key, inside(each.kind)[1], each.key)
        return self._topics

    def _record(self, word: str, kind: Type[Any] | None, group: str, doc: str = "") -> str:
        """The topic in which a type is told of; "" where it is no record."""
        if isinstance(kind, RecordOf):
            return self._fields(word, kind.of, group)
        return self._choice(word, kind, group, doc) if isinstance(kind, OneOf) else ""

    def _choice(self, word: str, kind: OneOf[Any], group: str, doc: str) -> str:
        if id(kind) not in self._at:
            self._at[id(kind)] = word
            choices = {name: _first(about(of)) for name, of in kind.records.items()}
            self._topics.append(Topic(word, group, f"{doc[0].upper()}{doc[1:]}. {_one_of(kind)}", choices=choices))
            for name, of in kind.records.items():
                self._fields(f"{word}.{name}", of, group)
        return self._at[id(kind)]

    def _fields(self, word: str, of: type, group: str) -> str:
        if of not in self._at:
            self._at[of] = word
            at = len(self._topics)
            entries = tuple(self._field(each, word, group) for each in fields(of))
            example = getattr(of, "example", "")
            self._topics.insert(at, Topic(word, group, about(of), entries, example=example))
        return self._at[of]

    def _field(self, each: Field, word: str, group: str) -> Entry:
        see = self._record(f"{word}.{each.key}", inside(each.kind)[1], group, each.doc)
        return _entry(each, each.key, see)


def _one_of(kind: OneOf[Any]) -> str:
    bare = f" Some may stand alone, without the mapping: {', '.join(kind.bare)}." if kind.bare else ""
    short = ", ".join(f"{word}: {name.upper()}" for word, name in kind.short.items())
    return f"A mapping with exactly one of these words.{bare}" + (f" In short also: {short}." if short else "")


# -- the forms of words


def _forms() -> Iterator[Topic]:
    yield Topic("units", "Forms", "Quantities always have their unit.", choices=_said(UNITS))
    yield Topic("words", "Forms", "What single words look like.", choices=_said(WORDS))
    for name, kind in (*UNITS.items(), *WORDS.items()):
        yield Topic(name, "Forms", f"{kind.says[0].upper()}{kind.says[1:]}: {kind.about}.", example=kind.like)


def _said(forms: dict[str, Word[Any]]) -> dict[str, str]:
    return {name: f"{kind.about}, such as {kind.like}" if kind.like else kind.about for name, kind in forms.items()}
