"""Numbers that names decide, so that what is added to a lab or taken away leaves the numbers of the others alone."""

from __future__ import annotations

import hashlib
from collections.abc import Container


def slot_of(word: str, size: int, taken: Container[int]) -> int:
    """A number below `size`: that of `word`, or where it is taken the next that is free. There must be one."""
    slot = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") % size
    while slot in taken:
        slot = (slot + 1) % size
    return slot
