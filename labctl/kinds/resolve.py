"""From what is written to what it means: every refusal first, then the model, each resource after those it mentions."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from labctl.description.document import Document
from labctl.kinds.base import Kind, Lab
from labctl.model.network import Network


def resolve(document: Document) -> Network:
    """The network that `document` means. Where rules are broken, `document.reading.faults` says so, and it is empty."""
    lab = Lab(document)
    for me, kind in _resources(document):
        kind.refuse(me, lab)
    order = _order(document)
    if document.reading.faults:
        return Network()
    resources = dict(_resources(document))
    for me in order:
        resources[me].place(me, lab)
    for me in order:
        resources[me].join(me, lab)
    return lab.net


def _resources(document: Document) -> Iterator[tuple[str, Kind]]:
    return iter(document.resources.items())


def _order(document: Document) -> list[str]:
    sorter = TopologicalSorter({me: document.references[me] for me in document.resources})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        rule = f"mentions itself in a circle: {' -> '.join(circle)}"
        document.reading.fault(("resources", circle[0]), rule, value="")
        return []
