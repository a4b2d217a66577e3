"""A model of the kernel for tests of plans: a set of objects that refuses what a kernel would refuse, or drop unasked.

Written apart from `labctl.plan.relations`, so that a mistake there is found here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from labctl.model.services import PathWatcher, Vrrp
from labctl.plan.objects import (
    Address,
    Bridge,
    Change,
    Create,
    Delete,
    Geneve,
    Gre,
    KernelObject,
    Namespace,
    Plan,
    Process,
    Route,
    Shaper,
    Step,
    Veth,
    XfrmInterface,
)

Key = tuple[type, object]
Device = tuple[str, str]


def key(each: KernelObject) -> Key:
    return type(each), each.identity


def table(plan: Plan) -> dict[Key, KernelObject]:
    return {key(each): each for each in plan.objects}


class Kernel:
    """What exists at an instant, as plans name it."""

    def __init__(self, plan: Plan) -> None:
        self.there = table(plan)

    def take(self, step: Step) -> None:
        """Carry out one step; AssertionError where a kernel would refuse it or lose something by it."""
        match step:
            case Create(new=new):
                assert key(new) not in self.there, f"{new} is there already"
                self._admit(new)
                self.there[key(new)] = new
            case Delete(old=old):
                assert self.there.pop(key(old)) == old
                self._nothing_dangles(f"without {old}")
            case Change(old=old, new=new):
                assert self.there[key(new)] == old != new
                self.there[key(new)] = new
                self._admit(new)

    def everything(self) -> Iterable[KernelObject]:
        return self.there.values()

    def devices(self) -> Iterator[Device]:
        for each in self.everything():
            if isinstance(each, Veth):
                yield from ((end.namespace, end.name) for end in (each.a, each.b))
            elif isinstance(each, (Bridge, Gre, Geneve, XfrmInterface)):
                yield each.namespace, each.name
            elif isinstance(each, Namespace):
                yield each.name, "lo"

    def addresses(self, namespace: str) -> list[Address]:
        return [each for each in self.everything() if isinstance(each, Address) and each.namespace == namespace]

    def _admit(self, new: KernelObject) -> None:
        devices = list(self.devices())
        assert self._stands(new, set(devices)), f"{new} has nothing to lie on"
        assert not isinstance(new, (Veth, Bridge, Gre, Geneve, XfrmInterface)) or not self._takes(new, devices)
        for each in self.everything():
            if each == new or type(each) is not type(new):
                continue
            if isinstance(each, Gre) and isinstance(new, Gre):
                ends = [(one.namespace, one.local, one.remote, one.key) for one in (each, new)]
                assert ends[0] != ends[1], f"{new}: there is such a tunnel"
            if isinstance(each, Geneve) and isinstance(new, Geneve):
                peers = [(one.namespace, one.vni, one.remote) for one in (each, new)]
                assert peers[0] != peers[1], f"{new}: there is such a tunnel"
            if isinstance(each, Address) and isinstance(new, Address) and each.address.ip == new.address.ip:
                assert each.namespace == new.namespace, f"{new}: two nodes have it"
            if isinstance(each, XfrmInterface) and isinstance(new, XfrmInterface):
                assert (each.namespace, each.if_id) != (new.namespace, new.if_id), f"{new}: the if_id is taken"

    def _takes(self, new: KernelObject, devices: list[Device]) -> bool:
        ends = [new.a, new.b] if isinstance(new, Veth) else [new]
        mine = {(getattr(end, "namespace", ""), getattr(end, "name", "")) for end in ends}
        present = 0 if key(new) not in self.there else len(ends)
        return sum(device in mine for device in devices) > present

    def _nothing_dangles(self, when: str) -> None:
        devices = set(self.devices())
        for each in self.everything():
            assert self._stands(each, devices), f"{each} hangs in the air {when}"

    def _stands(self, each: KernelObject, devices: set[Device]) -> bool:
        """Whether the kernel would keep `each` as things are."""
        match each:
            case Namespace():
                return True
            case Veth(a=a, b=b):
                ends = [(end.namespace, end.master) for end in (a, b) if end.master]
                return self._lives(a.namespace) and self._lives(b.namespace) and devices.issuperset(ends)
            case Geneve():
                return self._lives(each.namespace) and (each.master is None or (each.namespace, each.master) in devices)
            case Process(program=Vrrp(addresses=addresses)):
                return devices.issuperset((each.namespace, device) for device, _ in addresses)
            case Address() | Shaper() | XfrmInterface():
                return (each.namespace, each.device) in devices
            case Route():
                return self._lives(each.namespace) and self._leads(each, devices)
            case Process(program=PathWatcher(paths=paths)):
                mine = {(each.namespace, device) for path in paths for device in (path.device, path.carrier)}
                return mine <= devices
            case _:
                return self._lives(each.namespace)

    def _leads(self, route: Route, devices: set[Device]) -> bool:
        held = self.addresses(route.namespace)
        if route.source is not None and route.source not in [each.address.ip for each in held]:
            return False
        if route.device is not None and (route.namespace, route.device) not in devices:
            return False
        near = [each for each in held if route.device in (None, each.device)]
        return route.via is None or any(route.via in each.address.network for each in near)

    def _lives(self, namespace: str) -> bool:
        return (Namespace, namespace) in self.there
