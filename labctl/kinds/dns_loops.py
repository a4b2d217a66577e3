"""Questions that go round: DNS servers that ask each other about a name, and none of which knows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import TypeVar

from labctl.description.faults import Path
from labctl.kinds.base import Lab
from labctl.kinds.custom_resolver import CustomResolver
from labctl.kinds.dns_server import DnsServer

T = TypeVar("T")
Servers = tuple[IPv4Address, ...]
Rule = tuple[Path, str, Servers]
"""Where it is written, the zone ("" for the rest of all names), and whom it asks."""


def refuse_resolver_loops(me: str, resolver: CustomResolver, lab: Lab) -> None:
    """Report the rules of a custom resolver, the default one too, by which a question comes back to it."""
    home = {each.address for each in resolver.locations}
    rules: list[Rule] = [*resolver.asked(), (("default",), "", resolver.upstream(lab))]
    for where, zone, servers in rules:
        # A copy answers for all that is below its zone.
        names = [zone] if where[0] == "secondary_zones" else _names(where, zone, rules, lab)
        name, way = _first_way(names, servers, home, set(), lab)
        if way:
            path = (me, *where) if where == ("default",) else (me, *where, "zone")
            _tell(path, zone, f"{_circle(name, zone, way)} this resolver", "`allow: [loop]` if that is to be seen", lab)


def refuse_server_loops(me: str, server: DnsServer, lab: Lab) -> None:
    """Report by what a question comes back to a DNS server by way of others; once for all of them, and not those that
    pass a custom resolver, which are its own to report.
    """
    order = [each.address for _, each in lab.all(DnsServer)]
    resolvers = {each.address for _, resolver in lab.all(CustomResolver) for each in resolver.locations}
    rules: list[Rule] = [*((("zones", zone), zone, ()) for zone in server.zones), *server.asked()]
    for where, zone, servers in server.asked():
        name, way = _first_way(_names(where, zone, rules, lab), servers, {server.address}, resolvers, lab)
        if way and order.index(server.address) == min(map(order.index, way)):
            hint = "let one of them have the zone, or ask elsewhere"
            _tell((me, *where), zone, f"{_circle(name, zone, way)} this server", hint, lab)


def _tell(path: Path, zone: str, rule: str, hint: str, lab: Lab) -> None:
    lab.fault(path, rule, hint, value=zone or None)


def _circle(name: str, zone: str, way: list[IPv4Address]) -> str:
    what = "goes round in a circle" if name == zone else f"a question for {name} goes round in a circle"
    return f"{what}: {' -> '.join(map(str, way))} leads back to"


def _names(where: Path, zone: str, rules: list[Rule], lab: Lab) -> Iterator[str]:
    """The zone of a rule, and those that other servers tell apart in it: all for which it decides."""
    yield zone
    mine = [(each, place) for place, each, _ in rules]
    known = [each for _, server in lab.all(DnsServer) for each in server.forward]
    known += [each.zone for _, resolver in lab.all(CustomResolver) for each in resolver.rules]
    for each in dict.fromkeys(known):
        if each != zone and longest(each, mine, ()) == where:
            yield each


def _first_way(
    names: Iterable[str], servers: Servers, home: set[IPv4Address], past: set[IPv4Address], lab: Lab
) -> tuple[str, list[IPv4Address]]:
    for name in names:
        if way := _way(name, servers, home, past, lab):
            return name, way
    return "", []


def _way(name: str, servers: Servers, home: set[IPv4Address], past: set[IPv4Address], lab: Lab) -> list[IPv4Address]:
    """The servers that a question for `name` passes until it is back at one of `home`, without those in `past`; none if
    it never is. That `home` asks itself is told elsewhere.
    """
    waiting = [each for each in servers if each not in home | past]
    before: dict[IPv4Address, IPv4Address | None] = dict.fromkeys(waiting)
    while waiting:
        at = waiting.pop(0)
        if at in home:
            return list(reversed([at, *_back(at, before)]))
        for each in _asked_by(at, name, lab):
            if each not in before and each not in past:
                before[each] = at
                waiting.append(each)
    return []


def _back(at: IPv4Address, before: Mapping[IPv4Address, IPv4Address | None]) -> Iterator[IPv4Address]:
    while (came := before[at]) is not None:
        yield came
        at = came


def _asked_by(address: IPv4Address, name: str, lab: Lab) -> Servers:
    """Whom the server at `address` asks about `name`; nobody if it knows it itself, or is not of the lab."""
    for _, server in lab.all(DnsServer):
        if server.address == address:
            own = [(each, ()) for each in server.zones]
            return longest(name, [*own, *server.forward.items()], ())
    for _, resolver in lab.all(CustomResolver):
        if any(each.address == address for each in resolver.locations):
            rules = [(each.zone, each.to) for each in resolver.rules]
            copies = [(each.zone, ()) for each in resolver.secondary_zones]
            return longest(name, [*copies, *rules], resolver.upstream(lab))
    return ()


def longest(name: str, zones: Iterable[tuple[str, T]], otherwise: T) -> T:
    """What belongs to the longest zone that contains `name`; "" contains every name."""
    fitting = [(zone, value) for zone, value in zones if not zone or f".{name}".endswith(f".{zone}")]
    return max(fitting, key=lambda each: len(each[0]), default=("", otherwise))[1]
