"""IPv4 addresses, prefixes and interfaces from their usual text, as `ipaddress` reads them, but several times sooner.

Any other text is left to `ipaddress`, which takes it or says what is wrong with it.
"""

from __future__ import annotations

import functools
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

_OCTETS = {str(number): number for number in range(256)}
_LENGTHS = {str(number): number for number in range(33)}
_OFTEN = 1 << 14


def address(text: str) -> IPv4Address:
    """The address that `text` is; ValueError (with the reason) where it is none."""
    number = _number(text)
    if number is None:
        _refuse(text)
    return IPv4Address(text if number is None else number)


@functools.lru_cache(_OFTEN)  # a lab has few prefixes: most routes are to the same ones
def network(text: str) -> IPv4Network:
    """The prefix that `text` is; ValueError where it is none, or where bits of a host are set."""
    return IPv4Network(_pair(text) or text)


def interface(text: str) -> IPv4Interface:
    """The address with its prefix length that `text` is; ValueError where it is none."""
    pair = _pair(text)
    if pair is None:
        _refuse(text.partition("/")[0])
    return IPv4Interface(pair or text)


def _refuse(text: str) -> None:
    """ValueError with the reason, where it can be told more plainly than `ipaddress` does."""
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() for part in parts):
        return
    for part in parts:
        if int(part[:9]) > 255:
            raise ValueError(f"{part[:9]} is more than 255")
        if len(part) > 1 and part[0] == "0":
            raise ValueError(f"`{part}` has a leading zero, which some read as octal; write {int(part[:9])}")


def _number(text: str) -> int | None:
    """The number that a dotted address stands for; None where it is written in any other way, be it right or wrong."""
    try:
        a, b, c, d = text.split(".")
        return _OCTETS[a] << 24 | _OCTETS[b] << 16 | _OCTETS[c] << 8 | _OCTETS[d]
    except (KeyError, ValueError):
        return None


def _pair(text: str) -> tuple[int, int] | None:
    """The number and the prefix length of `address/length`, or None likewise."""
    head, _, tail = text.partition("/")
    number, length = _number(head), _LENGTHS.get(tail)
    return None if number is None or length is None else (number, length)
