"""What the short way reads is what `ipaddress` reads, of every text."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labctl import addresses

PAIRS: list[tuple[Callable[[str], object], Callable[[str], object]]] = [
    (addresses.address, IPv4Address),
    (addresses.network, IPv4Network),
    (addresses.interface, IPv4Interface),
]

ODD = [
    *("", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "+1.2.3.4", "1.2.3.-4", "1.2.3.٤"),
    *("1.2.3.4/", "1.2.3.4/33", "1.2.3.4/024", "10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/255.0.0.0", "10.0.0.0/0.0.0.255"),
    *("0.0.0.0/0", "255.255.255.255/32", "1.2.3.4/31", "1.2.3.4/8/8", "/8", "a.b.c.d", "::1", "::1/64"),
]


def outcome(read: Callable[[str], object], text: str) -> object:
    try:
        return read(text)
    except ValueError:
        return "refused"


@pytest.mark.parametrize("text", ODD)
def test_an_unusual_text_is_read_or_refused_alike(text: str) -> None:
    for mine, theirs in PAIRS:
        assert outcome(mine, text) == outcome(theirs, text)


@pytest.mark.parametrize(
    ("text", "told"), [("1.2.3.256", "256 is more than 255"), ("01.2.3.4/8", "octal; write 1"), ("1.2.3", "Expected 4")]
)
def test_what_is_wrong_with_an_address_is_said_plainly(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        addresses.interface(text)


@settings(max_examples=200, derandomize=True, database=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_every_address_and_prefix_is_read_alike(number: int, length: int) -> None:
    text = str(IPv4Address(number))
    prefix = str(IPv4Network((number, length), strict=False))
    assert addresses.address(text) == IPv4Address(text)
    assert addresses.network(prefix) == IPv4Network(prefix)
    assert addresses.interface(f"{text}/{length}") == IPv4Interface(f"{text}/{length}")
