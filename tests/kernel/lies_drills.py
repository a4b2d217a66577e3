"""A drill and a live change of the lab of the lies, and a path watcher of its own whose delay is known."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from kernel_lab import Lab
from lies_lab import DEVICES, PORT, S, taps

from labctl.breaking import Breaker, Struck
from labctl.claims.drills import change_not_run, drill_not_run
from labctl.claims.expectations import Bounds, Change, Drill, Felt, Part, Sight, Traffic
from labctl.claims.results import StreamVerdict
from labctl.errors import LabError
from labctl.plan.faults import Fault, LinkDown, Port
from labctl.plan.objects import Plan, Route
from labctl.probes.wire import Tap
from labctl.prove.bench import Bench
from labctl.prove.changing import change as carry_out
from labctl.prove.drilling import drill as break_and_repair

NOTICED_MS, NOT_BEFORE_MS, RESTORED_MS = 350, 200, 900
"""When the watcher of the honest lab goes over to the other link, and what is claimed of that."""

_NODES = ("c", "r", "w", "s")
_TRACK = tuple(Tap(f"{node}/{device}", node, device) for node in _NODES for device in DEVICES[node])
TRAFFIC = Traffic("c", "s", S, 200, (*taps("upper"), *taps("lower"), *taps("spare")), _TRACK)
MIDDLE = (Port("sw", "a"), Port("sw", "b"))
"""The ports of the bridge in the middle of `upper`."""

_ALL_IS_WELL = Felt(lost=300, duplicated=0, reordered=20, tcp_survives=True)
DRILL = Drill(
    id="D",
    about="",
    traffic=TRAFFIC,
    fault=LinkDown(MIDDLE),
    what="upper goes down",
    hold_ms=1500,
    bounds=Bounds(_ALL_IS_WELL, RESTORED_MS, NOT_BEFORE_MS, "fault", failback_lost=0),
    throughout=Part(silent=(Sight("spare"),)),
    before=Part(see=(Sight("upper", "udp", dst=S),), silent=(Sight("lower", dst=S),)),
    meanwhile=Part(see=(Sight("lower", "udp", dst=S),)),
    after=Part(see=(Sight("upper", "udp", dst=S),)),
)

RECORDS = replace(
    DRILL,
    traffic=replace(TRAFFIC, port=PORT),
    bounds=Bounds(Felt(lost=0), 1300, NOT_BEFORE_MS, "fault", failback_lost=0),
    before=Part(see=(Sight("upper", "tcp", dst=S, port=PORT, marker=True),), silent=(Sight("lower", dst=S),)),
    meanwhile=Part(see=(Sight("lower", "tcp", dst=S, port=PORT),)),
    after=Part(see=(Sight("upper", "tcp", dst=S, port=PORT),)),
)
"""The same with records in a TCP connection: TCP notices when it next sends again what was lost."""

HALF = IPv4Network("10.2.0.0/24")
BY_LOWER = Route("r", HALF, via=IPv4Address("10.4.0.2"))
NOWHERE = Route("r", HALF, type="blackhole")
CHANGE = Change(
    id="C",
    about="",
    traffic=TRAFFIC,
    what="the servers are reached by the lower link",
    felt=Felt(lost=0, duplicated=0, path_changes=2),
    reach_ms=500,
    then=(),
    throughout=Part(silent=(Sight("spare"),)),
    before=Part(see=(Sight("upper", "udp", dst=S),), silent=(Sight("lower", dst=S),)),
    changed=Part(see=(Sight("lower", "udp", dst=S),)),
    after=Part(see=(Sight("upper", "udp", dst=S),)),
)


class Watched(Breaker):
    """A breaker of a lab whose nodes do not heed carrier: `after_ms` after a fault both ends go over to the other link,
    and with the repair they come back. None: nobody notices.
    """

    def __init__(self, lab: Lab, after_ms: float | None) -> None:
        super().__init__(lab.paths, {})
        self._lab = lab
        self._after_ms = after_ms
        self._timer = threading.Timer(0, lambda: None)

    def inject(self, fault: Fault) -> Struck:
        struck = super().inject(fault)
        if self._after_ms is not None:
            self._timer = threading.Timer(self._after_ms / 1000, self._go, ("10.4.0",))
            self._timer.start()
        return struck

    def repair(self, fault: Fault) -> Struck:
        self._timer.cancel()
        struck = super().repair(fault)
        self._go("10.3.0")
        return struck

    def _go(self, net: str) -> None:
        self._lab.run("r", "ip", "route", "replace", "10.2.0.0/16", "via", f"{net}.2")
        self._lab.run("w", "ip", "route", "replace", "10.1.0.0/24", "via", f"{net}.1")


@contextlib.contextmanager
def changing(bench: Bench, *objects: Route) -> Iterator[None]:
    """The live change makes these objects."""
    name, before = bench.described.name, bench.described.changed.copy()
    usual = bench.described.plan
    bench.described.changed["C"] = Plan(name, (*usual.objects, *objects))
    try:
        yield
    finally:
        bench.described.changed.clear()
        bench.described.changed.update(before)


def drilled(bench: Bench, drill: Drill) -> StreamVerdict:
    """The verdict on a drill, as `labctl verify` reaches it."""
    try:
        return break_and_repair(bench, drill, ())
    except LabError as error:
        return drill_not_run(drill, error.message)


def changed(bench: Bench, change: Change) -> StreamVerdict:
    """The verdict on a live change, as `labctl verify` reaches it."""
    try:
        return carry_out(bench, change, ())
    except LabError as error:
        return change_not_run(change, error.message)
