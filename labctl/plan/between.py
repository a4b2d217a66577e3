"""Which nodes lie between two: those on the ways over the fewest links, all of them where there are several."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from labctl.plan.objects import Address, Plan, Veth


def between(plan: Plan, node: str, address: IPv4Address) -> tuple[str, ...]:
    """The nodes on the shortest ways from `node` to those that hold `address`, nearest first and both ends included.

    Links are followed whatever routes and rules say: where a packet should have gone is not known of one that was lost.
    """
    near = _neighbours(plan)
    holders = {each.namespace for each in plan.objects if isinstance(each, Address) and each.address.ip == address}
    here = _distances(near, node)
    found: set[str] = set()
    for holder in holders & here.keys():
        there = _distances(near, holder)
        found |= {each for each in here if here[each] + there[each] == here[holder]}
    return tuple(sorted(found, key=lambda each: (here[each], each)))


def _neighbours(plan: Plan) -> dict[str, set[str]]:
    near: dict[str, set[str]] = {}
    for each in plan.objects:
        if isinstance(each, Veth):
            near.setdefault(each.a.namespace, set()).add(each.b.namespace)
            near.setdefault(each.b.namespace, set()).add(each.a.namespace)
    return near


def _distances(near: Mapping[str, Iterable[str]], node: str) -> dict[str, int]:
    """How many links each node that can be reached is away."""
    found = {node: 0}
    waiting = deque([node])
    while waiting:
        here = waiting.popleft()
        for other in near.get(here, ()):
            if other not in found:
                found[other] = found[here] + 1
                waiting.append(other)
    return found
