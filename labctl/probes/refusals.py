"""What is wrong with checks and drills: with those that are written, and with what they ask of the model."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address

from labctl.description.checks import (
    CheckSpec,
    DnsSpec,
    DrillSpec,
    InjectSpec,
    InnerSpec,
    NoRouteSpec,
    OkSpec,
    PingSpec,
    ProhibitedSpec,
    SightSpec,
    SightsSpec,
    TcpSpec,
    UdpSpec,
)
from labctl.description.document import Document
from labctl.description.edit import edited
from labctl.description.faults import Path, did_you_mean
from labctl.description.types import DOMAIN, Refused
from labctl.model.network import Network


def refuse_checks(document: Document) -> None:
    """Report what is wrong with the checks and drills as they are written."""
    nodes = [name for name, uses in document.names.items() if "node" in uses]
    for path, word in _words(document):
        _refuse_word(document, path, word, nodes)
    for i, check in enumerate(document.checks):
        where = ("checks", i)
        _refuse_control(document, i, check)
        if isinstance(check.do, InjectSpec) and not (check.see if isinstance(check.expect, OkSpec) else check.silent):
            part = "see" if isinstance(check.expect, OkSpec) else "silent"
            rule = f"nobody answers a forged packet: `{part}` must say where it counts"
            document.reading.fault(where, rule, value="")
        if check.with_:
            try:
                edited(document.reading.tree, check.with_)
            except Refused as refusal:
                document.reading.fault((*where, "with"), refusal.rule, refusal.hint)
    for i, drill in enumerate(document.drills):
        _refuse_drill(document, i, drill)


def refuse_unplaced(document: Document, net: Network) -> None:
    """Report what only the model can tell: nodes without an address, links with no place to capture."""
    fault = document.reading.fault
    for path, word in _words(document):
        if word not in net.addresses and address_of(word) is None and not _is_domain(word):
            fault(path, "is a node without an address of its own; write an address", value=word)
    for i, check in enumerate(document.checks):
        _refuse_unnamed(document, net, i, check)
    for path, word in _words(document):
        if _must_be_held(document, path) and (there := address_of(word)) and net.holder(there) is None:
            fault(path, "no node of the lab has this address: nothing could ever come of it", value=word)
    for path, sight in _sights(document):
        if not net.spots.get(sight.on, net.devices(sight.on)):
            fault((*path, "on"), "has nothing plugged in: there is no place to capture", value=sight.on)
    for i, drill in enumerate(document.drills):
        check = next(each for each in document.checks if each.id == drill.during)
        target = getattr(check.do, "to", "")
        if target not in net.addresses and (there := address_of(target)) and net.holder(there) is None:
            fault(("drills", i, "during"), f"no node has the address {target}, which the check is for")


def _refuse_unnamed(document: Document, net: Network, i: int, check: CheckSpec) -> None:
    """A domain name needs somebody who asks for it, and, where the check is to work, somebody who knows it."""
    if not isinstance(check.do, TcpSpec) or not _is_domain(check.do.to):
        return
    where = ("checks", i, "do", "tcp", "to")
    known = [record.name for zones in net.zones.values() for zone in zones for record in zone.records]
    if not net.nodes[check.from_].stub:
        rule = f"{check.from_} has no resolver to ask for a domain name; write an address"
        document.reading.fault(where, rule)
    elif isinstance(check.expect, OkSpec) and check.do.to not in known:
        document.reading.fault(where, "no private DNS zone has this name", did_you_mean(check.do.to, known))


def _must_be_held(document: Document, path: Path) -> bool:
    """Whether an address at this place proves something only if it exists: elsewhere silence would be no surprise."""
    if "see" in path or "silent" in path:
        return True
    check = document.checks[int(path[1])]
    return path[-1] == "to" and not isinstance(check.expect, (NoRouteSpec, ProhibitedSpec))


def _refuse_control(document: Document, i: int, check: CheckSpec) -> None:
    positive = {each.id for each in document.checks if isinstance(each.expect, OkSpec)}
    known = {each.id for each in document.checks}
    if check.id in check.control:
        document.reading.fault(("checks", i, "control"), "a check is no control of itself", value=check.id)
    elif isinstance(check.expect, OkSpec):
        return
    elif not check.control:
        rule = "a check that something fails needs a `control`: the same probe, one thing changed, which works"
        document.reading.fault(("checks", i), rule, value=check.id)
    elif known.issuperset(check.control) and positive.isdisjoint(check.control):
        rule = "no control of this check expects `ok`, so none shows that the probe can succeed"
        document.reading.fault(("checks", i, "control"), rule, value=", ".join(check.control))


def _refuse_drill(document: Document, i: int, drill: DrillSpec) -> None:
    bounds, where = drill.bounds, ("drills", i, "bounds")
    if all(bound is None for bound in (bounds.restore, bounds.lost, bounds.failback_lost)):
        document.reading.fault(where, "a drill needs a bound: `restore`, `lost` or `failback_lost`", value="")
    if bounds.restore == 0:
        document.reading.fault((*where, "restore"), "nothing is restored in no time; bound the loss with `lost`")
    if bounds.restore is not None and (bounds.not_before or 0) > bounds.restore:
        document.reading.fault((*where, "not_before"), "is later than `restore`")
    check = next((check for check in document.checks if check.id == drill.during), None)
    if check is None:
        return
    if check.with_ is not None or not isinstance(check.expect, OkSpec):
        rule = f"the check {check.id} does not expect `ok` of the lab as it is; a drill needs traffic that works"
        document.reading.fault(("drills", i, "during"), rule)
    if isinstance(check.do, (DnsSpec, InjectSpec)):
        rule = "a drill needs a check with two ends to stream between: tcp, udp or ping"
        document.reading.fault(("drills", i, "during"), rule)
    elif _is_domain(check.do.to):
        rule = f"the check {check.id} connects to a domain name; a drill needs one that names a node or an address"
        document.reading.fault(("drills", i, "during"), rule)


def _words(document: Document) -> Iterator[tuple[Path, str]]:
    """Every name or address in checks and drills that is not a plain reference, with its key path."""
    for i, check in enumerate(document.checks):
        do, where = check.do, ("checks", i)
        if isinstance(do, (TcpSpec, UdpSpec, PingSpec, InjectSpec)):
            kind = {TcpSpec: "tcp", UdpSpec: "udp", PingSpec: "ping", InjectSpec: "inject"}[type(do)]
            yield (*where, "do", kind, "to"), do.to
            if isinstance(do, InjectSpec):
                yield (*where, "do", kind, "source"), do.source
        if isinstance(check.expect, OkSpec) and check.expect.source:
            yield (*where, "expect", "ok", "source"), check.expect.source
    for path, sight in _sights(document):
        inner = sight.inner or InnerSpec()
        outside = ((*path, "src"), sight.src), ((*path, "dst"), sight.dst)
        inside = ((*path, "inner", "src"), inner.src), ((*path, "inner", "dst"), inner.dst)
        yield from ((at, word) for at, word in (*outside, *inside) if word)


def _sights(document: Document) -> Iterator[tuple[Path, SightSpec]]:
    """Every sight of checks and drills, with its key path."""
    parts: list[tuple[Path, CheckSpec | SightsSpec]] = [(("checks", i), each) for i, each in enumerate(document.checks)]
    for i, drill in enumerate(document.drills):
        for name, part in (
            ("throughout", drill.throughout),
            ("before", drill.before),
            ("meanwhile", drill.meanwhile),
            ("after", drill.after),
        ):
            parts.append((("drills", i, name), part))
    for path, each in parts:
        yield from (((*path, "see", i), sight) for i, sight in enumerate(each.see))
        yield from (((*path, "silent", i), sight) for i, sight in enumerate(each.silent))


def _refuse_word(document: Document, path: Path, word: str, nodes: list[str]) -> None:
    if word in nodes or address_of(word) or word in document.unread:
        return
    if word in document.names:
        document.reading.fault(path, f"is a {document.names[word][0]}; expected a node or an address", value=word)
        return
    if not (path[-2:] == ("tcp", "to") and _is_domain(word)):
        document.reading.fault(path, "is no node and no IPv4 address", did_you_mean(word, nodes), value=word)


def _is_domain(word: str) -> bool:
    try:
        DOMAIN.parse(word)
    except ValueError:
        return False
    return not word.replace(".", "").isdigit()


def address_of(word: str) -> IPv4Address | None:
    """The address that `word` is, if it is one."""
    try:
        return IPv4Address(word)
    except AddressValueError:
        return None
