"""A fault of a description: where it stands, what stands there, which rule it breaks, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from heapq import nlargest
from posixpath import commonprefix
from typing import NamedTuple

from labctl.errors import DescriptionError

Path = tuple[str | int, ...]

MOST = 500
"""So many faults are enough for one reading."""
MANY = 50
FEW = 16
"""So many known words are all named where one is asked for; of more only the nearest."""


class Mark(NamedTuple):
    """A place in a text: line and column, both from 1."""

    line: int
    column: int


class Place(NamedTuple):
    """A place in a file, the text of its line, and how many characters of that it is about."""

    source: str
    mark: Mark
    line: str = ""
    width: int = 1

    def told(self, source: str) -> str:
        """`line 14`, or `line 14 of base.yaml` for a reader of another file, `source`."""
        return f"line {self.mark.line}" + (f" of {self.source}" if self.source != source else "")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `path` is the key path, such as resources.vpc1.subnets.app.prefix ("" for the whole file).

    `line` is the text of the line that it stands in, `width` how many characters from `mark` on are meant, `other` the
    second place where two do not fit together.
    """

    source: str
    mark: Mark
    path: str
    value: str
    rule: str
    hint: str = ""
    line: str = field(default="", compare=False)
    width: int = field(default=1, compare=False)
    other: Place | None = field(default=None, compare=False)

    @property
    def where(self) -> str:
        """FILE:LINE:COLUMN."""
        return f"{plain(self.source, 200)}:{self.mark.line}:{self.mark.column}"

    @property
    def what(self) -> str:
        """What stands there and which rule it breaks, on one line, whatever it quotes."""
        parts = [plain(self.path, 200), f"`{plain(self.value, 60)}`" if self.value else ""]
        what = " ".join(part for part in parts if part)
        return f"{what + ': ' if what else ''}{plain(self.rule, 1000)}"

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({plain(self.hint, 1000)})" if self.hint else "")


def located(place: Place, path: str, value: str, rule: str, hint: str = "", other: Place | None = None) -> Fault:
    """The fault of what stands at `place`."""
    return Fault(place.source, place.mark, path, value, rule, hint, place.line, place.width, other)


def plain(text: str, most: int) -> str:
    """Printable, on one line, and not longer than `most`: what is quoted may be anything, terminal controls too."""
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text[:most])
    return shown + ("..." if len(text) > most else "")


def written(path: Path) -> str:
    """A key path as people write it: resources.vpn.selectors.local[0]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def a(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


def did_you_mean(word: str, known: list[str] | tuple[str, ...]) -> str:
    """A hint with the nearest known word, or with all of them where they are few, or ""."""
    if near := nearest(word, known):
        return near
    if len(known) == 1:
        return f"there is only `{known[0]}`"
    return f"one of {', '.join(known)}" if 0 < len(known) <= FEW else ""


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """A hint with the nearest known word, or ""."""
    near = near_to(word, known)
    return f"did you mean `{near}`?" if near else ""


def near_to(word: str, known: list[str] | tuple[str, ...]) -> str:
    """The nearest known word, in whatever case, or ""."""
    if len(known) > MANY:  # comparing them all in earnest would take long
        known = nlargest(MANY, known, key=lambda each: len(commonprefix((word, each))) - abs(len(word) - len(each)))
    lower = {each.lower(): each for each in reversed(known)}
    close = get_close_matches(word.lower(), list(lower), n=1, cutoff=0.6)
    return lower[close[0]] if close else ""


def in_order(faults: Iterable[Fault], source: str) -> list[Fault]:
    """Each fault once, by place: those of the file `source` first, then those of the files that it includes."""
    return sorted(set(faults), key=lambda each: (each.source != source, each.source, each.mark, each.path, each.rule))


def refused(source: str, faults: Iterable[Fault]) -> DescriptionError:
    """The error that carries all `faults`, sorted by place, each once; of more than `MOST` only so many."""
    ordered = in_order(faults, source)[:MOST]
    count = f"{len(ordered)} fault" + ("s" if len(ordered) != 1 else "")
    count += ", and no more were looked for" if len(ordered) == MOST else ""
    return DescriptionError(f"{source}: {count}; nothing was created", ordered)
