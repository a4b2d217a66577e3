from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from labctl.report.layout import Place, Size, _crossings, lay_out, layers_from, ordered


def placed(ties: Sequence[tuple[str, str]], root: str, gap: float = 10) -> dict[str, Place]:
    parts = list(dict.fromkeys(part for tie in ties for part in tie))
    layers = layers_from(root, parts, ties)
    rows = ordered(layers, ties)
    return lay_out(rows, {part: Size(40, 20) for part in parts}, ties, 30, gap)


def overlap(a: Place, b: Place) -> bool:
    return (
        abs(a.along - b.along) < (a.size.along + b.size.along) / 2 - 1e-6
        and abs(a.across - b.across) < (a.size.across + b.size.across) / 2 - 1e-6
    )


def test_layers_are_distances_from_the_root() -> None:
    ties = [("a", "x"), ("b", "x"), ("b", "y"), ("c", "y")]
    assert layers_from("a", ["a", "b", "c"], ties) == {
        "a": (0, 0), "x": (0, 1), "b": (0, 2), "y": (0, 3), "c": (0, 4),
    }  # fmt: skip


def test_what_nothing_joins_to_the_root_has_a_component_of_its_own() -> None:
    layers = layers_from("a", ["a", "b", "alone"], [("a", "x"), ("b", "y")])
    assert {part: component for part, (component, _) in layers.items()} == {"a": 0, "x": 0, "b": 1, "y": 1, "alone": 2}


def test_a_chain_is_straight() -> None:
    places = placed(list(pairwise("abcdef")), "a")
    assert len({round(place.across, 3) for place in places.values()}) == 1
    assert [place.along for place in places.values()] == sorted(place.along for place in places.values())


def test_ties_that_need_not_cross_do_not() -> None:
    ties = [("a", "x"), ("a", "y"), ("a", "z"), *(("x", each) for each in "1234"), ("y", "4"), ("z", "4"), ("y", "5")]
    layers = layers_from("a", list("axyz12345"), ties)
    rows = ordered(layers, ties)
    assert _crossings(rows, ties) == 0


def test_crossings_are_counted() -> None:
    rows = [["a", "b", "c"], ["x", "y"]]
    assert _crossings(rows, [("a", "x"), ("b", "y")]) == 0
    assert _crossings(rows, [("a", "y"), ("b", "x"), ("x", "c")]) == 2
    assert _crossings(rows, [("a", "x"), ("b", "x")]) == 0


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Nodes and what joins them: two sorts of parts, ties between the sorts alone."""
    nodes = draw(st.integers(1, 12))
    links = draw(st.integers(1, 10))
    pairs = st.tuples(st.integers(0, nodes - 1), st.integers(0, links - 1))
    return [(f"n{node}", f"l{link}") for node, link in draw(st.lists(pairs, min_size=1, max_size=40, unique=True))]


@given(graphs())
def test_nothing_overlaps_and_ties_join_neighbouring_layers(ties: list[tuple[str, str]]) -> None:
    places = placed(ties, ties[0][0])
    assert not [(a, b) for a, b in combinations(places, 2) if overlap(places[a], places[b])]
    assert {abs(places[a].along - places[b].along) for a, b in ties} == {70.0}
    assert min(place.across - place.size.across / 2 for place in places.values()) >= -1e-6


@given(graphs())
def test_the_same_graph_is_always_placed_the_same(ties: list[tuple[str, str]]) -> None:
    assert placed(ties, ties[0][0]) == placed(ties, ties[0][0])
