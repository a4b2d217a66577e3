"""What is wrong with checks and drills: with those that are written, and with what they ask of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from labctl.claims.controls import Beside, besides, refuse_distant, refuse_uncontrolled
from labctl.claims.fitting import kind_of, refuse_blind, refuse_misfits
from labctl.claims.places import SILENT_HOP, Places, address_of, is_domain
from labctl.claims.refusals_faults import refuse_faults, refuse_misplaced
from labctl.claims.refusals_streams import refuse_streams, refuse_translated
from labctl.description.actions import (
    ActionSpec,
    ConnectSpec,
    DnsSpec,
    HealthSpec,
    HttpSpec,
    InjectSpec,
    LookupSpec,
    TcpSpec,
    TraceSpec,
)
from labctl.description.checks import CheckSpec, InnerSpec, SightSpec
from labctl.description.document import Document
from labctl.description.drills import SightsSpec
from labctl.description.faults import Path, did_you_mean
from labctl.description.outcomes import (
    DnsFailSpec,
    NoRouteSpec,
    OkSpec,
    ProhibitedSpec,
)
from labctl.model.network import Network

_NAMED = (TcpSpec, HttpSpec, ConnectSpec)
"""The probes whose target may be a domain name."""


def refuse_checks(document: Document, beside: Mapping[str, CheckSpec] | None = None) -> None:
    """Report what is wrong with the checks and drills as they are written.

    `beside`: further checks that may be named as controls, by their ids.
    """
    nodes = [name for name, uses in document.names.items() if "node" in uses]
    known = {**(beside or {}), **{check.id: check for check in document.checks}}
    for path, word in _words(document):
        _refuse_word(document, path, word, nodes)
    for path, sight in _sights(document):
        refuse_blind(document, path, sight)
    for i, check in document.numbered_checks():
        refuse_uncontrolled(document, ("checks", i), check, known)
        refuse_misfits(document, ("checks", i), check, named=_is_named(check.do))
        _refuse_check(document, ("checks", i), check)
    refuse_streams(document)
    refuse_faults(document)


def _refuse_check(document: Document, where: Path, check: CheckSpec) -> None:
    fault = document.reading.fault
    if isinstance(check.do, InjectSpec):
        part = "see" if isinstance(check.expect, OkSpec) else "silent"
        if not getattr(check, part):
            fault(where, f"nobody answers a forged packet: `{part}` must say where it counts", value="")
    if check.path and check.path[0] != check.from_ and check.from_ in document.names:
        fault((*where, "path", 0), f"the way begins with its sender, {check.from_}")
    for i, node in enumerate(check.path):
        if node in check.path[:i]:
            fault((*where, "path", i), "stands there already: it counts when a node first saw the probe")
    if check.within == 0:
        fault((*where, "within"), "nothing is waited for in no time")


def refuse_unplaced(
    document: Document,
    net: Network,
    changed: Mapping[str, Network] | None = None,
    beside: Mapping[str, Beside] | None = None,
) -> None:
    """Report what only the model can tell: names without an address, links with no place to capture, far controls.

    `changed`: the model under the change of a check, by the check's id. `beside`: further checks that may be controls.
    """
    nets = changed or {}
    claims = besides(document, net, nets)
    for path, word in _words(document):
        _refuse_unaddressed(document, path, word, _net_at(document, path, net, nets))
    for path, name in _spots(document):
        there = _net_at(document, path, net, nets)
        if not there.spots.get(name, there.devices(name)):
            document.reading.fault(path, "has nothing plugged in: there is no place to capture", value=name)
    for path, sight in _sights(document):
        _refuse_foreign(document, path, sight, _net_at(document, path, net, nets))
    for i, check in document.numbered_checks():
        _refuse_unnamed(document, nets.get(check.id, net), ("checks", i), check)
        _refuse_elsewhere(document, nets.get(check.id, net), ("checks", i), check)
        _refuse_server(document, nets.get(check.id, net), ("checks", i), check)
        _refuse_ambiguous(document, nets.get(check.id, net), ("checks", i), check)
        refuse_distant(document, ("checks", i), claims[check.id], {**(beside or {}), **claims})
    refuse_misplaced(document, net)
    refuse_translated(document, net)


def _net_at(document: Document, path: Path, net: Network, changed: Mapping[str, Network]) -> Network:
    """The model that what stands at `path` is about."""
    return changed.get(dict(document.numbered_checks())[int(path[1])].id, net) if path[0] == "checks" else net


def _refuse_unaddressed(document: Document, path: Path, word: str, net: Network) -> None:
    there = address_of(word)
    if word not in net.addresses and there is None and not is_domain(word):
        rule = "is a node without an address of its own; write an address"
        if word not in net.nodes:
            rule = "is not there once the lab is changed as this check says (`with`)"
        document.reading.fault(path, rule, value=word)
    elif there and _must_be_held(document, path) and net.holder(there) is None:
        rule = "no node of the lab has this address: nothing could ever come of it"
        document.reading.fault(path, rule, value=word)


def _refuse_foreign(document: Document, path: Path, sight: SightSpec, net: Network) -> None:
    """An SPI that no association has would never be seen, and so prove any silence."""
    known = [spi for esp in net.esps for spi in Places(net).spis(esp.name)]
    if sight.spi and sight.spi not in known:
        rule = "no IPsec connection of the lab has this SPI"
        hint = "name the connection: `connection`, which follows it when it is rekeyed"
        document.reading.fault((*path, "spi"), rule, hint)


def _refuse_unnamed(document: Document, net: Network, where: Path, check: CheckSpec) -> None:
    """A domain name needs somebody who asks for it, and, where the check is to work, somebody who knows it."""
    do = check.do
    if isinstance(do, LookupSpec):
        name, field = do.name, "name"
    elif isinstance(do, _NAMED) and is_domain(do.to):
        name, field = do.to, "to"
    else:
        return
    if check.from_ not in net.nodes:
        return
    at = (*where, "do", kind_of(do), field)
    known = [record.name for zones in net.zones.values() for zone in zones for record in zone.records]
    if not net.nodes[check.from_].stub:
        instead = "; write an address" if field == "to" else ""
        document.reading.fault(at, f"{check.from_} has no resolver to ask for a domain name{instead}")
    elif isinstance(check.expect, OkSpec) and name not in known:
        document.reading.fault(at, "no private DNS zone has this name", did_you_mean(name, known))


def _refuse_server(document: Document, net: Network, where: Path, check: CheckSpec) -> None:
    """Whatever a DNS server says, there must be one who says it."""
    do = check.do
    known = [address for addresses in net.resolvers.values() for address in addresses]
    if isinstance(do, DnsSpec) and isinstance(check.expect, (OkSpec, DnsFailSpec)) and do.server not in known:
        hint = f"they are at {', '.join(map(str, known))}" if known else "the lab has none"
        document.reading.fault((*where, "do", "dns", "server"), "no DNS server of the lab has this address", hint)


def _refuse_ambiguous(document: Document, net: Network, where: Path, check: CheckSpec) -> None:
    """A gateway that stands for a service at several addresses is called by none of them."""
    if isinstance(check.do, (DnsSpec, LookupSpec, HealthSpec, InjectSpec)) or check.do.to not in net.nodes:
        return
    if len(own := Places(net).translated(check.do.to)) > 1:
        rule, hint = "has several addresses", f"write one of them: {', '.join(map(str, own))}"
        document.reading.fault((*where, "do", kind_of(check.do), "to"), rule, hint)


def _refuse_elsewhere(document: Document, net: Network, where: Path, check: CheckSpec) -> None:
    """A trace ends at its target, which answers as the address that it was asked by."""
    hops = check.expect.hops if isinstance(check.expect, OkSpec) else ()
    if not isinstance(check.do, TraceSpec) or not hops:
        return
    places, last = Places(net), hops[-1]
    to = net.addresses.get(check.do.to, address_of(check.do.to))
    held = places.addresses(last) if last in net.nodes else (address_of(last),)
    if to is not None and to not in held:
        at = (*where, "expect", "ok", "hops", len(hops) - 1)
        document.reading.fault(at, f"the last hop of a trace is its target, {check.do.to}", value=last)
    if len(hops) > check.do.most:
        rule = f"the trace tries no more than {check.do.most} hops (`most`)"
        document.reading.fault((*where, "expect", "ok", "hops"), rule, value=f"{len(hops)} hops")


def _must_be_held(document: Document, path: Path) -> bool:
    """Whether an address at this place proves something only if it exists: elsewhere silence would be no surprise."""
    if "see" in path or "silent" in path:
        return True
    check = dict(document.numbered_checks())[int(path[1])]
    return path[-1] == "to" and not isinstance(check.expect, (NoRouteSpec, ProhibitedSpec))


def _words(document: Document) -> Iterator[tuple[Path, str]]:
    """Every name or address in checks and drills that is not a plain reference, with its key path."""
    for i, check in document.numbered_checks():
        do, where = check.do, ("checks", i)
        if not isinstance(do, (DnsSpec, LookupSpec, HealthSpec)):
            yield (*where, "do", kind_of(do), "to"), do.to
        if isinstance(do, InjectSpec):
            yield (*where, "do", "inject", "source"), do.source
        if isinstance(check.expect, OkSpec):
            if check.expect.source:
                yield (*where, "expect", "ok", "source"), check.expect.source
            hops = enumerate(check.expect.hops)
            yield from (((*where, "expect", "ok", "hops", j), hop) for j, hop in hops if hop != SILENT_HOP)
    for path, sight in _sights(document):
        inner = sight.inner or InnerSpec()
        outside = ((*path, "src"), sight.src), ((*path, "dst"), sight.dst)
        inside = ((*path, "inner", "src"), inner.src), ((*path, "inner", "dst"), inner.dst)
        yield from ((at, word) for at, word in (*outside, *inside) if word)


def _spots(document: Document) -> Iterator[tuple[Path, str]]:
    """Every name of a place to capture, with its key path."""
    yield from (((*path, "on"), sight.on) for path, sight in _sights(document))
    for i, check in document.numbered_checks():
        yield from ((("checks", i, "path", j), node) for j, node in enumerate(check.path))
        spread = check.expect.spread if isinstance(check.expect, OkSpec) else None
        at = ("checks", i, "expect", "ok", "spread", "over")
        yield from (((*at, j), name) for j, name in enumerate(spread.over if spread else ()))


def _sights(document: Document) -> Iterator[tuple[Path, SightSpec]]:
    """Every sight of checks, drills and changes, with its key path."""
    parts: list[tuple[Path, CheckSpec | SightsSpec]] = [(("checks", i), each) for i, each in document.numbered_checks()]
    for i, drill in document.numbered_drills():
        names = ("throughout", "before", "meanwhile", "after")
        parts += [(("drills", i, name), getattr(drill, name)) for name in names]
    for i, change in document.numbered_changes():
        names = ("throughout", "before", "changed", "after")
        parts += [(("changes", i, name), getattr(change, name)) for name in names]
    for path, each in parts:
        yield from (((*path, "see", j), sight) for j, sight in enumerate(each.see))
        yield from (((*path, "silent", j), sight) for j, sight in enumerate(each.silent))


def _refuse_word(document: Document, path: Path, word: str, nodes: list[str]) -> None:
    if word in nodes or address_of(word) or word in document.unread:
        return
    if word in document.names:
        document.reading.fault(path, f"is a {document.names[word][0]}; expected a node or an address", value=word)
        return
    if not (path[-2:] in (("tcp", "to"), ("http", "to"), ("connect", "to")) and is_domain(word)):
        document.reading.fault(path, "is no node and no IPv4 address", did_you_mean(word, nodes), value=word)


def _is_named(do: ActionSpec) -> bool:
    return isinstance(do, _NAMED) and is_domain(do.to)
