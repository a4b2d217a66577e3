"""Resources are read once: an edited tree takes from the original what the edit left alone."""

from __future__ import annotations

import pytest
from core_lab import PLAIN, text_of

from labctl.describe import describe
from labctl.description.checks import EditSpec
from labctl.description.edit import edited
from labctl.description.resources import Resources, read_resources
from labctl.description.sources import read_tree
from labctl.description.tree import Scalar, Tree
from labctl.errors import DescriptionError
from labctl.kinds.registry import ALIASES, KINDS

R1 = {"r1.loopback": Scalar("10.255.0.9", None)}


def tree_of(rows: str) -> Tree:
    return read_tree(text_of(rows), "x.yaml")


def resources(tree: Tree, like: Resources | None = None) -> Resources:
    return read_resources(tree, KINDS, ALIASES, like)


def told(found: Resources) -> tuple[object, ...]:
    return found.values, found.names, found.owners, found.mentions, found.loose, found.unread


def test_the_same_resources_are_not_read_again() -> None:
    tree = tree_of(PLAIN)
    found = resources(tree)
    assert resources(Tree("x.yaml", tree.root._replace(entries=dict(tree.root.entries))), found) is found


def test_an_edit_has_only_what_it_touches_read_again() -> None:
    tree = tree_of(PLAIN)
    before = resources(tree)
    after = resources(edited(tree, EditSpec(set=R1, remove=("lan",))), before)
    kept = {name for name, each in after.values.items() if each is before.values[name]}
    assert kept == before.values.keys() - {"r1", "lan"}
    assert str(after.values["r1"].loopback) == "10.255.0.9"


@pytest.mark.parametrize(
    "edit", [EditSpec(set=R1), EditSpec(remove=("r2",)), EditSpec(remove=("h1-r1.ends.h1", "lan"))]
)
def test_reading_on_from_the_original_gives_what_reading_afresh_gives(edit: EditSpec) -> None:
    tree = tree_of(PLAIN)
    changed = edited(tree, edit)
    assert told(resources(changed, resources(tree))) == told(resources(changed))


def test_what_cannot_be_read_is_told_of_the_edited_tree_too() -> None:
    tree = tree_of(PLAIN.replace("10.0.0.2/30", "10.0.0/30"))
    first = resources(tree)
    assert [fault.path for fault in first.faults] == ["resources.r1-r2.ends.r2"]
    assert resources(edited(tree, EditSpec(set=R1)), first).faults == first.faults


def test_a_fault_that_only_a_change_makes_is_told_at_the_change() -> None:
    tail = """checks:
  - {id: P1, about: a, from: h1, do: {tcp: {to: h2, port: 80}}, expect: ok}
changes:
  - {id: C1, about: a, during: P1, remove: [r2], bounds: {lost: 0}}
"""
    with pytest.raises(DescriptionError) as refused:
        describe(text_of(PLAIN, tail), "x.yaml")
    assert any("resources.r1-r2.ends.r2" in str(fault) for fault in refused.value.faults)
