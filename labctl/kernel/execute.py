"""Carries out the steps of a plan, in the order given: the one place where an object's kind decides what is done.

Netlink messages for one namespace are gathered from neighbouring steps and sent together; whatever works by other
means waits until they are through.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol, assert_never

from labctl.errors import KernelError, StateError
from labctl.kernel import iptables, links, neighbours, netlink, netns, routes, shaping, sysctl, xfrm
from labctl.kernel.netlink import Message
from labctl.kernel.nodes import Nodes
from labctl.kernel.paths import Paths
from labctl.kernel.words import describe
from labctl.plan.objects import (
    Address,
    Bridge,
    Change,
    Create,
    Delete,
    End,
    Gre,
    KernelObject,
    Namespace,
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


class ProcessKeeper(Protocol):
    """Whoever starts, stops and changes the programs of a lab. Stopping what does not run is fine."""

    def start(self, process: Process) -> None:
        """Start `process` in its namespace."""

    def stop(self, process: Process) -> None:
        """Stop `process`; it is gone on return."""

    def change(self, old: Process, new: Process) -> None:
        """Make `old` go on as `new`, without losing what it knows of its clients and neighbours."""


def execute(
    steps: Sequence[Step],
    paths: Paths,
    keys: Mapping[str, bytes],
    keeper: ProcessKeeper,
    progress: Callable[[Step], None],
    *,
    drain_ms: float = 0.0,
) -> None:
    """Carry out `steps`; `progress` is told of each when its turn comes.

    Before anything goes after other things came, `drain_ms` pass: what is still under way by it shall arrive.

    Stops at the first failure: KernelError names the object that was refused (perhaps of an earlier step, since
    messages travel together), HostError and StateError what the machine or the lab lacks. Deleting what is gone is
    no failure.
    """
    with Nodes(paths) as nodes:
        executor = _Executor(paths, keys, keeper, nodes, neighbours.moving(steps))
        last: Step | None = None
        for is_new_namespace, group in groupby(steps, _makes_namespace):
            together = list(group)
            if is_new_namespace:
                executor.create_namespaces([step.new for step in together if isinstance(step, Create)])
            for step in together:
                progress(step)
                if not is_new_namespace:
                    if drain_ms and isinstance(step, Delete) and not isinstance(last, Delete | None):
                        executor.drain(drain_ms)
                    executor.take(step)
                last = step
        executor.flush()
        if gone := neighbours.leaving(steps):
            neighbours.forget(paths, nodes, gone)


def _makes_namespace(step: Step) -> bool:
    return isinstance(step, Create) and isinstance(step.new, Namespace)


class _Executor:
    """One run over the steps: the open sockets, and the messages that wait for one namespace (`_lane`)."""

    def __init__(
        self,
        paths: Paths,
        keys: Mapping[str, bytes],
        keeper: ProcessKeeper,
        nodes: Nodes,
        moving: neighbours.Moving,
    ) -> None:
        self._paths = paths
        self._keys = keys
        self._keeper = keeper
        self._nodes = nodes
        self._moving = moving
        self._lane = ("", netlink.ROUTE)
        self._waiting: list[Message] = []

    def take(self, step: Step) -> None:
        """Carry out one step, or put it with those that wait."""
        item = step.old if isinstance(step, Delete) else step.new
        try:
            match step:
                case Create(new=new):
                    self._create(new)
                case Delete(old=old):
                    self._delete(old)
                case Change(old=old, new=new):
                    self._change(old, new)
                case _:
                    assert_never(step)
        except KernelError as error:
            if error.subject is not None:
                raise
            words = f"{type(step).__name__.lower()} {describe(item)}"
            raise KernelError(
                f"cannot {words}: {error.message}", subject=item, errno=error.errno, hint=error.hint
            ) from error

    def create_namespaces(self, items: Sequence[KernelObject]) -> None:
        """Make fresh namespaces, each with its settings, then its `lo`."""
        self.flush()
        namespaces = [item for item in items if isinstance(item, Namespace)]
        netns.create(self._paths, [item.name for item in namespaces])
        for item in namespaces:
            sysctl.prepare(self._paths.namespace(item.name), forwarding=item.forwarding)
            self._send(item.name, links.set_state("lo", "up", f"lo in {item.name}", item))

    def flush(self) -> None:
        """Send the messages that wait."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            name, family = self._lane
            self._nodes[name].connection(family).send(waiting)

    def drain(self, ms: float) -> None:
        """Have everything sent, and let time pass."""
        self.flush()
        time.sleep(ms / 1000)

    def _send(self, namespace: str, message: Message, family: int = netlink.ROUTE) -> None:
        if self._lane != (namespace, family):
            self.flush()
            self._lane = (namespace, family)
        self._waiting.append(message)

    def _index(self, namespace: str, device: str) -> int:
        node = self._nodes[namespace]
        if not node.knows(device):
            self.flush()
        return node.index(device)

    def _optional_index(self, namespace: str, device: str | None) -> int | None:
        return None if device is None else self._index(namespace, device)

    def _create(self, item: KernelObject) -> None:
        match item:
            case Namespace():
                self.create_namespaces([item])
            case Sysctl():
                self.flush()
                sysctl.write(self._paths.namespace(item.namespace), item.name, item.value, subject=item)
            case Bridge():
                self._send(item.namespace, links.bridge(item))
            case Veth():
                self._create_veth(item)
            case Gre():
                self._create_tunnel(item, links.gre(item))
            case XfrmInterface():
                index = self._index(item.namespace, item.device)
                self._create_tunnel(item, links.xfrm_interface(item, index))
            case Address():
                self._send(item.namespace, routes.address(item, self._index(item.namespace, item.device)))
                if item.address.ip in self._moving:
                    self.flush()
                    neighbours.forget(self._paths, self._nodes, [item.address.ip])
            case Route():
                self._send(item.namespace, routes.route(item, self._optional_index(item.namespace, item.device)))
            case XfrmState():
                self._send(item.namespace, xfrm.state(item, self._key(item.key)), netlink.XFRM)
            case XfrmPolicy():
                self._send(item.namespace, xfrm.policy(item), netlink.XFRM)
            case Ruleset():
                self.flush()
                iptables.restore(self._paths.namespace(item.namespace), item)
            case Shaper():
                for message in shaping.shape(item, self._index(item.namespace, item.device)):
                    self._send(item.namespace, message)
            case Process():
                self.flush()
                self._keeper.start(item)
            case _:
                assert_never(item)

    def _create_veth(self, item: Veth) -> None:
        a, b = self._nodes[item.a.namespace], self._nodes[item.b.namespace]
        self._send(item.a.namespace, links.veth(item, a.fd, b.fd, self._master(item.a)))
        self._send(item.b.namespace, links.attach(item, item.b, self._master(item.b)))
        self.flush()
        a.offloads_off(item.a.name)
        b.offloads_off(item.b.name)

    def _create_tunnel(self, item: Gre | XfrmInterface, message: Message) -> None:
        self._send(item.namespace, message)
        self.flush()
        self._nodes[item.namespace].offloads_off(item.name)

    def _master(self, end: End) -> int | None:
        return self._optional_index(end.namespace, end.master)

    def _key(self, name: str) -> bytes:
        try:
            return self._keys[name]
        except KeyError:
            raise StateError(f"the lab has no key {name}") from None

    def _delete(self, item: KernelObject) -> None:
        self.flush()
        if isinstance(item, Veth):
            self._delete_link(item, item.a.namespace, item.a.name)
            self._delete_link(item, item.b.namespace, item.b.name)
        elif isinstance(item, Namespace):
            self._nodes.close(item.name)
            netns.remove(self._paths, [item.name])
        elif isinstance(item, Process):
            self._keeper.stop(item)
        elif netns.exists(self._paths, item.namespace):
            try:
                self._delete_within(item)
            except KernelError as error:
                # Its device is gone, and took it along.
                if error.errno != errno.ENODEV:
                    raise

    def _delete_within(
        self, item: Sysctl | Bridge | Gre | XfrmInterface | Address | Route | XfrmState | XfrmPolicy | Ruleset | Shaper
    ) -> None:
        where = item.namespace
        match item:
            case Sysctl():
                # The value stays: what it was before is not known, and the namespace will take it along.
                pass
            case Bridge() | Gre() | XfrmInterface():
                self._delete_link(item, where, item.name)
            case Address():
                self._send(where, routes.delete_address(item, self._index(where, item.device)))
            case Route():
                self._send(where, routes.delete_route(item, self._optional_index(where, item.device)))
            case XfrmState():
                self._send(where, xfrm.delete_state(item), netlink.XFRM)
            case XfrmPolicy():
                self._send(where, xfrm.delete_policy(item), netlink.XFRM)
            case Ruleset():
                iptables.clear(self._paths.namespace(where), item)
            case Shaper():
                self._send(where, shaping.unshape(item, self._index(where, item.device)))
            case _:
                assert_never(item)

    def _delete_link(self, item: links.Link, namespace: str, device: str) -> None:
        if netns.exists(self._paths, namespace):
            self._send(namespace, links.delete(item, device))
            self.flush()
            self._nodes[namespace].forget(device)

    def _change(self, old: KernelObject, new: KernelObject) -> None:
        match old, new:
            case Namespace(), Namespace():
                self.flush()
                sysctl.forward(self._paths.namespace(new.name), forwarding=new.forwarding)
            case Ruleset(), Ruleset():
                self.flush()
                iptables.restore(self._paths.namespace(new.namespace), new, old)
            case Process(), Process():
                self.flush()
                self._keeper.change(old, new)
            case Route(), Route():
                index = self._optional_index(new.namespace, new.device)
                self._send(new.namespace, routes.route(new, index, replace=True))
            case XfrmPolicy(), XfrmPolicy():
                self._send(new.namespace, xfrm.policy(new, replace=True), netlink.XFRM)
            case (Sysctl(), Sysctl()) | (Shaper(), Shaper()):
                self._create(new)
            case Bridge(), Bridge():
                self._send(new.namespace, links.adjust(new, new.name, mtu=new.mtu, up=True))
            case Gre(), Gre() if replace(old, mtu=new.mtu, up=new.up) == new:
                self._send(new.namespace, links.adjust(new, new.name, mtu=new.mtu, up=new.up))
            case XfrmInterface(), XfrmInterface() if replace(old, mtu=new.mtu, up=new.up) == new:
                self._send(new.namespace, links.adjust(new, new.name, mtu=new.mtu, up=new.up))
            case Veth(), Veth() if replace(old, mtu=new.mtu) == new:
                for end in (new.a, new.b):
                    self._send(end.namespace, links.adjust(new, end.name, mtu=new.mtu, up=True))
            case _:
                self._delete(old)
                self._create(new)
