"""Single words: names, addresses, prefixes, ports, numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from labctl.description.faults import Path
from labctl.description.tree import Node
from labctl.description.types import ListOf, Reading, Refused, Word

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


def integer(least: int, most: int, why: str = "") -> Word[int]:
    """A whole number from `least` to `most`, and why not another."""
    return Word(f"a whole number from {least} to {most}", _integer(least, most, why))
