"""One namespace of a lab, read by the thread that is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from labctl.errors import KernelError
from labctl.kernel import observe_links, observe_queues, observe_routes, observe_rules, observe_xfrm, sysctl
from labctl.kernel.netlink import ROUTE, XFRM, Connection
from labctl.kernel.observe_devices import Seen, tunnel
from labctl.kernel.observe_known import Found, Known
from labctl.kernel.observe_links import Device
from labctl.kernel.observe_routes import Way
from labctl.kernel.rules import USUAL
from labctl.plan.objects import Address, Foreign, Namespace, Neighbour, Route, Sysctl

_LOOPBACK = 127


@dataclass(slots=True)
class Look:
    """What is known beforehand, and what has been found so far, in all namespaces.

    `ring` names the lab's keys; `ends` are the ends of links, which only all namespaces together make pairs.
    """

    known: Known
    ring: Mapping[bytes, str]
    found: Found
    ends: list[Seen]
    ipsec: bool = True

    def at(self, name: str, altered: tuple[str, ...]) -> None:
        """Read the namespace `name`, in which the calling thread is; `altered`: what is amiss with it as seen from
        outside. Of one that nobody asked for it is enough to know that it is there: with it goes all that it holds.
        """
        if name not in self.known.spaces:
            self.found.add(Namespace(name), None)
            return
        route = Connection(ROUTE, strict=True)
        try:
            devices = self._devices(name, route, altered + self._choices(name, route))
            self._addresses(name, route, devices)
            self._routes(name, route, devices)
            self._neighbours(name, route, devices)
            self._queues(name, route, devices)
        finally:
            route.close()
        self._ipsec(name)
        self._rules(name)
        self._settings(name)

    def _devices(self, name: str, route: Connection, altered: tuple[str, ...]) -> dict[int, Device]:
        """The devices by their index, those that nobody asked for left out."""
        listed = [observe_links.device(body) for body in route.dump(observe_links.LIST_LINKS)]
        devices = {each.index: each for each in listed if each is not None}
        forwarding: set[bool] = set()
        asked = self.known.links
        for each in list(devices.values()):
            place = name, each.name
            if each.name == "lo":
                altered += () if each.up else ("lo is down",)
                continue
            if place not in asked:
                del devices[each.index]
            else:
                forwarding.add(each.forwards)
            if each.kind == "veth":
                master = devices.get(each.master)
                self.ends.append(Seen(place, each, master.name if master else None))
            else:
                there = tunnel(name, each, devices, asked.get(place, ()))
                self.found.add(there, next((one for one in asked.get(place, ()) if one == there), None))
        self._namespace(name, forwarding, altered)
        return devices

    def _namespace(self, name: str, forwarding: set[bool], altered: tuple[str, ...]) -> None:
        asked = self.known.spaces[name]
        forwards = asked.forwarding
        if forwarding:
            forwards = forwarding.pop() if len(forwarding) == 1 else not asked.forwarding
        there = asked if forwards == asked.forwarding and not altered else Namespace(name, forwards, altered)
        self.found.add(there, asked)

    def _addresses(self, name: str, route: Connection, devices: Mapping[int, Device]) -> None:
        known = self.known.addresses
        for body in route.dump(observe_links.LIST_ADDRESSES):
            index, local, length, far = observe_links.address(body)
            if index not in devices or local[0] == _LOOPBACK:
                continue
            device = devices[index].name
            asked = known.get((name, device, int.from_bytes(local, "big"), length))
            if asked is not None and far == local:
                self.found.add(asked, asked)
            else:
                self.found.add(Address(name, device, IPv4Interface((local, length))), None)

    def _routes(self, name: str, route: Connection, devices: Mapping[int, Device]) -> None:
        for body in route.dump(observe_routes.LIST_ROUTES):
            way = observe_routes.way(body)
            if way is None or (way.device and way.device not in devices):
                continue
            to, via, source = (int.from_bytes(each, "big") for each in (way.to, way.via, way.source))
            device = devices[way.device].name if way.device else ""
            if not way.table and (name, to, way.length, way.metric) in self.known.watched:
                continue
            key = (name, way.table, to, way.length, way.metric, way.type, via)
            # A route that was asked for by its next hop alone has the device that the kernel found for it.
            asked = self.known.routes.get((*key, device, source)) or self.known.routes.get((*key, "", source))
            if asked is not None:
                self.found.add(asked, asked)
            else:
                self.found.add(_route(name, way, device, body), None)

    def _choices(self, name: str, route: Connection) -> tuple[str, ...]:
        """Routing rules: those of the kernel's own that somebody took away alter the namespace."""
        missing = set(USUAL)
        for body in route.dump(observe_routes.LIST_RULES):
            choice = observe_routes.choice(body)
            if choice.usual and (choice.priority, choice.table) in missing:
                missing.remove((choice.priority, choice.table))
            elif choice.plain:
                rule = choice.rule(name)
                self.found.add(rule, self.known.rules.get(rule))
            else:
                what = f"routing rule {choice.priority} of a kind of its own, to table {choice.table}"
                self.found.add(Foreign(name, what, choice.removal), None)
        return tuple(f"it lacks routing rule {priority} to table {table}" for priority, table in sorted(missing))

    def _neighbours(self, name: str, route: Connection, devices: Mapping[int, Device]) -> None:
        """Where permanent neighbours are asked for, these; elsewhere all that there are."""
        known = self.known.neighbours.get(name, {})
        if known:
            indices = {each.name: index for index, each in devices.items()}
            there = {(device, address) for device, address, _ in known if device in indices}
            ask = (observe_routes.find_neighbour(indices[device], address) for device, address in there)
            listed = route.ask(list(ask))
        else:
            listed = route.dump(observe_routes.LIST_NEIGHBOURS)
        for body in listed:
            entry = observe_routes.neighbour(body)
            if entry is None or entry[0] not in devices:
                continue
            device, address, mac = devices[entry[0]].name, int.from_bytes(entry[1], "big"), observe_links.mac(entry[2])
            asked = known.get((device, address, mac))
            self.found.add(asked or Neighbour(name, device, IPv4Address(address), mac), asked)

    def _queues(self, name: str, route: Connection, devices: Mapping[int, Device]) -> None:
        by_device: dict[int, list[observe_queues.Queue]] = {}
        for body in route.dump(observe_queues.LIST_QUEUES):
            queue = observe_queues.queue(body)
            if queue is not None and queue.device in devices:
                by_device.setdefault(queue.device, []).append(queue)
        for index, queues in by_device.items():
            device = devices[index].name
            aside = [each for each in queues if each.parent == observe_queues.ASIDE]
            asked = self.known.shapers.get((name, device), ())
            shaping = [each for each in queues if each not in aside]
            shaper = observe_queues.shaper(name, device, shaping, asked) if asked else None
            if shaper is not None:
                self.found.add(shaper, next((each for each in asked if each == shaper), None))
            for each in aside if shaper is not None else observe_queues.outermost(queues):
                lists = observe_queues.lists_of_filters(each)
                if not lists or any(route.dump(filters) for filters in lists):
                    self.found.add(observe_queues.foreign(name, device, each), None)

    def _ipsec(self, name: str) -> None:
        if not self.ipsec:
            return
        try:
            connection = Connection(XFRM)
        except KernelError:
            self.ipsec = False  # this kernel has none
            return
        try:
            states = [observe_xfrm.state(name, body, self.ring) for body in connection.dump(observe_xfrm.LIST_STATES)]
            policies = [observe_xfrm.policy(name, body) for body in connection.dump(observe_xfrm.LIST_POLICIES)]
        finally:
            connection.close()
        for each in (*states, *policies):
            if each is not None:
                self.found.add(each, self.known.others.get(each))

    def _rules(self, name: str) -> None:
        asked = self.known.rulesets.get(name, ())
        if observe_rules.tables_exist():
            there = observe_rules.ruleset(name, observe_rules.save(), tuple(reversed(asked)))
            if there is not None:
                self.found.add(there, next((each for each in reversed(asked) if each == there), None))

    def _settings(self, name: str) -> None:
        """Two plans may ask for two values of one setting: what it is now is told once."""
        asked = {each.name: each for each in self.known.settings.get(name, ())}
        asked |= {each.name: each for each in self.known.settings.get(name, ()) if _same(each)}
        for each in asked.values():
            found = each if _same(each) else Sysctl(name, each.name, sysctl.current(each.name))
            self.found.add(found, each)


def _same(asked: Sysctl) -> bool:
    return sysctl.current(asked.name).split() == asked.value.split()


def _route(name: str, way: Way, device: str, body: bytes) -> Route | Foreign:
    network = way.network
    match way.type:
        case "unicast" | "unreachable" | "blackhole" as kind:
            via, source = (IPv4Address(each) if each else None for each in (way.via, way.source))
            return Route(name, network, via, device or None, kind, way.metric, source, way.table)
        case _:
            takes = (("route", name, network, way.metric, way.table),)
            table = f", table {way.table}" if way.table else ""
            what = f"route {network} of a kind or service of its own, metric {way.metric}{table}"
            return Foreign(name, what, observe_routes.removal(body), takes)
