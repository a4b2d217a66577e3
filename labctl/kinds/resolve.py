"""From what is written to what it means: every refusal first, then the model, each resource after those it mentions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from ipaddress import IPv4Network

from labctl.description.document import Document
from labctl.kinds.base import Kind, Lab
from labctl.kinds.timers import timers
from labctl.model.network import Network, device_name
from labctl.model.network import Path as Route

RESERVED = {
    "all": "net.ipv4.conf.all is every device",
    "br0": "the bridge of each segment",
    "default": "net.ipv4.conf.default is every device to come",
    "erspan0": "the kernel makes a device of this name",
    "gre0": "the kernel makes a device of this name",
    "gretap0": "the kernel makes a device of this name",
    "lo": "the loopback device",
}
"""Names that no device of a lab can have (Linux: Documentation/networking/ip-sysctl, net/ipv4/ip_gre)."""


def resolve(document: Document) -> Network:
    """The network that `document` means. Where rules are broken, `document.reading.faults` says so, and it is empty."""
    lab = Lab(document)
    lab.net.stub_s, lab.net.stub_attempts = timers(document).stub_s, timers(document).stub_attempts
    for me, kind in _resources(document):
        kind.refuse(me, lab)
    for refuse in lab.late:
        refuse()
    _refuse_names(lab)
    order = _order(document)
    if document.reading.faults:
        return Network()
    resources = dict(_resources(document))
    for me in order:
        resources[me].place(me, lab)
    for me in order:
        resources[me].join(me, lab)
    _refuse_clashes(lab)
    for write in lab.ending:
        write()
    return lab.net


def _resources(document: Document) -> Iterator[tuple[str, Kind]]:
    return iter(document.resources.items())


def _refuse_names(lab: Lab) -> None:
    """Every name becomes a device somewhere, whole or shortened: some are taken, and some too much alike."""
    devices: dict[str, str] = {}
    for name in (name for name, uses in lab.document.names.items() if uses != ("check",)):
        device = device_name(name)
        if device in RESERVED:
            lab.fault((lab.owner(name),), f"the name `{name}` is taken: {RESERVED[device]}", value="")
        twin = devices.setdefault(device, name)
        if twin != name:
            rule = f"the names `{name}` and `{twin}` both become the device {device}"
            lab.fault((lab.owner(name),), rule, "rename one of them", value="")


def _refuse_clashes(lab: Lab) -> None:
    """Two things that want the same device or the same route of a node: one of them would be lost in silence."""
    net = lab.net
    for (node, device), number in Counter(net.ends()).items():
        if number > 1:
            rule = f"{number} of its links would be the device {device}"
            lab.fault((lab.owner(node),), rule, "rename one of them", value="")
    routes: dict[tuple[str, IPv4Network, int, int], Route] = {}
    for route in net.paths:
        first = routes.setdefault((route.node, route.to, route.metric, route.table), route)
        if first is not route and first != route:
            ways = " and ".join(str(each.via or each.device or "unreachable") for each in (first, route))
            rule = f"two routes of the same rank to {route.to}, by {ways}"
            lab.fault((lab.owner(route.node),), rule, "let one of them go", value="")


def _order(document: Document) -> list[str]:
    sorter = TopologicalSorter({me: document.references[me] for me in document.resources})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        rule = f"mentions itself in a circle: {' -> '.join(circle)}"
        document.reading.fault(("resources", circle[0]), rule, value="")
        return []
