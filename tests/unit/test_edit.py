from __future__ import annotations

import pytest

from labctl.description.checks import ChangeSpec
from labctl.description.edit import edited
from labctl.description.tree import Mapping, Sequence, Tree, read_tree
from labctl.description.types import Refused

TEXT = b"""lab: x
resources:
  vra: {kind: gateway_appliance, static_routes: [a, b]}
  t1: {kind: ipsec_connection, weight: 100, check: {count: 3}}
"""


def tree() -> Tree:
    return read_tree(TEXT, "x.yaml")


def change(text: str) -> ChangeSpec:
    root = read_tree(text.encode(), "change").root
    values = root.entries.get("set")
    removed = root.entries.get("remove")
    return ChangeSpec(
        set=values.entries if isinstance(values, Mapping) else {},
        remove=tuple(item.text for item in removed.items) if isinstance(removed, Sequence) else (),  # type: ignore[union-attr]
    )


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


def test_several_values_are_put_in_their_order() -> None:
    assert at(edited(tree(), change("set: {t1.check: {count: 5}, t1.check.count: 7}")), "t1", "check", "count") == "7"


def test_the_original_is_never_changed() -> None:
    original, untouched = tree(), tree()
    edited(original, change("set: {t1.weight: 0, t2: {kind: site}}\nremove: [vra]"))
    assert original == untouched


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
    ],
)
def test_a_path_that_leads_nowhere_is_refused(words: str, rule: str) -> None:
    with pytest.raises(Refused) as refused:
        edited(tree(), change(words))
    assert refused.value.rule == rule


def test_without_resources_there_is_nothing_to_change() -> None:
    with pytest.raises(Refused):
        edited(read_tree(b"lab: x", "x.yaml"), change("set: {t1.weight: 0}"))
