"""Quantities: a number and its unit, always written out: `200ms`, `10MB`, `5mbit`, `10%`."""

from __future__ import annotations

import re
from collections.abc import Callable

from labctl.description.types import Word

_TIMES = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
_SIZES = {"B": 1, "kB": 1000, "KiB": 1024, "MB": 1_000_000, "MiB": 1 << 20}
_RATES = {"kbit": 1000, "mbit": 1_000_000, "gbit": 1_000_000_000}


def _quantity(units: dict[str, int]) -> Callable[[str], int]:
    def parse(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,12})([A-Za-z]*)", text)
        if not match or match[2] not in units:
            raise ValueError(f"a number and a unit ({', '.join(units)}), such as 200{next(iter(units))}")
        return int(match[1]) * units[match[2]]

    return parse


def _percent(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,3})%", text)
    if not match or int(match[1]) > 100:
        raise ValueError("a number from 0 to 100 and a per cent sign, such as 10%")
    return int(match[1])


DURATION = Word("a duration", _quantity(_TIMES))
"""Milliseconds."""
SIZE = Word("a size", _quantity(_SIZES))
"""Bytes."""
RATE = Word("a rate", _quantity(_RATES))
"""Bits per second."""
PERCENT = Word("a percentage", _percent)
