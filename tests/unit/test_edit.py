from __future__ import annotations

import pytest

from labctl.description.checks import EditSpec
from labctl.description.edit import edited, words
from labctl.description.record import RecordOf
from labctl.description.sources import read_tree
from labctl.description.tree import Mapping, Node, Scalar, Sequence, Tree
from labctl.description.types import Reading, Refused

TEXT = b"""lab: x
resources:
  vra: {kind: gateway_appliance, static_routes: [a, b], serves: udp/53, empty: }
  t1: {kind: ipsec_connection, weight: 100, check: {count: 3}}
"""


def tree() -> Tree:
    return read_tree(TEXT, "x.yaml")


def change(text: str) -> EditSpec:
    reading = Reading(read_tree(text.encode(), "change"))
    spec = RecordOf(EditSpec).read(reading.tree.root, (), reading)
    assert reading.faults == []
    return spec


def at(result: Tree, *path: str) -> str:
    return result.text_at(("resources", *path))


def test_a_value_is_replaced() -> None:
    assert at(edited(tree(), change("set: {t1.weight: 0}")), "t1", "weight") == "0"


def test_a_value_that_was_left_out_is_put() -> None:
    assert at(edited(tree(), change("set: {t1.mtu: 1300}")), "t1", "mtu") == "1300"


def test_a_value_inside_a_field_that_was_left_out_is_put() -> None:
    assert at(edited(tree(), change("set: {vra.public.inet: 1.2.3.4}")), "vra", "public", "inet") == "1.2.3.4"


def test_a_whole_resource_is_added_and_another_taken_away() -> None:
    result = edited(tree(), change("set: {t2: {kind: site}}\nremove: [t1]"))
    resources = result.root.entries["resources"]
    assert isinstance(resources, Mapping)
    assert list(resources.entries) == list(resources.keys) == ["vra", "t2"]


def test_a_field_is_taken_away() -> None:
    result = edited(tree(), change("remove: [vra.static_routes, t1.check.count]"))
    assert result.find(("resources", "vra", "static_routes")) == result.find(("resources", "vra"))
    assert at(result, "t1", "check", "count") == ""


def items(result: Tree, *path: str) -> list[str]:
    """The words of the list that stands at a path."""
    node = result.root.entries["resources"]
    for part in path:
        assert isinstance(node, Mapping)
        node = node.entries[part]
    assert isinstance(node, Sequence)
    return [each.text for each in node.items if isinstance(each, Scalar)]


@pytest.mark.parametrize("value", ["c", "[c]"])
def test_a_value_or_a_list_of_values_is_appended_to_a_list(value: str) -> None:
    assert items(edited(tree(), change(f"add: {{vra.static_routes: {value}}}")), "vra", "static_routes") == [*"abc"]


def test_a_value_without_brackets_becomes_the_first_of_a_list() -> None:
    assert items(edited(tree(), change("add: {vra.serves: [tcp/22, tcp/80]}")), "vra", "serves") == [
        *("udp/53", "tcp/22", "tcp/80"),
    ]


def test_entries_are_added_to_a_mapping_and_the_others_stay() -> None:
    result = edited(tree(), change("add: {t1.check: {interval: 1s}, t1.check.to: 1.2.3.4}"))
    assert [at(result, "t1", "check", key) for key in ("count", "interval", "to")] == ["3", "1s", "1.2.3.4"]


@pytest.mark.parametrize("place", ["vra.carries", "vra.empty"])
def test_what_is_added_to_a_field_that_was_left_out_is_its_value(place: str) -> None:
    result = edited(tree(), change(f"add: {{{place}: [x, y]}}"))
    assert items(result, *place.split(".")) == ["x", "y"]


def test_a_whole_resource_may_be_added() -> None:
    assert at(edited(tree(), change("add: {t2: {kind: site}}")), "t2", "kind") == "site"


def test_an_edit_first_sets_then_adds_then_removes() -> None:
    words = "set: {t1.check: {interval: 1s}}\nadd: {t1.check.to: x}\nremove: [t1.check.interval]"
    result = edited(tree(), change(words))
    assert [at(result, "t1", "check", key) for key in ("interval", "count", "to")] == ["", "", "x"]


def test_what_was_added_is_found_where_the_change_is_written() -> None:
    result = edited(tree(), change("\n\n\n\nadd:\n  vra.static_routes: [c,\n    d]\n  t1.check: {to: x}"))
    assert [result.find(("resources", "vra", "static_routes", i)).line for i in (0, 2, 3)] == [3, 6, 7]
    assert result.find(("resources", "t1", "check", "to")).line == 8


def test_several_values_are_put_in_their_order() -> None:
    assert at(edited(tree(), change("set: {t1.check: {count: 5}, t1.check.count: 7}")), "t1", "check", "count") == "7"


