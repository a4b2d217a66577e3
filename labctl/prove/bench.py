"""A lab that is up, and what proving it needs: the prober, the stream, and the way to another description and back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from labctl.breaking import Breaker
from labctl.building import READY_MS
from labctl.claims.expectations import Check, Traffic
from labctl.describe import Described
from labctl.errors import LabError, StateError
from labctl.kernel.apply import Torn, apply
from labctl.kernel.paths import Paths
from labctl.probes.session import Session
from labctl.probes.wire import Lookup, Probe, StartRecords, StartStream, StopStream, StreamReport
from labctl.services.keeper import Keeper

SETTLE_MS = 1000
"""How long a stream runs before the event, and after the lab has recovered."""

GRACE_MS = 200
"""After a recovery, packets under way on the standby path may still arrive for so long."""

TRIES = 8
"""How often silence is asked for: with a fifth of all packets lost, each way, one silence in 3500 would be chance. An
ordinary program asks again by itself.
"""

LINGER_MS = 30
"""How long taps that must stay empty listen on after the answer."""


class Bench:
    """The lab at `paths`, to be used as a context. `await_ready` waits until the lab works again."""

    def __init__(
        self,
        described: Described,
        paths: Paths,
        ring: Mapping[str, bytes],
        await_ready: Callable[[Paths, float], None],
    ) -> None:
        self.described = described
        self.paths = paths
        self.scale = described.time_scale
        self.breaker = Breaker(paths, ring)
        self._await_ready = await_ready
        self._session: Session | None = None
        self.left = False
        """The lab is to be left as it stands."""

    def __enter__(self) -> Bench:
        """Repair what an earlier run left broken; StateError where it left the lab under another description."""
        if self._elsewhere.exists():
            under = self._elsewhere.read_text()
            hint = f"labctl apply {self.described.source}"
            raise StateError(f"a run that was killed left the lab changed as {under} wants it", hint=hint)
        for fault in self.breaker.leftover():
            self.breaker.repair(fault)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._session is not None:
            self._session.__exit__(None, None, None)

    def session(self) -> Session:
        """A session whose prober lives: begun anew after one that died."""
        if self._session is None or not self._session.alive:
            self._session = Session(self.paths)
            self._session.__enter__()
        return self._session

    def probe(self, check: Check) -> Probe:
        """The probe of a check. A tap whose silence is claimed listens for the whole time, and on after an answer."""
        silence = check.expected.outcome == "filtered"
        return Probe(
            node=check.node,
            action=check.action,
            taps=check.taps,
            marker=_marker(check.id),
            timeout_ms=check.timeout_ms,
            late_ms=0 if silence else check.timeout_ms,
            linger_ms=LINGER_MS * self.scale if check.bounded else 0,
            expect_silence=check.negative and check.bounded,
            tries=TRIES if silence and not isinstance(check.action, Lookup) else 1,
        )

    @contextmanager
    def streaming(self, traffic: Traffic, word: str) -> Iterator[None]:
        """Traffic for the drill or change `word`, which runs for a while before the block and is ended by `stop_stream`
        in it, or else with it.
        """
        session = self.session()
        session.start_stream(self._start(traffic, _marker(word)))
        try:
            self.wait(SETTLE_MS)
            yield
        except BaseException:
            with suppress(LabError):
                session.stop_stream(StopStream((), drain_ms=0, tcp_drain_ms=0))
            raise

    def _start(self, traffic: Traffic, marker: str) -> StartStream | StartRecords:
        node, taps, rate = traffic.node, traffic.taps, traffic.rate
        if traffic.port or traffic.target is None:
            return StartRecords(node, traffic.port, traffic.target, traffic.named, rate, taps, marker)
        return StartStream(
            node=node,
            target_node=traffic.target_node,
            target=traffic.target,
            rate=rate,
            taps=taps,
            track=traffic.track,
            marker=marker,
            tcp_rate=200_000 // self.scale,
        )

    def stop_stream(self, marks_ms: tuple[float, ...]) -> StreamReport:
        """Let the traffic run for a while longer, end it, and say what became of it."""
        self.wait(SETTLE_MS)
        assert self._session is not None  # not a new one: a prober that died has taken the stream with it
        return self._session.stop_stream(StopStream(marks_ms))

    @contextmanager
    def changed(self, word: str) -> Iterator[None]:
        """The lab as the check or change `word` wants it, and afterwards as it was."""
        usual, other = self.described.plan, self.described.changed.get(word)
        if other is None:
            yield
            return
        self._elsewhere.write_text(word)
        keeper = Keeper(self.paths)
        try:
            apply(usual, other, self.paths, keeper)
        except Torn:
            raise
        except BaseException:
            self._elsewhere.unlink()
            raise
        try:
            self._settle()
            yield
        finally:
            if not self.left:
                apply(other, usual, self.paths, keeper)
                self._settle()
                self._elsewhere.unlink()

    def recovery(self) -> str:
        """Wait until the lab works again; what keeps it from that, if it does not."""
        try:
            self._await_ready(self.paths, READY_MS * self.scale)
        except StateError as error:
            return error.message
        return ""

    def wait(self, ms: float) -> None:
        """Let time pass, stretched by the time scale."""
        self.hold(ms * self.scale)

    def hold(self, ms: float) -> None:
        """Let time pass that is stretched already."""
        time.sleep(ms / 1000)

    @property
    def _elsewhere(self) -> Path:
        return elsewhere(self.paths)

    def _settle(self) -> None:
        self._await_ready(self.paths, READY_MS * self.scale)


def elsewhere(paths: Paths) -> Path:
    """Where it is written that the lab is not as described, and why."""
    return paths.root / "changed-by"


def now_ms() -> float:
    """The instant, by the clock that every instant of a run is of."""
    return time.monotonic() * 1000


def _marker(word: str) -> str:
    """What the probe carries and the captures look for: unlike anything else, and each time another."""
    return f"labctl:{word}:{secrets.token_hex(8)}"
