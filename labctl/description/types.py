"""The types of fields: each reads one node of the tree into a value, or says which rule it breaks.

A type knows its own name for people (`says`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Generic, Protocol, TypeVar

from labctl.description.faults import Fault, Path, a, nearest, written
from labctl.description.tree import Mapping, Node, Scalar, Tree
from labctl.description.tree import Sequence as Items

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Refused(Exception):
    """A value breaks a rule; caught by the nearest container, which goes on with its other values."""

    def __init__(self, rule: str, hint: str = "", path: Path | None = None) -> None:
        super().__init__(rule)
        self.rule = rule
        self.hint = hint
        self.path = path


class Incomplete(Refused):
    """A record whose faults are recorded already: it has no value, and nothing more is to be said of it."""

    def __init__(self) -> None:
        super().__init__("")


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that a field mentions, to be checked once all names are known."""

    path: Path
    name: str
    accepts: tuple[str, ...]
    why_not: dict[str, str]


@dataclass(slots=True)
class Reading:
    """What is gathered while a file is read: its faults and the references to check afterwards."""

    tree: Tree
    faults: list[Fault] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)

    def fault(self, path: Path, rule: str, hint: str = "", value: str | None = None) -> None:
        """Record a fault at `path`; `value` is what stands there unless given."""
        shown = self.tree.text_at(path) if value is None else value
        self.faults.append(Fault(self.tree.source, self.tree.find(path), written(path), shown, rule, hint))


class Type(Protocol[T_co]):
    """What a field may hold."""

    def read(self, node: Node, path: Path, reading: Reading) -> T_co:
        """The value of `node`; Refused where it breaks the type's rule."""
        ...

    @property
    def says(self) -> str:
        """What people should write."""
        ...


def _word(node: Node, says: str) -> str:
    if not isinstance(node, Scalar):
        shape = "a mapping" if isinstance(node, Mapping) else "a list"
        raise Refused(f"expected {says}, found {shape}")
    if node.empty:
        raise Refused(f"has no value; expected {says}")
    return node.text


@dataclass(frozen=True, slots=True)
class Word(Generic[T]):
    """A scalar that `parse` turns into a value; ValueError (its text is the rule) where it cannot."""

    says: str
    parse: Callable[[str], T]

    def read(self, node: Node, path: Path, reading: Reading) -> T:
        text = _word(node, self.says)
        try:
            return self.parse(text)
        except ValueError as error:
            raise Refused(f"expected {self.says}", str(error) if str(error) else "") from None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def says(self) -> str:
        return "one of " + ", ".join(self.words)

    def read(self, node: Node, path: Path, reading: Reading) -> str:
        text = _word(node, self.says)
        if text not in self.words:
            raise Refused(f"expected {self.says}", nearest(text, self.words))
        return text


