from __future__ import annotations

import pytest

from labctl.description.faults import Fault, Mark
from labctl.description.reader import MAX_DEPTH, MAX_NODES
from labctl.description.sources import read_tree
from labctl.description.tree import Scalar, Sequence, Tree
from labctl.errors import DescriptionError


def read(text: str) -> Tree:
    return read_tree(text.encode(), "x.yaml")


def faults(text: str | bytes) -> list[str]:
    with pytest.raises(DescriptionError) as refused:
        read_tree(text if isinstance(text, bytes) else text.encode(), "x.yaml")
    return [str(fault) for fault in refused.value.faults]


@pytest.mark.parametrize("word", ["no", "1e3", "10:20", "0x1f", "2001-01-01", "True", "1_000", "=", "<<"])
def test_a_scalar_stays_the_characters_that_were_written(word: str) -> None:
    assert read(f"a: {word}").text_at(("a",)) == word


@pytest.mark.parametrize("nothing", ["", "~", "null", "Null", "NULL", "!!null ''"])
def test_nothing_is_known_from_an_empty_text(nothing: str) -> None:
    value = read(f"a: {nothing}").root.entries["a"]
    assert isinstance(value, Scalar)
    assert value.empty


@pytest.mark.parametrize("text", ["''", '""', "'null'", '"~"'])
def test_a_quoted_word_is_a_text(text: str) -> None:
    value = read(f"a: {text}").root.entries["a"]
    assert isinstance(value, Scalar)
    assert not value.empty


def test_marks_count_from_one_and_point_at_keys() -> None:
    tree = read("a:\n  b: [x, {c: y}]\n")
    assert tree.find(("a", "b")) == Mark(2, 3)
    assert tree.find(("a", "b", 1)) == Mark(2, 10)
    assert tree.find(("a", "b", 1, "c")) == Mark(2, 11)


def test_what_is_not_there_is_found_at_its_nearest_ancestor() -> None:
    tree = read("a:\n  b: [x]\n")
    assert tree.find(("a", "b", 7, "c")) == Mark(2, 3)
    assert tree.find(("z",)) == Mark(1, 1)
    assert tree.find(("a", 0)) == Mark(1, 1)
    assert tree.text_at(("a", "b", 7)) == tree.text_at(("a",)) == tree.text_at(("a", "b", 0, "c")) == ""


def test_columns_count_characters_not_bytes() -> None:
    assert read("é: {ü: 1}").find(("é", "ü")) == Mark(1, 5)


def test_every_duplicate_key_is_told_and_hides_no_other_fault() -> None:
    tree = read("a: 1\nb: {c: 1, c: 2}\na: {d: e}\na: 3\n")
    assert [str(fault) for fault in tree.faults] == [
        "x.yaml:2:11: b.c: this key is given twice, first at line 2 (keep one of the two)",
        "x.yaml:3:1: a: this key is given twice, first at line 1 (keep one of the two)",
        "x.yaml:4:1: a: this key is given twice, first at line 1 (keep one of the two)",
    ]
    assert [fault.other.mark for fault in tree.faults if fault.other] == [Mark(2, 5), Mark(1, 1), Mark(1, 1)]
    assert tree.text_at(("a",)) == "1"
    assert {"d", "e", "3", "2"} == tree.unread


def test_duplicates_inside_a_duplicate_are_told_too() -> None:
    assert len(read("a: 1\na: {b: 1, b: 2}\n").faults) == 2


def test_a_merge_key_puts_in_what_is_not_there() -> None:
    tree = read("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 9}\nd:\n  <<: *b\n")
    assert [tree.text_at(("c", key)) for key in "xyz"] == ["9", "2", "4"]
    assert [tree.text_at(("d", key)) for key in "xyz"] == ["", "3", "4"]
    assert tree.find(("c", "y")) == Mark(1, 14)
    assert tree.faults == ()


@pytest.mark.parametrize("text", ["a: {<<: 5}", "a: {<<: [{b: 1}, x]}"])
def test_a_merge_key_merges_mappings_only(text: str) -> None:
    [fault] = read(text).faults
    assert (fault.path, fault.rule[:15]) == ("a.<<", "merges mappings")


