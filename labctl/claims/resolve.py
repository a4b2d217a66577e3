"""From checks as written to checks that can be proved: names become addresses, links become places of capture.

They are sound: `labctl.claims.refusals` has said so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal, assert_never

from labctl.claims.expectations import Check, Expected, Hop, Spread, TraceHop
from labctl.claims.places import SILENT_HOP, Places, address_of
from labctl.description.actions import (
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
from labctl.description.checks import CheckSpec
from labctl.description.document import Document
from labctl.description.edit import words
from labctl.description.outcomes import (
    OUTCOMES,
    ExpectSpec,
    FailSpec,
    OkSpec,
    SpreadSpec,
    TooBigSpec,
)
from labctl.model import stubs
from labctl.model.network import Network
from labctl.probes.wire import (
    Action,
    Connect,
    Dns,
    Flows,
    Health,
    Http,
    Inject,
    Lookup,
    Named,
    Ping,
    Rate,
    Tap,
    Tcp,
    Trace,
    Udp,
)

ANSWER_MS = 4000
"""How long an answer may take: a router that asks three times for a neighbour in vain says so after 3 s and some."""

SILENCE_MS = 1000
"""How long nothing must come back before that counts as silence."""

HEALTH_MS = 500
"""How long a location of a custom resolver may take to answer, beyond what it may take to ask others in vain."""


@dataclass(slots=True)
class Resolver:
    """Resolves the checks of one document against its model. `time_scale` stretches what they wait for.

    `changed`: the model of the lab under the change of a check, by the check's id; its names mean what they mean there.
    """

    document: Document
    net: Network
    time_scale: int = 1
    changed: Mapping[str, Network] = field(default_factory=dict)

    def checks(self) -> tuple[Check, ...]:
        """Every check."""
        return tuple(self._check(each) for each in self.document.checks)

    def _check(self, spec: CheckSpec) -> Check:
        places = Places(self.changed.get(spec.id, self.net))
        see = tuple(places.sight(each) for each in spec.see)
        silent = tuple(places.sight(each) for each in spec.silent)
        path = tuple(Hop(node, f"path {node}") for node in spec.path)
        expected = _expected(spec.expect, spec.do, places)
        return Check(
            id=spec.id,
            about=spec.about,
            edit=words(spec.with_, self.document.reading.tree) if spec.with_ else "",
            node=spec.from_,
            action=_action(spec, places),
            expected=expected,
            see=see,
            silent=silent,
            path=path,
            control=spec.control,
            timeout_ms=_timeout_ms(spec, places.net) * self.time_scale,
            taps=tuple(dict.fromkeys([*places.taps((*see, *silent)), *_further_taps(expected, path, places)])),
        )


def _timeout_ms(spec: CheckSpec, net: Network) -> int:
    patience_ms = max((each.get("patience_ms", 1500) for each in net.resolver_options.values()), default=1500)
    if spec.within:
        return spec.within
    if OUTCOMES[type(spec.expect)] == "filtered":
        return SILENCE_MS
    if isinstance(spec.do, HealthSpec):
        return HEALTH_MS + patience_ms * 5 // 4
    return ANSWER_MS + (spec.do.for_ if isinstance(spec.do, RateSpec) else 0)


def _further_taps(expected: Expected, path: tuple[Hop, ...], places: Places) -> list[Tap]:
    """Where the probe's own way is looked for."""
    over = expected.spread.over if expected.spread else ()
    taps = [tap for hop in path for tap in places.node_taps(hop.tap, hop.node)]
    return [*taps, *(tap for name in over for tap in places.spots(name))]


