"""The JSON Schema of a lab file, from the same classes that read it: for editors, and for other programs."""

from __future__ import annotations

from labctl.description.head import LabSpec
from labctl.description.record import about, name_of, record_schema
from labctl.description.schema import VARIABLE, Definitions, Schema, either, mapping
from labctl.description.words import NAME
from labctl.kinds.base import Kind
from labctl.kinds.registry import ALIASES, KINDS

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def lab_schema() -> Schema:
    """What a lab file may hold. What only the whole file tells (names, overlaps, what fits what) it cannot say.

    A file that includes others may leave to them what a lab file must have.
    """
    known = Definitions()
    name = NAME.schema(known)
    known.schemas["resources"] = mapping(name, {"$ref": "#/$defs/resource"})
    known.schemas["resource"] = _resource()
    for kind in KINDS.values():
        known.refer(name_of(kind), lambda kind=kind: _kind(kind, known))  # type: ignore[misc]
    whole = record_schema(LabSpec, known)
    resources = {**whole["properties"]["resources"], **mapping(name, {"type": "object"})}
    parts = {**whole["properties"], "resources": {key: each for key, each in resources.items() if key != "$ref"}}
    known.schemas["lab"] = whole
    known.schemas["part"] = {key: each for key, each in whole.items() if key != "required"} | {"properties": parts}
    return {
        "$schema": DRAFT,
        "title": "A lab of labctl",
        "if": {"type": "object", "required": ["include"]},
        "then": {"$ref": "#/$defs/part"},
        "else": {"$ref": "#/$defs/lab"},
        "$defs": dict(sorted(known.schemas.items())),
    }


def _resource() -> Schema:
    """A resource: its `kind` says which fields it has."""
    words = {**{word: word for word in KINDS}, **ALIASES}
    kinds = [{"const": word, "description": about(KINDS[words[word]])} for word in sorted(words)]
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": either(*kinds, VARIABLE) | {"description": "what it is"}},
        "allOf": [_where(kind) for kind in KINDS.values()],
    }


def _words(kind: type[Kind]) -> list[str]:
    return [kind.kind, *(word for word, of in ALIASES.items() if of == kind.kind)]


def _where(kind: type[Kind]) -> Schema:
    condition = {"properties": {"kind": {"enum": _words(kind)}}, "required": ["kind"]}
    return {"if": condition, "then": {"$ref": f"#/$defs/{name_of(kind)}"}}


def _kind(kind: type[Kind], known: Definitions) -> Schema:
    schema = record_schema(kind, known)
    word = {"enum": _words(kind), "description": about(kind)}
    fields = {"kind": word, **schema["properties"]}
    return schema | {"title": kind.kind, "properties": fields, "required": ["kind", *schema.get("required", [])]}
