"""From the text of a description to all that follows from it: document, model, plan, checks, drills and changes.

Pure, and the only place that runs the whole of the pure core. Every fault of a file comes out at once, those of its
edits and of what it claims of the lab after them included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from labctl.claims.controls import besides
from labctl.claims.expectations import Change, Check, Drill
from labctl.claims.refusals import refuse_checks, refuse_unplaced
from labctl.claims.resolve import Resolver
from labctl.claims.resolve_drills import DrillResolver
from labctl.description.checks import EditSpec
from labctl.description.document import Document, parse
from labctl.description.drills import ChangeSpec, DrillSpec
from labctl.description.edit import edited, words
from labctl.description.faults import Path, refused
from labctl.description.tree import Mapping, Node, Sequence, Tree, read_tree
from labctl.description.types import Refused
from labctl.kinds.registry import ALIASES, KINDS
from labctl.kinds.resolve import resolve
from labctl.model.network import Network
from labctl.plan.compile import compile_plan
from labctl.plan.objects import Plan


@dataclass(frozen=True, slots=True)
class Described:
    """A description and what it means. `source` is the file's name as the user gave it."""

    source: str
    text: bytes
    time_scale: int
    name: str
    about: str
    cites: tuple[str, ...]
    network: Network
    plan: Plan
    checks: tuple[Check, ...]
    drills: tuple[Drill, ...]
    changes: tuple[Change, ...]
    kinds: dict[str, str]
    """The kind of each resource, as the registry calls it."""
    stubs: dict[str, tuple[IPv4Address, ...]]
    """The DNS servers that the applications of a node ask, for each node that has any."""
    changed: dict[str, Plan]
    """The plan of the lab under the change of a check, and under each live change, by its id."""


def describe(text: bytes, source: str, time_scale: int = 1) -> Described:
    """What `text` describes. DescriptionError with every fault.

    `time_scale` stretches every timer and every bound of the lab by a whole number.
    """
    return _Description(read_tree(text, source), time_scale).described(text)


@dataclass(frozen=True, slots=True)
class _Edited:
    """The lab under an edit."""

    tree: Tree
    net: Network
    plan: Plan


