from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labctl.codec import decode, encode
from labctl.describe import describe
from labctl.model.services import Program, Resolver, Server
from labctl.plan.objects import Plan
from labctl.probes.wire import Dns, Flow, Probe, Reply, Request, Tap

TOPOLOGIES = sorted((Path(__file__).resolve().parents[2] / "topologies").glob("*.yaml"))


@dataclass(frozen=True, slots=True)
class Leaf:
    number: int
    word: str = "x"


@dataclass(frozen=True, slots=True)
class Other:
    number: int


@dataclass(frozen=True, slots=True)
class Tree:
    leaf: Leaf | Other | None
    many: tuple[Leaf, ...]
    pair: tuple[int, str]
    table: dict[str, IPv4Address]
    mode: Literal["a", "b"]
    network: IPv4Network
    interface: IPv4Interface
    ratio: float
    flag: bool
    names: list[str] = field(default_factory=list)
    maybe: int | None = None


TREE = Tree(
    Other(7), (Leaf(1), Leaf(2, "y")), (3, "z"), {"k": IPv4Address("10.0.0.1")}, "b", IPv4Network("10.0.0.0/8"),
    IPv4Interface("10.0.0.1/8"), 0.5, True, ["n"], 4,
)  # fmt: skip


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(encode(value)))


def test_what_is_written_is_read_back_equal() -> None:
    assert decode(Tree, through_json(TREE)) == TREE


def test_none_is_read_back_as_none() -> None:
    tree = replace(TREE, leaf=None, maybe=None)
    assert decode(Tree, through_json(tree)) == tree


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_the_plan_of_a_shipped_topology_survives_the_round_trip(topology: Path) -> None:
    plan = describe(topology.read_bytes(), topology.name).plan
    assert decode(Plan, through_json(plan)) == plan


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_the_probes_of_a_shipped_topology_survive_the_round_trip(topology: Path) -> None:
    for check in describe(topology.read_bytes(), topology.name).checks:
        probe = Probe(check.node, check.action, check.taps, "marker", check.timeout_ms)
        assert decode(Request, through_json(probe)) == probe


def test_a_flow_inside_a_flow_is_read_back() -> None:
    flow = Flow("t", "n", "d", "gre", "a", "b", inner=Flow("", "", "", "tcp", "c", "d", sport=1))
    reply = Reply("ok", flows=(flow,))
    assert decode(Reply, through_json(reply)) == reply


def test_a_union_is_read_by_the_name_of_the_class() -> None:
    assert decode(Leaf | Other, {"is": "Other", "number": 1}) == Other(1)
    assert decode(Program, through_json(Resolver((), ()))) == Resolver((), ())


def test_a_whole_number_is_read_as_a_float() -> None:
    assert decode(float, 3) == 3


def test_a_field_with_a_default_may_be_left_out() -> None:
    assert decode(Leaf, {"is": "Leaf", "number": 1}) == Leaf(1)


WRONG: list[tuple[Any, Any]] = [
    (Leaf, {"is": "Leaf", "number": "1"}),
    (Leaf, {"is": "Leaf", "number": True}),
    (Leaf, {"is": "Other", "number": 1}),
    (Leaf, {"is": "Leaf"}),
    (Leaf, {"number": 1}),
    (Leaf, [1]),
    (Leaf | Other, {"is": "Tree", "number": 1}),
    (Leaf | Other, {"is": "Leaf", "number": None}),
    (Leaf | Other, 1),
    (int | None, "1"),
    (float, True),
    (bool, 1),
    (Literal["a", "b"], "c"),
    (Literal["a", "b"], ["a"]),
    (IPv4Address, "10.0.0.300"),
    (IPv4Address, 5),
    (IPv4Network, "10.0.0.1/8"),
    (tuple[int, ...], None),
    (tuple[int, ...], "12"),
    (tuple[int, str], [1]),
    (tuple[int, str], [1, "a", 2]),
    (dict[str, int], [1]),
    (dict[str, int], {"a": "b"}),
    (Server, {"is": "Server", "name": "a", "listens": [{"is": "Listen", "proto": "sctp", "port": 1}]}),
]


@pytest.mark.parametrize(("kind", "data"), WRONG, ids=str)
def test_what_stands_for_nothing_is_a_value_error(kind: Any, data: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(kind, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["Tree", "Leaf", "ok"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(["is", "node", "leaf", "many"]), each),
    max_leaves=8,
)


@settings(max_examples=150, derandomize=True, database=None)
@given(JSON)
def test_any_json_is_a_value_or_a_value_error(data: Any) -> None:
    for kind in (Tree, Request, Plan, Leaf | None):
        try:
            decode(kind, data)
        except ValueError:
            continue


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON form for bytes"):
        encode(b"key")
    with pytest.raises(TypeError, match="no JSON form for type"):
        encode(Leaf)


def test_addresses_and_sets_become_text_and_lists() -> None:
    assert encode(Dns(IPv4Address("10.0.0.1"), "a.b")) == {
        "is": "Dns", "server": "10.0.0.1", "name": "a.b", "type": "A", "transport": "udp",
    }  # fmt: skip
    assert encode(frozenset({1})) == [1]
    tap = {"is": "Tap", "name": "t", "namespace": "n", "device": "d", "direction": "both"}
    assert encode((Tap("t", "n", "d"),)) == [tap]
