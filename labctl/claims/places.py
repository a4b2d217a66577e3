"""From the names in a description to addresses of the model, to places of capture and to what is looked for there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from labctl.claims.expectations import Inner, Part, Sight
from labctl.description.checks import InnerSpec, SightSpec
from labctl.description.drills import SightsSpec
from labctl.description.words import DOMAIN
from labctl.model.network import Network, device_name
from labctl.model.tunnels import FRESH_SPI
from labctl.probes.wire import Tap

SILENT_HOP = "*"
"""How a hop of a trace is written that answers nothing."""


@dataclass(frozen=True, slots=True)
class Places:
    """What the names of a description stand for in its model. They are sound: `labctl.claims.refusals` has said so."""

    net: Network

    def ip(self, word: str) -> IPv4Address:
        """The address that a node is called by, or the one that `word` is."""
        return self.net.addresses[word] if word in self.net.addresses else IPv4Address(word)

    def maybe(self, word: str) -> IPv4Address | None:
        """The same; None for ""."""
        return self.ip(word) if word else None

    def addresses(self, node: str) -> tuple[IPv4Address, ...]:
        """Every address of a node, on whatever device."""
        net = self.net
        return (
            *(plug.address.ip for plug in net.plugs if plug.node == node),
            *(wire.a_address.ip for wire in net.wires if wire.a == node),
            *(wire.b_address.ip for wire in net.wires if wire.b == node),
            *(own.address.ip for own in net.owns if own.node == node),
            *(end.inner.ip for end in net.gre_ends if end.node == node),
        )

    def translated(self, node: str = "") -> tuple[IPv4Address, ...]:
        """The addresses at which `node`, or any, stands for a service: packets to them are translated (DNAT)."""
        rules = (each.words for each in self.net.rules if "DNAT" in each.words and node in ("", each.node))
        return tuple(dict.fromkeys(IPv4Address(words[words.index("-d") + 1]) for words in rules if "-d" in words))

    def leads_to(self, address: IPv4Address) -> IPv4Address:
        """The address that packets to `address` end up at: its own, or that of the service that it stands for."""
        for words in (each.words for each in self.net.rules if {"DNAT", "-d"} <= set(each.words)):
            if words[words.index("-d") + 1] == str(address):
                return IPv4Address(words[words.index("--to-destination") + 1].partition(":")[0])
        return address

    def serving(self, resolver: str) -> tuple[IPv4Address, ...]:
        """The addresses of the locations of a custom resolver; one that is not enabled is down."""
        return self.net.locations[resolver]

    def spis(self, connection: str) -> tuple[int, ...]:
        """The SPIs of an IPsec connection in both directions: its first ones, and those that a rekeying gives it."""
        first = next(esp.spis for esp in self.net.esps if esp.name == device_name(connection))
        return (*first, *(spi | FRESH_SPI for spi in first))

    def spots(self, name: str) -> list[Tap]:
        """The taps of a link, or of all devices of a node, called `name`."""
        if name in self.net.spots:
            return [Tap(name, spot.namespace, spot.device, spot.direction) for spot in self.net.spots[name]]
        return self.node_taps(name, name)

    def node_taps(self, name: str, node: str) -> list[Tap]:
        """Taps called `name` on all devices of `node`."""
        return [Tap(name, node, device, "both") for device in self.net.devices(node)]

    def taps(self, sights: Iterable[Sight]) -> list[Tap]:
        """Where these sights are looked for, each place once."""
        return list(dict.fromkeys(tap for sight in sights for tap in self.spots(sight.on)))

    def sight(self, spec: SightSpec) -> Sight:
        """A sight as written, resolved."""
        return Sight(
            on=spec.on,
            proto=spec.proto or ("esp" if spec.spi or spec.connection else "geneve" if spec.vni is not None else ""),
            src=self.maybe(spec.src),
            dst=self.maybe(spec.dst),
            port=spec.port,
            inner=self._inner(spec.inner) if spec.inner else None,
            spis=self.spis(spec.connection) if spec.connection else (spec.spi,) if spec.spi else (),
            connection=spec.connection,
            vni=spec.vni,
            marker=spec.marker,
            longer=spec.longer,
            least=1 if spec.least is None else spec.least,
            most=spec.most,
        )

    def _inner(self, spec: InnerSpec) -> Inner:
        return Inner(spec.proto, self.maybe(spec.src), self.maybe(spec.dst))

    def part(self, spec: SightsSpec) -> Part:
        """The sights of one part of a drill or change, resolved."""
        return Part(tuple(self.sight(each) for each in spec.see), tuple(self.sight(each) for each in spec.silent))


def address_of(word: str) -> IPv4Address | None:
    """The address that `word` is, if it is one."""
    try:
        return IPv4Address(word)
    except AddressValueError:
        return None


def is_domain(word: str) -> bool:
    """Whether `word` can only be a domain name."""
    try:
        DOMAIN.parse(word)
    except ValueError:
        return False
    return not word.replace(".", "").isdigit()