@dataclass(frozen=True, slots=True)
class Ref:
    """The name of another resource, or of a part of one (`vpc1.app`), of an accepted kind.

    `why_not`: the reason, for things of other kinds that people are likely to name here.
    """

    accepts: tuple[str, ...]
    why_not: dict[str, str] = field(default_factory=dict)

    @property
    def says(self) -> str:
        return f"the name of {a(' or '.join(self.accepts))}"

    def read(self, node: Node, path: Path, reading: Reading) -> str:
        name = _word(node, self.says)
        reading.references.append(Reference(path, name, self.accepts, self.why_not))
        return name


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list; a single value stands for a list of one."""

    item: Type[T]
    least: int = 0

    @property
    def says(self) -> str:
        return f"a list of {self.item.says}"

    def read(self, node: Node, path: Path, reading: Reading) -> tuple[T, ...]:
        if not isinstance(node, Items):
            return (self.item.read(node, path, reading),)
        if len(node.items) < self.least:
            raise Refused(f"expected a list of at least {self.least}: {self.item.says}")
        read = [_kept(self.item, item, (*path, i), reading) for i, item in enumerate(node.items)]
        return tuple(value for kept in read for value in kept)


@dataclass(frozen=True, slots=True)
class MapOf(Generic[T]):
    """A mapping from names to values of one type; `key` reads each name (a reference, or a plain name)."""

    key: Type[str]
    value: Type[T]

    @property
    def says(self) -> str:
        return f"a mapping of names to {self.value.says}"

    def read(self, node: Node, path: Path, reading: Reading) -> dict[str, T]:
        if not isinstance(node, Mapping):
            raise Refused(f"expected {self.says}")
        found: dict[str, T] = {}
        for name, child in node.entries.items():
            at = (*path, name)
            if _kept(self.key, Scalar(name, node.keys[name]), at, reading, name):
                for value in _kept(self.value, child, at, reading):
                    found[name] = value
        return found


def _kept(kind: Type[T], node: Node, path: Path, reading: Reading, shown: str | None = None) -> Sequence[T]:
    """The value as a list of one, or nothing once its fault is recorded (showing `shown`, or what stands at `path`)."""
    try:
        return (kind.read(node, path, reading),)
    except Incomplete:
        return ()
    except Refused as refusal:
        reading.fault(refusal.path or path, refusal.rule, refusal.hint, shown)
        return ()


_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
NAME_LENGTH = 32


def _name(text: str) -> str:
    if len(text) > NAME_LENGTH:
        raise ValueError(f"a name has at most {NAME_LENGTH} characters, this has {len(text)}")
    if not _NAME.fullmatch(text):
        raise ValueError("names become files and devices: a letter first, no path, space or shell character")
    return text


def _integer(least: int, most: int, why: str = "") -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", text):
            raise ValueError
        if not least <= int(text) <= most:
            raise ValueError(why)
        return int(text)

    return parse


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


def _address(text: str) -> IPv4Address:
    _refuse_ipv6(text)
    if not re.fullmatch(r"[0-9]+(\.[0-9]+){3}", text):
        raise ValueError("four decimal numbers with dots")
    return IPv4Address(text)


def _refuse_ipv6(text: str) -> None:
    if re.fullmatch(r"[0-9A-Fa-f:.]+(/[0-9]+)?", text) and text.count(":") > 1:
        raise ValueError("this is IPv6, which is not supported here")


def _prefix(text: str) -> IPv4Network:
    _refuse_ipv6(text)
    if "/" not in text:
        raise ValueError(f"the prefix length is missing: {text}/24?")
    interface = IPv4Interface(text)
    if interface.ip != interface.network.network_address:
        raise ValueError(f"host bits are set; the network is {interface.network}")
    return interface.network


def _interface(text: str) -> IPv4Interface:
    _refuse_ipv6(text)
    if "/" not in text:
        raise ValueError("the prefix length is missing")
    return IPv4Interface(text)


def _port(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(tcp|udp|http)/([0-9]{1,5})", text)
    if not match or not 1 <= int(match[2]) <= 65535:
        raise ValueError("tcp, udp or http and a port from 1 to 65535, such as tcp/443")
    return match[1], int(match[2])


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*", text) or len(text) > NAME_LENGTH:
        raise ValueError(f"letters, digits and hyphens, a letter first, at most {NAME_LENGTH} characters")
    return text


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"


def _domain(text: str) -> str:
    if not re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})+", text) or len(text) > 253:
        raise ValueError("lower-case labels with dots between them, at least two (RFC 1035)")
    return text


def _asn(text: str) -> int:
    number = _integer(1, 4_294_967_295)(text)
    if number == 23456:
        raise ValueError("23456 is AS_TRANS (RFC 6793)")
    return number


NAME = Word("a name of small letters, digits and single hyphens", _name)
IDENTIFIER = Word("an identifier such as P1", _identifier)
TEXT = Word("a text", str)
BOOLEAN = Word("true or false", _boolean)
ADDRESS = Word("an IPv4 address", _address)
PREFIX = Word("an IPv4 prefix", _prefix)
INTERFACE = Word("an IPv4 address with its prefix length", _interface)
PORT = Word("a port", _port)
DOMAIN = Word("a domain name", _domain)
ASN = Word("an AS number", _asn)


@dataclass(frozen=True, slots=True)
class Servers:
    """The ports of test servers, each with one server: http is a server at a TCP port."""

    least: int = 0

    @property
    def says(self) -> str:
        return f"a list of {PORT.says}"

    def read(self, node: Node, path: Path, reading: Reading) -> tuple[tuple[str, int], ...]:
        read = ListOf(PORT, self.least).read(node, path, reading)
        seen: dict[tuple[str, int], str] = {}
        for proto, port in read:
            place = ("udp" if proto == "udp" else "tcp", port)
            if place in seen:
                both = f"{seen[place]}/{port} and {proto}/{port}" if seen[place] != proto else f"{proto}/{port} twice"
                raise Refused("one port has one server", f"here {both}")
            seen[place] = proto
        return read


@dataclass(frozen=True, slots=True)
class Raw:
    """Anything: kept as written, for the field it will be put into."""

    @property
    def says(self) -> str:
        return "a value"

    def read(self, node: Node, path: Path, reading: Reading) -> Node:
        return node


def integer(least: int, most: int, why: str = "") -> Word[int]:
    """A whole number from `least` to `most`, and why not another."""
    return Word(f"a whole number from {least} to {most}", _integer(least, most, why))