class _Description:
    """A file on its way. Its faults gather in `document.reading` as long as one can go on."""

    def __init__(self, tree: Tree, time_scale: int) -> None:
        self.tree = tree
        self.time_scale = time_scale
        self.document = parse(tree, KINDS, ALIASES)
        self.fault = self.document.reading.fault

    def described(self, text: bytes) -> Described:
        """All of it. DescriptionError."""
        document, scale = self.document, self.time_scale
        refuse_checks(document)
        self._refuse_namesakes()
        net = self._network()
        usual = _Edited(self.tree, net, compile_plan(document.name, net, scale))
        edits, claims = self._edits(usual)
        self._stop_at_faults()
        nets = {check.id: edits[check.id].net for check in document.checks if check.with_}
        self._refuse_unplaced(usual, nets, edits, claims)
        then = {word: Resolver(each, edits.get(word, usual).net, scale).checks() for word, each in claims.items()}
        streams = DrillResolver(document, net, usual.plan, scale)
        return Described(
            source=self.tree.source,
            text=text,
            time_scale=scale,
            name=document.name,
            about=document.about,
            cites=document.cites,
            network=net,
            plan=usual.plan,
            checks=Resolver(document, net, scale, nets).checks(),
            drills=streams.drills(then),
            changes=tuple(streams.change(each, then[each.id], edits[each.id].plan) for each in document.changes),
            kinds={name: each.kind for name, each in document.resources.items()},
            stubs=_stubs(net),
            changed={word: each.plan for word, each in edits.items()},
        )

    def _refuse_namesakes(self) -> None:
        """A report and the command line name checks, drills and changes alike."""
        owners = {check.id: "a check" for check in self.document.checks}
        parts: dict[str, tuple[DrillSpec | ChangeSpec, ...]]
        parts = {"drill": self.document.drills, "change": self.document.changes}
        for part, claims in parts.items():
            for i, claim in enumerate(claims):
                if claim.id in owners:
                    self.fault((f"{part}s", i, "id"), f"{owners[claim.id]} has this id")
            owners = {**{claim.id: f"a {part}" for claim in claims}, **owners}

    def _network(self) -> Network:
        """The model, which faults of the claims alone do not prevent. DescriptionError."""
        bare = parse(_claiming(self.tree, ()), KINDS, ALIASES)
        net = resolve(bare)
        self.document.reading.faults += bare.reading.faults
        if bare.reading.faults or not self._counted():
            self._stop_at_faults()
        return net

    def _counted(self) -> bool:
        """Whether each claim was read, so that their numbers are those of the file."""
        parts = {"checks": self.document.checks, "drills": self.document.drills, "changes": self.document.changes}
        written = {part: self.tree.root.entries.get(part) for part in parts}
        return all(len(parts[part]) == len(_items(node)) for part, node in written.items())

    def _edits(self, usual: _Edited) -> tuple[dict[str, _Edited], dict[str, Document]]:
        """The lab under each edit that is sound, and what is claimed of it after a live change or during a drill:
        each by the id of its check, change or drill.
        """
        edits: dict[str, _Edited] = {}
        claims: dict[str, Document] = {}
        for i, check in self.document.numbered_checks():
            if check.with_ and (made := self._edited(("checks", i, "with"), check.with_, usual)):
                self._refuse_orphan(i, made)
                edits[check.id] = made
        for i, change in self.document.numbered_changes():
            if made := self._edited(("changes", i), change, usual):
                claims[change.id] = self._claims(f"changes[{i}]", change.then, made.tree)
                edits[change.id] = made
        for i, drill in self.document.numbered_drills():
            claims[drill.id] = self._claims(f"drills[{i}]", drill.then, usual.tree)
        return edits, claims

    def _edited(self, at: Path, edit: EditSpec, usual: _Edited) -> _Edited | None:
        """The lab under an edit, which must be as sound as the description itself before anything is created."""
        try:
            tree = edited(self.tree, edit)
        except Refused as refusal:
            self.fault((*at, *(refusal.path or ())), refusal.rule, refusal.hint)
            return None
        bare = parse(_claiming(tree, ()), KINDS, ALIASES)
        net = resolve(bare)
        for each in bare.reading.faults:
            self.fault(at, f"breaks a rule at {each.path}: {each.rule}", each.hint, value=each.value)
        if bare.reading.faults:
            return None
        made = _Edited(tree, net, compile_plan(self.document.name, net, self.time_scale))
        if (made.plan, _stubs(net)) == (usual.plan, _stubs(usual.net)) and (edit.set or edit.add or edit.remove):
            self.fault(at, "leaves the lab as it is", value=words(edit))
        return made

    def _refuse_orphan(self, i: int, made: _Edited) -> None:
        """Report a check that names what its own change of the lab takes away."""
        check = _items(self.tree.root.entries["checks"])[i]
        under = parse(_claiming(made.tree, (check,)), KINDS, ALIASES, [each.id for each in self.document.checks])
        known = {(each.mark, each.rule) for each in self.document.reading.faults}
        for each in under.reading.faults:
            if (each.mark, each.rule) not in known:
                where = each.path.replace("checks[0]", f"checks[{i}]", 1)
                rule = f"breaks a rule at {where}: {each.rule}"
                self.fault(("checks", i, "with"), rule, each.hint, value=each.value)

    def _claims(self, owner: str, then: tuple[Node, ...], tree: Tree) -> Document:
        """What a live change claims of the lab after it, or a drill of the lab while it is broken. Their checks may
        stand on those of the lab as it is.
        """
        beside = {check.id: check for check in self.document.checks}
        document = parse(_claiming(tree, then), KINDS, ALIASES, beside)
        if len(document.checks) == len(then):
            refuse_checks(document, beside)
        for j, check in document.numbered_checks():
            if check.id in beside:
                document.reading.fault(("checks", j, "id"), "a check of the lab has this id")
            if check.with_:
                document.reading.fault(("checks", j, "with"), "a check of `then` has no change of its own", value="")
        self._report(owner, document)
        return document

    def _refuse_unplaced(
        self, usual: _Edited, nets: dict[str, Network], edits: dict[str, _Edited], claims: dict[str, Document]
    ) -> None:
        refuse_unplaced(self.document, usual.net, nets)
        owners = [(f"changes[{i}]", each.id) for i, each in self.document.numbered_changes()]
        owners += [(f"drills[{i}]", each.id) for i, each in self.document.numbered_drills()]
        for owner, word in owners:
            before = besides(self.document, usual.net, nets, change=f"without {word}")
            refuse_unplaced(claims[word], edits.get(word, usual).net, beside=before)
            self._report(owner, claims[word])
        self._stop_at_faults()

    def _report(self, owner: str, claims: Document) -> None:
        """Take over the faults of what a change or drill claims, under the paths at which it is written."""
        mine = [each for each in claims.reading.faults if each.path.startswith("checks")]
        for each in mine:
            path = each.path.replace("checks", f"{owner}.then", 1)
            self.document.reading.faults.append(replace(each, path=path))
        claims.reading.faults.clear()

    def _stop_at_faults(self) -> None:
        if self.document.reading.faults:
            raise refused(self.tree.source, self.document.reading.faults)


def _stubs(net: Network) -> dict[str, tuple[IPv4Address, ...]]:
    return {node.name: node.stub for node in net.nodes.values() if node.stub}


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else () if node is None else (node,)


def _claiming(tree: Tree, checks: tuple[Node, ...]) -> Tree:
    """The same resources with these checks and no other claims."""
    root = tree.root
    entries = {key: each for key, each in root.entries.items() if key not in ("checks", "drills", "changes")}
    if checks:
        entries["checks"] = Sequence(checks, checks[0].mark)
    return Tree(tree.source, Mapping(entries, {**root.keys, "checks": root.mark}, root.mark))