def _action(check: CheckSpec, places: Places) -> Action:
    match check.do:
        case DnsSpec() as do:
            return Dns(do.server, do.name, do.type, "tcp" if do.transport == "tcp" else "udp")
        case TcpSpec() as do:
            return Tcp(do.port, *target(do.to, check.from_, places), do.send)
        case UdpSpec() as do:
            return Udp(places.ip(do.to), do.port)
        case PingSpec() as do:
            return Ping(places.ip(do.to), do.size, do.df)
        case HttpSpec() as do:
            return Http(do.port, do.path, do.host or do.to, *target(do.to, check.from_, places))
        case TraceSpec() as do:
            proto: Literal["udp", "icmp", "tcp"] = (
                "udp" if do.proto == "udp" else "icmp" if do.proto == "icmp" else "tcp"
            )
            return Trace(places.ip(do.to), proto, do.port, do.most)
        case RateSpec() as do:
            return _rate(do, check.expect, places)
        case FlowsSpec() as do:
            return Flows(places.ip(do.to), do.port, do.count, _transport(do.proto))
        case ConnectSpec() as do:
            return Connect(do.port, do.count, *target(do.to, check.from_, places))
        case LookupSpec() as do:
            return _lookup(do, check.from_, places.net)
        case HealthSpec() as do:
            return Health(places.serving(do.of))
        case InjectSpec() as do:
            return Inject(places.ip(do.source), places.ip(do.to), do.port, do.via)
        case _:
            assert_never(check.do)


def target(word: str, node: str, places: Places) -> tuple[IPv4Address | None, Named | None]:
    """The address; or the domain name and the servers that the applications of `node` ask for it."""
    if word in places.net.addresses or address_of(word) is not None:
        return places.ip(word), None
    net = places.net
    return None, Named(word, net.nodes[node].stub * net.stub_attempts, net.stub_s * 1000)


def _lookup(do: LookupSpec, node: str, net: Network) -> Lookup:
    by: Literal["getent", "dig", "curl"] = "dig" if do.by == "dig" else "curl" if do.by == "curl" else "getent"
    return Lookup(do.name, by, net.nodes[node].stub, tuple(stubs.files(net, node).items()))


def _transport(word: str) -> Literal["udp", "tcp"]:
    return "tcp" if word == "tcp" else "udp"


def _rate(do: RateSpec, expect: ExpectSpec, places: Places) -> Rate:
    """Half as much again as expected is offered: what gets through is then the way's doing, not the sender's."""
    to = places.ip(do.to)
    wanted = expect.rate if isinstance(expect, OkSpec) and expect.rate else 0
    offer = do.offer if do.offer is not None else wanted * 3 // 2
    return Rate(to, places.net.holder(to) or do.to, _transport(do.proto), offer, do.for_)


def _expected(spec: ExpectSpec, do: ActionSpec, places: Places) -> Expected:
    outcome = OUTCOMES[type(spec)]
    if isinstance(spec, (FailSpec, TooBigSpec)):
        mtu = spec.mtu if isinstance(spec, TooBigSpec) else 0
        return Expected(outcome, mtu=mtu, by=places.addresses(spec.by), by_node=spec.by)
    if not isinstance(spec, OkSpec):
        return Expected(outcome)
    return Expected(
        outcome,
        answers=spec.answers,
        any_order=spec.order == "any",
        first=spec.first,
        ttl_s=spec.ttl,
        authoritative=spec.authoritative,
        source=places.maybe(spec.source),
        server=spec.server,
        mss=spec.mss,
        status=spec.status,
        body=spec.body,
        header=tuple(spec.header.items()),
        hops=tuple(_hop(word, places) for word in spec.hops),
        rate_bit=spec.rate,
        tolerance=spec.tolerance if spec.rate is not None else 0,
        spread=_spread(spec.spread) if spec.spread else None,
        reached=spec.reached,
        established=spec.established,
        state=spec.state,
    )


def _spread(spec: SpreadSpec) -> Spread:
    return Spread(spec.over, spec.least)


def _hop(word: str, places: Places) -> TraceHop:
    if word == SILENT_HOP:
        return TraceHop(word, ())
    return TraceHop(word, places.addresses(word) if word in places.net.nodes else (IPv4Address(word),))
