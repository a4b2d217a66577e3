"""Proves a lab: each check under its own change, each drill and live change with its stream, one prober for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Literal, Protocol, TypeVar

from labctl.claims.drills import change_not_run, drill_not_run
from labctl.claims.expectations import Change, Check, Drill, Traffic
from labctl.claims.results import StreamVerdict
from labctl.claims.verdicts import Verdict, judge, settle, unproved
from labctl.describe import Described
from labctl.errors import LabError, UsageError
from labctl.kernel.paths import Paths
from labctl.plan.between import between
from labctl.plan.objects import Plan
from labctl.probes.wire import Action, Connect, Dns, Health, Http, Lookup, Named, Tcp
from labctl.prove.bench import Bench
from labctl.prove.bundle import Bundles
from labctl.prove.changing import change as carry_out
from labctl.prove.drilling import drill as break_and_repair

T = TypeVar("T")
V = TypeVar("V", Verdict, StreamVerdict)

ATTEMPTS = 3
"""How often a drill or change is carried out that a busy machine spoils."""

After = Literal["go on", "end", "leave"]
"""How to go on after something did not pass; "leave": end, and leave the lab as it stands, changed for a check or
not.
"""


class Reporter(Protocol):
    """Who is told of every verdict as it is reached."""

    def proving(self, what: str, number: int, of: int) -> None:
        """The check, drill or change `what` begins."""

    def checked(self, verdict: Verdict) -> None:
        """A check is decided, its controls left aside."""

    def drilled(self, verdict: StreamVerdict) -> None:
        """A drill or a live change is decided."""

    def stopped(self, verdict: Verdict | StreamVerdict) -> After:
        """Something did not pass, and the lab still stands as it did when that was found out."""

    def say(self, text: str) -> None:
        """Something that people should know, and that changes no verdict."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be proved, in this order."""

    checks: tuple[Check, ...]
    drills: tuple[Drill, ...]
    changes: tuple[Change, ...]

    @property
    def ids(self) -> list[str]:
        """The names of all of it."""
        checks, drills, changes = self.checks, self.drills, self.changes
        return [*(each.id for each in checks), *(each.id for each in drills), *(each.id for each in changes)]


