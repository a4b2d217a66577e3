"""Faults put in and taken out of a lab that is up. What is broken is written down first, so that it can be repaired by
a later process when this one does not live to do it.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import assert_never

from labctl import codec
from labctl.errors import KernelError, StateError, attempt_all
from labctl.kernel import conntrack, faults, keys
from labctl.kernel.budget import Budget
from labctl.kernel.faults import Instant
from labctl.kernel.paths import Paths
from labctl.kernel.rekey import take_over
from labctl.kernel.shaping import PROTOCOLS
from labctl.plan.faults import Blackhole, Degrade, Drop, Fault, Flap, Freeze, Kill, LinkDown, Rekey
from labctl.plan.objects import Process
from labctl.services.keeper import Keeper

_NOTE = "broken.json"


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault was put in, or taken out, between two instants: milliseconds of CLOCK_MONOTONIC.

    `dropped`: the packets that a `Drop` has swallowed by then; None of another fault, and where it is not known.
    """

    before_ms: float
    after_ms: float
    dropped: int | None = None


class Breaker:
    """Breaks and repairs the lab at `paths`, whose keys are `ring`. Fresh keys of a `Rekey` are never written down."""

    def __init__(self, paths: Paths, ring: Mapping[str, bytes]) -> None:
        self._paths = paths
        self._ring = ring
        self._keeper = Keeper(paths)
        self._budgets: dict[Drop, Budget] = {}

    def inject(self, fault: Fault) -> Struck:
        """Note `fault` and put it in. LabError where something refused: then part of it may be in, until `repair`.

        A `Flap` is over on return, and a `Rekey` complete; the instants are those of the first fall and of the switch.
        """
        self._remember([*(each for each in self.leftover() if each != fault), fault])
        instant = self._inject(fault)
        return Struck(instant.before_ms, instant.after_ms, 0 if isinstance(fault, Drop) else None)

    def repair(self, fault: Fault) -> Struck:
        """Take `fault` out, and its note away; it may be out already.

        Everything is tried, and all that failed is told in one LabError; the note then stays.
        """
        instant = self._repair(fault)
        self._remember([each for each in self.leftover() if each != fault])
        return Struck(instant.before_ms, instant.after_ms, self._settled(fault))

    def leftover(self) -> tuple[Fault, ...]:
        """The faults that are noted: put in, or about to be, and not repaired."""
        with self._note_errors():
            if not self._note.exists():
                return ()
            found: tuple[Fault, ...] = codec.decode(tuple[Fault, ...], json.loads(self._note.read_text()))
        return found

    def forget(self) -> None:
        """Take every note away: what is still broken is nobody's fault any more, but shows in the kernel."""
        self._remember([])

    def _inject(self, fault: Fault) -> Instant:
        match fault:
            case LinkDown() | Flap() | Blackhole() | Degrade():
                return faults.inject(self._paths, fault)
            case Drop():
                return faults.show(self._paths, fault, self._budget(fault).program)
            case Kill():
                return self._kill(fault)
            case Freeze(processes=processes, ports=ports):
                instant = faults.inject(self._paths, Blackhole(ports))
                self._signal(processes, signal.SIGSTOP)
                return Instant(instant.before_ms, _now())
            case Rekey(old=old, fresh=fresh):
                made = keys.generate({each.key: each.cipher for each in fresh})
                return take_over(self._paths, fresh, made, old)
            case _:
                assert_never(fault)

    def _repair(self, fault: Fault) -> Instant:
        match fault:
            case LinkDown() | Flap() | Blackhole() | Degrade():
                return faults.repair(self._paths, fault)
            case Drop():
                return faults.unshow(self._paths, fault)
            case Kill(processes=processes, ports=ports):
                up = partial(faults.repair, self._paths, LinkDown(ports))
                return _all([up, *(partial(self._restart, each) for each in processes)])
            case Freeze(processes=processes, ports=ports):
                thaw = [partial(self._keeper.signal, each, signal.SIGCONT) for each in processes]
                return _all([*thaw, partial(faults.repair, self._paths, Blackhole(ports))])
            case Rekey(old=old, fresh=fresh):
                return take_over(self._paths, old, self._ring, fresh)
            case _:
                assert_never(fault)

    def _kill(self, fault: Kill) -> Instant:
        """The devices first: the sockets of programs that die would still say farewell, which a power loss does not."""
        instant = faults.inject(self._paths, LinkDown(fault.ports))
        self._signal(fault.processes, signal.SIGKILL)
        for namespace in dict.fromkeys(port.namespace for port in fault.ports):
            conntrack.forget(self._paths.namespace(namespace), namespace)
        return Instant(instant.before_ms, _now())

    def _signal(self, processes: Sequence[Process], number: signal.Signals) -> None:
        for each in processes:
            self._keeper.signal(each, number)

    def _restart(self, process: Process) -> None:
        self._keeper.stop(process)
        self._keeper.start(process)

    def _budget(self, fault: Drop) -> Budget:
        try:
            budget = Budget(fault.packets, PROTOCOLS.get(fault.proto))
        except OSError as error:
            reason = f"cannot load a program that counts packets (bpf(2)): {error.strerror}"
            raise KernelError(reason, errno=error.errno or 0, hint="labctl doctor") from error
        self._budgets[fault] = budget
        return budget

    def _settled(self, fault: Fault) -> int | None:
        """What a drop has swallowed in all; None where another process put it in."""
        budget = self._budgets.pop(fault, None) if isinstance(fault, Drop) else None
        if budget is None:
            return None
        try:
            return budget.spent()
        finally:
            budget.close()

    @property
    def _note(self) -> Path:
        return self._paths.root / _NOTE

    def _remember(self, broken: Sequence[Fault]) -> None:
        """Write the note anew, whole or not at all; none where nothing is broken."""
        with self._note_errors():
            if not broken:
                self._note.unlink(missing_ok=True)
                return
            fresh = self._note.with_suffix(".new")
            fresh.write_text(json.dumps(codec.encode(tuple(broken))))
            fresh.replace(self._note)

    @contextlib.contextmanager
    def _note_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise StateError(f"cannot use {self._note}: {error}", hint=f"labctl down {self._paths.lab}") from error


def _all(acts: Sequence[Callable[[], object]]) -> Instant:
    before = _now()
    attempt_all(acts)
    return Instant(before, _now())


def _now() -> float:
    return time.monotonic() * 1000
