"""Answers of other servers, kept for as long as they say; those that deny as RFC 2308 says.

Time-to-lives are counted down from when the answer came. What is asked of other servers is kept apart: an answer is
used again only where the same servers would be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from dnslib import QTYPE, RCODE, RR

from labctl.resolver.buffer import Key

MOST_ENTRIES = 10_000
MOST_RECORDS = 40_000
"""Records of all entries together; each takes about a kilobyte."""
MOST_OF_ONE = 1000
"""An answer of more records is not kept."""

Servers = tuple[IPv4Address, ...]
Name = tuple[Servers, Key]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What other servers know about a question: `authority` is the SOA record of a denial, or nothing."""

    rcode: int
    answers: tuple[RR, ...]
    authority: tuple[RR, ...] = ()

    @property
    def denies(self) -> bool:
        """Whether it says that the name, or the end of its aliases, does not exist or has no such record."""
        return bool(self.authority) or self.rcode != RCODE.NOERROR or not self.answers


@dataclass(frozen=True, slots=True)
class Hit:
    """An outcome as it is to be told now; from `until` on its time-to-lives are less, and at `expires` it is over."""

    outcome: Outcome
    until: float
    expires: float


@dataclass(frozen=True, slots=True)
class _Entry:
    outcome: Outcome
    came: float
    lifetime: int


class Cache:
    """The outcomes of questions, bounded in number and size."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Name, int], _Entry] = {}
        self._records = 0

    def put(self, name: Name, qtype: int, outcome: Outcome, now: float) -> None:
        """Keep an outcome that may be kept. That a name does not exist holds for every type (RFC 2308 section 5)."""
        seconds = lifetime(outcome)
        if seconds <= 0 or len(outcome.answers) > MOST_OF_ONE:
            return
        whole_name = outcome.rcode == RCODE.NXDOMAIN and not outcome.answers
        key = (name, QTYPE.ANY if whole_name else qtype)
        self._drop(key)
        while len(self._entries) >= MOST_ENTRIES or self._records + len(outcome.answers) > MOST_RECORDS:
            self._drop(next(iter(self._entries)))
        self._entries[key] = _Entry(outcome, now, seconds)
        self._records += len(outcome.answers)

    def get(self, name: Name, qtype: int, now: float, positive_s: int, negative_s: int) -> Hit | None:
        """The outcome of a question, if one is known that is not too old for its own times and these bounds."""
        for key in ((name, QTYPE.ANY), (name, qtype)):
            entry = self._entries.get(key)
            # An answer to ANY is one of some, and says nothing about other types (RFC 8482).
            if entry is None or (key[1] != qtype and entry.outcome.rcode != RCODE.NXDOMAIN):
                continue
            bound = negative_s if entry.outcome.denies else positive_s
            if now - entry.came < min(entry.lifetime, bound):
                return _aged(entry, now, bound)
            self._drop(key)
        return None

    def _drop(self, key: tuple[Name, int]) -> None:
        gone = self._entries.pop(key, None)
        if gone is not None:
            self._records -= len(gone.outcome.answers)


def _aged(entry: _Entry, now: float, bound: int) -> Hit:
    age = int(now - entry.came)
    outcome = entry.outcome
    aged = Outcome(outcome.rcode, _older(outcome.answers, age, bound), _older(outcome.authority, age, bound))
    return Hit(aged, entry.came + age + 1, entry.came + min(entry.lifetime, bound))


def _older(records: tuple[RR, ...], age: int, bound: int) -> tuple[RR, ...]:
    return tuple(RR(rr.rname, rr.rtype, rr.rclass, max(min(rr.ttl, bound) - age, 0), rr.rdata) for rr in records)


def lifetime(outcome: Outcome) -> int:
    """Seconds for which an outcome may be kept: 0 for a denial without an SOA record (RFC 2308 section 5)."""
    times: list[int] = [rr.ttl for rr in outcome.answers]
    if outcome.denies:
        times += [min(rr.ttl, rr.rdata.times[4]) for rr in outcome.authority] or [0]
    return min(times)
