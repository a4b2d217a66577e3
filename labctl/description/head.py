"""The head of a lab file, and the lists of what it claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labctl.description.checks import CheckSpec
from labctl.description.drills import ChangeSpec, DrillSpec
from labctl.description.record import RecordOf, option
from labctl.description.schema import Definitions, Schema
from labctl.description.tree import Node
from labctl.description.types import Choice, ListOf, MapOf, Raw, Reading, Word
from labctl.description.words import BOOLEAN, NAME, TEXT

VERSION = 1


def _version(text: str) -> int:
    if text != str(VERSION):
        raise ValueError("the file is written for a newer labctl" if text.isdecimal() and text != "0" else "")
    return VERSION


LAB_VERSION = Word(
    f"{VERSION}, the version of this language", _version, pattern=str(VERSION), bounds=(VERSION, VERSION)
)
_VARIABLE = Word("a variable's name", str, pattern="[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class _Unread:
    """Stands for the resources, which the registry of kinds reads."""

    says: str = "a mapping of names to resources"

    def schema(self, known: Definitions) -> Schema:
        return {"$ref": "#/$defs/resources"}

    def read(self, node: Node, path: tuple[str | int, ...], reading: Reading) -> Node:
        return node


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSpec:
    """A lab file: its name, its resources, and what must be true of them.

    Any word may hold a variable: `${zones}` is its value, `${zones:-3}` has a value where none is given, and `$${` is a
    plain `${`. Anchors and aliases are YAML's own. A list of one may be written without its brackets.
    """

    example: ClassVar[str] = """\
lab: hello
resources:
  vpc1:
    kind: vpc
    subnets:
      web: {zone: a, prefix: 10.0.1.0/24}
      db: {zone: b, prefix: 10.0.2.0/24}
  web1: {kind: instance, subnet: vpc1.web, address: 10.0.1.10}
  db1: {kind: instance, subnet: vpc1.db, address: 10.0.2.10, serves: [tcp/5432]}
checks:
  - id: P1
    from: web1
    do: {tcp: {to: db1, port: 5432}}
    expect: ok
"""

    # Without a name, what else is wrong is told all the same.
    lab: str = option(NAME, "the lab's name: its namespaces are called NAME-NODE", "", must=True)
    version: int = option(LAB_VERSION, "the version of this language", VERSION)
    about: str = option(TEXT, "what the lab shows, in a few sentences", "")
    cites: tuple[str, ...] = option(ListOf(TEXT), "the provider's pages that it follows, by title", ())
    profile: str = option(
        Choice(("fast", "provider")),
        "the timers of what a provider runs: seconds, so that a check can wait for them, or the provider's own; "
        "`explain` says them with each kind that has any",
        "fast",
    )
    include: Node | None = option(
        Raw(ListOf(TEXT)),
        "files beneath this one, relative to it: a resource in both is merged field by field, and this file wins",
        None,
    )
    variables: Node | None = option(
        Raw(MapOf(_VARIABLE, TEXT)),
        "values for `${name}` anywhere in the file; --var puts another in place, `${name:-value}` has its own default",
        None,
    )
    allow_public: bool = option(
        BOOLEAN, "whether addresses may be real public ones, outside those kept for examples (RFC 5737)", False
    )
    resources: Node = option(_Unread(), "the lab's parts: a name for each, and what it is (`kind`)")
    checks: tuple[CheckSpec, ...] = option(ListOf(RecordOf(CheckSpec)), "what must be true of the lab as it stands", ())
    drills: tuple[DrillSpec, ...] = option(ListOf(RecordOf(DrillSpec)), "what must hold while something breaks", ())
    changes: tuple[ChangeSpec, ...] = option(ListOf(RecordOf(ChangeSpec)), "what must hold while something changes", ())
