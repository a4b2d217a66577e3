"""Whatever the text, `describe` gives a description or a DescriptionError with located faults, soon and nothing else.

LABCTL_LONG=1 tries 20 000 mutations instead of a few.
"""

from __future__ import annotations

import copy
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labctl.describe import Described, describe
from labctl.description.faults import Fault
from labctl.description.types import Refused
from labctl.errors import DescriptionError
from labctl.kinds.registry import ALIASES, KINDS
from labctl.plan.render import render_plan
from labctl.report.faults import fault_lines
from labctl.shapes import describe_shape, shape

TOPOLOGIES = sorted((Path(__file__).resolve().parents[2] / "topologies").glob("*.yaml"))
SHAPES = [("ring", 3), ("leaf-spine", 5), ("star", 3)]


def written(text: str | bytes) -> Any:
    return yaml.load(text, Loader=yaml.BaseLoader)


SKELETONS = [
    *(written(path.read_bytes()) for path in TOPOLOGIES),
    *(written(describe_shape(name, shape(name, nodes), "x")) for name, nodes in SHAPES),
    *({"lab": "x", "resources": written(kind.example)} for kind in KINDS.values()),
]
"""The shipped topologies, labs of plain routers, and the example of each kind."""
LONG = bool(os.environ.get("LABCTL_LONG"))
SECONDS = 2.0
"""Of a processor, that one description may take."""

WORDS = """
~ true 0 -1 1e9 lo br0 a ../x a.b . .. ok 0.0.0.0 0.0.0.0/0 255.255.255.255 255.255.255.255/32 10.0.0.0/31
10.0.0.1/32 169.254.64.0/30 fd00::1 fd00::/8 10.0.0.300 10.0.0.0/33 10.240.0.0/24 224.0.0.1 tcp/0 tcp/443 icmp arp
bb inet inet.0 vpc1 vpc1.app vpc1-app vsi1 gw gw.isp1 gw.private vra.private dc power power.own classic cgw t1 byoip
P1 N1 D1 kms-a host link_down 0s 200ms 8.8.8.8 100.64.0.0/10 10:20 no 1e3 0x10 1.5 99999999999999999999 ${a} ${a:-vpc1}
$${a} ${ << &a *a base.yaml ../base.yaml x.yaml
"""
NASTY = ["", "\u001b[31m", "x" * 99, "é", "$(x)", "東京\u202e", "a\tb", "a\u2028b", *WORDS.split()]

few = settings(
    max_examples=20_000 if LONG else 120,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
sparse = settings(few, max_examples=20_000 if LONG else 60)


@contextmanager
def soon() -> Iterator[None]:
    """Whatever takes longer fails, counted in the processor's time: it may be busy with other things."""

    def stop(*_: object) -> None:
        raise AssertionError(f"takes more than {SECONDS} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def check(text: bytes, others: dict[str, bytes] | None = None) -> Described | None:
    """Describe `text`, and require that what is refused is refused with at least one fault at a place."""

    def fetch(name: str) -> bytes:
        if name not in (others or {}):
            raise Refused("there is no such file")
        return (others or {})[name]

    with soon():
        try:
            described = describe(text, "fuzz.yaml", 1, fetch)
        except DescriptionError as error:
            assert error.faults
            assert all(isinstance(fault, Fault) and fault.mark.line >= 1 and fault.rule for fault in error.faults)
            assert all("\n" not in str(fault) and str(fault).isprintable() for fault in error.faults)
            lines = list(fault_lines(error.faults))
            assert all(line.isprintable() for line in lines)
            assert len(lines) >= len(error.faults) == len(set(error.faults))
            return None
    assert render_plan(described.plan)
    return described


@sparse
@given(st.binary(max_size=400))
def test_random_bytes_never_crash_the_reader(data: bytes) -> None:
    check(data)


@sparse
@given(st.sampled_from(TOPOLOGIES), st.integers(min_value=0), st.integers(0, 40), st.binary(max_size=8))
def test_a_topology_with_overwritten_bytes_never_crashes_the_reader(path: Path, at: int, cut: int, put: bytes) -> None:
    text = path.read_bytes()
    at %= len(text)
    check(text[:at] + put + text[at + cut :])


def containers(node: Any) -> list[Any]:
    """Every mapping and list below `node` that has something in it, `node` included."""
    below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return ([node] if isinstance(node, (dict, list)) and node else []) + [x for each in below for x in containers(each)]


def mutate(document: Any, draw: Any) -> None:
    """Change one thing: take it away, double it, put another part of the document in its place, or a nasty word."""
    every = containers(document)
    home = every[draw(st.integers(0, len(every) - 1))]
    keys = list(home) if isinstance(home, dict) else list(range(len(home)))
    key = keys[draw(st.integers(0, len(keys) - 1))]
    match draw(st.sampled_from(["delete", "double", "graft", "move", "nasty", "swap", "rename", "kind"])):
        case "delete":
            del home[key]
        case "double" if isinstance(home, list):
            home.append(copy.deepcopy(home[key]))
        case "double":
            home[f"{key}-2"] = copy.deepcopy(home[key])
        case "graft":
            home[key] = copy.deepcopy(every[draw(st.integers(0, len(every) - 1))])
        case "move":
            there = every[draw(st.integers(0, len(every) - 1))]
            moved = copy.deepcopy(home.pop(key))
            there.append(moved) if isinstance(there, list) else there.__setitem__(str(key), moved)
        case "swap":
            other = keys[draw(st.integers(0, len(keys) - 1))]
            home[key], home[other] = home[other], home[key]
        case "rename" if isinstance(home, dict):
            home[draw(st.sampled_from(NASTY))] = home.pop(key)
        case "kind":
            kinds = [each for each in every if isinstance(each, dict) and "kind" in each]
            if kinds:
                kinds[draw(st.integers(0, len(kinds) - 1))]["kind"] = draw(st.sampled_from([*KINDS, *ALIASES]))
        case _:
            home[key] = draw(st.sampled_from(NASTY))


def mutated(data: st.DataObject) -> Any:
    document = copy.deepcopy(data.draw(st.sampled_from(SKELETONS)))
    for _ in range(data.draw(st.integers(1, 4))):
        if containers(document):
            mutate(document, data.draw)
    return document


@few
@given(st.data())
def test_a_mutated_lab_is_described_or_refused(data: st.DataObject) -> None:
    described = check(json.dumps(mutated(data)).encode())
    for plan in described.changed.values() if described else ():
        assert render_plan(plan)


@sparse
@given(st.data())
def test_a_mutated_lab_of_two_files_with_variables_and_merges_is_described_or_refused(data: st.DataObject) -> None:
    main, base = mutated(data), mutated(data)
    if isinstance(main, dict):
        main.setdefault("include", "base.yaml")
        main.setdefault("variables", {"a": data.draw(st.sampled_from(NASTY))})
    text = json.dumps(main)
    for word in data.draw(st.lists(st.sampled_from(["kind", "x", "ok", "10.", "vpc1", "P1"]), max_size=2)):
        text = text.replace(f'"{word}', data.draw(st.sampled_from([f'"${{a:-{word}}}', f'&a "{word}', '*a , "'])), 1)
    text = text.replace('{"kind"', data.draw(st.sampled_from(['{"<<": {"k": 1}, "kind"', '{"kind"', '&b {"kind"'])), 2)
    described = check(text.encode(), {"base.yaml": json.dumps(base).encode()})
    if described:
        assert describe(described.text, "fuzz.yaml") == described
