"""Carries out the steps of a plan: what is new together (`labctl.kernel.creating`), what changes or goes in its turn.

Nothing changes or goes before all that came ahead of it in the steps is there.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, assert_never

from labctl.errors import KernelError
from labctl.kernel import (
    conntrack,
    geneve,
    iptables,
    links,
    neighbours,
    netlink,
    netns,
    routes,
    rules,
    shaping,
    sysctl,
    xfrm,
)
from labctl.kernel.creating import Creating
from labctl.kernel.netlink import Message
from labctl.kernel.nodes import Nodes
from labctl.kernel.nursery import Nursery
from labctl.kernel.paths import Paths
from labctl.kernel.words import describe
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
    Process,
    Route,
    RouteRule,
    Ruleset,
    Shaper,
    Step,
    Sysctl,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)

Within = (
    Sysctl
    | Bridge
    | Gre
    | Geneve
    | XfrmInterface
    | Address
    | Neighbour
    | Foreign
    | Route
    | RouteRule
    | XfrmState
    | XfrmPolicy
    | Ruleset
    | Shaper
)
"""What lies in a namespace and can be taken out of it by a message."""


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
    nursery: Nursery | None = None,
) -> None:
    """Carry out `steps`; `progress` is told of each when its turn comes, of new things before they are made together.

    Before anything goes after other things came, `drain_ms` pass: what is still under way by it shall arrive.
    `nursery`: where namespaces may have been begun with already.

    Stops at the first failure: KernelError names the object that was refused (perhaps of an earlier step, since
    messages travel together), HostError and StateError what the machine or the lab lacks. Deleting what is gone is
    no failure.
    """
    with Nodes(paths) as nodes, Creating(paths, keys, nodes, keeper.start, nursery) as creating:
        executor = _Executor(paths, keeper, nodes, creating)
        moving = neighbours.moving(steps)
        last: Step | None = None
        for step in steps:
            progress(step)
            if isinstance(step, Create):
                executor.create(step.new)
                if moving and isinstance(step.new, Address) and step.new.address.ip in moving:
                    executor.flush()
                    neighbours.forget(paths, nodes, [step.new.address.ip])
            else:
                if drain_ms and isinstance(step, Delete) and not isinstance(last, Delete | None):
                    executor.flush()
                    time.sleep(drain_ms / 1000)
                executor.take(step)
            last = step
        executor.flush()
        conntrack.forget_left(paths, steps)
        if gone := neighbours.leaving(steps):
            neighbours.forget(paths, nodes, gone)


class _Executor:
    """One run over the steps: what is being gathered, and the messages that wait for one namespace (`_lane`)."""

    def __init__(self, paths: Paths, keeper: ProcessKeeper, nodes: Nodes, creating: Creating) -> None:
        self._paths = paths
        self._keeper = keeper
        self._nodes = nodes
        self._creating = creating
        self._lane = ("", netlink.ROUTE)
        self._waiting: list[Message] = []

    def create(self, item: KernelObject) -> None:
        """Gather `item`, after what changes or goes before it."""
        self._send_waiting()
        self._creating.add(item)

    def take(self, step: Delete | Change) -> None:
        """Carry out one step, or put it with those that wait."""
        self._creating.flush()
        item = step.old if isinstance(step, Delete) else step.new
        try:
            match step:
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

    def flush(self) -> None:
        """Have everything done that was taken so far."""
        self._creating.flush()
        self._send_waiting()

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            name, family = self._lane
            self._nodes[name].connection(family).send(waiting)

    def _send(self, namespace: str, message: Message, family: int = netlink.ROUTE) -> None:
        if self._lane != (namespace, family):
            self._send_waiting()
            self._lane = (namespace, family)
        self._waiting.append(message)

    def _index(self, namespace: str, device: str) -> int:
        return self._nodes[namespace].index(device)

    def _optional_index(self, namespace: str, device: str | None) -> int | None:
        return None if device is None else self._index(namespace, device)

    def _delete(self, item: KernelObject) -> None:
        self._send_waiting()
        if isinstance(item, Veth):
            self._delete_link(item, item.a.namespace, item.a.name)
            self._delete_link(item, item.b.namespace, item.b.name)
        elif isinstance(item, Namespace):
            self._nodes.forget(item.name)
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

    def _delete_within(self, item: Within) -> None:
        where = item.namespace
        match item:
            case Sysctl():
                # The value stays: what it was before is not known, and the namespace will take it along.
                pass
            case Foreign():
                self._send(where, _removal(item), item.removal.family)
                for device in (name for kind, _, name, *_ in item.takes if kind == "device"):
                    self._nodes.indexes(where).pop(device, None)
            case Bridge() | Gre() | Geneve() | XfrmInterface():
                self._delete_link(item, where, item.name)
            case Address():
                self._send(where, routes.delete_address(item, self._index(where, item.device)))
            case Neighbour():
                self._send(where, neighbours.delete_neighbour(item, self._index(where, item.device)))
            case Route():
                self._send(where, routes.delete_route(item, self._optional_index(where, item.device)))
            case RouteRule():
                self._send(where, rules.delete_rule(item))
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
            self._send_waiting()
            self._nodes.indexes(namespace).pop(device, None)

    def _change(self, old: KernelObject, new: KernelObject) -> None:
        match old, new:
            case Namespace(), Namespace():
                self._send_waiting()
                sysctl.forward(self._paths.namespace(new.name), forwarding=new.forwarding)
                for message in (links.loopback(new), *rules.usual(new)):
                    self._send(new.name, message)
                netns.name(self._paths, new.name)
            case Ruleset(), Ruleset():
                self._send_waiting()
                iptables.restore(self._paths.namespace(new.namespace), new, old)
            case Process(), Process():
                self._send_waiting()
                self._keeper.change(old, new)
            case Route(), Route():
                index = self._optional_index(new.namespace, new.device)
                self._send(new.namespace, routes.route(new, index, replace=True))
            case XfrmPolicy(), XfrmPolicy():
                self._send(new.namespace, xfrm.policy(new, replace=True), netlink.XFRM)
            case Sysctl(), Sysctl():
                self._send_waiting()
                sysctl.write(self._paths.namespace(new.namespace), new.name, new.value, subject=new)
            case Shaper(), Shaper():
                for message in shaping.shape(new, self._index(new.namespace, new.device)):
                    self._send(new.namespace, message)
            case Neighbour(), Neighbour():
                self._send(new.namespace, neighbours.neighbour(new, self._index(new.namespace, new.device)))
            case Bridge(), Bridge():
                self._send(new.namespace, links.adjust(new, new.name, mtu=new.mtu, up=new.up))
            case Gre(), Gre() if replace(old, mtu=new.mtu, up=new.up) == new:
                self._send(new.namespace, links.adjust(new, new.name, mtu=new.mtu, up=new.up))
            case Geneve(), Geneve() if old.vni == new.vni:
                master = self._optional_index(new.namespace, new.master) or 0
                for message in geneve.adjust(old, new, master):
                    self._send(new.namespace, message)
            case XfrmInterface(), XfrmInterface() if replace(old, mtu=new.mtu, up=new.up) == new:
                self._send(new.namespace, links.adjust(new, new.name, mtu=new.mtu, up=new.up))
            case Veth(), Veth() if (old.b.namespace, old.b.name) == (new.b.namespace, new.b.name):
                for before, end in ((old.a, new.a), (old.b, new.b)):
                    master = self._optional_index(end.namespace, end.master) or 0
                    self._send(end.namespace, links.adjust_end(new, before, end, master))
            case _:
                self._delete(old)
                self.create(new)


# What is said of a thing that is gone already, by one netlink family or the other.
_GONE = (errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL, errno.EINVAL)


def _removal(item: Foreign) -> Message:
    body = bytes.fromhex(item.removal.body)
    return Message(item.removal.type, 0, body, ("delete", item), item, tolerated=_GONE)
