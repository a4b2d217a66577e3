"""Controls: a check that something does not work stands beside one that works and differs from it in one thing alone.

The things are four: who asks, how it asks (the probe and its manner), what it asks for, and of which lab.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from labctl.claims.fitting import kind_of
from labctl.claims.places import Places
from labctl.description.actions import ActionSpec
from labctl.description.checks import CheckSpec
from labctl.description.document import Document
from labctl.description.faults import Path
from labctl.description.outcomes import OkSpec
from labctl.description.tree import Mapping as MappingNode
from labctl.description.tree import Node, Scalar
from labctl.model.network import Network

_MANNER = {"transport", "send", "size", "df", "proto", "most", "for_", "offer", "count", "by"}
"""The fields of probes that say how they ask; the others say what they ask for."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A check that may be a control, and the model that its names are of. `lab`: what was changed in the lab."""

    check: CheckSpec
    places: Places
    lab: object


def besides(document: Document, net: Network, nets: Mapping[str, Network], change: str = "") -> dict[str, Beside]:
    """The checks of a document by their ids. `nets`: the model under the change of a check, `change`: the live change
    under which all of them are proved.
    """
    places = {each.id: Places(nets.get(each.id, net)) for each in document.checks}
    return {each.id: Beside(each, places[each.id], (change, _plain(each))) for each in document.checks}


def refuse_uncontrolled(document: Document, path: Path, check: CheckSpec, known: Mapping[str, CheckSpec]) -> None:
    """Report `check`, which stands at `path`, where none of its controls could show that its probe can succeed."""
    where, fault = (*path, "control"), document.reading.fault
    positive = any(isinstance(known[word].expect, OkSpec) for word in check.control if word in known)
    if check.id in check.control:
        fault(where, "a check is no control of itself", value=check.id)
    elif isinstance(check.expect, OkSpec):
        return
    elif not check.control:
        rule = "a check that something fails needs a `control`: the same probe, one thing changed, which works"
        fault(path, rule, value=check.id)
    elif not positive and known.keys() >= set(check.control):
        rule = "no control of this check expects `ok`, so none shows that the probe can succeed"
        fault(where, rule, value=", ".join(check.control))


def refuse_distant(document: Document, path: Path, claim: Beside, others: Mapping[str, Beside]) -> None:
    """Report the check that `claim` is where each of its controls that work differs from it in more than one thing."""
    if not all(word in others for word in claim.check.control):
        return
    named = [others[word] for word in claim.check.control]
    apart = {each.check.id: _differences(claim, each) for each in named if isinstance(each.check.expect, OkSpec)}
    works = isinstance(claim.check.expect, OkSpec)
    if works or not apart or any(len(things) == 1 for things in apart.values()):
        return
    told = [f"{word} {_told(things)}" for word, things in apart.items()]
    rule = f"no control that works is the same probe with one thing changed: {'; '.join(told)}"
    hint = f"add a check like {claim.check.id} with one of them changed alone, which works"
    document.reading.fault((*path, "control"), rule, hint, value=", ".join(claim.check.control))


def _told(things: list[str]) -> str:
    if not things:
        return "is the very same probe"
    return f"differs in {', '.join(things[:-1])} and {things[-1]}"


def _differences(claim: Beside, control: Beside) -> list[str]:
    """In which of the four things the two differ, in words."""
    mine, other = claim.check, control.check
    things = [f"who asks ({other.from_}, not {mine.from_})"] if mine.from_ != other.from_ else []
    if type(mine.do) is not type(other.do):
        things.append(f"how it asks ({kind_of(other.do)}, not {kind_of(mine.do)})")
    else:
        things += _apart("how it asks", _manner(mine.do), _manner(other.do))
    theirs = _wanted(other, claim.places), _wanted(other, control.places)
    wanted = _wanted(mine, claim.places)
    # By one name or at one address, each in the lab under its own change: either way it is asked for the same.
    by_name, by_address = (_apart("what it asks for", wanted, each) for each in theirs)
    things += by_address if by_name else by_name
    return [*things, "the lab"] if claim.lab != control.lab else things


def _apart(what: str, mine: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """What differs of that which both have."""
    told = [f"{key} {other[key]}, not {mine[key]}" for key in mine if key in other and mine[key] != other[key]]
    return [f"{what} ({', '.join(told)})"] if told else []


def _manner(do: ActionSpec) -> dict[str, object]:
    return {each.name.rstrip("_"): getattr(do, each.name) for each in fields(do) if each.name in _MANNER}


def _wanted(check: CheckSpec, places: Places) -> dict[str, object]:
    """What a probe asks for, whatever it is called: a node is its address."""
    found = {each.name: getattr(check.do, each.name) for each in fields(check.do) if each.name not in _MANNER}
    if "server" in found:
        found["to"] = found.pop("server")
    if "host" in found:
        found["host"] = found["host"] or found["to"]
    for key in {"to", "source"} & found.keys():
        found[key] = str(places.net.addresses.get(str(found[key]), found[key]))
    return found


def _plain(check: CheckSpec) -> object:
    """What a check changes of the lab, wherever in the file it stands."""
    edit = check.with_
    if edit is None:
        return None
    of = [sorted((path, str(_value(node))) for path, node in part.items()) for part in (edit.set, edit.add)]
    return *of, sorted(edit.remove)


def _value(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.text, node.empty
    if isinstance(node, MappingNode):
        return {key: _value(child) for key, child in sorted(node.entries.items())}
    return [_value(child) for child in node.items]
