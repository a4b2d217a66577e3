"""What an editor sees of a description: YAML 1.2 with its core schema, and the faults that the JSON Schema finds."""

from __future__ import annotations

import re
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from labctl.description.faults import written
from labctl.kinds.schema import lab_schema

VALIDATOR = Draft202012Validator(lab_schema())


class _Core(yaml.SafeLoader):
    """The scalars of YAML 1.2.2 section 10.3.2, where `on` and `no` are texts and `10:20` is no number."""

    yaml_implicit_resolvers: dict[str, Any] = {}


for _tag, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Core.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)


_Core.add_constructor("tag:yaml.org,2002:int", _integer)


def as_editors_read(text: str | bytes) -> Any:
    """The data of a YAML text. yaml.YAMLError where it is none."""
    return yaml.load(text, _Core)


def refused_at(data: Any) -> list[str]:
    """The key paths at which the schema refuses `data`."""
    return [written(tuple(error.absolute_path)) for error in VALIDATOR.iter_errors(data)]
