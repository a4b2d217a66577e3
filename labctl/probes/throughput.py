"""What got through in a second, from the instants and the sizes of what arrived: pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right


class Arrivals:
    """What arrived, in the order of its arrival: seconds, and bytes."""

    def __init__(self) -> None:
        self.times = array("d")
        self.sizes = array("L")

    def add(self, at: float, size: int) -> None:
        """`size` bytes at the instant `at`, not before those of the last call."""
        self.times.append(at)
        self.sizes.append(size)

    def rate(self, settle: float, seconds: float) -> float:
        """Bits in a second, between `settle` and `seconds` after the first arrival.

        Packets come at instants, so that a whole number of them hardly ever fills the time exactly. Where they go on
        to both its ends, the time between the first and the last counts, without the first; where they cease, all of
        it does.
        """
        if not self.times:
            return 0.0
        since, until = self.times[0] + settle, self.times[0] + seconds
        begin, end = bisect_left(self.times, since), bisect_right(self.times, until)
        if end - begin < 2:
            return 8 * sum(self.sizes[begin:end]) / (until - since)
        lasted = self.times[end - 1] - self.times[begin]
        if until - since - lasted <= 2 * lasted / (end - begin - 1):
            return 8 * sum(self.sizes[begin + 1 : end]) / lasted
        return 8 * sum(self.sizes[begin:end]) / (until - since)

    def silent(self, since: float, until: float, least: float) -> float:
        """Seconds between the instants `since` and `until` that belong to pauses longer than `least`."""
        total = 0.0
        for each in range(max(1, bisect_left(self.times, since)), len(self.times)):
            before, after = self.times[each - 1], self.times[each]
            if before >= until:
                break
            if after - before > least:
                total += min(after, until) - max(before, since)
        return total
