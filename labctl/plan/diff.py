"""What separates two plans: the steps that turn the one into the other, make before break.

What comes or changes in place does so first, in the order of the new plan; what goes, goes last, in the reverse of its
own order. Between the two stands only what cannot be otherwise: a thing that must go before another takes its place
(its device, its address), and with it whatever lies on it. What is in both plans and lies on nothing of that kind is
there at every instant.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from labctl.model.services import PathWatcher
from labctl.plan.objects import (
    Address,
    Bridge,
    Change,
    Create,
    Delete,
    Foreign,
    Geneve,
    Gre,
    KernelObject,
    Namespace,
    Neighbour,
    Plan,
    Process,
    Route,
    Ruleset,
    Shaper,
    Step,
    Sysctl,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)
from labctl.plan.relations import Claim, Part, claims, down, lies_on, makes, networks, routed, watched_on

Key = tuple[type, Hashable]


def diff(present: Plan | None, wanted: Plan) -> tuple[Step, ...]:
    """The steps from `present` (None: nothing is there; perhaps what was observed) to `wanted`."""
    if present is None:
        return tuple(map(Create, wanted.objects))
    if present.objects == wanted.objects:
        return ()
    return tuple(_Way(_keyed(present), _keyed(wanted)).steps())


def back(taken: Sequence[Step]) -> tuple[Step, ...]:
    """The steps back from where `taken` led, of which the last ones may not have been carried out, or only in part.

    Deleting what is not there and changing what is so already do no harm, so what was to go is deleted before it is
    made again. What only others could make (by hand, or with a key that is not the lab's) stays away.
    """
    return tuple(step for each in reversed(taken) for step in _undoing(each))


def _undoing(step: Step) -> Iterator[Step]:
    match step:
        case Create(new=new):
            yield Delete(new)
        case Delete(old=Foreign() | XfrmState(key="")):
            pass
        case Delete(old=old):
            yield from (Delete(old), Create(old))
        case Change(old=old, new=new):
            yield Change(new, old)
        case _:
            assert_never(step)


def _keyed(plan: Plan | None) -> dict[Key, KernelObject]:
    return {(type(each), each.identity): each for each in plan.objects} if plan else {}


def _in_place(old: KernelObject, new: KernelObject) -> bool:
    """Whether the kernel, or the program, changes from `old` to `new` without an instant in which it is neither."""
    if isinstance(old, (Gre, XfrmInterface)) and isinstance(new, (Gre, XfrmInterface)):
        return replace(old, up=new.up, mtu=new.mtu) == new
    if isinstance(old, Geneve) and isinstance(new, Geneve):
        return old.vni == new.vni
    if isinstance(old, Veth) and isinstance(new, Veth):
        return (old.b.namespace, old.b.name) == (new.b.namespace, new.b.name)
    if isinstance(old, Process):
        return not old.astray
    return isinstance(new, (Namespace, Sysctl, Bridge, Neighbour, Route, XfrmPolicy, Ruleset, Shaper))


class _Way:
    """From `old` to `new`: what goes `first`, before other things come, and what comes `late`, after that.

    A key in both is made anew. `moved` are routes that stay the same and yet change their device.
    """

    def __init__(self, old: dict[Key, KernelObject], new: dict[Key, KernelObject]) -> None:
        self.old = old
        self.new = new
        before, after = networks(old.values()), networks(new.values())
        self._old_lies_on = {key: lies_on(each, before) for key, each in old.items()}
        self._new_lies_on = {key: lies_on(each, after) for key, each in new.items()}
        self.moved = dict(self._moved())
        self._shaken = set(self._shaking())
        self.first = {key for key, each in old.items() if key in new and not self._stays(key, each)}
        self.late = set(self.first)
        self._wanted = self._claimed(new, old)
        self._released = self._claimed(old, new)
        known = -1
        while known != (known := len(self.first) + len(self.late)):
            self._give_way()
            self._follow()

    def steps(self) -> Iterator[Step]:
        """All steps, in their order."""
        trimmed = dict(self._trimmed())
        yield from self._arrivals(late=False)
        yield from (Change(self.old[key], each) for key, each in trimmed.items())
        yield from (Delete(each) for key, each in self._backwards() if key in self.first and key not in trimmed)
        for step in self._arrivals(late=True):
            key = (type(step.new), step.new.identity)
            yield Change(trimmed[key], step.new) if key in trimmed else step
        yield from (Delete(each) for key, each in self._backwards() if key not in self.new and key not in self.first)

    def _arrivals(self, *, late: bool) -> Iterator[Create | Change]:
        for key, each in self.new.items():
            if (key in self.late) != late:
                continue
            if key not in self.old or key in self.first:
                yield Create(each)
            elif self.old[key] != each or key in self.moved:
                yield Change(self.old[key], self.moved.get(key, each))

    def _backwards(self) -> Iterator[tuple[Key, KernelObject]]:
        return reversed(self.old.items())

    def _stays(self, key: Key, each: KernelObject) -> bool:
        if isinstance(each, Process) and self._old_lies_on[key] & self._shaken:
            return False
        return each == self.new[key] or _in_place(each, self.new[key])

    def _shaking(self) -> Iterator[Part]:
        """Devices that are gone from the kernel, or down, though they are to be there: what a program had on them, like
        the routes of a path watcher, went with that, and the program does not know.
        """
        there = {part for each in self.old.values() for part in makes(each)}
        for key, each in self.new.items():
            if key not in self.old:
                yield from (part for part in makes(each) if part not in there)
            elif self.old[key] != each:
                yield from down(self.old[key]) - down(each)

    def _claimed(self, objects: dict[Key, KernelObject], others: dict[Key, KernelObject]) -> dict[Claim, set[Key]]:
        """Who claims what in `objects` that the same key does not claim in `others`."""
        found: dict[Claim, set[Key]] = {}
        for key, each in objects.items():
            if others.get(key) == each:
                continue
            for claim in claims(each) - (claims(others[key]) if key in others else set()):
                found.setdefault(claim, set()).add(key)
        return found

    def _give_way(self) -> None:
        """Who claims what another releases comes late, and the other goes first, or changes in time."""
        for claim, takers in self._wanted.items():
            for giver in self._released.get(claim, ()):
                waiting = {taker for taker in takers if self._collide(giver, taker)}
                self.late |= waiting
                if waiting and (giver not in self.new or giver in self.late):
                    self.first.add(giver)

    def _collide(self, giver: Key, taker: Key) -> bool:
        """One namespace may hold an address twice, in subnets of two sizes: the new one then comes first."""
        old, new = self.old[giver], self.new[taker]
        if isinstance(old, Address) and isinstance(new, Address):
            return old.namespace != new.namespace
        return giver != taker

    def _follow(self) -> None:
        """What lies on something that goes first or comes late shares its fate."""
        lost = self._lost()
        coming = {part for key in self.late for part in makes(self.new[key])}
        for key, each in self.old.items():
            sinks = bool(self._old_lies_on[key] & lost)
            if key not in self.new:
                if sinks:
                    self.first.add(key)
            elif key not in self.first and self._new_lies_on[key] & coming:
                if sinks:
                    self.first.add(key)
                if sinks or each != self.new[key] or key in self.moved:
                    self.late.add(key)
        self.late |= {key for key in self.new if key not in self.old and self._new_lies_on[key] & coming}

    def _moved(self) -> Iterator[tuple[Key, Route]]:
        """Routes to a next hop that is behind another device from now on. Where both devices are there for a while the
        kernel would find the old one for it, so that the new one is named.
        """
        for key, each in self.new.items():
            if isinstance(each, Route) and key in self.old and each.via is not None and each.device is None:
                before, after = (_devices(parts) for parts in (self._old_lies_on[key], self._new_lies_on[key]))
                if before != after and len(after) == 1:
                    yield key, replace(each, device=after.pop())

    def _lost(self) -> set[Part]:
        return {part for key in self.first for part in makes(self.old[key])}

    def _trimmed(self) -> Iterator[tuple[Key, Process]]:
        """Path watchers that would be made anew, reduced to the paths that nothing happens to: those stay up."""
        lost = self._lost() | self._shaken
        for key in self.first & self.late:
            old = self.old[key]
            if isinstance(old, Process) and isinstance(old.program, PathWatcher):
                kept = tuple(
                    path
                    for path in old.program.paths
                    if not watched_on(old.namespace, path) & lost
                    and not any(self._wanted.get(claim, set()) - {key} for claim in routed(old.namespace, path))
                )
                if kept:
                    yield key, replace(old, program=PathWatcher(kept))


def _devices(parts: set[Part]) -> set[str]:
    return {device for _, device, _ in parts}
