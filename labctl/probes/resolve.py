"""From checks as written to checks that can be proved: names become addresses, links become places of capture.

They are sound: `labctl.probes.refusals` has said so.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal, assert_never, cast

from labctl.description.checks import (
    OUTCOMES,
    ActionSpec,
    BlackholeSpec,
    CheckSpec,
    DnsSpec,
    DrillSpec,
    ExpectSpec,
    FailSpec,
    FaultSpec,
    InjectSpec,
    InnerSpec,
    LinkDownSpec,
    OkSpec,
    PingSpec,
    SightSpec,
    SightsSpec,
    TcpSpec,
    TooBigSpec,
    UdpSpec,
)
from labctl.description.document import Document
from labctl.model.network import Network, Spot
from labctl.probes.expectations import (
    Bounds,
    Check,
    Drill,
    Expected,
    Fault,
    Hop,
    Inner,
    Part,
    Port,
    Proto,
    Sight,
)
from labctl.probes.refusals import address_of
from labctl.probes.wire import Action, Dns, Inject, Ping, Tap, Tcp, Udp

ANSWER_MS = 3000
"""How long an answer may take, an ICMP error that the kernel holds back for a second included."""

SILENCE_MS = 1000
"""How long nothing must come back before that counts as silence."""


@dataclass(slots=True)
class Resolver:
    """Resolves the checks of one document against its model. `time_scale` stretches what they wait for."""

    document: Document
    net: Network
    time_scale: int = 1

    def checks(self) -> tuple[Check, ...]:
        """Every check."""
        return tuple(self._check(each) for each in self.document.checks)

    def drills(self) -> tuple[Drill, ...]:
        """Every drill."""
        return tuple(self._drill(each) for each in self.document.drills)

    def _check(self, spec: CheckSpec) -> Check:
        expected = self._expected(spec.expect)
        usual = SILENCE_MS if expected.outcome == "filtered" else ANSWER_MS
        see = tuple(self._sight(each) for each in spec.see)
        silent = tuple(self._sight(each) for each in spec.silent)
        path = tuple(Hop(node, f"path {node}") for node in spec.path)
        taps = [tap for sight in (*see, *silent) for tap in self._spots(sight.on)]
        taps += [tap for hop in path for tap in self._node_taps(hop.tap, hop.node)]
        return Check(
            id=spec.id,
            about=spec.about,
            node=spec.from_,
            action=self._action(spec.do, spec.from_),
            expected=expected,
            see=see,
            silent=silent,
            path=path,
            control=spec.control,
            timeout_ms=(spec.within or usual) * self.time_scale,
            taps=tuple(dict.fromkeys(taps)),
        )

    def _ip(self, word: str) -> IPv4Address:
        return self.net.addresses[word] if word in self.net.addresses else IPv4Address(word)

    def _maybe(self, word: str) -> IPv4Address | None:
        return self._ip(word) if word else None

    def _action(self, spec: ActionSpec, node: str) -> Action:
        match spec:
            case DnsSpec():
                transport: Literal["udp", "tcp"] = "tcp" if spec.transport == "tcp" else "udp"
                return Dns(spec.server, spec.name, spec.type, transport)
            case TcpSpec():
                if spec.to not in self.net.addresses and address_of(spec.to) is None:
                    stub = self.net.nodes[node].stub
                    return Tcp(spec.port, None, spec.to, stub[0] if stub else None, spec.send)
                return Tcp(spec.port, self._ip(spec.to), send=spec.send)
            case UdpSpec():
                return Udp(self._ip(spec.to), spec.port)
            case PingSpec():
                return Ping(self._ip(spec.to), spec.size, spec.df)
            case InjectSpec():
                return Inject(self._ip(spec.source), self._ip(spec.to), spec.port, spec.via)
            case _:
                assert_never(spec)

    def _expected(self, spec: ExpectSpec) -> Expected:
        outcome = OUTCOMES[type(spec)]
        if isinstance(spec, OkSpec):
            source = self._maybe(spec.source)
            return Expected(outcome, spec.answers, spec.authoritative, source, spec.server, spec.mss)
        if isinstance(spec, (FailSpec, TooBigSpec)):
            mtu = spec.mtu if isinstance(spec, TooBigSpec) else 0
            return Expected(outcome, mtu=mtu, by=self._addresses(spec.by), by_node=spec.by)
        return Expected(outcome)

    def _addresses(self, node: str) -> tuple[IPv4Address, ...]:
        net = self.net
        return (
            *(plug.address.ip for plug in net.plugs if plug.node == node),
            *(wire.a_address.ip for wire in net.wires if wire.a == node),
            *(wire.b_address.ip for wire in net.wires if wire.b == node),
            *(own.address.ip for own in net.owns if own.node == node),
            *(end.inner.ip for end in net.gre_ends if end.node == node),
        )

    def _sight(self, spec: SightSpec) -> Sight:
        inner = self._inner(spec.inner) if spec.inner else None
        src, dst = self._maybe(spec.src), self._maybe(spec.dst)
        return Sight(spec.on, spec.proto, src, dst, spec.port, inner, spec.marker, spec.longer)

    def _inner(self, spec: InnerSpec) -> Inner:
        return Inner(spec.proto, self._maybe(spec.src), self._maybe(spec.dst))

    def _spots(self, name: str) -> list[Tap]:
        """The taps of a link, or of all devices of a node."""
        if name in self.net.spots:
            return [Tap(name, spot.namespace, spot.device, spot.direction) for spot in self.net.spots[name]]
        return self._node_taps(name, name)

    def _node_taps(self, name: str, node: str) -> list[Tap]:
        return [Tap(name, node, device, "both") for device in self.net.devices(node)]

    def _drill(self, spec: DrillSpec) -> Drill:
        check = next(each for each in self.document.checks if each.id == spec.during)
        do = check.do
        assert isinstance(do, (TcpSpec, UdpSpec, PingSpec))
        target = self._ip(do.to)
        parts = [self._part(each) for each in (spec.throughout, spec.before, spec.meanwhile, spec.after)]
        sights = [sight for part in parts for sight in (*part.see, *part.silent)]
        return Drill(
            id=spec.id,
            about=spec.about,
            node=check.from_,
            target_node=self.net.holder(target) or do.to,
            target=target,
            fault=self._fault(spec.fault),
            hold_ms=spec.for_ * self.time_scale,
            rate=max(1, spec.rate // self.time_scale),
            bounds=self._bounds(spec),
            throughout=parts[0],
            before=parts[1],
            meanwhile=parts[2],
            after=parts[3],
            taps=tuple(dict.fromkeys(tap for sight in sights for tap in self._spots(sight.on))),
        )

    def _part(self, spec: SightsSpec) -> Part:
        return Part(tuple(self._sight(each) for each in spec.see), tuple(self._sight(each) for each in spec.silent))

    def _bounds(self, spec: DrillSpec) -> Bounds:
        bounds = spec.bounds
        return Bounds(
            restore_ms=None if bounds.restore is None else bounds.restore * self.time_scale,
            not_before_ms=None if bounds.not_before is None else bounds.not_before * self.time_scale,
            after="repair" if bounds.after == "repair" else "fault",
            lost=bounds.lost,
            failback_lost=bounds.failback_lost,
            tcp_survives=bounds.tcp == "survives",
        )

    def _fault(self, spec: FaultSpec) -> Fault:
        spots: list[Spot] = self.net.spots[spec.link]
        ports = tuple(Port(spot.namespace, spot.device) for spot in spots)
        match spec:
            case LinkDownSpec():
                return Fault("link_down", spec.link, "", ports)
            case BlackholeSpec():
                return Fault("blackhole", spec.link, cast(Proto, spec.proto), ports)
            case _:
                assert_never(spec)
