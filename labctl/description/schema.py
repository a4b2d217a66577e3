"""The words in which each type of field says its JSON Schema (draft 2020-12).

A scalar is text to labctl, whatever YAML would make of it, so its schema takes the number or the boolean as well; and
where a text stands, a variable (`${...}`) may stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

_VARIABLE = r"\$\{"
_MADE = {"boolean": "true", "integer": "1", "number": "1.5"}
"""What YAML makes of some texts, and such a text (YAML 1.2.2 section 10.3.2)."""


class Definitions:
    """The schemas of records: each is written once, under `$defs`, and referred to by its name."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def refer(self, name: str, write: Callable[[], Schema]) -> Schema:
        """A reference to the schema `name`, which `write` writes the first time."""
        if name not in self.schemas:
            self.schemas[name] = {}  # a record may hold records of its own kind
            self.schemas[name] = write()
        return {"$ref": f"#/$defs/{name}"}


def scalar(pattern: str, says: str = "", bounds: tuple[int, int] | None = None) -> Schema:
    """A word that all of `pattern` matches ("": any), or a variable; `bounds` hold what YAML makes a number of.

    `says` is what an editor tells of any other text.
    """
    made = [kind for kind, text in _MADE.items() if not pattern or re.fullmatch(pattern, text)]
    schema: Schema = {"type": ["string", *made]}
    if bounds is not None:
        schema |= {"minimum": bounds[0], "maximum": bounds[1]}
    if pattern:
        schema["pattern"] = f"^(?:{pattern})$|{_VARIABLE}"
    if pattern and says:
        schema["patternErrorMessage"] = f"expected {says}"
    return schema


def either(*schemas: Schema) -> Schema:
    """One of `schemas`."""
    return {"anyOf": list(schemas)}


VARIABLE: Schema = {"type": "string", "pattern": _VARIABLE}
"""A word that a variable is put into."""


def one_of_words(words: tuple[str, ...]) -> Schema:
    """One of `words`, or a variable."""
    return either({"enum": list(words)}, VARIABLE)


def mapping(key: Schema, value: Schema) -> Schema:
    """A mapping with keys and values of one schema each."""
    return {"type": "object", "propertyNames": key, "additionalProperties": value}


def record(about: str, fields: dict[str, Schema], required: list[str]) -> Schema:
    """A mapping with these fields and no others."""
    schema: Schema = {"type": "object", "description": about, "properties": fields, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def one_field(fields: dict[str, Schema]) -> Schema:
    """A mapping with exactly one of these fields."""
    return {
        "type": "object",
        "properties": fields,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
