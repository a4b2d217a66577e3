"""The generator of plain labs: its descriptions are sound, have the size that was asked for, and lead somewhere."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from labctl.describe import Described, describe
from labctl.description.reader import MAX_BYTES
from labctl.description.sources import read_tree
from labctl.description.tree import Mapping
from labctl.errors import UsageError
from labctl.model.network import Network
from labctl.shapes import HOPS, MOST, SHAPES, SPINES, describe_shape, shape

SIZES = {"chain": (2, 3, 70), "ring": (3, 4, 70), "star": (2, 3, 20), "leaf-spine": (5, 6, 8, 9, 10, 21)}
CASES = [(name, nodes) for name, sizes in SIZES.items() for nodes in sizes]


def made(name: str, nodes: int) -> Described:
    return describe(describe_shape(name, shape(name, nodes), "x").encode(), "x.yaml")


def way(net: Network, node: str, to: IPv4Address) -> list[str]:
    """The nodes that a packet from `node` to an address passes by their routes, the longest prefix first."""
    passed = [node]
    while net.holder(to) != passed[-1] and len(passed) < 100:
        here = passed[-1]
        links = [(wire.a_address, wire.b) for wire in net.wires if wire.a == here]
        links += [(wire.b_address, wire.a) for wire in net.wires if wire.b == here]
        fitting = [path for path in net.paths if path.node == here and to in path.to]
        best = max(fitting, key=lambda path: path.to.prefixlen, default=None)
        hop = next((to for mine, _ in links if to in mine.network), best.via if best else None)
        if hop is None:
            return [*passed, "nowhere"]
        passed.append(next(far for mine, far in links if hop in mine.network))
    return passed


@pytest.mark.parametrize(("name", "nodes"), CASES)
def test_a_shape_has_the_nodes_that_were_asked_for_and_all_of_them_are_joined(name: str, nodes: int) -> None:
    net = made(name, nodes).network
    assert list(net.nodes) == [f"n{i}" for i in range(nodes)]
    reached, frontier = {"n0"}, ["n0"]
    while frontier:
        here = frontier.pop()
        ends = [(wire.a, wire.b) for wire in net.wires if here in (wire.a, wire.b)]
        new = {node for pair in ends for node in pair} - reached
        reached |= new
        frontier += new
    # Two spines of a leaf-spine with one leaf meet at that leaf.
    assert reached == set(net.nodes)


@pytest.mark.parametrize(
    ("name", "nodes", "links"), [("chain", 10, 9), ("ring", 10, 10), ("star", 10, 9), ("leaf-spine", 10, 6 * SPINES)]
)
def test_a_shape_has_its_links(name: str, nodes: int, links: int) -> None:
    assert len(made(name, nodes).network.wires) == links


@pytest.mark.parametrize(("name", "nodes"), CASES)
def test_its_ping_finds_the_way_there_and_back_before_it_dies(name: str, nodes: int) -> None:
    described = made(name, nodes)
    [check] = described.checks
    net = described.network
    there = way(net, check.node, check.action.to)  # type: ignore[union-attr, arg-type]
    assert there[0] == check.node and there[-1] == net.holder(check.action.to)  # type: ignore[union-attr, arg-type]
    wire = next(each for each in net.wires if {each.a, each.b} == set(there[:2]))
    source = wire.a_address if wire.a == check.node else wire.b_address
    back = way(net, there[-1], source.ip)
    assert back[-1] == check.node
    assert max(len(there), len(back)) <= HOPS + 1 < 64


def test_the_routes_of_a_chain_lead_onwards_and_back_to_the_first() -> None:
    net = made("chain", 4).network
    assert way(net, "n3", IPv4Address("10.255.0.0")) == ["n3", "n2", "n1", "n0"]
    assert way(net, "n0", IPv4Address("10.255.0.3")) == ["n0", "n1", "n2", "n3"]


@pytest.mark.parametrize(
    ("name", "nodes"), [("chain", 1), ("ring", 2), ("star", 1), ("leaf-spine", 4), ("chain", MOST + 1)]
)
def test_a_size_that_a_shape_cannot_have_is_refused(name: str, nodes: int) -> None:
    with pytest.raises(UsageError, match=f"a {name} has [0-9]+ to {MOST} nodes, not {nodes}"):
        shape(name, nodes)


def test_an_unknown_shape_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        shape("torus", 9)
    assert refused.value.hint == f"one of {', '.join(SHAPES)}"


@pytest.mark.parametrize("name", SHAPES)
def test_the_largest_of_each_shape_is_within_the_limits_of_a_description(name: str) -> None:
    text = describe_shape(name, shape(name, MOST), "x").encode()
    assert len(text) < MAX_BYTES
    resources = read_tree(text, "x.yaml").root.entries["resources"]
    assert isinstance(resources, Mapping)
    assert len(resources.entries) >= 2 * MOST - 1


def test_the_same_shape_is_the_same_text() -> None:
    assert describe_shape("ring", shape("ring", 9), "x") == describe_shape("ring", shape("ring", 9), "x")
