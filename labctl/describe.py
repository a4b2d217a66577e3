"""From the text of a description to all that follows from it: document, model, plan, checks, drills and changes.

Pure, and the only place that runs the whole of the pure core. Every fault of a file comes out at once, those of its
edits and of what it claims of the lab after them included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as TextMapping
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address

from labctl.claims.certainty import unplaced
from labctl.claims.controls import besides
from labctl.claims.expectations import Change, Check, Drill
from labctl.claims.hints import hinted
from labctl.claims.refusals import refuse_checks, refuse_unplaced
from labctl.claims.resolve import Resolver
from labctl.claims.resolve_drills import DrillResolver, Resolved
from labctl.description.checks import CheckSpec, EditSpec
from labctl.description.document import Document, parse
from labctl.description.drills import ChangeSpec, DrillSpec
from labctl.description.edit import added_twice, culprit, edited, words
from labctl.description.faults import Fault, Path, refused
from labctl.description.resources import Resources
from labctl.description.sources import Fetch, nothing_more, packed, read_tree
from labctl.description.tree import Mapping, Node, Sequence, Tree
from labctl.description.types import Refused
from labctl.kinds.registry import KINDS, OTHER_WORDS
from labctl.kinds.resolve import resolve
from labctl.kinds.soundness import Missing, forget_head, sound_part, unlike
from labctl.model.network import Network
from labctl.plan.compile import compile_plan
from labctl.plan.objects import Plan


@dataclass(frozen=True, slots=True)
class Described:
    """A description and what it means. `source` is the file's name as the user gave it, `text` all that it was read
    from: the file, or that with its included files and the values of its variables packed into one.
    """

    source: str
    text: bytes
    files: tuple[str, ...]
    """The names of the files that it includes, as messages call them."""
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
    """What each node is: its resource's kind, as the registry calls it, or what the resource calls this part of it."""
    stubs: dict[str, tuple[IPv4Address, ...]]
    """The DNS servers that the applications of a node ask, for each node that has any."""
    changed: dict[str, Plan]
    """The plan of the lab under the change of a check, and under each live change, by its id."""


def describe(
    text: bytes,
    source: str,
    time_scale: int = 1,
    fetch: Fetch = nothing_more,
    variables: TextMapping[str, str] | None = None,
) -> Described:
    """What `text` describes. DescriptionError with every fault.

    `time_scale` stretches every timer and every bound of the lab by a whole number; `fetch` gives the files that it
    includes; `variables` are values over those that it gives its variables itself.
    """
    tree = read_tree(text, source, fetch, variables)
    return _Description(tree, time_scale).described(packed(text, tree, variables or {}))


_Claims = dict[str, Document]
"""What is claimed beside a drill or a live change, by the part that it stands in: first, then, afterwards."""


@dataclass(frozen=True, slots=True)
class _Edited:
    """The lab under an edit, or as it is: all of it, or where some of it breaks rules the rest without `missing`."""

    tree: Tree
    parts: Resources
    net: Network
    plan: Plan
    faults: tuple[Fault, ...]
    missing: Missing


