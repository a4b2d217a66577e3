"""The head of a lab file, and the lists of what it claims."""

from __future__ import annotations

from dataclasses import dataclass

from labctl.description.checks import CheckSpec
from labctl.description.drills import ChangeSpec, DrillSpec
from labctl.description.record import RecordOf, option
from labctl.description.tree import Node
from labctl.description.types import ListOf, Reading, Word
from labctl.description.words import NAME, TEXT

VERSION = 1


def _version(text: str) -> int:
    if text != str(VERSION):
        raise ValueError("the file is written for a newer labctl" if text.isdecimal() and text != "0" else "")
    return VERSION


LAB_VERSION = Word(f"{VERSION}, the version of this language", _version)


@dataclass(frozen=True, slots=True)
class _Unread:
    """Stands for the resources, which the registry of kinds reads."""

    says: str = "a mapping of names to resources"

    def read(self, node: Node, path: tuple[str | int, ...], reading: Reading) -> Node:
        return node


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSpec:
    """The head of a lab file, and its checks, drills and changes."""

    lab: str = option(NAME, "the lab's name", "")  # must be given, but what else is wrong is told without it too
    version: int = option(LAB_VERSION, "the version of this language", VERSION)
    about: str = option(TEXT, "what the lab shows, in a few sentences", "")
    cites: tuple[str, ...] = option(ListOf(TEXT), "the provider's pages that it follows, by title", ())
    resources: Node = option(_Unread(), "the lab's parts")
    checks: tuple[CheckSpec, ...] = option(ListOf(RecordOf(CheckSpec)), "what must be true", ())
    drills: tuple[DrillSpec, ...] = option(ListOf(RecordOf(DrillSpec)), "what must hold while something breaks", ())
    changes: tuple[ChangeSpec, ...] = option(ListOf(RecordOf(ChangeSpec)), "what must hold while something changes", ())
