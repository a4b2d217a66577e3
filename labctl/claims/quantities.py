"""Times and rates in the words of reports."""

from __future__ import annotations

_RATES = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"))


def time(ms: float) -> str:
    """Milliseconds in words: `0.4 ms`, `171 ms`, `4.1 s`."""
    if ms < 9.95:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 999.5 else f"{ms / 1000:.1f} s"


def times(*ms: float) -> list[str]:
    """Several times to be compared: in words, or in milliseconds where the words would hide a difference."""
    told = [time(each) for each in ms]
    return told if len(set(told)) == len(set(ms)) else [f"{each:.1f} ms" for each in ms]


def often(number: int) -> str:
    """How often, in words: `once`, `19 times`."""
    return "once" if number == 1 else f"{number} times"


def rate(bit: float) -> str:
    """Bits a second in words: `9.4 Mbit/s`."""
    size, unit = next((each for each in _RATES if bit >= each[0]), (1.0, "bit/s"))
    number = bit / size
    return f"{number:.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
