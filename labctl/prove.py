"""Proves a lab: each check under its own change, each drill with its stream, one prober for all of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from labctl.describe import Described
from labctl.errors import LabError, StateError, UsageError
from labctl.kernel import faults
from labctl.kernel.execute import execute
from labctl.kernel.paths import Paths
from labctl.plan.diff import diff
from labctl.plan.objects import Step
from labctl.probes.drills import DrillVerdict, Timeline, judge_drill, not_run
from labctl.probes.expectations import Check, Drill, Fault
from labctl.probes.session import Session
from labctl.probes.verdicts import Verdict, judge, settle, unproved
from labctl.probes.wire import Probe, StartStream, StopStream
from labctl.services.keeper import Keeper

SETTLE_MS = 1000
"""How long a drill's stream runs before the fault, and after the lab has recovered."""

GRACE_MS = 200
"""After a recovery, packets under way on the standby path may still arrive for so long."""

READY_MS = 15_000
"""How long programs and tunnels may take to come up, before the time scale."""


class Reporter(Protocol):
    """Who is told of every verdict as it is reached."""

    def proving(self, what: str, number: int, of: int) -> None:
        """The check or drill `what` begins."""

    def checked(self, verdict: Verdict) -> None:
        """A check is decided, its controls left aside."""

    def drilled(self, verdict: DrillVerdict) -> None:
        """A drill is decided."""


class Prover:
    """Proves the checks and drills of a lab that is up. `await_ready` waits until the lab works again."""

    def __init__(
        self,
        described: Described,
        paths: Paths,
        keys: Mapping[str, bytes],
        reporter: Reporter,
        await_ready: Callable[[Paths, float], None],
    ) -> None:
        self._described = described
        self._paths = paths
        self._keys = keys
        self._reporter = reporter
        self._await_ready = await_ready
        self._scale = described.time_scale

    def prove(self, only: Sequence[str]) -> tuple[tuple[Verdict, ...], tuple[DrillVerdict, ...]]:
        """The verdicts on all checks and drills, or on `only` those named and their controls."""
        checks, drills = chosen(self._described, only)
        verdicts = []
        of = len(checks) + len(drills)
        with Prober(self._paths) as prober:
            for i, check in enumerate(checks):
                self._reporter.proving(check.id, i + 1, of)
                verdicts.append(self._check(check, prober))
                self._reporter.checked(verdicts[-1])
            outcomes = []
            for i, drill in enumerate(drills):
                self._reporter.proving(drill.id, len(checks) + i + 1, of)
                outcomes.append(self._drill(drill, prober))
                self._reporter.drilled(outcomes[-1])
        return self._settled(verdicts), tuple(outcomes)

    def _settled(self, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
        """The final verdicts; whoever was told another is told again."""
        final = settle(verdicts)
        for first, last in zip(verdicts, final, strict=True):
            if first != last:
                self._reporter.checked(last)
        return final

    def _check(self, check: Check, prober: Prober) -> Verdict:
        try:
            with self._changed(check):
                return judge(check, prober.session().probe(self._probe(check)))
        except LabError as error:
            return unproved(check, error.message)

    def _probe(self, check: Check) -> Probe:
        return Probe(
            node=check.node,
            action=check.action,
            taps=check.taps,
            marker=_marker(check.id),
            timeout_ms=check.timeout_ms,
            linger_ms=30 * self._scale,
            expect_silence=check.negative and bool(check.silent),
        )

    @contextmanager
    def _changed(self, check: Check) -> Iterator[None]:
        """The lab as the check wants it, and afterwards as it was."""
        usual, other = self._described.plan, self._described.changed.get(check.id)
        if other is None:
            yield
            return
        try:
            self._apply(diff(usual, other))
            yield
        finally:
            self._apply(diff(other, usual))

    def _apply(self, steps: Sequence[Step]) -> None:
        execute(steps, self._paths, self._keys, Keeper(self._paths), lambda step: None)
        self._await_ready(self._paths, READY_MS * self._scale)

    def _drill(self, drill: Drill, prober: Prober) -> DrillVerdict:
        try:
            session = prober.session()
            session.start_stream(self._stream(drill))
            timeline = self._break_and_repair(drill)
            _wait(SETTLE_MS * self._scale)
            report = session.stop_stream(StopStream(timeline.marks(drill.bounds)))
            return judge_drill(drill, report, timeline)
        except LabError as error:
            return not_run(drill, error.message)

    def _stream(self, drill: Drill) -> StartStream:
        return StartStream(
            node=drill.node,
            target_node=drill.target_node,
            target=drill.target,
            rate=drill.rate,
            taps=drill.taps,
            marker=_marker(drill.id),
            tcp_rate=200_000 // self._scale,
        )

    def _break_and_repair(self, drill: Drill) -> Timeline:
        fault = _strike(drill.fault)
        _wait(SETTLE_MS * self._scale)
        try:
            broken = faults.inject(self._paths, fault)
            _wait(drill.hold_ms)
        finally:
            repaired = faults.repair(self._paths, fault)
        trouble = self._recovery()
        recovered_ms = time.monotonic() * 1000 + GRACE_MS * self._scale
        instants = (broken.before_ms, broken.after_ms, repaired.before_ms, repaired.after_ms, recovered_ms)
        return Timeline(*instants, trouble)

    def _recovery(self) -> str:
        """Wait until the lab works again; what keeps it from that, if it does not."""
        try:
            self._await_ready(self._paths, READY_MS * self._scale)
        except StateError as error:
            return error.message
        return ""


class Prober:
    """The session with the prober process, begun anew after one that died."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._session: Session | None = None

    def __enter__(self) -> Prober:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._session is not None:
            self._session.__exit__(None, None, None)

    def session(self) -> Session:
        """A session whose prober lives."""
        if self._session is None or not self._session.alive:
            self._session = Session(self._paths)
            self._session.__enter__()
        return self._session


def chosen(described: Described, only: Sequence[str]) -> tuple[list[Check], list[Drill]]:
    """The checks and drills named in `only`, with all controls that they stand on; all where none is named."""
    known = {check.id: check for check in described.checks}
    drills = {drill.id: drill for drill in described.drills}
    unknown = [word for word in only if word not in known and word not in drills]
    if unknown:
        every = ", ".join([*known, *drills])
        raise UsageError(f"the lab has no check or drill {', '.join(unknown)}", hint=f"it has {every}")
    if not only:
        return list(known.values()), list(drills.values())
    wanted: set[str] = set()
    waiting = [word for word in only if word in known]
    while waiting:
        word = waiting.pop()
        if word not in wanted:
            wanted.add(word)
            waiting += known[word].control
    return [known[word] for word in known if word in wanted], [drills[word] for word in drills if word in only]


def _strike(fault: Fault) -> faults.Fault:
    ports = tuple(faults.Port(port.namespace, port.device) for port in fault.ports)
    if fault.kind == "link_down":
        return faults.LinkDown(ports)
    return faults.Blackhole(ports, fault.proto)


def _marker(word: str) -> str:
    """What the probe carries and the captures look for: unlike anything else, and each time another."""
    return f"labctl:{word}:{secrets.token_hex(8)}"


def _wait(ms: float) -> None:
    time.sleep(ms / 1000)
