"""The timers of DNS, in the two profiles of a lab: a provider's own numbers, or seconds, so that a check can wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from labctl.description.document import Document


class Patience(TypedDict):
    """The options of a resolver that are times (`labctl.model.services.Resolver`)."""

    attempt_ms: int
    patience_ms: int
    negative_s: int
    positive_s: int


@dataclass(frozen=True, slots=True)
class Timers:
    """Milliseconds for one upstream server and for all of them; seconds for which a resolver remembers that a name does
    not exist, and an answer, at most; seconds that an application waits for one DNS server, and how often it asks all.
    """

    attempt_ms: int
    patience_ms: int
    negative_s: int
    positive_s: int
    stub_s: int
    stub_attempts: int

    def patience(self) -> Patience:
        """Those of a resolver."""
        return Patience(
            attempt_ms=self.attempt_ms,
            patience_ms=self.patience_ms,
            negative_s=self.negative_s,
            positive_s=self.positive_s,
        )


TIMERS = {
    "fast": Timers(attempt_ms=300, patience_ms=1500, negative_s=8, positive_s=5, stub_s=1, stub_attempts=1),
    # A custom resolver may remember for up to 30 minutes that a name does not exist. How long it waits for one upstream
    # server no page of the provider says: so that a client hears of it within the 5 s that it waits (resolv.conf(5)).
    "provider": Timers(attempt_ms=1000, patience_ms=3000, negative_s=1800, positive_s=86400, stub_s=5, stub_attempts=2),
}
"""By the profile that the head of a lab file names."""


def timers(document: Document) -> Timers:
    """Those of a lab."""
    return TIMERS[document.profile]
