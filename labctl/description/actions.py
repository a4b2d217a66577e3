"""What a check does and what must come of it, as written."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from labctl.description.record import OneOf, RecordOf, option
from labctl.description.types import Choice, ListOf, MapOf, Ref, Type
from labctl.description.units import DURATION, PERCENT, RATE, SIZE
from labctl.description.words import ADDRESS, BOOLEAN, TEXT, integer

NODES: tuple[str, ...] = ("node",)
LINKS: tuple[str, ...] = ("link",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSpec:
    """Ask a DNS server."""

    server: IPv4Address = option(ADDRESS, "the server's address")
    name: str = option(TEXT, "the name to ask for")
    type: str = option(Choice(("A", "AAAA", "ANY", "CNAME", "MX", "NS", "PTR", "SOA", "TXT")), "the record type", "A")
    transport: str = option(Choice(("udp", "tcp")), "how to ask", "udp")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSpec:
    """Connect to a test server; send bytes that carry the marker; compare the digest that it computed."""

    to: str = option(TEXT, "a node, an address, or a domain name that the sender's own resolver must resolve")
    port: int = option(integer(1, 65535), "the port")
    send: int = option(SIZE, "how much to send", 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpSpec:
    """Send one datagram to a test server and wait for it to come back."""

    to: str = option(TEXT, "a node or an address")
    port: int = option(integer(1, 65535), "the port")


@dataclass(frozen=True, slots=True, kw_only=True)
class PingSpec:
    """One ICMP echo request."""

    to: str = option(TEXT, "a node or an address")
    size: int = option(integer(0, 65507), "bytes of ICMP data; the packet is 28 bytes longer", 56)
    df: bool = option(BOOLEAN, "set Don't Fragment", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectSpec:
    """Put a forged TCP SYN on the wire in clear, towards the MAC address of a neighbour."""

    source: str = option(TEXT, "the node or address that it pretends to come from")
    to: str = option(TEXT, "the node or address that it is for")
    port: int = option(integer(1, 65535), "the destination port")
    via: IPv4Address = option(ADDRESS, "the neighbour's address")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSpec:
    """One HTTP/1.1 GET (RFC 9112), the marker in a header of its own."""

    to: str = option(TEXT, "a node, an address, or a domain name that the sender's own resolver must resolve")
    port: int = option(integer(1, 65535), "the port", 80)
    path: str = option(TEXT, "what to ask for", "/")
    host: str = option(TEXT, "the Host header (default: `to`)", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpec:
    """The hops of the way there: marked packets whose TTL is 1, 2, 3... until the target itself answers."""

    to: str = option(TEXT, "a node or an address")
    proto: str = option(Choice(("udp", "icmp", "tcp")), "what to send", "udp")
    port: int = option(integer(1, 65535), "the destination port of udp and tcp", 33434)
    most: int = option(integer(1, 64), "hops to try", 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSpec:
    """How much gets through: a stream to a receiver that the prober opens at the target."""

    to: str = option(TEXT, "a node or an address of one")
    proto: str = option(Choice(("udp", "tcp")), "udp counts whole IP packets, tcp the bytes of the connection", "udp")
    for_: int = option(DURATION, "how long to send", 2000)
    offer: int | None = option(RATE, "how much udp is offered (default: half as much again as expected)", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowsSpec:
    """Many connections or datagrams at once, alike but for their source ports, to a test server."""

    to: str = option(TEXT, "a node or an address")
    port: int = option(integer(1, 65535), "the port")
    count: int = option(integer(2, 1000), "how many five-tuples", 100)
    proto: str = option(Choice(("udp", "tcp")), "what to send", "udp")


ActionSpec = DnsSpec | TcpSpec | UdpSpec | PingSpec | HttpSpec | TraceSpec | RateSpec | FlowsSpec | InjectSpec
ACTIONS: dict[str, type[ActionSpec]] = {
    "dns": DnsSpec,
    "tcp": TcpSpec,
    "udp": UdpSpec,
    "ping": PingSpec,
    "http": HttpSpec,
    "trace": TraceSpec,
    "rate": RateSpec,
    "flows": FlowsSpec,
    "inject": InjectSpec,
}
ACTION: Type[ActionSpec] = OneOf(ACTIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadSpec:
    """How flows share links: each flow on one of them, and each of them with its share of the flows."""

    over: tuple[str, ...] = option(
        ListOf(Ref((*LINKS, *NODES)), least=2), "links, subnets, nodes or sides of nodes where a flow is seen in clear"
    )
    least: int = option(PERCENT, "the smallest share that each of them may have, in per cent of the flows", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OkSpec:
    """It works; the options say what else must be so."""

    answers: tuple[str, ...] = option(ListOf(TEXT), "the DNS answers", ())
    order: str = option(Choice(("strict", "any")), "whether the DNS answers come in the order written", "strict")
    authoritative: bool = option(BOOLEAN, "the DNS answer is authoritative (AA)", False)
    source: str = option(TEXT, "the node or address that the server saw as its client", "")
    server: str = option(Ref(NODES), "the node that answered", "")
    mss: int = option(integer(0, 65535), "the largest TCP segment that the connection may use, in bytes (0: any)", 0)
    status: int | None = option(integer(100, 599), "the HTTP status", None)
    body: str = option(TEXT, "a text that the HTTP body contains", "")
    header: dict[str, str] = option(MapOf(TEXT, TEXT), "HTTP headers and their values", {})
    hops: tuple[str, ...] = option(
        ListOf(TEXT), "the hops of a trace, the target last: nodes, addresses, or `*` for one that stays silent", ()
    )
    rate: int | None = option(RATE, "what gets through", None)
    tolerance: int = option(PERCENT, "how far from `rate` it may be, in per cent of it", 10)
    spread: SpreadSpec | None = option(RecordOf(SpreadSpec), "how the flows share links", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailSpec:
    """It fails in the way named."""

    by: str = option(Ref(NODES), "the node whose ICMP error says so", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TooBigSpec:
    """ICMP fragmentation needed (RFC 1191), with this MTU."""

    mtu: int = option(integer(68, 65535), "the MTU that the error names")
    by: str = option(Ref(NODES), "the node whose ICMP error says so", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceSpec:
    """Nothing comes back while the probe provably left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsFailSpec:
    """The DNS answer has this code."""


