"""What is wrong with a text that is no YAML: told where the broken thing begins, not where the parser gave it up."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from labctl.description.faults import Mark
from labctl.description.tree import line_of

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPEN = {"while parsing a flow sequence": "list", "while parsing a flow mapping": "mapping"}
_ITEM = "an item of a list begins with `- `, and its other fields stand right below its first one"


class Broken(NamedTuple):
    """Where a text breaks the rules of YAML, which one, and what to do; `other` is where the parser noticed."""

    mark: Mark
    rule: str
    hint: str = ""
    value: str = ""
    other: Mark | None = None


def broken(error: yaml.YAMLError, text: str) -> Broken:
    """What the parser's `error` means."""
    at = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if at is None:
        return Broken(Mark(1, 1), "not YAML: cannot be read")
    if text[at.index : at.index + 1] == "\t":
        return Broken(_mark(at), "not YAML: a tab", "indent with spaces")
    if "${" in line_of(text, at.line + 1):
        hint = 'between brackets or braces a variable stands in quotes: "${name}"'
        return Broken(_place(at, text), f"not YAML: {_problem(error)}", hint)
    return _begun(error, text, at) or _misplaced(error, text, at)


def _begun(error: Any, text: str, at: Any) -> Broken | None:
    """What was begun, and does not end as it should."""
    start, context = getattr(error, "context_mark", None), getattr(error, "context", None) or ""
    quote = start if context == "while scanning a quoted scalar" else _quote_before(text, at)
    if quote:
        return Broken(_mark(quote), "not YAML: a quote is missing", "the quote opened here is never closed")
    if start is None:
        return None
    if context == "while parsing a flow node" and (token := _opened(text, at)):
        what = "list" if isinstance(token, yaml.FlowSequenceStartToken) else "mapping"
        return Broken(_mark(token.start_mark), f"not YAML: the {what} opened here is never closed")
    if context == "while scanning a simple key":
        word = line_of(text, start.line + 1)[start.column :].rstrip()
        hint = "a space after the colon?" if ":" in word else "a colon after the key?"
        return Broken(_mark(start), "not YAML: neither a key nor a value", hint, word)
    if context in _OPEN and (start.line != at.line or text[at.index : at.index + 1] in ("]", "}")):
        what, last = _OPEN[context], at.index >= len(text.rstrip())
        rule = f"not YAML: the {what} opened here is never closed"
        hint = "" if last else f"or a comma is missing before line {at.line + 1}, column {at.column + 1}"
        if (sign := text[at.index : at.index + 1]) in ("]", "}"):
            hint = f"a `{']' if what == 'list' else '}'}` is missing before this `{sign}`"
        return Broken(_mark(start), rule, hint, other=None if last else _mark(at))
    return None


def _misplaced(error: Any, text: str, at: Any) -> Broken:
    """What stands where nothing of its kind may."""
    line, sign = line_of(text, at.line + 1), text[at.index : at.index + 1]
    indent, around = _indent(line), _neighbours(text, at.line)
    problem = _problem(error)
    if sign in ("]", "}"):
        return Broken(_mark(at), f"not YAML: this `{sign}` closes nothing")
    if "mapping values" in problem and re.search(r":\s", line[: at.column]):
        return Broken(_mark(at), "not YAML: a second colon", 'a text with a colon in it stands in quotes: "a: b"')
    if "mapping values" in problem and (word := _keyless(text, at.line)):
        return word
    if at.column == indent or "mapping values" in problem:
        if around is not None and around != indent:
            hint = f"indented by {_spaces(indent)}, its neighbours by {around}"
            return Broken(Mark(at.line + 1, indent + 1), "not YAML: wrong indentation", hint)
        return Broken(_mark(at), f"not YAML: {problem}", _ITEM if "'-'" in problem else "")
    if "cannot start" in problem:
        return Broken(_mark(at), f"not YAML: nothing begins with `{sign}`", f"put it in quotes: '{sign}...'")
    if "','" in problem:
        return Broken(_place(at, text), f"not YAML: {problem}", "a comma before this?")
    return Broken(_place(at, text), f"not YAML: {problem}")


def _keyless(text: str, number: int) -> Broken | None:
    """The line before, as deep as this one, which was to be a field as well and has become a word of several lines."""
    above, line = line_of(text, number) if number else "", line_of(text, number + 1)
    before, word = _indent(above), above.strip()
    if word and before == _indent(line) and not re.search(r":(\s|$)", word) and word[0] not in "#'\"":
        hint = "a space after the colon?" if ":" in word else "a colon after the key?"
        return Broken(Mark(number, before + 1), "not YAML: neither a key nor a value", hint, word)
    return None


def _problem(error: Any) -> str:
    problem, context = getattr(error, "problem", None) or "cannot be read", getattr(error, "context", None)
    return f"{problem}, {context}" if context else problem


def _quote_before(text: str, at: Any) -> Any:
    """Where a quoted text of several lines begins that ends right before `at`: it has swallowed what was meant."""
    last: Any = None
    try:
        for token in yaml.scan(text, Loader=_LOADER):
            if token.end_mark.index > at.index:
                break
            last = token if isinstance(token, yaml.ScalarToken) else None
    except yaml.YAMLError:
        return None
    swallowed = last is not None and last.style in ("'", '"') and last.start_mark.line < last.end_mark.line
    return last.start_mark if swallowed and last.end_mark.line == at.line else None


def _opened(text: str, at: Any) -> Any:
    """The last bracket or brace before `at` that is open at the end of the file."""
    opened: list[Any] = []
    try:
        for token in yaml.scan(text, Loader=_LOADER):
            if isinstance(token, (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)):
                opened.append(token)
            elif isinstance(token, (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)) and opened:
                opened.pop()
    except yaml.YAMLError:
        pass
    return opened[-1] if opened and at.index >= len(text.rstrip()) else None


def _neighbours(text: str, number: int) -> int | None:
    """The indentation of the open blocks above a line that comes nearest to its own."""
    above: list[int] = []
    for line in (line_of(text, each) for each in range(1, number + 1)):
        if line.strip() and not line.lstrip().startswith("#"):
            above = [*(each for each in above if each < _indent(line)), _indent(line)]
    mine = _indent(line_of(text, number + 1))
    return min(above, key=lambda each: (abs(each - mine), -each), default=None)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _spaces(count: int) -> str:
    return f"{count} space" + ("s" if count != 1 else "")


def _mark(at: Any) -> Mark:
    return Mark(at.line + 1, at.column + 1)


def _place(at: Any, text: str) -> Mark:
    """The same, and the end of the file behind what stands last there."""
    written = text.rstrip()
    if at.index < len(written):
        return _mark(at)
    return Mark(written.count("\n") + 1, len(written) - written.rfind("\n"))
