"""What separates two plans: the steps that turn the one into the other.

What goes, goes first and in the reverse of its order; what comes or changes follows in the order of the new plan. A
device that cannot be changed in place takes everything on it along: its addresses and routes are made anew, and so are
the devices that need it, with theirs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace

from labctl.model.services import PathWatcher
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
Part = tuple[str, str, str]
"""A device of a namespace (namespace, device, ""), or an address on one."""


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
    networks = _networks(old)
    remade = {key for key in old if key in new and old[key] != new[key] and not _in_place(old[key], new[key])}
    lost = {part for key in old if key not in new or key in remade for part in _makes(old[key])}
    while more := {key for key in old if key in new and key not in remade and _lies_on(old[key], networks) & lost}:
        remade |= more
        lost |= {part for key in more for part in _makes(old[key])}
    return remade


def _in_place(old: KernelObject, new: KernelObject) -> bool:
    if isinstance(old, Gre) and isinstance(new, Gre):
        return replace(old, up=new.up, mtu=new.mtu) == new
    if isinstance(old, XfrmInterface) and isinstance(new, XfrmInterface):
        return replace(old, up=new.up, mtu=new.mtu) == new
    return isinstance(new, (Namespace, Sysctl, Route, Ruleset, Process))


def _networks(plan: dict[Key, KernelObject]) -> dict[str, list[Address]]:
    """The addresses of each namespace: they tell by which device a route without one leads."""
    found: dict[str, list[Address]] = {}
    for each in plan.values():
        if isinstance(each, Address):
            found.setdefault(each.namespace, []).append(each)
    return found


def _makes(each: KernelObject) -> set[Part]:
    """What an object brings into being for others: devices, and addresses that routes need."""
    match each:
        case Veth(a=a, b=b):
            return {(a.namespace, a.name, ""), (b.namespace, b.name, "")}
        case Bridge() | Gre() | XfrmInterface():
            return {(each.namespace, each.name, "")}
        case Address():
            return {(each.namespace, each.device, str(each.address))}
        case _:
            return set()


def _lies_on(each: KernelObject, networks: dict[str, list[Address]]) -> set[Part]:
    """The devices and addresses without which an object cannot be."""
    match each:
        case Veth(b=port) if port.master:
            return {(port.namespace, port.master, "")}
        case Address() | Shaper() | XfrmInterface():
            return {(each.namespace, each.device, "")}
        case Route():
            return set(_under(each, networks.get(each.namespace, [])))
        case Process(program=PathWatcher(paths=paths)):
            # The kernel drops the routes of the watcher with their device, and the watcher does not notice.
            return {(each.namespace, device, "") for path in paths for device in (path.device, path.carrier)}
        case _:
            return set()


def _under(route: Route, addresses: list[Address]) -> Iterator[Part]:
    if route.device:
        yield route.namespace, route.device, ""
    for each in addresses:
        leads = route.via is not None and route.via in each.address.network
        if (leads and route.device in (None, each.device)) or route.source == each.address.ip:
            yield from ((each.namespace, each.device, ""), (each.namespace, each.device, str(each.address)))