class _Description:
    """A file on its way. Its faults gather in `document.reading`: all that can be known, none that another causes."""

    def __init__(self, tree: Tree, time_scale: int) -> None:
        self.tree = tree
        self.time_scale = time_scale
        self.document = parse(tree, KINDS, OTHER_WORDS)
        self.fault = self.document.reading.fault
        self.document.reading.faults += tree.faults

    def described(self, text: bytes) -> Described:
        """All of it. DescriptionError."""
        document, scale = self.document, self.time_scale
        refuse_checks(document)
        self._refuse_namesakes()
        usual = self._lab(self.tree)
        document.reading.faults += usual.faults
        edits, claims = self._edits(usual)
        nets = {each.id: edits[each.id].net for each in document.checks if each.with_ and each.id in edits}
        self._refuse_unplaced(usual, nets, edits, claims)
        if document.reading.faults:
            raise refused(self.tree.source, hinted(self._causes(), usual.net))
        net = usual.net
        beside = {word: _resolved(parts, usual, edits.get(word, usual), scale) for word, parts in claims.items()}
        streams = DrillResolver(document, net, usual.plan, scale)
        return Described(
            source=self.tree.source,
            text=text,
            files=tuple(name for name in self.tree.texts if name != self.tree.source),
            time_scale=scale,
            name=document.name,
            about=document.about,
            cites=document.cites,
            network=net,
            plan=usual.plan,
            checks=Resolver(document, net, scale, nets).checks(),
            drills=streams.drills(beside),
            changes=tuple(streams.change(each, beside[each.id], edits[each.id].plan) for each in document.changes),
            kinds=_kinds(document),
            stubs=_stubs(net),
            changed={word: each.plan for word, each in edits.items()},
        )

    def _causes(self) -> list[Fault]:
        """The faults without those that only say what is not there, since the reader could not keep it."""
        read = {(each.source, each.mark, each.rule): each for each in self.tree.faults}
        cut = [each.path.removesuffix(".<<") for each in read.values() if "." in each.path and not each.value]
        above = {path.rpartition(".")[0] for path in cut} | {f"{path}.kind" for path in cut} | set(cut)
        others = [each for each in self.document.reading.faults if (each.source, each.mark, each.rule) not in read]
        causes = [*read.values(), *(each for each in others if each.path not in above)]
        return [replace(each, path=self._path(each.path)) for each in causes]

    def _path(self, path: str) -> str:
        """A key path as it is in the file that the fault stands in."""
        match = re.match(r"(checks|drills|changes)\[([0-9]+)\]", path)
        numbers = self.tree.numbers.get(match[1], ()) if match else ()
        if match is None or int(match[2]) >= len(numbers):
            return path
        return f"{match[1]}[{numbers[int(match[2])]}]{path[match.end() :]}"

    def _refuse_namesakes(self) -> None:
        """A report and the command line name checks, drills and changes alike."""
        document = self.document
        owners = {check.id: ("a check", ("checks", i)) for i, check in document.numbered_checks()}
        parts: dict[str, Iterable[tuple[int, DrillSpec | ChangeSpec]]]
        parts = {"drill": document.numbered_drills(), "change": document.numbered_changes()}
        for part, claims in parts.items():
            mine = {}
            for i, claim in claims:
                if claim.id in owners:
                    what, first = owners[claim.id]
                    self.fault((f"{part}s", i, "id"), f"{what} has this id", other=(*first, "id"))
                mine[claim.id] = f"a {part}", (f"{part}s", i)
            owners = {**mine, **owners}

    def _lab(self, tree: Tree) -> _Edited:
        """The lab that the resources of `tree` describe."""
        bare = parse(_claiming(tree, ()), KINDS, OTHER_WORDS, like=self.document.parts)
        forget_head(bare)
        net, missing = resolve(bare), Missing()
        if bare.reading.faults:
            net, missing = sound_part(bare)
        plan = compile_plan(self.document.name, net, self.time_scale)
        return _Edited(tree, bare.parts, net, plan, tuple(bare.reading.faults), missing)

    def _edits(self, usual: _Edited) -> tuple[dict[str, _Edited], dict[str, _Claims]]:
        """The lab under each edit that is sound, and what is claimed beside a live change or a drill: each by the id of
        its check, change or drill.
        """
        edits: dict[str, _Edited] = {}
        claims: dict[str, _Claims] = {}
        for i, check in self.document.numbered_checks():
            if check.with_ and (made := self._edited(("checks", i, "with"), check.with_, usual)):
                self._refuse_orphan(i, made)
                edits[check.id] = made
        for i, change in self.document.numbered_changes():
            if made := self._edited(("changes", i), change, usual):
                claims[change.id] = self._claims(f"changes[{i}]", change, usual, made)
                edits[change.id] = made
        for i, drill in self.document.numbered_drills():
            claims[drill.id] = self._claims(f"drills[{i}]", drill, usual, usual)
        return edits, claims

    def _edited(self, at: Path, edit: EditSpec, usual: _Edited) -> _Edited | None:
        """The lab under an edit, which must be as sound as the description itself before anything is created."""
        refusals: list[Refused] = []
        tree = edited(self.tree, edit, refusals)
        for refusal in refusals:
            self.fault((*at, *(refusal.path or ())), refusal.rule, refusal.hint)
        made = self._lab(tree)
        broken = unlike(made.faults, usual.faults)
        for each in broken:
            part = culprit(edit, each.path)
            if twice := added_twice(self.tree, edit, part):
                self.fault((*at, *part), twice.rule, twice.hint)
            elif part or not refusals:  # what was refused may be what is missing elsewhere
                self.fault((*at, *part), f"breaks a rule at {each.path}: {each.rule}", each.hint, each.value)
        if broken or refusals:
            return None
        same = (made.plan, _stubs(made.net)) == (usual.plan, _stubs(usual.net))
        if same and not usual.missing and (edit.set or edit.add or edit.remove):
            self.fault(at, "leaves the lab as it is", value=words(edit))
        return made

    def _refuse_orphan(self, i: int, made: _Edited) -> None:
        """Report a check that names what its own change of the lab takes away."""
        check = _items(self.tree.root.entries["checks"])[i]
        ids = [each.id for each in self.document.checks]
        under = parse(_claiming(made.tree, (check,)), KINDS, OTHER_WORDS, ids, made.parts)
        known = {(each.mark, each.rule) for each in self.document.reading.faults}
        for each in under.reading.faults:
            if (each.mark, each.rule) not in known:
                where = each.path.replace("checks[0]", f"checks[{i}]", 1)
                rule = f"breaks a rule at {where}: {each.rule}"
                self.fault(("checks", i, "with"), rule, each.hint, value=each.value)

    def _claims(self, owner: str, claim: DrillSpec | ChangeSpec, usual: _Edited, other: _Edited) -> _Claims:
        """What a live change or a drill claims of the lab before it, of that which it makes of it, and of the lab once
        it is as before. These checks may stand on those of the lab as it is, and on those before them.
        """
        beside = {check.id: check for check in self.document.checks}
        found = {}
        for part, lab in _labs(usual, other).items():
            found[part] = self._part(f"{owner}.{part}", getattr(claim, part), lab, beside)
            beside |= {check.id: check for check in found[part].checks}
        return found

    def _part(self, owner: str, nodes: tuple[Node, ...], lab: _Edited, beside: dict[str, CheckSpec]) -> Document:
        document = parse(_claiming(lab.tree, nodes), KINDS, OTHER_WORDS, beside, lab.parts)
        refuse_checks(document, beside)
        usual = {check.id for check in self.document.checks}
        for j, check in document.numbered_checks():
            if check.id in beside:
                rule = "a check of the lab has this id" if check.id in usual else "a check before it has this id"
                document.reading.fault(("checks", j, "id"), rule)
            if check.with_:
                rule = f"a check of `{owner.rpartition('.')[2]}` has no change of its own"
                document.reading.fault(("checks", j, "with"), rule, value="")
        self._report(owner, document.reading.faults)
        return document

    def _refuse_unplaced(
        self, usual: _Edited, nets: dict[str, Network], edits: dict[str, _Edited], claims: dict[str, _Claims]
    ) -> None:
        document = self.document
        unknown = {each.id for each in document.checks if each.with_ and each.id not in edits}
        own = unplaced(document, usual.missing, unknown, lambda: refuse_unplaced(document, usual.net, nets))
        document.reading.faults += own
        owners = [(f"changes[{i}]", each.id) for i, each in document.numbered_changes()]
        owners += [(f"drills[{i}]", each.id) for i, each in document.numbered_drills()]
        for owner, word in owners:
            labs = _labs(usual, edits.get(word, usual))
            for part, mine in claims.get(word, {}).items():
                # What a control claims of the lab at another time, it claims of another lab.
                when = {
                    name: "" if (name == "then") == (part == "then") else f"not under {word}" for name in ("", *labs)
                }
                beside = besides(document, usual.net, nets, change=when[""])
                for name, other in claims[word].items():
                    beside |= besides(other, labs[name].net, {}, change=when[name])
                refuse = partial(refuse_unplaced, mine, labs[part].net, beside=beside)
                self._report(f"{owner}.{part}", unplaced(mine, labs[part].missing, unknown, refuse))

    def _report(self, owner: str, faults: Iterable[Fault]) -> None:
        """Take over the faults of what a change or drill claims, under the paths at which it is written."""
        for each in faults:
            if each.path.startswith("checks"):
                path = each.path.replace("checks", owner, 1)
                self.document.reading.faults.append(replace(each, path=path))


