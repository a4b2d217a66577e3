"""Frozen dataclasses to JSON values and back, driven by their annotations.

What is written can be read back to an equal object: plans in the run directory, the configurations of services,
the requests to the prober. A dataclass becomes `{"is": ClassName, ...fields}`, so that a union is read by that name.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")

_TEXTUAL = (ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv4Interface)


def encode(value: Any) -> Any:
    """A JSON value for `value`: a dataclass, an address, a scalar, or a tuple, list or dict of them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        body = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"is": type(value).__name__, **body}
    if isinstance(value, _TEXTUAL):
        return str(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"no JSON form for {type(value).__name__}")


def decode(kind: Any, data: Any) -> Any:
    """The value of type `kind` that `data` (from `encode`) stands for; ValueError where it stands for none.

    `kind` may be a dataclass, a union of dataclasses and None, a tuple[X, ...], a tuple[X, Y], a dict[str, X], an
    address, a scalar or a Literal.
    """
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(typing.get_args(kind), data)
    if origin in (tuple, list):
        items = typing.get_args(kind)
        _expect(list, data)
        if origin is list or items[-1] is Ellipsis:
            return origin(decode(items[0], each) for each in data)
        return tuple(decode(item, each) for item, each in zip(items, data, strict=True))
    if origin is dict:
        item = typing.get_args(kind)[1]
        return {key: decode(item, each) for key, each in _expect(dict, data).items()}
    if origin is typing.Literal:
        if data not in typing.get_args(kind):
            raise ValueError(f"{data!r} is none of {typing.get_args(kind)}")
        return data
    if kind in _TEXTUAL:
        return kind(_expect(str, data))
    if dataclasses.is_dataclass(kind):
        return _decode_record(kind, data)
    if kind is Any or (kind is float and type(data) is int):
        return data
    return _expect(kind, data)


def _expect(kind: type[T], data: Any) -> T:
    # To Python True is an int; to JSON it is not.
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise ValueError(f"expected {kind.__name__}, found {data!r}")
    return data


def _decode_record(kind: Any, data: Any) -> Any:
    if not isinstance(data, dict) or data.get("is") != kind.__name__:
        raise ValueError(f"expected {kind.__name__}, found {data!r}")
    hints = _hints(kind)
    missing = [f.name for f in dataclasses.fields(kind) if f.name not in data and _is_required(f)]
    if missing:
        raise ValueError(f"{kind.__name__} without {', '.join(missing)}")
    return kind(**{name: decode(hints[name], data[name]) for name in hints if name in data})


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    names = {f.name for f in dataclasses.fields(kind)}
    return {name: hint for name, hint in typing.get_type_hints(kind).items() if name in names}


def _decode_union(kinds: tuple[Any, ...], data: Any) -> Any:
    if data is None and type(None) in kinds:
        return None
    named = data.get("is") if isinstance(data, dict) else None
    for kind in kinds:
        if dataclasses.is_dataclass(kind) != (named is not None) or kind is type(None):
            continue
        if named is None or getattr(kind, "__name__", "") == named:
            try:
                return decode(kind, data)
            except ValueError:
                if named is not None:
                    raise
    raise ValueError(f"{data!r} is none of {', '.join(getattr(k, '__name__', str(k)) for k in kinds)}")
