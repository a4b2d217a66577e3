"""Frozen dataclasses to JSON values and back, driven by their annotations.

What is written can be read back to an equal object: plans in the run directory, the configurations of services,
the requests to the prober. A dataclass becomes `{"is": ClassName, ...fields}`, so that a union is read by that name.

How a type is written or read is worked out once, when it is first met: a plan has thousands of objects of few types.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import operator
import types
import typing
from collections.abc import Callable
from typing import Any, NoReturn

from labctl import addresses

Coder = Callable[[Any], Any]

_TEXTUAL: dict[Any, Coder] = {
    ipaddress.IPv4Address: addresses.address,
    ipaddress.IPv4Network: addresses.network,
    ipaddress.IPv4Interface: addresses.interface,
}
_PLAIN: frozenset[Any] = frozenset((str, int, float, bool, type(None)))


def encode(value: Any) -> Any:
    """A JSON value for `value`: a dataclass, an address, a scalar, or a tuple, list or dict of them."""
    kind: Any = type(value)
    return _encoder(kind)(value)


def decode(kind: Any, data: Any) -> Any:
    """The value of type `kind` that `data` (from `encode`) stands for; ValueError where it stands for none.

    `kind` may be a dataclass, a union of dataclasses and None, a tuple[X, ...], a tuple[X, Y], a dict[str, X], an
    address, a scalar or a Literal.
    """
    return _decoder(kind)(data)


# -- writing


@functools.cache
def _encoder(kind: Any) -> Coder:
    if dataclasses.is_dataclass(kind):
        return _record_encoder(kind)
    if issubclass(kind, tuple(_TEXTUAL)):
        return str
    if issubclass(kind, (list, tuple, set, frozenset)):
        return lambda value: [encode(item) for item in value]
    if issubclass(kind, dict):
        return lambda value: {str(key): encode(item) for key, item in value.items()}
    if issubclass(kind, tuple(_PLAIN)):
        return lambda value: value
    raise TypeError(f"no JSON form for {kind.__name__}")


def _record_encoder(kind: Any) -> Coder:
    names = [each.name for each in dataclasses.fields(kind)]
    if len(names) < 2:  # of which attrgetter makes no tuple
        return lambda value: {"is": kind.__name__, **{name: encode(getattr(value, name)) for name in names}}
    keys, fields = ("is", *names), operator.attrgetter(*names)

    def write(value: Any) -> Any:
        parts = [each if each.__class__ in _PLAIN else encode(each) for each in fields(value)]
        return dict(zip(keys, (kind.__name__, *parts), strict=True))

    return write


# -- reading


@functools.cache
def _decoder(kind: Any) -> Coder:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _union_decoder(inner)
    if origin in (tuple, list):
        return _list_decoder(origin, inner)
    if origin is dict:
        return _dict_decoder(inner[1])
    if origin is typing.Literal:
        return _word_decoder(inner)
    if dataclasses.is_dataclass(kind):
        return _record_decoder(kind)
    if kind is Any:
        return lambda data: data
    return _scalar_decoder(kind)


def _scalar_decoder(kind: Any) -> Coder:
    if kind is float:
        return lambda data: data if type(data) in (float, int) else _refuse(data, "float")
    if kind not in _TEXTUAL:
        return lambda data: data if type(data) is kind else _refuse(data, kind.__name__)
    made = _TEXTUAL[kind]
    return lambda data: made(data) if type(data) is str else _refuse(data, "str")


def _list_decoder(origin: type[Any], inner: tuple[Any, ...]) -> Coder:
    items = [_decoder(each) for each in inner if each is not Ellipsis]
    one = items[0]

    def read(data: Any) -> Any:
        found = data if type(data) is list else _refuse(data, "list")
        if origin is list or inner[-1] is Ellipsis:
            return origin([one(each) for each in found])
        return tuple([item(each) for item, each in zip(items, found, strict=True)])

    return read


def _dict_decoder(inner: Any) -> Coder:
    item = _decoder(inner)

    def read(data: Any) -> Any:
        found = data if type(data) is dict else _refuse(data, "dict")
        return {key: item(each) for key, each in found.items()}

    return read


def _word_decoder(words: tuple[Any, ...]) -> Coder:
    return lambda data: data if data in words else _refuse(data, f"one of {words}")


def _record_decoder(kind: Any) -> Coder:
    fields = dataclasses.fields(kind)
    names = frozenset(each.name for each in fields)
    in_order = not any(each.kw_only for each in fields)

    @functools.cache  # when the first one is read: a class may hold another of its own kind
    def parts() -> list[tuple[str, Coder]]:
        hints = typing.get_type_hints(kind)
        return [(each.name, _decoder(hints[each.name])) for each in fields]

    def read(data: Any) -> Any:
        if type(data) is not dict or data.get("is") != kind.__name__:
            _refuse(data, kind.__name__)
        if in_order and data.keys() >= names:
            return kind(*[item(data[name]) for name, item in parts()])
        missing = [each.name for each in fields if each.name not in data and _is_required(each)]
        if missing:
            raise ValueError(f"{kind.__name__} without {', '.join(missing)}")
        return kind(**{name: item(data[name]) for name, item in parts() if name in data})

    return read


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _union_decoder(kinds: tuple[Any, ...]) -> Coder:
    named: list[Any] = [each for each in kinds if dataclasses.is_dataclass(each)]
    records = {each.__name__: _decoder(each) for each in named}
    others = [_decoder(each) for each in kinds if each not in named and each is not type(None)]
    names = ", ".join(getattr(each, "__name__", str(each)) for each in kinds)
    optional = type(None) in kinds

    def read(data: Any) -> Any:
        if data is None and optional:
            return None
        if type(data) is dict and "is" in data:
            record = records.get(data["is"]) if type(data["is"]) is str else None
            return record(data) if record else _refuse(data, f"one of {names}")
        for each in others:
            try:
                return each(data)
            except ValueError:
                continue
        return _refuse(data, f"one of {names}")

    return read


def _refuse(data: Any, wanted: str) -> NoReturn:
    raise ValueError(f"expected {wanted}, found {data!r}")