def _labs(usual: _Edited, other: _Edited) -> dict[str, _Edited]:
    """Of which lab the checks of each part of a drill or change are; `other`: what it makes of the lab."""
    return {"first": usual, "then": other, "afterwards": usual}


def _resolved(claims: _Claims, usual: _Edited, other: _Edited, time_scale: int) -> Resolved:
    labs = _labs(usual, other)
    return Resolved(**{part: Resolver(each, labs[part].net, time_scale).checks() for part, each in claims.items()})


def _kinds(document: Document) -> dict[str, str]:
    parts = {name: uses[0] for name, uses in document.parts.names.items() if "node" in uses}
    return {**parts, **{name: each.kind for name, each in document.resources.items()}}


def _stubs(net: Network) -> dict[str, tuple[IPv4Address, ...]]:
    return {node.name: node.stub for node in net.nodes.values() if node.stub}


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else () if node is None else (node,)


def _claiming(tree: Tree, checks: tuple[Node, ...]) -> Tree:
    """The same resources with these checks and no other claims."""
    root = tree.root
    entries = {key: each for key, each in root.entries.items() if key not in ("checks", "drills", "changes")}
    if checks:
        entries["checks"] = Sequence(checks, checks[0].at)
    return replace(tree, root=Mapping(entries, {**root.keys, "checks": root.at}, root.at))
