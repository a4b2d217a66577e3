"""From the text of a description to all that follows from it: document, model, plan, checks and drills.

Pure, and the only place that runs the whole of the pure core. Every fault of a file comes out at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from labctl.description.document import Document, parse
from labctl.description.edit import edited
from labctl.description.faults import Fault, refused
from labctl.description.tree import Tree, read_tree
from labctl.errors import DescriptionError
from labctl.kinds.registry import ALIASES, KINDS
from labctl.kinds.resolve import resolve
from labctl.model.network import Network
from labctl.plan.compile import compile_plan
from labctl.plan.objects import Plan
from labctl.probes.expectations import Check, Drill
from labctl.probes.refusals import refuse_checks, refuse_unplaced
from labctl.probes.resolve import Resolver


@dataclass(frozen=True, slots=True)
class Described:
    """A description and what it means. `source` is the file's name as the user gave it."""

    source: str
    text: bytes
    time_scale: int
    name: str
    about: str
    plan: Plan
    checks: tuple[Check, ...]
    drills: tuple[Drill, ...]
    stubs: dict[str, tuple[IPv4Address, ...]]
    """The DNS servers that the applications of a node ask, for each node that has any."""
    changed: dict[str, Plan]
    """The plan of the lab under the change of a check, by the check's id."""


def describe(text: bytes, source: str, time_scale: int = 1) -> Described:
    """What `text` describes. DescriptionError with every fault, those of its checks' changes included.

    `time_scale` stretches every timer and every bound of the lab by a whole number.
    """
    tree = read_tree(text, source)
    document = _document(tree)
    refuse_checks(document)
    net = _network(document)
    resolver = Resolver(document, net, time_scale)
    refuse_unplaced(document, net)
    if document.reading.faults:
        raise refused(source, document.reading.faults)
    plan = compile_plan(document.name, net, time_scale)
    checks, drills = resolver.checks(), resolver.drills()
    stubs = {node.name: node.stub for node in net.nodes.values() if node.stub}
    changed = _changed(tree, document, time_scale)
    return Described(source, text, time_scale, document.name, document.about, plan, checks, drills, stubs, changed)


def _document(tree: Tree) -> Document:
    return parse(tree, KINDS, ALIASES)


def _network(document: Document) -> Network:
    net = resolve(document)
    if document.reading.faults:
        raise refused(document.reading.tree.source, document.reading.faults)
    return net


def _changed(tree: Tree, document: Document, time_scale: int) -> dict[str, Plan]:
    """A check's change must be as sound as the description itself: each is tried before anything is created."""
    plans = {}
    for i, check in enumerate(document.checks):
        if check.with_ is None:
            continue
        try:
            net = _network(_document(edited(tree, check.with_)))
            plans[check.id] = compile_plan(document.name, net, time_scale)
        except DescriptionError as error:
            first = next(each for each in error.faults if isinstance(each, Fault))
            rule = f"breaks a rule at {first.path}: {first.rule}"
            document.reading.fault(("checks", i, "with"), rule, first.hint, value=first.value)
    if document.reading.faults:
        raise refused(tree.source, document.reading.faults)
    return plans
