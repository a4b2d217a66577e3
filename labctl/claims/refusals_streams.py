"""What is wrong with the traffic and the bounds of drills and live changes."""

from __future__ import annotations

from labctl.claims.places import Places, address_of, is_domain
from labctl.description.actions import (
    DnsSpec,
    HealthSpec,
    InjectSpec,
    LookupSpec,
    TcpSpec,
)
from labctl.description.checks import CheckSpec
from labctl.description.document import Document
from labctl.description.drills import ChangeSpec, DrillSpec
from labctl.description.faults import Path
from labctl.description.outcomes import OkSpec
from labctl.model.network import Network

ENDLESS = (DnsSpec, LookupSpec, HealthSpec, InjectSpec)
_WITHOUT = "dns, lookup, health and inject"


def refuse_streams(document: Document) -> None:
    """Report drills and changes that bound nothing, and those whose check gives no traffic that could run."""
    for i, drill in document.numbered_drills():
        _refuse_bounds(document, ("drills", i, "bounds"), drill)
        _refuse_traffic(document, ("drills", i), drill)
    for i, change in document.numbered_changes():
        _refuse_reach(document, ("changes", i), change)
        _refuse_traffic(document, ("changes", i), change)


def refuse_translated(document: Document, net: Network) -> None:
    """Report streams of datagrams to an address that a gateway translates: they are answered by a program of the far
    end itself, at a port of its own, which no gateway passes on.
    """
    there = Places(net).translated()
    streams: list[tuple[Path, DrillSpec | ChangeSpec]] = []
    streams += [(("drills", i), drill) for i, drill in document.numbered_drills()]
    streams += [(("changes", i), change) for i, change in document.numbered_changes()]
    for where, claim in streams:
        check = _check(document, claim.during)
        if check is None or claim.stream == "tcp" or isinstance(check.do, ENDLESS) or is_domain(check.do.to):
            continue
        if net.addresses.get(check.do.to, address_of(check.do.to)) in there:
            rule = f"the check {check.id} goes to an endpoint gateway, which passes on no datagrams"
            hint = "say `stream: tcp`: numbered records in a TCP connection to the service" + _unless_tcp(check)
            document.reading.fault((*where, "during"), rule, hint)


def _unless_tcp(check: CheckSpec) -> str:
    return "" if isinstance(check.do, TcpSpec) else ", during a tcp check"


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


def _refuse_traffic(document: Document, where: Path, claim: DrillSpec | ChangeSpec) -> None:
    check, fault, at = _check(document, claim.during), document.reading.fault, (*where, "during")
    if check is None:
        return
    if check.with_ is not None or not isinstance(check.expect, OkSpec):
        fault(at, f"the check {check.id} does not expect `ok` of the lab as it is: no traffic to stream")
    if claim.stream == "tcp":
        _refuse_records(document, where, claim, check)
    elif isinstance(check.do, ENDLESS):
        fault(at, f"the check {check.id} has no two ends to stream between: {_WITHOUT} have none")
    elif is_domain(check.do.to):
        rule = f"the check {check.id} is for a domain name; a stream of datagrams needs a node or an address"
        fault(at, rule, "say `stream: tcp`: it goes to whatever the name leads to" + _unless_tcp(check))


def _refuse_records(document: Document, where: Path, claim: DrillSpec | ChangeSpec, check: CheckSpec) -> None:
    """Of records in a TCP connection it is not told by which way they went, nor can they come twice or out of order."""
    if not isinstance(check.do, TcpSpec):
        rule = (
            f"the check {check.id} is no tcp check: `stream: tcp` goes to the test server that such a check connects to"
        )
        document.reading.fault((*where, "during"), rule)
    for name in ("path_changes", "duplicated", "reordered"):
        if getattr(claim.bounds, name) is not None:
            rule = "is not told of records in a TCP connection; leave it out, or `stream: tcp`"
            document.reading.fault((*where, "bounds", name), rule)
