"""`labctl list` and `labctl inspect`: what is there, without touching it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labctl import state
from labctl.cli import guests
from labctl.errors import StateError
from labctl.kernel.paths import Paths
from labctl.plan.objects import Namespace

if TYPE_CHECKING:
    from labctl.plan.reasons import Difference

_COLOURS = {"+": "green", "-": "red", "~": "yellow"}


def show_labs(*, as_json: bool) -> None:
    """Every lab of this machine."""
    labs = [*state.labs(), *guests.summaries()]
    if as_json:
        print(json.dumps({"labs": [_lab_data(each) for each in labs]}))
        return
    for each in labs:
        print(f"{each.lab:<32} {each.status:<10} {each.nodes:>4} namespaces  {each.where:<5} {each.source}")


def _lab_data(each: state.LabSummary) -> dict[str, Any]:
    return {
        "lab": each.lab,
        "status": each.status,
        "source": each.source,
        "created_at": each.created_at,
        "where": each.where,
        "namespaces": each.nodes,
    }


def inspect(name: str, *, as_json: bool) -> None:
    """One lab: its nodes with their devices and addresses as the kernel has them, its programs, and what its
    description says of resources that no device shows.
    """
    from labctl.describe import describe
    from labctl.drift import observed
    from labctl.report.nodes import node_facts

    paths = Paths(name)
    saved = state.load(paths)
    nodes = [each.name for each in saved.plan.objects if isinstance(each, Namespace)]
    found = node_facts(observed(paths, (saved.plan,)))
    programs, trouble = _programs(paths)
    states = describe(saved.description.encode(), saved.journal.source, saved.journal.time_scale).network.states
    gone = [node for node in nodes if node not in found]
    if gone:
        lost = f"the namespaces of {', '.join(gone)} are gone: `labctl apply {saved.journal.source}` makes them anew"
        trouble = f"{lost}; {trouble}" if trouble else lost
    if as_json:
        data = {"lab": name, "status": saved.status, "nodes": found, "programs": programs}
        print(json.dumps({**data, "states": states, "trouble": trouble}))
        return
    print(f"lab {name}: {saved.status}, {len(nodes)} namespaces, from {saved.journal.source}")
    for node, links in found.items():
        print(node)
        for device, facts in links.items():
            print(f"  {device:<16} {facts['state']:<8} mtu {facts['mtu']:<6} {' '.join(facts['addresses'])}".rstrip())
    for each in programs:
        paths_text = " ".join(f"{path}={condition}" for path, condition in each["paths"].items())
        print(f"{each['namespace']}/{each['name']}: {each['state']} pid {each['pid']} {paths_text}".rstrip())
    for resource, words in states.items():
        print(f"{resource}: {'; '.join(words)}")
    if trouble:
        print(trouble)


def inspect_drift(name: str, *, as_json: bool) -> int:
    """What of a lab is not as it was made; the exit status: 1 where anything is."""
    from labctl.drift import drift
    from labctl.report.differences import counted, difference_data

    found = drift(Paths(name))
    if as_json:
        print(json.dumps({"lab": name, "differences": difference_data(found)}))
    else:
        show(found)
        print(f"{name}: {counted(found)}")
    return 1 if found else 0


def show(found: Sequence[Difference]) -> None:
    """A line for each difference, coloured at a terminal by its sign."""
    from labctl.cli.terminal import coloured, put
    from labctl.report.differences import difference_lines

    lines = difference_lines(found)
    if not lines or not coloured():
        for line in lines:
            put(line)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        console.print(Text(line, style=_COLOURS[line[0]]))


def _programs(paths: Paths) -> tuple[list[dict[str, Any]], str]:
    from labctl.codec import encode
    from labctl.services.keeper import Keeper

    try:
        return [encode(each) for each in Keeper(paths).status()], ""
    except StateError as error:
        return [], error.message
