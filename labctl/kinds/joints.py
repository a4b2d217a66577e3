"""Which nodes are joined with which, and where a next hop can be: what links and bridges say together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Protocol, runtime_checkable


@runtime_checkable
class Joins(Protocol):
    """A kind that joins nodes which are written elsewhere: a link, a bridge."""

    def joined(self) -> dict[str, IPv4Interface]:
        """The nodes, and the address of each there."""
        ...


class Joints:
    """Everything in a lab that joins nodes."""

    def __init__(self, joining: Iterable[Joins]) -> None:
        self._at: dict[str, list[IPv4Interface]] = {}
        self._holders: dict[int, tuple[str, Mapping[str, IPv4Interface]]] = {}
        for each in joining:
            joined = each.joined()
            for node, interface in joined.items():
                self._at.setdefault(node, []).append(interface)
                self._holders[int(interface)] = node, joined

    def networks(self, node: str) -> list[IPv4Network]:
        """The subnets that a node has an end in."""
        return [each.network for each in self._at.get(node, ())]

    def is_own(self, node: str, address: IPv4Address) -> bool:
        """Whether `node` itself has `address` on one of its links."""
        return self._holders.get(int(address), ("",))[0] == node

    def reaches(self, node: str, address: IPv4Address) -> bool:
        """Whether `address` is in a subnet that `node` has an end in. What a neighbour holds is found at once."""
        _, joined = self._holders.get(int(address), ("", {}))
        return node in joined or any(address in each for each in self.networks(node))
