"""What a plan newly asks for is gathered, and then made with as few messages as there can be.

In a namespace things come in the order in which they were added. Between namespaces only that waits which must: links
for both of their ends, and programs for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self, assert_never

from labctl import interrupts
from labctl.errors import KernelError, StateError
from labctl.kernel import geneve, iptables, links, neighbours, netlink, routes, rules, shaping, sysctl, xfrm
from labctl.kernel.making import Making
from labctl.kernel.netlink import Message
from labctl.kernel.nodes import Nodes
from labctl.kernel.nursery import Nursery
from labctl.kernel.paths import Paths
from labctl.kernel.words import describe
from labctl.plan.devices import Tunnel
from labctl.plan.indices import index
from labctl.plan.objects import (
    Address,
    Bridge,
    End,
    Foreign,
    Geneve,
    Gre,
    KernelObject,
    Namespace,
    Neighbour,
    Process,
    Route,
    RouteRule,
    Ruleset,
    Shaper,
    Sysctl,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)

Work = tuple[int, list[Message]] | Tunnel | Sysctl | Ruleset
"""Messages of one netlink family; a tunnel that has just come into being; or what is done by other means."""

# So many links travel together: more would gain nothing, and namespaces are waited for in this measure.
_LINKS_AT_ONCE = 32


class _Lane:
    """What one namespace is given. `links`: how many ends of new links it waits for; `ends`: their names."""

    __slots__ = ("bridges", "ends", "links", "work")

    def __init__(self) -> None:
        self.bridges: list[Message] = []
        self.links = 0
        self.ends: list[tuple[Veth, str]] = []
        self.work: list[Work] = []

    def send(self, message: Message, family: int = netlink.ROUTE) -> None:
        """Add a message, to those before it if they go the same way."""
        last = self.work[-1] if self.work else None
        if isinstance(last, tuple) and last[0] == family:
            last[1].append(message)
        else:
            self.work.append((family, [message]))


class Creating:
    """Gathers new objects and makes them. A context manager: what was not flushed by its end is not made.

    `nursery` makes the first namespaces, if one has begun already.
    """

    def __init__(
        self,
        paths: Paths,
        keys: Mapping[str, bytes],
        nodes: Nodes,
        start: Callable[[Process], None],
        nursery: Nursery | None = None,
    ) -> None:
        self._paths = paths
        self._keys = keys
        self._nodes = nodes
        self._start = start
        self._nursery = nursery
        self._making = ExitStack()
        self._made: Making | None = None
        self._clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._making.close()

    def add(self, item: KernelObject) -> None:
        """Put `item` with those to be made; new namespaces are begun with, once something else follows them.

        KernelError where something that it needs is not there.
        """
        if isinstance(item, Namespace):
            if self._made or len(self._lanes) > len(self._namespaces) or self._processes:
                self.flush()
            self._namespaces.append(item)
        elif self._namespaces and not self._made:
            self._begin()
        try:
            self._add(item)
        except KernelError as error:
            raise _blame(item, error) from error

    def flush(self) -> None:
        """Have everything made that was added. KernelError names what was refused."""
        if self._namespaces and not self._made:
            self._begin()
        lanes, processes = self._lanes, self._processes
        for name, lane in lanes.items():
            if lane.bridges:
                self._wait(name)
                sysctl.bridges(self._paths.namespace(name))
                self._nodes[name].route.send(lane.bridges)
        self._join()
        for name, lane in lanes.items():
            self._carry_out(name, lane)
        if self._made:
            self._made.finish()
        self._making.close()
        self._clear()
        for process in processes:
            self._start(process)

    def _clear(self) -> None:
        self._made = None
        self._namespaces: list[Namespace] = []
        self._lanes: dict[str, _Lane] = {}
        self._links: list[tuple[Veth, int | None]] = []
        self._processes: list[Process] = []

    def _begin(self) -> None:
        with interrupts.held():  # else a signal could come between its beginning and the promise of its end
            nursery, self._nursery = self._nursery, None
            nursery = self._making.enter_context(nursery or Nursery())
            self._made = Making(nursery, self._paths, self._namespaces)

    def _wait(self, namespace: str) -> None:
        if self._made:
            self._made.wait(namespace)

    def _lane(self, namespace: str) -> _Lane:
        lane = self._lanes.get(namespace)
        if lane is None:
            lane = self._lanes[namespace] = _Lane()
        return lane

    # -- gathering

    def _add(self, item: KernelObject) -> None:
        match item:
            case Address():
                self._lane(item.namespace).send(routes.address(item, self._index(item.namespace, item.device)))
            case Neighbour():
                there = self._index(item.namespace, item.device)
                self._lane(item.namespace).send(neighbours.neighbour(item, there))
            case Route():
                out = None if item.device is None else self._index(item.namespace, item.device)
                self._lane(item.namespace).send(routes.route(item, out))
            case RouteRule():
                self._lane(item.namespace).send(rules.rule(item))
            case Veth():
                self._add_link(item)
            case Namespace():
                self._lane(item.name).send(links.loopback(item))
            case Bridge():
                self._nodes.indexes(item.namespace)[item.name] = index(item)
                self._lane(item.namespace).bridges.append(links.bridge(item))
            case Gre():
                self._add_tunnel(item, links.gre(item))
            case Geneve():
                self._add_tunnel(item, *geneve.geneve(item, self._master(item)))
            case XfrmInterface():
                self._add_tunnel(item, links.xfrm_interface(item, self._index(item.namespace, item.device)))
            case XfrmState():
                self._lane(item.namespace).send(xfrm.state(item, self._key(item.key)), netlink.XFRM)
            case XfrmPolicy():
                self._lane(item.namespace).send(xfrm.policy(item), netlink.XFRM)
            case Shaper():
                for message in shaping.shape(item, self._index(item.namespace, item.device)):
                    self._lane(item.namespace).send(message)
            case Sysctl() | Ruleset():
                self._lane(item.namespace).work.append(item)
            case Process():
                self._processes.append(item)
            case Foreign():
                raise StateError(f"{describe(item)} is nothing that labctl makes")
            case _:
                assert_never(item)

    def _add_link(self, item: Veth) -> None:
        self._links.append((item, self._master(item.a)))
        for end in (item.a, item.b):
            lane = self._lane(end.namespace)
            lane.links += 1
            lane.ends.append((item, end.name))
        self._lane(item.b.namespace).send(links.attach(item, item.b, self._master(item.b)))
        for end in (item.a, item.b):
            self._nodes.indexes(end.namespace)[end.name] = index(end)

    def _add_tunnel(self, item: Tunnel, *messages: Message) -> None:
        self._nodes.indexes(item.namespace)[item.name] = index(item)
        lane = self._lane(item.namespace)
        for message in messages:
            lane.send(message)
        lane.work.append(item)

    def _master(self, end: End | Geneve) -> int | None:
        return None if end.master is None else self._index(end.namespace, end.master)

    def _index(self, namespace: str, device: str) -> int:
        found = self._nodes.indexes(namespace).get(device)
        if found is None:
            self._wait(namespace)
            found = self._nodes[namespace].index(device)
        return found

    def _key(self, name: str) -> bytes:
        try:
            return self._keys[name]
        except KeyError:
            raise StateError(f"the lab has no key {name}") from None

    # -- making

    def _join(self) -> None:
        """Make the links, and give each namespace the rest as soon as it has all of its own."""
        together: list[tuple[Veth, Message]] = []
        for link, master in self._links:
            a, b = link.a.namespace, link.b.namespace
            if self._made and not (self._made.has(a) and self._made.has(b)):
                self._send_links(together)
                self._made.wait(a)
                self._made.wait(b)
            together.append((link, links.veth(link, self._nodes[a].fd, self._nodes[b].fd, master)))
            if len(together) == _LINKS_AT_ONCE:
                self._send_links(together)
        self._send_links(together)

    def _send_links(self, together: list[tuple[Veth, Message]]) -> None:
        if not together:
            return
        self._nodes[together[0][0].a.namespace].route.send([message for _, message in together])
        for link, _ in together:
            for end in (link.a, link.b):
                lane = self._lanes[end.namespace]
                lane.links -= 1
                if not lane.links:
                    self._carry_out(end.namespace, lane)
        together.clear()

    def _carry_out(self, namespace: str, lane: _Lane) -> None:
        work, lane.work = lane.work, []
        if not work and not lane.ends:
            return
        self._wait(namespace)
        node = self._nodes[namespace]
        for link, device in lane.ends:
            self._offloads_off(namespace, device, link)
        lane.ends = []
        for each in work:
            match each:
                case (family, messages):
                    node.connection(family).send(messages)
                case Gre() | Geneve() | XfrmInterface():
                    self._offloads_off(namespace, each.name, each)
                case Sysctl():
                    sysctl.write(self._paths.namespace(namespace), each.name, each.value, subject=each)
                case Ruleset():
                    iptables.restore(self._paths.namespace(namespace), each)
                case _:
                    assert_never(each)

    def _offloads_off(self, namespace: str, device: str, item: Veth | Tunnel) -> None:
        try:
            self._nodes[namespace].offloads_off(device)
        except KernelError as error:
            raise _blame(item, error) from error


def _blame(item: KernelObject, error: KernelError) -> KernelError:
    """`error`, about `item` if it is not about something already."""
    if error.subject is not None:
        return error
    reason = f"cannot create {describe(item)}: {error.message}"
    return KernelError(reason, subject=item, errno=error.errno, hint=error.hint)