class RefusedSpec(FailSpec):
    """TCP RST or ICMP port unreachable."""


class NoRouteSpec(FailSpec):
    """ICMP net or host unreachable, or no route in the sender."""


class ProhibitedSpec(FailSpec):
    """ICMP administratively prohibited."""


class NxdomainSpec(DnsFailSpec):
    """RCODE 3."""


class NodataSpec(DnsFailSpec):
    """RCODE 0 without answers (RFC 2308)."""


class ServfailSpec(DnsFailSpec):
    """RCODE 2."""


ExpectSpec = OkSpec | FailSpec | TooBigSpec | SilenceSpec | DnsFailSpec
EXPECT: Type[ExpectSpec] = OneOf(
    {
        "ok": OkSpec,
        "refused": RefusedSpec,
        "no_route": NoRouteSpec,
        "prohibited": ProhibitedSpec,
        "too_big": TooBigSpec,
        "filtered": SilenceSpec,
        "nxdomain": NxdomainSpec,
        "nodata": NodataSpec,
        "servfail": ServfailSpec,
    },
    short={"too_big": "mtu"},
)
OUTCOMES: dict[
    type,
    Literal["ok", "refused", "no_route", "prohibited", "too_big", "filtered", "nxdomain", "nodata", "servfail"],
] = {
    OkSpec: "ok",
    RefusedSpec: "refused",
    NoRouteSpec: "no_route",
    ProhibitedSpec: "prohibited",
    TooBigSpec: "too_big",
    SilenceSpec: "filtered",
    NxdomainSpec: "nxdomain",
    NodataSpec: "nodata",
    ServfailSpec: "servfail",
}
