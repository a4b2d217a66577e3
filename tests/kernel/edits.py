"""Every way to change one thing of a topology: a number, an address, a switch, a duration, an item more or less, a
resource gone with what speaks of it. Pure, and the same each time.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import yaml

from labctl.describe import Described, describe
from labctl.errors import DescriptionError

TOPOLOGIES = Path(__file__).resolve().parents[2] / "topologies"
NAMES = sorted(path.stem for path in TOPOLOGIES.glob("*.yaml"))

Place = tuple[str | int, ...]

_WORDS: dict[str, tuple[str, ...]] = {
    "aes256-cbc-sha1": ("aes256-gcm", "aes128-cbc-sha1"),
    "aes256-gcm": ("aes128-gcm", "aes256-cbc-sha256"),
    "drop": ("follow_default",),
}
"""What may stand in the place of a word."""
_CLAIMS = ("checks", "drills", "changes")
_NEW: dict[str, Any] = {
    "when_down": "follow_default",
    "enabled": "false",
    "mtu": "1400",
    "key": "7",
    "delay": "7ms",
    "speed": "20mbit",
    "bandwidth": "20mbit",
    "serves": ["tcp/4444"],
    "inbound_clear": "accept",
    "ttl": "100",
}
"""Fields that may be written where they are not."""


@dataclass(frozen=True)
class Edit:
    """A change in words, and the topology after it."""

    words: str
    described: Described

    @property
    def kind(self) -> str:
        """What sort of change: its first word."""
        return self.words.split()[0]


@cache
def base(topology: str, lab: str = "t") -> Described:
    """A shipped topology, without what it claims."""
    described = _described(_data(topology, lab))
    assert described is not None
    return described


@cache
def edits(topology: str, lab: str = "t") -> tuple[Edit, ...]:
    """All that make sense, and make a difference."""
    found: list[Edit] = []
    seen = {base(topology, lab).plan}
    for words, data in _changes(_data(topology, lab)):
        described = _described(data)
        if described is not None and described.plan not in seen:
            seen.add(described.plan)
            found.append(Edit(f"{words} of {topology}", described))
    return tuple(found)


def _data(topology: str, lab: str) -> dict[str, Any]:
    # Every scalar is text: YAML 1.1 would take the field `on` for a truth.
    written = yaml.load((TOPOLOGIES / f"{topology}.yaml").read_text(), yaml.BaseLoader)
    kept = {key: each for key, each in written.items() if key not in (*_CLAIMS, "variables")}
    text = yaml.safe_dump(kept)
    # A variable that only the claims use would be one too many.
    variables = {name: each for name, each in written.get("variables", {}).items() if f"${{{name}" in text}
    return {**kept, "variables": variables, "lab": lab}


def _described(data: dict[str, Any]) -> Described | None:
    try:
        return describe(yaml.safe_dump(data, sort_keys=False).encode(), "edited", 1)
    except DescriptionError:
        return None


def _changes(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, value in list(_leaves(data["resources"], ("resources",))):
        where = ".".join(map(str, place[1:]))
        for other in _others(value):
            yield f"set {where} to {other}", _with(data, place, other)
    for place, value in list(_branches(data["resources"], ("resources",))):
        where = ".".join(map(str, place[1:]))
        if isinstance(value, list):
            for i, item in enumerate(value):
                yield f"drop {where}.{i}", _with(data, place, [each for j, each in enumerate(value) if j != i])
                for other in _others(item):
                    yield f"append {other} to {where}", _with(data, place, [*value, other])
            yield f"reverse {where}", _with(data, place, value[::-1])
        else:
            for key in value:
                fewer = {name: each for name, each in value.items() if name != key}
                yield f"remove {where}.{key}", _with(data, place, fewer)
            for key, new in _NEW.items():
                if key not in value:
                    yield f"write {where}.{key}: {new}", _with(data, place, {**value, key: new})
    for name in data["resources"]:
        yield f"delete {name}", _without(data, name)


def _leaves(node: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _leaves(child, (*place, key))
    elif isinstance(node, list):
        for i, child in enumerate(node):
            yield from _leaves(child, (*place, i))
    else:
        yield place, node


def _branches(node: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    if isinstance(node, (dict, list)):
        if len(place) > 1:
            yield place, node
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _branches(child, (*place, key))


def _others(value: Any) -> Iterator[Any]:
    """Values like this one."""
    match value:
        case "true" | "false":
            yield "false" if value == "true" else "true"
        case str() if value.isdecimal():
            yield from (str(int(value) + 1), str(int(value) // 2))
        case str() if value in _WORDS:
            yield from _WORDS[value]
        case str() if found := re.fullmatch(r"(\d+)([a-z]+)", value):
            yield from (f"{int(found[1]) + 3}{found[2]}", f"{int(found[1]) * 2}{found[2]}")
        case str() if found := re.fullmatch(r"(tcp|udp|http)/(\d+)", value):
            yield from (f"{found[1]}/{int(found[2]) + 1}", f"udp/{found[2]}")
        case str() if re.fullmatch(r"[\d.]+/\d+", value):
            yield from _other_prefixes(value)
        case str() if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", value):
            yield from (str(IPv4Address(value) + 1), str(IPv4Address(value) + 5))
        case str() if "." in value:
            yield f"other-{value}"


def _other_prefixes(value: str) -> Iterator[str]:
    interface = IPv4Interface(value)
    size, network = interface.network.num_addresses, interface.network
    if interface.ip == network.network_address:
        yield f"{network.network_address + size}/{network.prefixlen}"
        if network.prefixlen > 9:
            yield str(IPv4Network((network.network_address, network.prefixlen - 1), strict=False))
        if network.prefixlen < 30:
            yield f"{network.network_address}/{network.prefixlen + 1}"
    else:
        yield f"{interface.ip}/{network.prefixlen - 1}"


def _with(data: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(data)
    node: Any = changed
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return changed


def _without(data: dict[str, Any], name: str) -> dict[str, Any]:
    """Without a resource, and without all that speaks of it."""
    gone = {name}
    while True:
        left = {key: each for key, each in data["resources"].items() if key not in gone}
        more = {key for key, each in left.items() if any(_speaks_of(each, one) for one in gone)}
        if not more:
            return {**data, "resources": copy.deepcopy(left)}
        gone |= more


def _speaks_of(node: Any, name: str) -> bool:
    if isinstance(node, dict):
        return any(key == name or _speaks_of(child, name) for key, child in node.items())
    if isinstance(node, list):
        return any(_speaks_of(child, name) for child in node)
    return isinstance(node, str) and (node == name or node.startswith(f"{name}."))
