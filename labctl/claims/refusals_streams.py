"""What is wrong with the traffic and the bounds of drills and live changes."""

from __future__ import annotations

from labctl.claims.places import Places, address_of, is_domain
from labctl.description.actions import DnsSpec, InjectSpec, OkSpec
from labctl.description.checks import CheckSpec
from labctl.description.document import Document
from labctl.description.drills import ChangeSpec, DrillSpec
from labctl.description.faults import Path
from labctl.model.network import Network


def refuse_streams(document: Document) -> None:
    """Report drills and changes that bound nothing, and those whose check gives no traffic that could run."""
    for i, drill in document.numbered_drills():
        _refuse_bounds(document, ("drills", i, "bounds"), drill)
        _refuse_traffic(document, ("drills", i, "during"), drill.during)
    for i, change in document.numbered_changes():
        _refuse_reach(document, ("changes", i), change)
        _refuse_traffic(document, ("changes", i, "during"), change.during)


def refuse_translated(document: Document, net: Network) -> None:
    """Report streams to an address that a gateway translates: their packets are answered by a program of the far end
    itself, at a port of its own, which no gateway passes on.
    """
    there = Places(net).translated()
    streams = [(("drills", i), drill.during) for i, drill in document.numbered_drills()]
    streams += [(("changes", i), change.during) for i, change in document.numbered_changes()]
    for where, word in streams:
        check = _check(document, word)
        if check is None or isinstance(check.do, (DnsSpec, InjectSpec)) or is_domain(check.do.to):
            continue
        if net.addresses.get(check.do.to, address_of(check.do.to)) in there:
            rule = f"the check {check.id} goes to an endpoint gateway: no traffic can be streamed through one"
            hint = (
                "the numbered packets are answered by the far end itself, and an endpoint gateway passes on TCP to its "
                "service alone; stream to the service's own address, or to another node on the same way"
            )
            document.reading.fault((*where, "during"), rule, hint)


def _check(document: Document, word: str) -> CheckSpec | None:
    return next((check for check in document.checks if check.id == word), None)


def _refuse_bounds(document: Document, where: Path, drill: DrillSpec) -> None:
    bounds, fault = drill.bounds, document.reading.fault
    if all(bound is None for bound in (bounds.restore, bounds.lost, bounds.gap, bounds.failback_lost)):
        fault(where, "a drill needs a bound: `restore`, `lost`, `gap` or `failback_lost`", value="")
    if bounds.restore == 0:
        fault((*where, "restore"), "nothing is restored in no time; bound the loss with `lost`")
    if bounds.restore is not None and (bounds.not_before or 0) > bounds.restore:
        fault((*where, "not_before"), "is later than `restore`")


def _refuse_reach(document: Document, where: Path, change: ChangeSpec) -> None:
    bounds, fault = change.bounds, document.reading.fault
    if not change.then and bounds.reach is not None:
        fault((*where, "bounds", "reach"), "bounds how soon `then` is true, and there is no `then`")
    elif not change.then and bounds.lost is None and bounds.gap is None:
        rule = (
            "claims nothing: a change needs a bound (`lost` or `gap`), or `then`: checks of the lab as it is after it"
        )
        fault(where, rule, value=change.id)
    if not (change.set or change.add or change.remove):
        fault(where, "changes nothing: say `set`, `add` or `remove`", value=change.id)


def _refuse_traffic(document: Document, where: Path, word: str) -> None:
    check, fault = _check(document, word), document.reading.fault
    if check is None:
        return
    if check.with_ is not None or not isinstance(check.expect, OkSpec):
        fault(where, f"the check {check.id} does not expect `ok` of the lab as it is: no traffic to stream")
    if isinstance(check.do, (DnsSpec, InjectSpec)):
        fault(where, f"the check {check.id} has no two ends to stream between: any but dns and inject has")
    elif is_domain(check.do.to):
        fault(where, f"the check {check.id} is for a domain name; a stream needs a node or an address")
