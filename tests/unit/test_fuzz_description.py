"""Whatever the text, `describe` gives a description or a DescriptionError with located faults, and nothing else.

LABCTL_LONG=1 tries 20 000 mutations instead of a few.
"""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labctl.describe import Described, describe
from labctl.description.faults import Fault
from labctl.errors import DescriptionError
from labctl.plan.render import render_plan

TOPOLOGIES = sorted((Path(__file__).resolve().parents[2] / "topologies").glob("*.yaml"))
WRITTEN = [yaml.load(path.read_bytes(), Loader=yaml.BaseLoader) for path in TOPOLOGIES]
LONG = bool(os.environ.get("LABCTL_LONG"))

WORDS = """
~ true 0 -1 1e9 lo br0 a ../x a.b . .. ok 0.0.0.0 0.0.0.0/0 255.255.255.255 255.255.255.255/32 10.0.0.0/31
10.0.0.1/32 169.254.64.0/30 fd00::1 fd00::/8 10.0.0.300 10.0.0.0/33 10.240.0.0/24 224.0.0.1 tcp/0 tcp/443 icmp arp
bb inet inet.0 vpc1 vpc1.app vpc1-app vsi1 gw gw.isp1 gw.private vra.private dc power power.own classic cgw t1 byoip
P1 N1 D1 kms-a host link_down 0s 200ms
"""
NASTY = ["", "\u001b[31m", "x" * 99, "é", "$(x)", *WORDS.split()]

few = settings(
    max_examples=20_000 if LONG else 120,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
sparse = settings(few, max_examples=20_000 if LONG else 60)


def check(text: bytes) -> Described | None:
    """Describe `text`, and require that what is refused is refused with at least one fault at a place."""
    try:
        described = describe(text, "fuzz.yaml")
    except DescriptionError as error:
        assert error.faults
        assert all(isinstance(fault, Fault) and fault.mark.line >= 1 and fault.rule for fault in error.faults)
        assert all("\n" not in str(fault) and str(fault).isprintable() for fault in error.faults)
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
    match draw(st.sampled_from(["delete", "double", "graft", "nasty", "swap", "rename"])):
        case "delete":
            del home[key]
        case "double" if isinstance(home, list):
            home.append(copy.deepcopy(home[key]))
        case "double":
            home[f"{key}-2"] = copy.deepcopy(home[key])
        case "graft":
            home[key] = copy.deepcopy(every[draw(st.integers(0, len(every) - 1))])
        case "swap":
            other = keys[draw(st.integers(0, len(keys) - 1))]
            home[key], home[other] = home[other], home[key]
        case "rename" if isinstance(home, dict):
            home[draw(st.sampled_from(NASTY))] = home.pop(key)
        case _:
            home[key] = draw(st.sampled_from(NASTY))


@few
@given(st.data())
def test_a_mutated_topology_is_described_or_refused(data: st.DataObject) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from(WRITTEN)))
    for _ in range(data.draw(st.integers(1, 4))):
        if containers(document):
            mutate(document, data.draw)
    described = check(json.dumps(document).encode())
    for plan in described.changed.values() if described else ():
        assert render_plan(plan)
