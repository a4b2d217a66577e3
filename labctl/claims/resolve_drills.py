"""From drills and live changes as written to those that can be carried out: their traffic, their fault, their bounds.

They are sound: `labctl.claims.refusals_streams` and `refusals_faults` have said so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from labctl.claims.expectations import Bounds, Change, Check, Drill, Felt, Part, Traffic
from labctl.claims.places import Places
from labctl.claims.resolve import target
from labctl.claims.resolve_faults import Faults, in_words
from labctl.description.actions import (
    DnsSpec,
    HealthSpec,
    LookupSpec,
    TcpSpec,
)
from labctl.description.document import Document
from labctl.description.drills import BoundsSpec, ChangeSpec, DrillSpec, FeltSpec, FlapSpec
from labctl.description.edit import words
from labctl.model.network import Network
from labctl.plan.diff import diff
from labctl.plan.objects import Create, Delete, Plan, Step
from labctl.plan.relations import makes
from labctl.probes.wire import Tap


@dataclass(frozen=True, slots=True)
class Resolved:
    """The checks of a drill or change, resolved: before it, while it lasts, and once the lab is as before."""

    first: tuple[Check, ...] = ()
    then: tuple[Check, ...] = ()
    afterwards: tuple[Check, ...] = ()


@dataclass(slots=True)
class DrillResolver:
    """Resolves the drills and changes of one document against its model and plan.

    `time_scale` stretches what they wait for and what they allow, and thins their traffic.
    """

    document: Document
    net: Network
    plan: Plan
    time_scale: int = 1

    def drills(self, checks: Mapping[str, Resolved]) -> tuple[Drill, ...]:
        """Every drill; `checks` are those of each, resolved, by its id."""
        return tuple(self._drill(each, checks[each.id]) for each in self.document.drills)

    def change(self, spec: ChangeSpec, checks: Resolved, after: Plan) -> Change:
        """A live change, its checks resolved, those of `then` against the lab as it is after the change, whose plan is
        `after`.

        Places are those of the lab as it is before it: the taps are set up then. The way of the traffic is told by the
        devices that outlast the change: a packet that goes by another leaves a gap, which is a change of the path.
        """
        places = Places(self.net)
        remade = {device for step in diff(self.plan, after) for device in _remade(step)}
        parts = [places.part(each) for each in (spec.throughout, spec.before, spec.changed, spec.after)]
        return Change(
            id=spec.id,
            about=spec.about,
            traffic=self._traffic(spec, parts, remade),
            what=words(spec, self.document.reading.tree),
            felt=self._felt(spec.bounds),
            reach_ms=self._stretched(spec.bounds.reach),
            then=checks.then,
            throughout=parts[0],
            before=parts[1],
            changed=parts[2],
            after=parts[3],
            first=checks.first,
            afterwards=checks.afterwards,
        )

    def _drill(self, spec: DrillSpec, checks: Resolved) -> Drill:
        places = Places(self.net)
        parts = [places.part(each) for each in (spec.throughout, spec.before, spec.meanwhile, spec.after)]
        return Drill(
            id=spec.id,
            about=spec.about,
            traffic=self._traffic(spec, parts),
            fault=Faults(self.net, self.plan, self.time_scale).resolve(spec.fault),
            what=in_words(spec.fault),
            hold_ms=0 if isinstance(spec.fault, FlapSpec) else spec.for_ * self.time_scale,
            bounds=self._bounds(spec.bounds),
            first=checks.first,
            then=checks.then,
            afterwards=checks.afterwards,
            throughout=parts[0],
            before=parts[1],
            meanwhile=parts[2],
            after=parts[3],
        )

    def _traffic(
        self, spec: DrillSpec | ChangeSpec, parts: list[Part], remade: Set[tuple[str, str]] = frozenset()
    ) -> Traffic:
        check = next(each for each in self.document.checks if each.id == spec.during)
        assert not isinstance(check.do, (DnsSpec, LookupSpec, HealthSpec))
        places = Places(self.net)
        to, named = target(check.do.to, check.from_, places)
        end = self.net.holder(places.leads_to(to)) if to else ""
        return Traffic(
            node=check.from_,
            target_node=end or ("" if named else check.do.to),
            target=to,
            rate=max(1, spec.rate // self.time_scale),
            taps=tuple(places.taps(sight for part in parts for sight in (*part.see, *part.silent))),
            track=tuple(tap for tap in self._track() if (tap.namespace, tap.device) not in remade),
            port=check.do.port if spec.stream == "tcp" and isinstance(check.do, TcpSpec) else 0,
            named=named,
        )

    def _track(self) -> Iterator[Tap]:
        """Every device of every node, tunnels included; each is called by the node and its own name."""
        for node, devices in self.net.every_device().items():
            for device in devices:
                yield Tap(f"{node}/{device}", node, device, "both")

    def _bounds(self, spec: BoundsSpec) -> Bounds:
        return Bounds(
            felt=self._felt(spec),
            restore_ms=self._stretched(spec.restore),
            not_before_ms=self._stretched(spec.not_before),
            after="repair" if spec.after == "repair" else "fault",
            failback_lost=spec.failback_lost,
        )

    def _felt(self, spec: FeltSpec) -> Felt:
        return Felt(
            lost=spec.lost,
            duplicated=spec.duplicated,
            reordered=spec.reordered,
            gap_ms=self._stretched(spec.gap),
            path_changes=spec.path_changes,
            tcp_survives=spec.tcp == "survives",
        )

    def _stretched(self, ms: int | None) -> int | None:
        return None if ms is None else ms * self.time_scale


def _remade(step: Step) -> Iterator[tuple[str, str]]:
    """The devices that a step makes or takes away, each with its namespace."""
    match step:
        case Create(new=each) | Delete(old=each):
            yield from ((namespace, device) for namespace, device, _ in makes(each))
        case _:
            return
