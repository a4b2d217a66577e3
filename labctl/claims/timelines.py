"""When what happened in a drill or a live change, and the parts into which that divides its time.

All instants are milliseconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from labctl.claims.expectations import Bounds

DRILL_PARTS = ("before", "switching", "meanwhile", "repairing", "after")
CHANGE_PARTS = ("before", "changing", "changed", "undoing", "after")


@dataclass(frozen=True, slots=True)
class Timeline:
    """When the fault was put in and taken out (each with the instants around it), and when the lab had recovered.

    `trouble` says what kept it from recovering, "" where nothing did. `dropped`: the packets that a drop swallowed.
    """

    injected_ms: float
    broken_ms: float
    repairing_ms: float
    repaired_ms: float
    recovered_ms: float
    trouble: str = ""
    dropped: int | None = None

    def marks(self, bounds: Bounds) -> tuple[float, ...]:
        """The instants between the parts: before, switching, meanwhile, repairing, after."""
        switching = bounds.restore_ms or 0 if bounds.after == "fault" else 0
        whole = min(max(self.broken_ms, self.injected_ms + switching), self.repairing_ms)
        return (self.injected_ms, whole, self.repairing_ms, self.recovered_ms)


@dataclass(frozen=True, slots=True)
class Changeline:
    """When a live change was begun and done, when its undoing began, and when the lab had recovered from that."""

    began_ms: float
    applied_ms: float
    undoing_ms: float
    recovered_ms: float
    trouble: str = ""

    def marks(self) -> tuple[float, ...]:
        """The instants between the parts: before, changing, changed, undoing, after."""
        return (self.began_ms, self.applied_ms, self.undoing_ms, self.recovered_ms)
