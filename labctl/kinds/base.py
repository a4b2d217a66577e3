"""What every kind may use: the other resources, the claims on address space, and the pad to write the model on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from labctl.description.document import Document
from labctl.description.faults import Path, written
from labctl.description.types import MapOf
from labctl.description.words import ADDRESS, PREFIX, integer
from labctl.kinds.claims import BITS, INSTEAD, OWNED, Realm, Span, closed, last, owned, span
from labctl.kinds.joints import Joins, Joints
from labctl.model.network import Network

K = TypeVar("K")

MTU = integer(68, 9216, "from the least that IPv4 allows (RFC 791) to jumbo frames")
STATIC_ROUTES = MapOf(PREFIX, ADDRESS, "prefixes")


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
        return IPv4Interface((int(address), self.prefix.prefixlen))


class Kind(Protocol):
    """A cloud's noun: a dataclass whose fields are `option`s, and whose docstring says what it is.

    `kind` is its word in a description, and `group` where it stands among the others. `becomes` tells what it is in the
    kernel, `cites` whose documentation it follows, by title (none for what is labctl's own), and `example` is YAML: the
    resources of a whole small lab.
    """

    kind: ClassVar[str]
    group: ClassVar[str]
    becomes: ClassVar[str]
    cites: ClassVar[tuple[str, ...]]
    example: ClassVar[str]

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
    """The description while it becomes a model. `late`: refusals that need what every resource has claimed; `ending`:
    what is written into the model once every resource has joined.
    """

    document: Document
    net: Network = field(default_factory=Network)
    late: list[Callable[[], None]] = field(default_factory=list)
    ending: list[Callable[[], None]] = field(default_factory=list)
    _realms: dict[str, Realm] = field(default_factory=dict)
    _hosts: dict[tuple[str, IPv4Address], Path] = field(default_factory=dict)
    _numbers: dict[int, Path] = field(default_factory=dict)
    _kinds: dict[type[Any], list[tuple[str, Any]]] = field(default_factory=dict)
    _joints: Joints | None = None
    _subnets: dict[str, Subnet] | None = None

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
        return self.document.parts.owners.get(name, name)

    def all(self, kind: type[K]) -> Iterable[tuple[str, K]]:
        """Every resource that is a `kind`, in the order written."""
        if kind not in self._kinds:
            fits = {each: issubclass(each, kind) for each in set(map(type, self.document.resources.values()))}
            self._kinds[kind] = [(me, each) for me, each in self.document.resources.items() if fits[type(each)]]
        return self._kinds[kind]

    def unread(self, kind: str) -> bool:
        """Whether a resource of this kind could not be read: what it would have said is not known."""
        text_at = self.document.reading.tree.text_at
        return any(text_at(("resources", name, "kind")) == kind for name in self.document.unread)

    def subnet(self, name: str) -> Subnet | None:
        """The subnet of this name, if it was read."""
        if self._subnets is None:
            owners = self.all(HasSubnets)  # type: ignore[type-abstract]
            self._subnets = {name: each for me, kind in owners for name, each in kind.subnets(me).items()}
        return self._subnets.get(name)

    def the_subnet(self, name: str) -> Subnet:
        """The subnet of this name, which is known to exist."""
        found = self.subnet(name)
        assert found is not None, name
        return found

    def fault(self, path: Path, rule: str, hint: str = "", value: str | None = None, other: Path | None = None) -> None:
        """Report a broken rule at a key path of the resources; `other` is the path of what it does not fit to."""
        beside: Path | None = None if other is None else ("resources", *other)
        self.document.reading.fault(("resources", *path), rule, hint, value, beside)

    def claim_subnet(self, path: Path, prefix: IPv4Network, realm: str) -> None:
        """Take the prefix of a subnet in a realm of routing; a fault if it cannot hold a router and a host."""
        if prefix.prefixlen > 30:
            self.fault(path, "needs room for its router and a host: /30 or shorter", value=str(prefix))
        self.claim_prefix(path, prefix, realm)

    def claim_prefix(self, path: Path, prefix: IPv4Network, realm: str) -> None:
        """Take a prefix in a realm of routing; a fault if it overlaps what is taken there, or is not for hosts."""
        self._claim_span(path, (int(prefix.network_address), prefix.prefixlen), prefix, realm)

    def _claim_span(self, path: Path, prefix: Span, words: object, realm: str, shown: str = "") -> None:
        shown = shown or str(words)
        if what := closed(prefix):
            self.fault(path, f"overlaps {what}", value=shown)
            return
        self._refuse_owned(path, prefix, shown)
        taken = self._realms.get(realm) or self._realms.setdefault(realm, Realm())
        for other, place in taken.overlapping(prefix):
            if place != path:  # one other place is enough to tell
                what = "" if shown == str(words) else f"{words} "
                rule = f"{what}is also claimed by {self._place(place)}"
                if str(other) != str(words):
                    rule = f"{what}overlaps {other}, which is claimed by {self._place(place)}"
                self.fault(path, rule, value=shown, other=place)
                break
        taken.take(prefix, words, path)

    def _refuse_owned(self, path: Path, prefix: Span, words: str) -> None:
        if not self.document.allow_public and owned(prefix):
            self.fault(path, OWNED, INSTEAD, value=words)

    def claim_end(self, path: Path, node: str, interface: IPv4Interface) -> None:
        """Take an address of `node` on a link: a fault if it is none for a host, is taken in the lab, or if another
        link of the node is in the same subnet.
        """
        number, network = int(interface), interface.network
        prefix = span(number, network.prefixlen)
        if prefix[1] < 31 and number in (prefix[0], last(prefix)):
            self.fault(path, f"is the network or broadcast address of {network}")
            return
        self._claim_span(path, prefix, network, f"at {node}", str(interface))
        self._claim_number(path, number)

    def claim_own(self, path: Path, address: IPv4Address) -> None:
        """Take an address that nothing else in the lab may have; a fault if it is taken, or is not for hosts."""
        if what := closed((int(address), BITS)):
            self.fault(path, f"lies in {what}")
        else:
            self._refuse_owned(path, (int(address), BITS), str(address))
        self._claim_number(path, int(address))

    def _claim_number(self, path: Path, number: int) -> None:
        other = self._numbers.setdefault(number, path)
        if other is not path:
            self.fault(path, f"this address is taken by {self._place(other)}", other=other)

    def claim_address(self, path: Path, address: IPv4Address, subnet: Subnet | None, *, router: bool = False) -> None:
        """Take an address in a subnet; a fault if it lies outside, is no host address, or is taken."""
        if subnet is None:
            return
        prefix, segment = subnet.prefix, subnet.segment
        hosts = f"hosts there have {prefix[2]} to {prefix[-2]}" if prefix.num_addresses > 4 else ""
        if address not in prefix:
            self.fault(path, f"lies outside its subnet {segment} {prefix}", hosts, str(address))
        elif prefix.prefixlen < 31 and address in (prefix.network_address, prefix.broadcast_address):
            self.fault(path, f"is the network or broadcast address of {prefix}", hosts, str(address))
        elif address == subnet.router and not router:
            self.fault(path, f"is the address of the router of {segment}", hosts, str(address))
        elif (other := self._hosts.get((segment, address))) is not None:
            rule = f"this address is taken in {segment} by {self._place(other)}"
            self.fault(path, rule, value=str(address), other=other)
        else:
            self._hosts[segment, address] = path

    def holds(self, segment: str, address: IPv4Address) -> bool:
        """Whether something has claimed `address` in `segment`."""
        return (segment, address) in self._hosts

    def refuse_routes(self, me: str, routes: dict[IPv4Network, IPv4Address], net: str = "") -> None:
        """Faults where the next hop of a static route is on no link of `me`, nor in the network `net` that it is in."""
        if self.unread("link") or self.unread("bridge"):
            return
        joints = self._joined()
        inside = self._prefixes_of(net) if net else []
        for prefix, via in routes.items():
            path = (me, "routes", str(prefix))
            if joints.is_own(me, via):
                self.fault(path, f"is an address of {me} itself: a next hop is a neighbour")
            elif not joints.reaches(me, via) and not any(via in each for each in inside):
                subnets = ", ".join(str(each) for each in (*joints.networks(me), *inside)[:4])
                hint = f"it is in {subnets}" if subnets else "it has no link at all"
                self.fault(path, f"is on no link of {me}, so nothing can be sent there", hint)

    def _joined(self) -> Joints:
        if self._joints is None:
            self._joints = Joints(each for _, each in self.all(Joins))  # type: ignore[type-abstract]
        return self._joints

    def _prefixes_of(self, net: str) -> list[IPv4Network]:
        """The prefixes of a subnet, or those of all subnets of the resource `net`."""
        owner = self.owner(net)
        found = self.find(owner, HasSubnets)  # type: ignore[type-abstract]
        subnets = found.subnets(owner) if found else {}
        return [each.prefix for name, each in subnets.items() if net in (name, owner)]

    def _place(self, path: Path) -> str:
        return f"{written(path)} at {self.document.reading.told(('resources', *path))}"


def refuse_speed(lab: Lab, me: str, speed: int | None) -> None:
    """A fault if a link has a speed at which nothing arrives."""
    if speed == 0:
        lab.fault((me, "speed"), "a link of no speed carries nothing; leave it out for one without a limit")
