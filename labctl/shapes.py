"""Descriptions of plain networks of any size: routers n0, n1, ... in a chain, a ring, a star or a leaf-spine.

Every link is a /30 of 10.0.0.0/8, counted from the first; router i has the loopback 10.255.0.0 + i. The routes are
those that the shape needs and no more, so that what a machine takes for them is that of the shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from labctl.errors import UsageError

SPINES = 4
MOST = 3000
"""Routers: a leaf-spine of as many has some 175 000 values (`labctl.description.tree.MAX_NODES`)."""
HOPS = 60
"""Routers that a ping may have to cross: an echo request leaves with a time to live of 64 (RFC 1700)."""

_LINKS, _LOOPBACKS, _PREFIX_LENGTH = IPv4Address("10.0.0.0"), IPv4Address("10.255.0.0"), 30
DEFAULT = "0.0.0.0/0"


@dataclass(frozen=True, slots=True)
class Joint:
    """A link between two routers by their numbers, and the address of each."""

    a: int
    b: int
    a_address: IPv4Address
    b_address: IPv4Address


@dataclass(slots=True)
class Shape:
    """A network: how many routers, what joins them, the routes of each (prefix, next hop), and who can ping whom."""

    nodes: int
    joints: list[Joint] = field(default_factory=list)
    routes: dict[int, list[tuple[str, IPv4Address]]] = field(default_factory=dict)
    ping: tuple[int, int] = (0, 0)

    def join(self, a: int, b: int) -> Joint:
        """Join two routers by the next free /30."""
        subnet = _LINKS + 4 * len(self.joints)
        self.joints.append(Joint(a, b, subnet + 1, subnet + 2))
        return self.joints[-1]

    def route(self, node: int, to: str, via: IPv4Address) -> None:
        """A static route of a router."""
        self.routes.setdefault(node, []).append((to, via))


def loopback(node: int) -> IPv4Address:
    """The address that a router is called by."""
    return _LOOPBACKS + node


def shape(name: str, nodes: int) -> Shape:
    """The network of this shape with so many routers. UsageError where there is none."""
    if name not in SHAPES:
        raise UsageError(f"there is no shape {name}", hint=f"one of {', '.join(SHAPES)}")
    least, make = SHAPES[name]
    if not least <= nodes <= MOST:
        raise UsageError(f"a {name} has {least} to {MOST} nodes, not {nodes}")
    made = Shape(nodes)
    make(made)
    return made


def _chain(net: Shape) -> None:
    _line(net, net.nodes - 1)


def _ring(net: Shape) -> None:
    _line(net, net.nodes)


def _line(net: Shape, links: int) -> None:
    """Everything goes onwards by default, and back to the first router by a route of its own."""
    for i in range(links):
        after = (i + 1) % net.nodes
        joint = net.join(i, after)
        if i < net.nodes - 1:
            net.route(i, DEFAULT, joint.b_address)
        if after:
            net.route(after, f"{loopback(0)}/32", joint.a_address)
    net.ping = min(net.nodes - 1, HOPS), 0


def _star(net: Shape) -> None:
    """The first router is the hub."""
    for i in range(1, net.nodes):
        joint = net.join(0, i)
        net.route(i, DEFAULT, joint.a_address)
        net.route(0, f"{loopback(i)}/32", joint.b_address)
    net.ping = 1, net.nodes - 1 if net.nodes > 2 else 0


def _leaf_spine(net: Shape) -> None:
    """The first routers are the spines. A leaf sends by the spine of its number, and every spine knows every leaf."""
    for i in range(SPINES, net.nodes):
        for spine in range(SPINES):
            joint = net.join(spine, i)
            if spine == i % SPINES:
                net.route(i, DEFAULT, joint.a_address)
            net.route(spine, f"{loopback(i)}/32", joint.b_address)
    # The answer finds its way where both leaves send by one spine, the first.
    last = (net.nodes - 1) // SPINES * SPINES
    net.ping = SPINES, last if last > SPINES else 0


SHAPES: dict[str, tuple[int, Callable[[Shape], None]]] = {
    "chain": (2, _chain),
    "ring": (3, _ring),
    "star": (2, _star),
    "leaf-spine": (SPINES + 1, _leaf_spine),
}
"""Each shape: how few routers it can have, and what makes it."""


def describe_shape(name: str, net: Shape, lab: str) -> str:
    """The description of `net`, a `name`, as the YAML text of the lab `lab`."""
    about = f"a {name} of {net.nodes} routers and {len(net.joints)} links"
    lines = [
        f"# {about}; made by `labctl new --shape {name} --nodes {net.nodes}`",
        f"lab: {lab}",
        f"about: {about}",
        "resources:",
        "  # routers: the address that each is called by, and its static routes (prefix: next hop)",
        *_routers(net),
        "  # links: a cable between two routers, with the address of each end",
        *_links(net),
        *_checks(net),
    ]
    return "\n".join(lines) + "\n"


def _routers(net: Shape) -> Iterator[str]:
    for i in range(net.nodes):
        routes = ", ".join(f"{to}: {via}" for to, via in net.routes.get(i, ()))
        written = f", routes: {{{routes}}}" if routes else ""
        yield f"  n{i}: {{kind: router, loopback: {loopback(i)}{written}}}"


def _links(net: Shape) -> Iterator[str]:
    for each in net.joints:
        ends = f"n{each.a}: {each.a_address}/{_PREFIX_LENGTH}, n{each.b}: {each.b_address}/{_PREFIX_LENGTH}"
        yield f"  n{each.a}-n{each.b}: {{kind: link, ends: {{{ends}}}}}"


def _checks(net: Shape) -> Iterator[str]:
    source, target = (f"n{each}" for each in net.ping)
    claim = f"about: {source} reaches {target}, from: {source}, do: {{ping: {{to: {target}}}}}, expect: ok"
    yield from ("checks:", f"  - {{id: P1, {claim}}}")
