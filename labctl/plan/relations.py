"""How objects of a plan depend on each other: what one makes for others, what it lies on, what only one can have."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from labctl.model.services import PathWatcher, Resolver, Server, WatchedPath
from labctl.plan.objects import (
    Address,
    Bridge,
    Gre,
    KernelObject,
    Process,
    Route,
    Shaper,
    Veth,
    XfrmInterface,
)

Part = tuple[str, str, str]
"""A device of a namespace (namespace, device, ""), or an address on one."""

Claim = tuple[Hashable, ...]
"""Something that only one object can have at a time, beside its identity."""

_DNS = 53


def makes(each: KernelObject) -> set[Part]:
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


def networks(objects: Iterable[KernelObject]) -> dict[str, list[Address]]:
    """The addresses of each namespace: they tell by which device a route without one leads."""
    found: dict[str, list[Address]] = {}
    for each in objects:
        if isinstance(each, Address):
            found.setdefault(each.namespace, []).append(each)
    return found


def lies_on(each: KernelObject, addresses: dict[str, list[Address]]) -> set[Part]:
    """The devices and addresses without which an object cannot be; `addresses` are those of its plan."""
    match each:
        case Veth(b=port) if port.master:
            return {(port.namespace, port.master, "")}
        case Address() | Shaper() | XfrmInterface():
            return {(each.namespace, each.device, "")}
        case Route():
            return set(_under(each, addresses.get(each.namespace, [])))
        case Process(program=PathWatcher(paths=paths)):
            return {part for path in paths for part in watched_on(each.namespace, path)}
        case _:
            return set()


def watched_on(namespace: str, path: WatchedPath) -> set[Part]:
    """The devices of a watched path: with one of them the kernel drops its routes, and the watcher does not notice."""
    return {(namespace, path.device, ""), (namespace, path.carrier, "")}


def claims(each: KernelObject) -> set[Claim]:
    """What the kernel gives to one object only, though objects of other identities may ask for it as well.

    An address is claimed in the whole lab: neighbours would not know which of two holders to send to.
    """
    found: set[Claim] = {("device", namespace, device) for namespace, device, address in makes(each) if not address}
    match each:
        case Gre():
            found.add(("gre", each.namespace, each.local, each.remote, each.key))
        case XfrmInterface():
            found.add(("if_id", each.namespace, each.if_id))
        case Address():
            found.add(("address", each.address.ip))
        case Route():
            found.add(("route", each.namespace, each.to, each.metric))
        case Process(program=PathWatcher(paths=paths)):
            found |= {claim for path in paths for claim in routed(each.namespace, path)}
        case Process(program=Server(listens=listens)):
            transports = {listen: "udp" if listen.proto == "udp" else "tcp" for listen in listens}
            found |= {("socket", each.namespace, proto, listen.port) for listen, proto in transports.items()}
        case Process(program=Resolver()):
            found |= {("socket", each.namespace, proto, _DNS) for proto in ("tcp", "udp")}
        case _:
            pass
    return found


def routed(namespace: str, path: WatchedPath) -> set[Claim]:
    """The routes that a watched path claims."""
    return {("route", namespace, prefix, path.metric) for prefix in path.prefixes}


def _under(route: Route, addresses: list[Address]) -> Iterator[Part]:
    if route.device:
        yield route.namespace, route.device, ""
    for each in addresses:
        leads = route.via is not None and route.via in each.address.network
        if (leads and route.device in (None, each.device)) or route.source == each.address.ip:
            yield from ((each.namespace, each.device, ""), (each.namespace, each.device, str(each.address)))
