"""The objects that a lab is known by, ready to be found by what the kernel tells of them; and those that were found.

What is found as it was asked for is the very object of the plan: to compare it then costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from labctl.model.services import PathWatcher
from labctl.plan.devices import Tunnel
from labctl.plan.objects import (
    Address,
    Bridge,
    Geneve,
    Gre,
    KernelObject,
    Namespace,
    Neighbour,
    Plan,
    Process,
    Route,
    RouteRule,
    Ruleset,
    Shaper,
    Sysctl,
    Veth,
    XfrmInterface,
)

Place = tuple[str, str]
"""A namespace, and the name of a device in it."""

Link = Bridge | Veth | Tunnel


class Known:
    """What `plans` speak of, the last of them counting where they differ. Addresses are numbers, 0 for none."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.spaces: dict[str, Namespace] = {}
        self.links: dict[Place, list[Link]] = {}
        self.addresses: dict[tuple[str, str, int, int], Address] = {}
        self.routes: dict[tuple[object, ...], Route] = {}
        self.rules: dict[RouteRule, RouteRule] = {}
        self.neighbours: dict[str, dict[tuple[str, int, str], Neighbour]] = {}
        self.shapers: dict[Place, list[Shaper]] = {}
        self.rulesets: dict[str, list[Ruleset]] = {}
        self.settings: dict[str, list[Sysctl]] = {}
        self.watched: set[tuple[str, int, int, int]] = set()
        """Namespace, network, its length and metric of the routes that a path watcher puts and removes."""
        self.others: dict[KernelObject, KernelObject] = {}
        for each in chain.from_iterable(plan.objects for plan in plans):
            self._take(each)

    def _take(self, each: KernelObject) -> None:
        match each:
            case Address():
                network = each.address.network
                self.addresses[each.namespace, each.device, int(each.address), network.prefixlen] = each
            case Route():
                self.routes[route_key(each)] = each
            case RouteRule():
                self.rules[each] = each
            case Neighbour():
                there = self.neighbours.setdefault(each.namespace, {})
                there[each.device, int(each.address), each.mac] = each
            case Veth():
                for end in (each.a, each.b):
                    self.links.setdefault((end.namespace, end.name), []).append(each)
            case Bridge() | Gre() | Geneve() | XfrmInterface():
                self.links.setdefault((each.namespace, each.name), []).append(each)
            case Namespace():
                self.spaces[each.name] = each
            case Shaper():
                self.shapers.setdefault((each.namespace, each.device), []).append(each)
            case Ruleset():
                self.rulesets.setdefault(each.namespace, []).append(each)
            case Sysctl():
                self.settings.setdefault(each.namespace, []).append(each)
            case _:
                self.others[each] = each
        if isinstance(each, Process):
            self.watch(each)

    def watch(self, process: Process) -> None:
        """The routes of `process`, if it is a path watcher, are its own."""
        if isinstance(process.program, PathWatcher):
            for path in process.program.paths:
                for prefix in path.prefixes:
                    network = int(prefix.network_address), prefix.prefixlen
                    self.watched.add((process.namespace, *network, path.metric))


def route_key(each: Route) -> tuple[object, ...]:
    """By what a route is found: all that it says."""
    return (
        each.namespace,
        each.table,
        int(each.to.network_address),
        each.to.prefixlen,
        each.metric,
        each.type,
        int(each.via) if each.via else 0,
        each.device or "",
        int(each.source) if each.source else 0,
    )


@dataclass(slots=True)
class Found:
    """What the kernel holds: objects that are just as asked for, by their id(), and the rest."""

    equal: dict[int, KernelObject] = field(default_factory=dict)
    other: list[KernelObject] = field(default_factory=list)

    def add(self, each: KernelObject, asked: KernelObject | None) -> None:
        """`each` is there; `asked` is what it should be like."""
        if asked is not None and each == asked:
            self.equal[id(asked)] = asked
        else:
            self.other.append(each)

    def as_plan(self, plans: Sequence[Plan]) -> Plan:
        """All of it, in the order of `plans`, what they do not speak of after that."""
        last = plans[-1]
        if (
            not self.other
            and len(self.equal) == len(last.objects)
            and all(id(one) in self.equal for one in last.objects)
        ):
            return last
        places: dict[object, int] = {}
        for i, each in enumerate(chain.from_iterable(plan.objects for plan in plans)):
            places.setdefault((type(each), each.identity), i)
        present = [*self.equal.values(), *self.other]
        present.sort(key=lambda each: places.get((type(each), each.identity), len(places) + len(present)))
        return Plan(last.lab, tuple(present))
