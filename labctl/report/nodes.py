"""The nodes of a lab as they are: their devices with state, MTU (bytes) and addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labctl.plan.objects import Address, Bridge, Geneve, Gre, KernelObject, Namespace, Plan, Veth, XfrmInterface

Facts = dict[str, dict[str, dict[str, Any]]]


def node_facts(observed: Plan) -> Facts:
    """Node to device to facts; the loopback only where it has an address of the lab's.

    An end of a link is down if the other end is: it has no carrier then.
    """
    nodes: Facts = {each.name: {} for each in observed.objects if isinstance(each, Namespace)}
    for each in observed.objects:
        for namespace, device, up, mtu in _devices(each):
            facts: dict[str, Any] = {"state": "up" if up else "down", "mtu": mtu, "addresses": []}
            nodes.setdefault(namespace, {})[device] = facts
    for each in observed.objects:
        if isinstance(each, Address):
            loopback: dict[str, Any] = {"state": "up", "mtu": 65536, "addresses": []}
            found = nodes.setdefault(each.namespace, {}).setdefault(each.device, loopback)
            found["addresses"].append(str(each.address))
    return nodes


def _devices(each: KernelObject) -> Iterator[tuple[str, str, bool, int]]:
    match each:
        case Veth(a=a, b=b, mtu=mtu):
            for end in (a, b):
                yield end.namespace, end.name, a.up and b.up, mtu
        case Bridge() | Gre() | Geneve() | XfrmInterface():
            yield each.namespace, each.name, each.up, each.mtu
        case _:
            pass