def test_merging_is_counted_as_much_as_what_it_merges() -> None:
    text = f"a: &a {{{', '.join(f'k{i}: 1' for i in range(1000))}}}\n" + "b:\n" + "- <<: *a\n" * (MAX_NODES // 1000)
    assert "more than 200000 values" in faults(text)[0]


@pytest.mark.parametrize(
    ("text", "path", "shown", "place"),
    [
        ("k: abc", ("k",), "abc", (1, 4, 3)),
        ("k: 'a b' # c", ("k",), "a b", (1, 4, 5)),
        ("key: abc", ("key",), "", (1, 1, 3)),
        ("k: [ab, cd]", ("k", 1), "cd", (1, 9, 2)),
        ("k: >\n  long\n  text", ("k",), "long text", (1, 4, 1)),
        ("a: &x abc\nk: *x", ("k",), "abc", (2, 1, 1)),
        ("k: {id: P1, x: 1}", ("k",), "P1", (1, 9, 2)),
        ("é: {ü: 1}", ("é", "ü"), "1", (1, 8, 1)),
        ("abc: 1", ("zzz",), "", (1, 1, 1)),
    ],
)
def test_a_place_is_that_of_the_value_shown_or_of_its_key(
    text: str, path: tuple[str | int, ...], shown: str, place: tuple[int, int, int]
) -> None:
    found = read(text).place(path, shown)
    assert (*found.mark, found.width) == place
    assert found.line == text.split("\n")[place[0] - 1]


def test_lines_end_where_yaml_ends_them() -> None:
    tree = read("a: 1\r\nb: 2\rc: 3\x85d: 4\u2028e: 5\n")
    for number, key in enumerate("abcde", 1):
        place = tree.place((key,), str(number))
        assert (place.mark, place.line) == (Mark(number, 4), f"{key}: {number}")


def test_an_alias_is_the_same_value() -> None:
    tree = read("a: &x {k: v}\nb: *x\n")
    assert tree.root.entries["a"] is tree.root.entries["b"]


def test_an_anchor_may_be_given_anew() -> None:
    tree = read("a: &x 1\nb: *x\nc: &x 2\nd: *x\n")
    assert (tree.text_at(("b",)), tree.text_at(("d",))) == ("1", "2")


def test_the_depth_of_an_alias_counts_where_it_is_used() -> None:
    half = MAX_DEPTH // 2 + 2
    deep = "[" * half + "x" + "]" * half
    text = f"a: &a {deep}\nb: {'[' * half}*a{']' * half}\n"
    assert faults(text) == [f"x.yaml:2:{4 + half}: the description has more than {MAX_DEPTH} levels"]


def test_an_alias_is_counted_each_time() -> None:
    rows = MAX_NODES // 1000
    text = f"a: &a [{'x, ' * 1000}]\n" + "b:\n" + "- *a\n" * rows
    assert "more than 200000 values, those of aliases included" in faults(text)[0]
    assert read(f"a: &a [{'x, ' * 1000}]\n" + "b:\n" + "- *a\n" * (rows - 2))


def test_the_deepest_nesting_allowed_is_read() -> None:
    depth = MAX_DEPTH - 1
    tree = read("a: " + "[" * depth + "]" * depth)
    node = tree.root.entries["a"]
    for _ in range(depth - 1):
        assert isinstance(node, Sequence)
        [node] = node.items
    assert node == Sequence((), node.at)


@pytest.mark.parametrize("opening", ["[", "- ", "{a: ", "? ", "a: [", "!!seq [", "&a ["])
def test_no_nesting_exhausts_the_stack(opening: str) -> None:
    assert len(faults("k:\n  " + opening * 300_000)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a: b: c",
        "a: [",
        "a: 'x",
        "%YAML 9\n---\na: 1",
        "@a",
        "a: !<x",
        "a: &",
        "a: *",
        "- a\nb: c",
        "\x85:[",
        "a: |0\n x",
    ],
)
def test_what_is_no_yaml_is_one_fault(text: str) -> None:
    assert len(faults(text)) == 1


def test_a_reader_error_names_the_character_and_its_place() -> None:
    assert faults("é: 1\nab\x07: 2\n") == ["x.yaml:2:3: `character U+0007`: YAML allows no such control character"]


def test_bytes_that_are_no_utf8_are_placed() -> None:
    assert faults(b"a: 1\nb: \xff\n") == ["x.yaml:2:4: `byte 0xff`: a description is UTF-8 text"]


def test_a_fault_is_one_printable_line_whatever_it_quotes() -> None:
    fault = Fault("x.yaml", Mark(1, 2), "a\n.b", "\x1b[31m" + "y" * 500, "is\twrong", "so\x00so")
    assert str(fault) == f"x.yaml:1:2: a\\n.b `\\x1b[31m{'y' * 55}...`: is\\twrong (so\\x00so)"


def test_keys_keep_their_order() -> None:
    assert list(read("b: 1\na: 2\nc: 3\n").root.entries) == ["b", "a", "c"]


def test_an_empty_mapping_is_a_mapping() -> None:
    root = read("{}").root
    assert (root.entries, root.keys, root.mark) == ({}, {}, Mark(1, 1))
