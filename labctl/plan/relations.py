"""How objects of a plan depend on each other: what one makes for others, what it lies on, what only one can have."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from ipaddress import IPv4Address

from labctl.model.services import PathWatcher, Resolver, Server, Vrrp, WatchedPath
from labctl.plan.objects import (
    Address,
    Bridge,
    Foreign,
    Geneve,
    Gre,
    KernelObject,
    Neighbour,
    Process,
    Route,
    Shaper,
    Veth,
    XfrmInterface,
    XfrmState,
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
        case Bridge() | Gre() | Geneve() | XfrmInterface():
            return {(each.namespace, each.name, "")}
        case Address():
            return {(each.namespace, each.device, str(each.address))}
        case Foreign(takes=takes):
            return {(namespace, device, "") for kind, namespace, device, *_ in takes if kind == "device"}
        case _:
            return set()


class Nearby:
    """The addresses of one namespace: they tell by which device a route without one leads. A router may have a thousand
    of them, and as many routes, so that they are found by what is looked for.
    """

    def __init__(self) -> None:
        self._in: dict[tuple[int, int], list[Address]] = {}
        self._at: dict[int, list[Address]] = {}
        self._lengths: set[int] = set()

    def add(self, each: Address) -> None:
        """Take an address in."""
        network = each.address.network
        self._lengths.add(network.prefixlen)
        self._in.setdefault((int(network.network_address), network.prefixlen), []).append(each)
        self._at.setdefault(int(each.address), []).append(each)

    def around(self, address: IPv4Address) -> Iterator[Address]:
        """Those whose subnet `address` is in."""
        for length in self._lengths:
            host = 32 - length
            yield from self._in.get((int(address) >> host << host, length), ())

    def at(self, address: IPv4Address) -> Iterable[Address]:
        """Those that are `address` itself."""
        return self._at.get(int(address), ())


def down(each: KernelObject) -> set[Part]:
    """The devices of an object that are administratively down."""
    match each:
        case Veth(a=a, b=b):
            return {(end.namespace, end.name, "") for end in (a, b) if not end.up}
        case Bridge() | Gre() | Geneve() | XfrmInterface():
            return set() if each.up else makes(each)
        case _:
            return set()


def networks(objects: Iterable[KernelObject]) -> dict[str, Nearby]:
    """The addresses of each namespace."""
    found: dict[str, Nearby] = {}
    for each in objects:
        if isinstance(each, Address):
            found.setdefault(each.namespace, Nearby()).add(each)
    return found


def lies_on(each: KernelObject, addresses: dict[str, Nearby]) -> set[Part]:
    """The devices and addresses without which an object cannot be; `addresses` are those of its plan."""
    match each:
        case Veth(b=port) if port.master:
            return {(port.namespace, port.master, "")}
        case Geneve(master=str() as master):
            return {(each.namespace, master, "")}
        case Address() | Neighbour() | Shaper() | XfrmInterface():
            return {(each.namespace, each.device, "")}
        case Route():
            return set(_under(each, addresses.get(each.namespace) or Nearby()))
        case Process(program=PathWatcher(paths=paths)):
            return {part for path in paths for part in watched_on(each.namespace, path)}
        case Process(program=Vrrp(addresses=addresses_held)):
            return {(each.namespace, device, "") for device, _ in addresses_held}
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
        case Geneve():
            found.add(("geneve", each.namespace, each.vni, each.remote))
        case XfrmInterface():
            found.add(("if_id", each.namespace, each.if_id))
        case Address():
            found.add(("address", each.address.ip))
        case Route():
            found.add(("route", each.namespace, each.to, each.metric, each.table))
        case XfrmState():
            found.add(("spi", each.namespace, each.destination, each.spi))
        case Shaper():
            found.add(("queue", each.namespace, each.device))
        case Foreign():
            found |= set(each.takes)
        case Process(program=PathWatcher(paths=paths)):
            found |= {claim for path in paths for claim in routed(each.namespace, path)}
        case Process(program=Vrrp(addresses=addresses)):
            found |= {("address", address.ip) for _, address in addresses}
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
    return {("route", namespace, prefix, path.metric, 0) for prefix in path.prefixes}


def _under(route: Route, addresses: Nearby) -> Iterator[Part]:
    if route.device:
        yield route.namespace, route.device, ""
    leading = addresses.around(route.via) if route.via else ()
    fitting = [each for each in leading if route.device in (None, each.device)]
    for each in (*fitting, *(addresses.at(route.source) if route.source else ())):
        yield from ((each.namespace, each.device, ""), (each.namespace, each.device, str(each.address)))
