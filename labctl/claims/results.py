"""What a run proved: the verdicts on checks, and on what happened to a stream during drills and live changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from labctl.claims.verdicts import Verdict, Word
from labctl.probes.wire import Flow, TcpReport, Way

EXIT_CODES: dict[Word, int] = {"pass": 0, "fail": 1, "inconclusive": 4}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done while the stream ran: `at_ms` is milliseconds after its first packet was sent."""

    at_ms: float
    what: str


@dataclass(frozen=True, slots=True)
class Course:
    """A stream packet by packet: when number i was sent and when it first arrived (None: never).

    Milliseconds after the first was sent. `ways` are the places that the packets went by.
    """

    sent_ms: tuple[float, ...]
    arrived_ms: tuple[float | None, ...]
    events: tuple[Event, ...]
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Asides:
    """The verdicts on the checks of a drill or live change: on those just before it, on those of the lab while it was
    broken or changed, and on those once it was as before.
    """

    first: tuple[Verdict, ...] = ()
    then: tuple[Verdict, ...] = ()
    afterwards: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamVerdict:
    """What became of a drill or of a live change; numbers are None where nothing was measured.

    `what` is the fault or the edit in words; `stream` what carried the numbers: of records in a TCP connection, `lost`
    are those that were never acknowledged, and what cannot happen to them is None. `restored_ms` counts from the event
    that the bound counts from to the sending of the first packet of a stream that is whole again; `loss_derived_ms` is
    the packets lost over the rate (RFC 6412, loss-derived convergence time). `reach_ms`: how long after a change the
    last check of `then` that passed was begun, which waits for those before it. `way`: the nodes that the stream
    crossed, with the device by which it left each, for each part of the time. `dropped`: how many packets a fault that
    drops a number of them did drop, not only of the stream. `spoiled`: something other than the event kept it from
    proving anything; `attempts`: how often it was carried out before it was not.
    """

    id: str
    about: str
    kind: Literal["drill", "change"]
    what: str
    verdict: Word
    reason: str = ""
    rate: int = 0
    stream: Literal["udp", "tcp"] = "udp"
    sent: int = 0
    lost: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    failback_lost: int | None = None
    longest_gap_ms: float | None = None
    restored_ms: float | None = None
    loss_derived_ms: float | None = None
    reach_ms: float | None = None
    path_changes: int | None = None
    tcp: TcpReport | None = None
    way: dict[str, str] = field(default_factory=dict)
    parts: dict[str, tuple[Flow, ...]] = field(default_factory=dict)
    course: Course | None = None
    first: tuple[Verdict, ...] = ()
    then: tuple[Verdict, ...] = ()
    afterwards: tuple[Verdict, ...] = ()
    dropped: int | None = None
    spoiled: bool = False
    attempts: int = 1
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """The verdicts of one run of `lab`. `where`: the kernel it ran on; `seconds`: how long each phase took.

    `left`: the lab was left as it stood when something did not pass.
    """

    lab: str
    where: str
    time_scale: int
    checks: tuple[Verdict, ...]
    drills: tuple[StreamVerdict, ...]
    changes: tuple[StreamVerdict, ...]
    seconds: dict[str, float]
    left: bool = False

    @property
    def words(self) -> list[Word]:
        """The verdict of every check, drill and change."""
        streams = (*self.drills, *self.changes)
        return [*(each.verdict for each in self.checks), *(each.verdict for each in streams)]

    @property
    def verdict(self) -> Word:
        """Fail if anything failed; pass only if everything passed, and something was there to pass."""
        words = self.words
        if "fail" in words:
            return "fail"
        return "pass" if set(words) == {"pass"} else "inconclusive"

    @property
    def exit_code(self) -> int:
        """0 all passed, 1 something failed, 4 something is not proved."""
        return EXIT_CODES[self.verdict]
