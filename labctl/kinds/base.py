"""What every kind may use: the other resources, the claims on address space, and the pad to write the model on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

from labctl.description.document import Document
from labctl.description.faults import Mark, Path, written
from labctl.model.network import TRANSIT, Network

K = TypeVar("K")

UNUSABLE = {
    IPv4Network("0.0.0.0/8"): "which means this host (RFC 1122)",
    IPv4Network("127.0.0.0/8"): "which is loopback (RFC 1122)",
    IPv4Network("224.0.0.0/3"): "which is multicast or reserved (RFC 1112)",
    TRANSIT: "from which the lab numbers its own links",
}
"""What no host of a lab can have as its address."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A layer-2 segment with a prefix; its router has the first address."""

    segment: str
    prefix: IPv4Network

    @property
    def router(self) -> IPv4Address:
        """The address of the subnet's router."""
        return self.prefix.network_address + 1

    def interface(self, address: IPv4Address) -> IPv4Interface:
        """`address` with the subnet's prefix length."""
        return IPv4Interface((address, self.prefix.prefixlen))


class Kind(Protocol):
    """A cloud's noun. `kind` is its word in a description; the class docstring says what it is."""

    kind: ClassVar[str]

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        """The names that `me` brings into the lab, and what each may be used as (the first says what it is)."""
        ...

    def refuse(self, me: str, lab: Lab) -> None:
        """Report every rule that `me` breaks: `lab.fault`, `lab.claim_prefix`, `lab.claim_address`."""
        ...

    def place(self, me: str, lab: Lab) -> None:
        """Write the nodes and segments of `me`. What it refers to is placed already."""
        ...

    def join(self, me: str, lab: Lab) -> None:
        """Write what connects `me` to the others: routes, records, tunnels. Everything is placed already."""
        ...


@runtime_checkable
class HasSubnets(Protocol):
    """A kind with subnets, by the name that references use (`vpc1.app`)."""

    def subnets(self, me: str) -> dict[str, Subnet]:
        """The subnets of `me`."""
        ...


@dataclass(slots=True)
class Lab:
    """The description while it becomes a model."""

    document: Document
    net: Network = field(default_factory=Network)
    _prefixes: dict[str, list[tuple[IPv4Network, Path]]] = field(default_factory=dict)
    _hosts: dict[tuple[str, IPv4Address], Path] = field(default_factory=dict)

    def get(self, name: str, kind: type[K]) -> K:
        """The resource `name` (or the one that the part `name` belongs to), which is known to be a `kind`."""
        found = self.document.resources[self.owner(name)]
        assert isinstance(found, kind)
        return found

    def find(self, name: str, kind: type[K]) -> K | None:
        """The resource `name`, if it is there and is a `kind`."""
        found = self.document.resources.get(self.owner(name))
        return found if isinstance(found, kind) else None

    def owner(self, name: str) -> str:
        """The resource that brings `name` into the lab."""
        return next((me for me, each in self.document.resources.items() if name in each.names(me)), name)

    def all(self, kind: type[K]) -> Iterator[tuple[str, K]]:
        """Every resource that is a `kind`, in the order written."""
        return ((name, each) for name, each in self.document.resources.items() if isinstance(each, kind))

    def unread(self, kind: str) -> bool:
        """Whether a resource of this kind could not be read: what it would have said is not known."""
        text_at = self.document.reading.tree.text_at
        return any(text_at(("resources", name, "kind")) == kind for name in self.document.unread)

    def subnet(self, name: str) -> Subnet | None:
        """The subnet of this name, if it was read."""
        for me, each in self.all(HasSubnets):  # type: ignore[type-abstract]
            if name in (subnets := each.subnets(me)):
                return subnets[name]
        return None

    def the_subnet(self, name: str) -> Subnet:
        """The subnet of this name, which is known to exist."""
        found = self.subnet(name)
        assert found is not None, name
        return found

    def fault(self, path: Path, rule: str, hint: str = "", value: str | None = None) -> None:
        """Report a broken rule at a key path of the description."""
        self.document.reading.fault(("resources", *path), rule, hint, value)

    def claim_subnet(self, path: Path, prefix: IPv4Network, realm: str) -> None:
        """Take the prefix of a subnet in a realm of routing; a fault if it cannot hold a router and a host."""
        if prefix.prefixlen > 30:
            self.fault(path, "needs room for its router and a host: /30 or shorter", value=str(prefix))
        self.claim_prefix(path, prefix, realm)

    def claim_prefix(self, path: Path, prefix: IPv4Network, realm: str) -> None:
        """Take a prefix in a realm of routing; a fault if it overlaps what is taken there, or is not for hosts."""
        for closed, what in UNUSABLE.items():
            if prefix.overlaps(closed):
                self.fault(path, f"overlaps {closed}, {what}", value=str(prefix))
                return
        taken = self._prefixes.setdefault(realm, [])
        for other, place in taken:
            if prefix.overlaps(other) and place != path:
                self.fault(path, f"overlaps {other} of {self._place(place)}", value=str(prefix))
        taken.append((prefix, path))

    def claim_address(self, path: Path, address: IPv4Address, subnet: Subnet | None, *, router: bool = False) -> None:
        """Take an address in a subnet; a fault if it lies outside, is no host address, or is taken."""
        if subnet is None:
            return
        prefix, segment = subnet.prefix, subnet.segment
        if address not in prefix:
            self.fault(path, f"lies outside its subnet {segment} {prefix}", value=str(address))
        elif prefix.prefixlen < 31 and address in (prefix.network_address, prefix.broadcast_address):
            self.fault(path, f"is the network or broadcast address of {prefix}", value=str(address))
        elif address == subnet.router and not router:
            self.fault(path, f"is the address of the router of {segment}", value=str(address))
        elif (other := self._hosts.get((segment, address))) is not None:
            self.fault(path, f"is taken in {segment} by {self._place(other)}", value=str(address))
        else:
            self._hosts[segment, address] = path

    def _place(self, path: Path) -> str:
        mark: Mark = self.document.reading.tree.find(("resources", *path))
        return f"{written(path)} at line {mark.line}"


def refuse_speed(lab: Lab, me: str, speed: int | None) -> None:
    """A fault if a link has a speed at which nothing arrives."""
    if speed == 0:
        lab.fault((me, "speed"), "a link of no speed carries nothing; leave it out for one without a limit")