class Prover:
    """Proves the claims of a lab that is up. `await_ready` waits until the lab works again."""

    def __init__(
        self,
        described: Described,
        paths: Paths,
        ring: Mapping[str, bytes],
        reporter: Reporter,
        await_ready: Callable[[Paths, float], None],
        bundles: Bundles,
    ) -> None:
        self._described = described
        self._reporter = reporter
        self._bundles = bundles
        self._bench = Bench(described, paths, ring, await_ready)
        self.after: After = "go on"

    def prove(
        self, only: Sequence[str]
    ) -> tuple[tuple[Verdict, ...], tuple[StreamVerdict, ...], tuple[StreamVerdict, ...]]:
        """The verdicts on all checks, drills and changes, or on `only` those named and the controls they stand on."""
        wanted = chosen(self._described, only)
        numbers = {word: i + 1 for i, word in enumerate(wanted.ids)}

        def proving(word: str) -> None:
            self._reporter.proving(word, numbers[word], len(numbers))

        with self._bench:
            found = []
            for check in self._going(wanted.checks):
                proving(check.id)
                found.append(self._check(check))
            checks = self._settled(found)
            drills = []
            for drill in self._going(wanted.drills):
                proving(drill.id)
                drills.append(self._drill(drill, checks))
            changes = []
            for change in self._going(wanted.changes):
                proving(change.id)
                changes.append(self._change(change, checks))
        return checks, tuple(drills), tuple(changes)

    def _going(self, items: Iterable[T]) -> Iterator[T]:
        """`items`, as long as it is to go on."""
        for each in items:
            if self.after == "go on":
                yield each

    def _settled(self, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
        """The final verdicts; whoever was told another is told again."""
        final = settle(verdicts)
        for first, last in zip(verdicts, final, strict=True):
            if first != last:
                self._reporter.checked(last)
        return final

    def _check(self, check: Check) -> Verdict:
        try:
            with self._bench.changed(check.id):
                nodes = _nodes_of(check, self._described.plan)
                return self._told(self._probed(check), nodes, self._reporter.checked)
        except LabError as error:  # the lab could not be changed, or not changed back
            verdict = unproved(check, error.message)
            self._reporter.checked(verdict)
            return verdict

    def _probed(self, check: Check) -> Verdict:
        try:
            return judge(check, self._bench.session().probe(self._bench.probe(check)))
        except LabError as error:
            return unproved(check, error.message)

    def _drill(self, drill: Drill, checks: Sequence[Verdict]) -> StreamVerdict:
        def once() -> StreamVerdict:
            try:
                return break_and_repair(self._bench, drill, checks)
            except LabError as error:
                return drill_not_run(drill, error.message)

        return self._told(measured(once), _nodes_on(drill.traffic), self._reporter.drilled)

    def _change(self, change: Change, checks: Sequence[Verdict]) -> StreamVerdict:
        def once() -> StreamVerdict:
            try:
                return carry_out(self._bench, change, checks)
            except LabError as error:
                return change_not_run(change, error.message)

        return self._told(measured(once), _nodes_on(change.traffic), self._reporter.drilled)

    def _told(self, verdict: V, nodes: Sequence[str], tell: Callable[[V], None]) -> V:
        """`verdict`, told, with a bundle of evidence beside it where it is no pass."""
        if verdict.verdict == "pass":
            tell(verdict)
            return verdict
        try:
            place = self._bundles.keep(verdict, nodes, lambda folder: self._bench.session().save(folder))
            verdict = replace(verdict, evidence=place)
        except LabError as error:
            self._reporter.say(f"{verdict.id}: {error.message}")
        tell(verdict)
        self.after = self._reporter.stopped(verdict)
        self._bench.left = self.after == "leave"
        return verdict


def measured(once: Callable[[], StreamVerdict]) -> StreamVerdict:
    """What `once` finds, done again where it was spoiled; what came of the event itself gets no second try."""
    for attempt in range(1, ATTEMPTS):
        verdict = once()
        if not verdict.spoiled:
            return replace(verdict, attempts=attempt)
    return replace(once(), attempts=ATTEMPTS)


def chosen(described: Described, only: Sequence[str]) -> Chosen:
    """What is named in `only`, with all controls that it stands on; everything where nothing is named."""
    checks = {check.id: check for check in described.checks}
    drills = {drill.id: drill for drill in described.drills}
    changes = {change.id: change for change in described.changes}
    every = [*checks, *drills, *changes]
    unknown = [word for word in only if word not in every]
    if unknown:
        known = ", ".join(every)
        raise UsageError(
            f"the lab has no check, drill or change {', '.join(unknown)}",
            hint=f"it has {known}, as of its last up or apply",
        )
    if not only:
        return Chosen(described.checks, described.drills, described.changes)
    waiting = [word for word in only if word in checks]
    streams = [
        *((each.id, (*each.first, *each.then, *each.afterwards)) for each in described.drills),
        *((each.id, (*each.first, *each.then, *each.afterwards)) for each in described.changes),
    ]
    waiting += [word for owner, asides in streams if owner in only for each in asides for word in each.control]
    wanted: set[str] = set()
    while waiting:
        word = waiting.pop()
        if word in checks and word not in wanted:
            wanted.add(word)
            waiting += checks[word].control
    return Chosen(
        tuple(each for word, each in checks.items() if word in wanted),
        tuple(each for word, each in drills.items() if word in only),
        tuple(each for word, each in changes.items() if word in only),
    )


def _nodes_of(check: Check, plan: Plan) -> list[str]:
    """The nodes whose tables tell why a check failed: the sender, those on its path and at its taps, and those that lie
    between it and whom it asks.
    """
    nodes = [check.node, *(hop.node for hop in check.path), *(tap.namespace for tap in check.taps)]
    on_the_way = (node for asked in _asked(check.action) for node in between(plan, check.node, asked))
    return list(dict.fromkeys((*nodes, *on_the_way)))


def _asked(action: Action) -> tuple[IPv4Address, ...]:
    """Whom a probe asks; of a domain name, the servers that know it."""
    match action:
        case Dns():
            return (action.server,)
        case Lookup() | Health():
            return action.servers
        case (
            Tcp(named=Named(servers=servers))
            | Http(named=Named(servers=servers))
            | Connect(named=Named(servers=servers))
        ):
            return servers
        case _:
            return (action.to,) if action.to else ()


def _nodes_on(traffic: Traffic) -> list[str]:
    """The nodes that a stream can cross."""
    nodes = (traffic.node, traffic.target_node, *(tap.namespace for tap in traffic.track))
    return list(dict.fromkeys(filter(None, nodes)))