def plain(node: Node) -> object:
    """What a tree holds, and where each part of it stands."""
    if isinstance(node, Scalar):
        return node.text, node.mark
    if isinstance(node, Sequence):
        return [plain(each) for each in node.items], node.mark
    return {key: plain(each) for key, each in node.entries.items()}, node.mark


def test_the_original_is_never_changed() -> None:
    original, untouched = tree(), tree()
    edited(original, change("set: {t1.weight: 0, t2: {kind: site}}\nadd: {vra.static_routes: c}\nremove: [vra.kind]"))
    edited(original, change("add: {t1.check: {to: x}}\nremove: [vra]"))
    assert plain(original.root) == plain(untouched.root)


def test_a_value_that_was_put_is_found_where_the_change_is_written() -> None:
    result = edited(tree(), change("\n\n\n\n\nset: {t1.mtu: 1300}"))
    assert result.find(("resources", "t1", "mtu")).line == 6


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("set: {t9.weight: 0}", "`t9.weight` leads to nothing: there is no `t9`"),
        ("set: {t1.weight.x: 0}", "`t1.weight.x` leads into something that has no fields"),
        ("set: {vra.static_routes.0: c}", "`vra.static_routes.0` leads into something that has no fields"),
        ("set: {t1.check.deep.deeper: 0}", "`t1.check.deep.deeper` leads to nothing: there is no `deep`"),
        ("remove: [t9]", "`t9` leads to nothing: there is no `t9` to remove"),
        ("remove: [t1.mtu]", "`t1.mtu` leads to nothing: there is no `mtu` to remove"),
        ("remove: [t1.weight.x]", "`t1.weight.x` leads to nothing: there is no `x` to remove"),
        ("remove: ['']", "`` leads to nothing: there is no `` to remove"),
        ("add: {t9.weight: 0}", "`t9.weight` leads to nothing: there is no `t9`"),
        ("add: {t1.weight.x: 0}", "`t1.weight.x` leads into something that has no fields"),
        ("add: {t1.check: {to: x, count: 4}}", "`t1.check` has `count` already"),
        ("add: {t1.check: 4}", "`t1.check` is a mapping; what is added to it is a mapping of new entries"),
        ("add: {vra.static_routes: [c, b]}", "`vra.static_routes` has `b` already"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(words: str, rule: str) -> None:
    with pytest.raises(Refused) as refused:
        edited(tree(), change(words))
    assert refused.value.rule == rule


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("set: {t1.weight: 0, t9.weight: 0}", ("set", "t9.weight")),
        ("add: {t1.check: {count: 4}}", ("add", "t1.check")),
        ("remove: [t1, t9]", ("remove", 1)),
    ],
)
def test_a_refusal_says_which_part_of_the_edit_it_is_about(text: str, path: tuple[str | int, ...]) -> None:
    with pytest.raises(Refused) as refused:
        edited(tree(), change(text))
    assert refused.value.path == path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("set: {t1.weight: 0, t2.weight: 100}", "t1.weight: 0, t2.weight: 100"),
        ("set: {t1.check: {count: 5, to: x}}", "t1.check: {count: 5, to: x}"),
        ("add: {vpn.selectors.local: [192.168.51.0/24]}", "+ vpn.selectors.local: 192.168.51.0/24"),
        ("add: {byoip.carries.a: 192.168.51.0/24}", "+ byoip.carries.a: 192.168.51.0/24"),
        ("add: {power.subnets: {own2: {prefix: p}, own3: {prefix: q}}}", "+ power.subnets.own2, + power.subnets.own3"),
        (
            "add: {power.subnets.own2: {prefix: 192.168.51.0/24, lpars: {lpar2: 192.168.51.10}}}",
            "+ power.subnets.own2: {prefix: 192.168.51.0/24, lpars: {lpar2: 192.168.51.10}}",
        ),
        (
            f"add: {{power.subnets.own2: {{prefix: 192.168.51.0/24, comment: {'long ' * 30}}}}}",
            "+ power.subnets.own2",
        ),
        ("remove: [vra.static_routes, t1]", "- vra.static_routes, - t1"),
        ("set: {a.b: 1}\nadd: {c.d: [{x: y}]}\nremove: [e]", "a.b: 1, + c.d: {x: y}, - e"),
    ],
)
def test_an_edit_is_told_in_words(text: str, told: str) -> None:
    assert words(change(text)) == told


def test_an_edit_is_told_with_what_was_there_before() -> None:
    before = tree()
    [(path, was)] = [("t1.weight", before.text_at(("resources", "t1", "weight")))]
    assert words(change(f"set: {{{path}: 55}}"), before) == f"{path}: 55 (was {was})"
    assert words(change("set: {t1.nothing: 1}"), before) == "t1.nothing: 1"


def test_without_resources_there_is_nothing_to_change() -> None:
    with pytest.raises(Refused):
        edited(read_tree(b"lab: x", "x.yaml"), change("set: {t1.weight: 0}"))
