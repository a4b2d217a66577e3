"""From the text of a description to all that follows from it: document, model, plan, checks and drills.

Pure, and the only place that runs the whole of the pure core. Every fault of a file comes out at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from labctl.description.checks import ChangeSpec
from labctl.description.document import Document, parse
from labctl.description.edit import edited
from labctl.description.faults import Fault, refused
from labctl.description.tree import Tree, read_tree
from labctl.description.types import Refused
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
    tree: Tree
    time_scale: int
    name: str
    about: str
    plan: Plan
    checks: tuple[Check, ...]
    drills: tuple[Drill, ...]

    def changed(self, change: ChangeSpec) -> Plan:
        """The plan of this lab after `change`; DescriptionError or Refused where the change breaks a rule."""
        tree = edited(self.tree, change)
        return compile_plan(self.name, _network(_document(tree)), self.time_scale)


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
    described = Described(source, text, tree, time_scale, document.name, document.about, plan, checks, drills)
    _refuse_changes(described, document)
    return described


def _document(tree: Tree) -> Document:
    return parse(tree, KINDS, ALIASES)


def _network(document: Document) -> Network:
    net = resolve(document)
    if document.reading.faults:
        raise refused(document.reading.tree.source, document.reading.faults)
    return net


def _refuse_changes(described: Described, document: Document) -> None:
    """A check's change must be as sound as the description itself, and is tried before anything is created."""
    for i, check in enumerate(document.checks):
        if check.with_ is None:
            continue
        try:
            described.changed(check.with_)
        except DescriptionError as error:
            first = next(each for each in error.faults if isinstance(each, Fault))
            rule = f"breaks a rule at {first.path}: {first.rule}"
            document.reading.fault(("checks", i, "with"), rule, first.hint, value=first.value)
        except Refused as refusal:
            document.reading.fault(("checks", i, "with"), refusal.rule, refusal.hint)
    if document.reading.faults:
        raise refused(described.source, document.reading.faults)
