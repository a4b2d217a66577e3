"""Quantities: a number and its unit, always written out: `200ms`, `10MB`, `5mbit`, `10%`. Only here are they read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from labctl.description.types import Word

_TIMES = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
_SIZES = {"B": 1, "kB": 1000, "KiB": 1024, "MB": 1_000_000, "MiB": 1 << 20}
_RATES = {"kbit": 1000, "mbit": 1_000_000, "gbit": 1_000_000_000}


def _quantity(says: str, units: dict[str, int], like: str, about: str) -> Word[int]:
    return Word(
        says,
        _read(units),
        pattern=f"[0-9]{{1,12}}(?:{'|'.join(units)})",
        like=like,
        about=about,
        show=_write(units),
    )


def _read(units: dict[str, int]) -> Callable[[str], int]:
    def parse(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,12})([A-Za-z]*)", text)
        if not match or match[2] not in units:
            raise ValueError(_hint(text, units))
        return int(match[1]) * units[match[2]]

    return parse


def _hint(text: str, units: dict[str, int]) -> str:
    match = re.fullmatch(r"([0-9]{1,12})\s*([A-Za-z]*)", text)
    if match and not match[2]:
        return f"with its unit: {' or '.join(f'{match[1]}{unit}' for unit in units)}"
    near = next((unit for unit in units if match and unit.lower() == match[2].lower()), "")
    if match and near:
        return f"did you mean `{match[1]}{near}`?"
    return f"a whole number and its unit ({', '.join(units)}), such as 200{next(iter(units))}"


def _write(units: dict[str, int]) -> Callable[[int], str]:
    def show(value: int) -> str:
        unit = max(
            (each for each, size in units.items() if value % size == 0 and size <= value),
            key=units.__getitem__,
            default=next(iter(units)),
        )
        return f"{value // units[unit]}{unit}"

    return show


def _percent(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,3})%", text)
    if not match or int(match[1]) > 100:
        raise ValueError("a number from 0 to 100 and a per cent sign, such as 10%")
    return int(match[1])


DURATION = _quantity("a duration", _TIMES, "200ms", "a whole number and ms, s, min or h")
"""Milliseconds."""
SIZE = _quantity("a size", _SIZES, "10MB", "a whole number and B, kB (1000 B), KiB (1024 B), MB or MiB")
"""Bytes."""
RATE = _quantity(
    "a rate", _RATES, "5mbit", "a whole number and kbit, mbit or gbit: thousand, million or 10^9 bits per second"
)
"""Bits per second."""
PERCENT = Word(
    "a percentage",
    _percent,
    pattern="(?:0?[0-9]{1,2}|100)%",
    like="10%",
    about="a whole number from 0 to 100 and %",
    show="{}%".format,
)

UNITS: dict[str, Word[Any]] = {"duration": DURATION, "size": SIZE, "rate": RATE, "percentage": PERCENT}
"""The quantities, by the word that they are explained under."""
