"""What separates two plans: the steps that turn the one into the other.

What goes, goes first and in the reverse of its order; what comes or changes follows in the order of the new plan. A
device that cannot be changed in place takes everything on it along: its addresses and routes are made anew.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from labctl.plan.objects import (
    Address,
    Bridge,
    Change,
    Create,
    Delete,
    Gre,
    KernelObject,
    Namespace,
    Plan,
    Process,
    Route,
    Ruleset,
    Shaper,
    Step,
    Sysctl,
    Veth,
    XfrmInterface,
)

Key = tuple[type, Hashable]


def diff(present: Plan | None, wanted: Plan) -> tuple[Step, ...]:
    """The steps from `present` (None: nothing is there) to `wanted`."""
    old = _keyed(present)
    new = _keyed(wanted)
    remade = _remade(old, new)
    deletes = [Delete(each) for key, each in old.items() if key not in new or key in remade]
    return (*reversed(deletes), *(step for key, each in new.items() for step in _arrive(old, remade, key, each)))


def _arrive(old: dict[Key, KernelObject], remade: set[Key], key: Key, new: KernelObject) -> list[Step]:
    if key not in old or key in remade:
        return [Create(new)]
    return [] if old[key] == new else [Change(old[key], new)]




def _keyed(plan: Plan | None) -> dict[Key, KernelObject]:
    return {(type(each), each.identity): each for each in plan.objects} if plan else {}


def _remade(old: dict[Key, KernelObject], new: dict[Key, KernelObject]) -> set[Key]:
    """What must be deleted and created again: what cannot change in place, and what lies on such a device."""
    changed = {key for key in old if key in new and old[key] != new[key] and not _in_place(old[key], new[key])}
    lost = {device for key in old if key not in new or key in changed for device in _makes(old[key])}
    return changed | {key for key in old if key in new and _lies_on(old[key]) & lost}


def _in_place(old: KernelObject, new: KernelObject) -> bool:
    if isinstance(old, Gre) and isinstance(new, Gre):
        return replace(old, up=new.up, mtu=new.mtu) == new
    if isinstance(old, XfrmInterface) and isinstance(new, XfrmInterface):
        return replace(old, up=new.up, mtu=new.mtu) == new
    return isinstance(new, (Namespace, Sysctl, Route, Ruleset, Process))


def _makes(each: KernelObject) -> set[tuple[str, str]]:
    """The devices that an object brings into being."""
    if isinstance(each, Veth):
        return {(each.a.namespace, each.a.name), (each.b.namespace, each.b.name)}
    if isinstance(each, (Bridge, Gre, XfrmInterface)):
        return {(each.namespace, each.name)}
    return set()


def _lies_on(each: KernelObject) -> set[tuple[str, str]]:
    """The devices without which an object cannot be."""
    if isinstance(each, (Address, Route, Shaper)):
        return {(each.namespace, each.device)} if each.device else set()
    if isinstance(each, XfrmInterface):
        return {(each.namespace, each.device)}
    return set()
