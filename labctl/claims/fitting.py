"""Which claims fit which probe: one that no outcome of the probe could prove or disprove is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import NamedTuple

from labctl.claims.sightings import TUNNELS
from labctl.description.actions import (
    ACTIONS,
    ActionSpec,
    ConnectSpec,
    DnsSpec,
    FlowsSpec,
    HealthSpec,
    HttpSpec,
    InjectSpec,
    LookupSpec,
    PingSpec,
    RateSpec,
    TcpSpec,
    TraceSpec,
    UdpSpec,
)
from labctl.description.checks import CheckSpec, SightSpec
from labctl.description.document import Document
from labctl.description.faults import Path
from labctl.description.outcomes import (
    OUTCOMES,
    DnsFailSpec,
    NodataSpec,
    NoRouteSpec,
    NxdomainSpec,
    OkSpec,
    ProhibitedSpec,
    RefusedSpec,
    ServfailSpec,
    SilenceSpec,
    SpreadSpec,
    TooBigSpec,
)

_SERVED = (TcpSpec, UdpSpec, HttpSpec, FlowsSpec, ConnectSpec)
_NAMED = (TcpSpec, HttpSpec, ConnectSpec)
_OPTIONS: dict[str, tuple[type[ActionSpec], ...]] = {
    "answers": (DnsSpec, LookupSpec),
    "order": (DnsSpec, LookupSpec),
    "authoritative": (DnsSpec,),
    "first": (DnsSpec, LookupSpec),
    "ttl": (DnsSpec, LookupSpec),
    "reached": _NAMED,
    "source": _SERVED,
    "server": _SERVED,
    "mss": (TcpSpec,),
    "status": (HttpSpec,),
    "body": (HttpSpec,),
    "header": (HttpSpec,),
    "hops": (TraceSpec,),
    "rate": (RateSpec,),
    "tolerance": (RateSpec,),
    "spread": (FlowsSpec,),
    "established": (ConnectSpec,),
    "state": (HealthSpec,),
}
"""The probes of which each option of `ok` says something."""

_ON_THE_WAY = (OkSpec, RefusedSpec, NoRouteSpec, ProhibitedSpec, SilenceSpec)
_BY_NAME = (NxdomainSpec, NodataSpec, ServfailSpec)
_OUTCOMES: dict[type[ActionSpec], tuple[type, ...]] = {
    DnsSpec: (*_ON_THE_WAY, *_BY_NAME),
    TcpSpec: (*_ON_THE_WAY, *_BY_NAME),
    UdpSpec: _ON_THE_WAY,
    PingSpec: (*_ON_THE_WAY, TooBigSpec),
    HttpSpec: (*_ON_THE_WAY, *_BY_NAME),
    TraceSpec: (OkSpec,),
    RateSpec: (OkSpec,),
    FlowsSpec: _ON_THE_WAY,
    ConnectSpec: (*_ON_THE_WAY, *_BY_NAME),
    LookupSpec: (OkSpec, RefusedSpec, SilenceSpec, *_BY_NAME),
    HealthSpec: (OkSpec,),
    InjectSpec: (OkSpec, SilenceSpec),
}
"""What may come of each probe."""


class _Said(NamedTuple):
    """A fault, its place counted from the check or the sight."""

    path: Path
    rule: str
    hint: str = ""
    value: str | None = None


def kind_of(do: ActionSpec) -> str:
    """The word by which a probe is written."""
    return next(word for word, spec in ACTIONS.items() if type(do) is spec)


def refuse_misfits(document: Document, path: Path, check: CheckSpec, *, named: bool) -> None:
    """Report what `check`, which stands at `path`, claims in vain. `named`: its target is a domain name."""
    for said in (*_outcome(check, named), *_options(check), *_rate(check), *_spread(check), *_counts(check, named)):
        document.reading.fault((*path, *said.path), said.rule, said.hint, said.value)


def _outcome(check: CheckSpec, named: bool) -> Iterator[_Said]:
    kind, word = kind_of(check.do), OUTCOMES[type(check.expect)]
    possible = [OUTCOMES[each] for each in _OUTCOMES[type(check.do)]]
    if word not in possible:
        yield _Said(("expect",), f"cannot come of {kind}", f"what can come of it: {', '.join(possible)}", word)
    elif isinstance(check.expect, DnsFailSpec) and not isinstance(check.do, (DnsSpec, LookupSpec)) and not named:
        yield _Said(("expect",), f"cannot come of {kind} to an address: nobody is asked for a name", value=word)
    elif isinstance(check.expect, TooBigSpec) and isinstance(check.do, PingSpec) and not check.do.df:
        rule = "cannot come of a ping that may be fragmented"
        yield _Said(("expect",), rule, "say `df: true` in the ping", word)


def _options(check: CheckSpec) -> Iterator[_Said]:
    if not isinstance(check.expect, OkSpec):
        return
    usual = OkSpec()
    for each in fields(OkSpec):
        if getattr(check.expect, each.name) == getattr(usual, each.name) or type(check.do) in _OPTIONS[each.name]:
            continue
        fitting = ", ".join(word for word, spec in ACTIONS.items() if spec in _OPTIONS[each.name])
        yield _Said(("expect", "ok", each.name), f"says nothing about {kind_of(check.do)}; it is for {fitting}")


def _rate(check: CheckSpec) -> Iterator[_Said]:
    do, expect = check.do, check.expect
    if not isinstance(do, RateSpec) or not isinstance(expect, OkSpec):
        return
    if not expect.rate:
        rule = "a rate is measured to be compared: `rate` must say what is expected to get through"
        yield _Said(("expect",), rule, "expect: {ok: {rate: 5mbit}}", "")
    elif do.offer is not None and do.proto == "tcp":
        yield _Said(("do", "rate", "offer"), "is for udp: tcp sends as fast as it goes")
    elif do.offer is not None and do.offer * 100 < expect.rate * (100 - expect.tolerance):
        yield _Said(("do", "rate", "offer"), "is less than what is expected to get through")
    if do.for_ == 0:
        yield _Said(("do", "rate", "for"), "nothing can be measured in no time")
    if check.within is not None and check.within < do.for_:
        yield _Said(("within",), f"is shorter than the {do.for_} ms for which the probe sends")


def _spread(check: CheckSpec) -> Iterator[_Said]:
    spread = check.expect.spread if isinstance(check.expect, OkSpec) else None
    if spread is None:
        return
    at = ("expect", "ok", "spread")
    yield from _twice((*at, "over"), spread)
    if len(spread.over) * spread.least > 100:
        yield _Said((*at, "least"), f"{len(spread.over)} shares as large as this are more than all flows")


def _counts(check: CheckSpec, named: bool) -> Iterator[_Said]:
    do, expect = check.do, check.expect
    if not isinstance(expect, OkSpec):
        return
    if isinstance(do, ConnectSpec) and expect.established is not None and expect.established > do.count:
        yield _Said(("expect", "ok", "established"), f"is more than are tried, which are {do.count}")
    if isinstance(do, HealthSpec) and not expect.state:
        yield _Said(
            ("expect",), "a state is told to be compared: `state` must say which", "expect: {ok: {state: healthy}}", ""
        )
    if expect.reached and isinstance(do, _NAMED) and not named:
        yield _Said(("expect", "ok", "reached"), "is for a domain name; this target is the address itself")


def _twice(at: Path, spread: SpreadSpec) -> Iterator[_Said]:
    for i, name in enumerate(spread.over):
        if name in spread.over[:i]:
            yield _Said((*at, i), "stands there already: no flow can be on one of the two alone")


_ALONE: dict[str, tuple[str, ...]] = {
    "inner": TUNNELS,
    "spi": ("esp",),
    "connection": ("esp",),
    "vni": ("geneve",),
    "port": ("tcp", "udp"),
}
"""The protocols that have each of these."""


def refuse_blind(document: Document, path: Path, sight: SightSpec) -> None:
    """Report what `sight`, which stands at `path`, looks for in vain: no packet could be all that it says."""
    fault = document.reading.fault
    usual = SightSpec(on=sight.on)
    given = [name for name in _ALONE if getattr(sight, name) != getattr(usual, name)]
    for name in given:
        others = [other for other in given if other != name and not set(_ALONE[name]) & set(_ALONE[other])]
        if sight.proto and sight.proto not in _ALONE[name]:
            fault((*path, name), f"{sight.proto} has none; it is for {' and '.join(_ALONE[name])}")
        elif others and not sight.proto and given.index(name) > given.index(others[0]):
            fault((*path, name), f"no packet has both this and `{others[0]}`")
    if sight.spi and sight.connection:
        fault((*path, "spi"), "the connection has SPIs of its own; give one of the two")
    esp = "esp" in (sight.proto, *(each for name in given for each in _ALONE[name]))
    if sight.marker and esp:
        fault((*path, "marker"), "nothing can be read in ESP, so this would never be seen")
    _refuse_count(document, path, sight)
    if sight.proto == "arp" and (sight.marker or sight.longer):
        fault((*path, "marker" if sight.marker else "longer"), "an ARP packet carries nothing")


def _refuse_count(document: Document, path: Path, sight: SightSpec) -> None:
    fault = document.reading.fault
    for name in ("least", "most"):
        if getattr(sight, name) is None:
            continue
        if "silent" in path:
            fault((*path, name), "what must not be seen is seen not even once", "say it in `see`")
        elif sight.longer:
            fault((*path, name), "packets of some length cannot be counted; leave out `longer`")
    if sight.most is not None and (sight.least or 0) > sight.most:
        fault((*path, "least"), "is more than `most`")
    if sight.least == 0 and sight.most is None:
        fault((*path, "least"), "claims nothing: any number of packets is as many")
