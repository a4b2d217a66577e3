"""A fault of a description: where it stands, what stands there, which rule it breaks, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from labctl.errors import DescriptionError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a text: line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault. `path` is the key path, such as resources.vpc1.subnets.app.prefix ("" for the whole file)."""

    source: str
    mark: Mark
    path: str
    value: str
    rule: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.source}:{self.mark.line}:{self.mark.column}"
        parts = [_shown(self.path, 200), f"`{_shown(self.value, 60)}`" if self.value else ""]
        what = " ".join(part for part in parts if part)
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}: {what + ': ' if what else ''}{_shown(self.rule + hint, 1000)}"


def _shown(text: str, most: int) -> str:
    """Printable, on one line, and not longer than `most`: what is quoted may be anything, terminal controls too."""
    plain = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text[:most])
    return plain + ("..." if len(text) > most else "")


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
    return nearest(word, known) or (f"one of {', '.join(known)}" if 0 < len(known) <= 8 else "")


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """A hint with the nearest known word, or ""."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def refused(source: str, faults: list[Fault]) -> DescriptionError:
    """The error that carries all `faults`, sorted by place, each once."""
    ordered = sorted(set(faults))
    count = f"{len(ordered)} fault" + ("s" if len(ordered) != 1 else "")
    return DescriptionError(f"{source}: {count}; nothing was created", ordered)
