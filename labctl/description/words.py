"""Single words: names, addresses, prefixes, ports, numbers."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from labctl import addresses
from labctl.description.faults import Path
from labctl.description.schema import Definitions, Schema
from labctl.description.tree import Node
from labctl.description.types import ListOf, Reading, Refused, Word

NAME_LENGTH = 32
_SHORT = rf"(?=.{{1,{NAME_LENGTH}}}$)"
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_IDENTIFIER = re.compile(rf"{_SHORT}[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_FOUR = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_LENGTH = re.compile("3[0-2]|[12]?[0-9]")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})+")
_TO_65535 = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_ALIKE = {"true": ("true", "yes", "on", "y", "1"), "false": ("false", "no", "off", "n", "0")}
"""What other languages write for true and false."""
_OFTEN = 4096
_DOTTED = re.compile(r"[0-9]+(\.[0-9]+){3}")


def _name(text: str) -> str:
    if len(text) > NAME_LENGTH:
        raise ValueError(f"a name has at most {NAME_LENGTH} characters, this has {len(text)}")
    if not _NAME.fullmatch(text):
        near = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")
        if _NAME.fullmatch(near):
            raise ValueError(f"did you mean `{near}`? Names become those of files and devices")
        raise ValueError("names become files and devices: a letter first, no path, space or shell character")
    return text


def _integer(least: int, most: int, why: str = "") -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", text):
            whole = re.fullmatch(r"(-?[0-9]{1,12})\.0*", text)
            raise ValueError(f"did you mean `{whole[1]}`?" if whole else "")
        if not least <= int(text) <= most:
            near = f"the nearest is {least if int(text) < least else most}"
            raise ValueError(f"{why}; {near}" if why else near)
        return int(text)

    return parse


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        word = next((word for word, others in _ALIKE.items() if text.lower() in others), "")
        raise ValueError(f"did you mean `{word}`?" if word else "")
    return text == "true"


@functools.lru_cache(_OFTEN)  # next hops are the addresses of others
def _address(text: str) -> IPv4Address:
    if not _DOTTED.fullmatch(text):
        _refuse_ipv6(text)
        if text.isascii() and text.isdecimal() and len(text) < 11 and int(text) < 1 << 32:
            raise ValueError(f"did you mean `{IPv4Address(int(text))}`? An address is written with dots")
        raise ValueError("four decimal numbers with dots")
    return addresses.address(text)


def _refuse_ipv6(text: str) -> None:
    if re.fullmatch(r"[0-9A-Fa-f:.]+(/[0-9]+)?", text) and text.count(":") > 1:
        raise ValueError("this is IPv6, which is not supported here")


@functools.lru_cache(_OFTEN)  # and most routes are to few prefixes
def _prefix(text: str) -> IPv4Network:
    if "/" not in text:
        _refuse_ipv6(text)
        raise ValueError(f"the prefix length is missing: did you mean `{_address(text)}/24`?")
    interface = _interface(text)
    if interface.ip != interface.network.network_address:
        raise ValueError(f"host bits are set: did you mean `{interface.network}`?")
    return interface.network


def _interface(text: str) -> IPv4Interface:
    if "/" not in text or ":" in text:
        _refuse_ipv6(text)
    if "/" not in text:
        raise ValueError(f"the prefix length is missing: `{_address(text)}/24`, or however long it is")
    if not _LENGTH.fullmatch(text.partition("/")[2]):
        raise ValueError("the prefix length is a number from 0 to 32")
    return addresses.interface(text)


def _port(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(tcp|udp|http)/([0-9]{1,5})", text)
    if not match or not 1 <= int(match[2]) <= 65535:
        raise ValueError("tcp, udp or http and a port from 1 to 65535, such as tcp/443")
    return match[1], int(match[2])


def _identifier(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError(f"letters, digits and hyphens, a letter first, at most {NAME_LENGTH} characters")
    return text


def _domain(text: str) -> str:
    if not _DOMAIN.fullmatch(text):
        raise ValueError("lower-case labels with dots between them, at least two (RFC 1035)")
    return text


def _asn(text: str) -> int:
    number = _integer(1, 4_294_967_295)(text)
    if number == 23456:
        raise ValueError("23456 is AS_TRANS (RFC 6793)")
    return number


NAME = Word(
    "a name of small letters, digits and single hyphens",
    _name,
    pattern=_SHORT + _NAME.pattern,
    like="vpc1",
    about=f"a letter first, at most {NAME_LENGTH} characters",
)
IDENTIFIER = Word(
    "an identifier such as P1",
    _identifier,
    pattern=_IDENTIFIER.pattern,
    about=f"letters, digits and single hyphens, a letter first, at most {NAME_LENGTH} characters",
)
TEXT = Word("a text", str)
BOOLEAN = Word("true or false", _boolean, pattern="true|false", show=lambda value: str(value).lower())
ADDRESS = Word("an IPv4 address", _address, pattern=_FOUR, like="10.240.0.4", about="four decimal numbers with dots")
PREFIX = Word(
    "an IPv4 prefix",
    _prefix,
    pattern=f"{_FOUR}/(?:{_LENGTH.pattern})",
    like="10.240.0.0/24",
    about="the network's address and the length of the prefix, in bits; no bits of a host are set",
)
INTERFACE = Word(
    "an IPv4 address with its prefix length",
    _interface,
    pattern=f"{_FOUR}/(?:{_LENGTH.pattern})",
    like="10.240.0.4/24",
    about="an address, and how many bits of it are those of its subnet",
)
PORT = Word(
    "a port",
    _port,
    pattern=f"(?:tcp|udp|http)/0{{0,4}}(?:{_TO_65535})",
    like="tcp/443",
    about="tcp, udp or http (a server that answers GET), and a number from 1 to 65535",
    show=lambda port: f"{port[0]}/{port[1]}",
)
DOMAIN = Word(
    "a domain name", _domain, pattern=_DOMAIN.pattern, like="kms.example.com", about="small letters, two labels or more"
)
ASN = Word("an AS number", _asn, pattern="[0-9]{1,10}", like="64512", bounds=(1, 4_294_967_295))

WORDS: dict[str, Word[Any]] = {
    "name": NAME,
    "identifier": IDENTIFIER,
    "address": ADDRESS,
    "prefix": PREFIX,
    "interface": INTERFACE,
    "port": PORT,
    "domain": DOMAIN,
}
"""The forms of words, by the word that they are explained under."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The ports of test servers, each with one server: http is a server at a TCP port."""

    least: int = 0

    @property
    def says(self) -> str:
        return f"a list of {PORT.says}"

    @property
    def item(self) -> Word[tuple[str, int]]:
        """What it is a list of."""
        return PORT

    def schema(self, known: Definitions) -> Schema:
        return ListOf(PORT, self.least).schema(known)

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


_NAMED = "[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
PLACE = Word("a node or an address", str, pattern=_NAMED, like="web1")
TARGET = Word("a node, an address or a domain name", str, pattern=_NAMED, like="web1")
HOP = Word("a node, an address or *", str, pattern=rf"{_NAMED}|\*", like="web1")
"""Where a probe goes and what it meets: whether there is such a node is known once the whole file is read."""


def integer(least: int, most: int, why: str = "") -> Word[int]:
    """A whole number from `least` to `most`, and why not another."""
    says = f"a whole number from {least} to {most}"
    return Word(says, _integer(least, most, why), pattern="-?[0-9]{1,12}", about=why, bounds=(least, most))
