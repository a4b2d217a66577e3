"""What a check does and what must come of it, as written."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar, Literal

from labctl.description.record import OneOf, RecordOf, option
from labctl.description.types import Choice, ListOf, MapOf, Ref, Type
from labctl.description.units import DURATION, PERCENT, RATE, SIZE
from labctl.description.words import ADDRESS, BOOLEAN, HOP, PLACE, TARGET, TEXT, integer

NODES: tuple[str, ...] = ("node",)
LINKS: tuple[str, ...] = ("link",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSpec:
    """Ask a DNS server."""

    example: ClassVar[str] = "{dns: {server: 161.26.0.7, name: kms.example.com}}"

    server: IPv4Address = option(ADDRESS, "the server's address")
    name: str = option(TEXT, "the name to ask for")
    type: str = option(Choice(("A", "AAAA", "ANY", "CNAME", "MX", "NS", "PTR", "SOA", "TXT")), "the record type", "A")
    transport: str = option(Choice(("udp", "tcp")), "how to ask", "udp")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSpec:
    """Connect to a test server; send bytes that carry the marker; compare the digest that it computed."""

    example: ClassVar[str] = "{tcp: {to: db1, port: 5432, send: 1MB}}"

    to: str = option(TARGET, "where to; a domain name is asked of the sender's own resolver, and must resolve")
    port: int = option(integer(1, 65535), "the port")
    send: int = option(SIZE, "how much to send", 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpSpec:
    """Send one datagram to a test server and wait for it to come back."""

    example: ClassVar[str] = "{udp: {to: dns1, port: 53}}"

    to: str = option(PLACE, "where to")
    port: int = option(integer(1, 65535), "the port")


@dataclass(frozen=True, slots=True, kw_only=True)
class PingSpec:
    """One ICMP echo request."""

    example: ClassVar[str] = "{ping: {to: 10.0.2.10, size: 1472, df: true}}"

    to: str = option(PLACE, "where to")
    size: int = option(integer(0, 65507), "bytes of ICMP data; the packet is 28 bytes longer", 56)
    df: bool = option(BOOLEAN, "set Don't Fragment", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectSpec:
    """Put a forged TCP SYN on the wire in clear, towards the MAC address of a neighbour."""

    example: ClassVar[str] = "{inject: {source: 172.16.10.10, to: 10.0.1.10, port: 8080, via: 198.51.100.20}}"

    source: str = option(PLACE, "where it pretends to come from")
    to: str = option(PLACE, "whom it is for")
    port: int = option(integer(1, 65535), "the destination port")
    via: IPv4Address = option(ADDRESS, "the neighbour's address")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSpec:
    """One HTTP/1.1 GET (RFC 9112), the marker in a header of its own."""

    example: ClassVar[str] = "{http: {to: web1, path: /status/503}}"

    to: str = option(TARGET, "where to; a domain name is asked of the sender's own resolver, and must resolve")
    port: int = option(integer(1, 65535), "the port", 80)
    path: str = option(TEXT, "what to ask for", "/")
    host: str = option(TEXT, "the Host header (default: `to`)", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpec:
    """The hops of the way there: marked packets whose TTL is 1, 2, 3... until the target itself answers."""

    example: ClassVar[str] = "{trace: {to: db1, proto: icmp}}"

    to: str = option(PLACE, "where to")
    proto: str = option(Choice(("udp", "icmp", "tcp")), "what to send", "udp")
    port: int = option(integer(1, 65535), "the destination port of udp and tcp", 33434)
    most: int = option(integer(1, 64), "hops to try", 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSpec:
    """How much gets through: a stream to a receiver that the prober opens at the target."""

    example: ClassVar[str] = "{rate: {to: db1, for: 2s}}"

    to: str = option(PLACE, "where to: a node, or an address of one")
    proto: str = option(Choice(("udp", "tcp")), "udp counts whole IP packets, tcp the bytes of the connection", "udp")
    for_: int = option(DURATION, "how long to send", 2000)
    offer: int | None = option(RATE, "how much udp is offered (default: half as much again as expected)", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowsSpec:
    """Many connections or datagrams at once, alike but for their source ports, to a test server."""

    example: ClassVar[str] = "{flows: {to: db1, port: 5432, count: 200}}"

    to: str = option(PLACE, "where to")
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

    example: ClassVar[str] = "{over: [isp1, isp2], least: 30%}"

    over: tuple[str, ...] = option(
        ListOf(Ref((*LINKS, *NODES)), least=2), "links, subnets, nodes or sides of nodes where a flow is seen in clear"
    )
    least: int = option(PERCENT, "the smallest share that each of them may have, in per cent of the flows", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OkSpec:
    """It works; the options say what else must be so."""

    example: ClassVar[str] = "{ok: {server: db1, source: 10.0.1.10}}"

    answers: tuple[str, ...] = option(ListOf(TEXT), "the DNS answers", ())
    order: str = option(Choice(("strict", "any")), "whether the DNS answers come in the order written", "strict")
    authoritative: bool = option(BOOLEAN, "the DNS answer is authoritative (AA)", False)
    source: str = option(PLACE, "whom the server saw as its client", "")
    server: str = option(Ref(NODES), "the node that answered", "")
    mss: int = option(integer(0, 65535), "the largest TCP segment that the connection may use, in bytes (0: any)", 0)
    status: int | None = option(integer(100, 599), "the HTTP status", None)
    body: str = option(TEXT, "a text that the HTTP body contains", "")
    header: dict[str, str] = option(MapOf(TEXT, TEXT), "HTTP headers and their values", {})
    hops: tuple[str, ...] = option(
        ListOf(HOP), "the hops of a trace, the target last; `*` is one that stays silent", ()
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
    """The packet is too large on the way and the sender is told: ICMP fragmentation needed (RFC 1191)."""

    example: ClassVar[str] = "{too_big: 1400}"

    mtu: int = option(integer(68, 65535), "the MTU that the error names")
    by: str = option(Ref(NODES), "the node whose ICMP error says so", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceSpec:
    """Nothing comes back while the probe provably left."""

    example: ClassVar[str] = "filtered"


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsFailSpec:
    """The DNS answer has this code."""


class RefusedSpec(FailSpec):
    """Nothing listens there: TCP RST or ICMP port unreachable."""

    example: ClassVar[str] = "refused"


class NoRouteSpec(FailSpec):
    """There is no way there, and the sender is told: ICMP net or host unreachable, or no route of its own."""

    example: ClassVar[str] = "{no_route: {by: vpc1}}"


class ProhibitedSpec(FailSpec):
    """A filter on the way says no: ICMP administratively prohibited."""

    example: ClassVar[str] = "{prohibited: {by: bb}}"


class NxdomainSpec(DnsFailSpec):
    """DNS says that the name does not exist (RCODE 3)."""

    example: ClassVar[str] = "nxdomain"


class NodataSpec(DnsFailSpec):
    """DNS says that the name has no such record (RCODE 0 without answers, RFC 2308)."""

    example: ClassVar[str] = "nodata"


class ServfailSpec(DnsFailSpec):
    """The DNS server could not answer (RCODE 2)."""

    example: ClassVar[str] = "servfail"


ExpectSpec = OkSpec | FailSpec | TooBigSpec | SilenceSpec | DnsFailSpec
_FAILING = (
    "say in which way: refused, no_route, prohibited, too_big, filtered (nothing comes back); of DNS nxdomain, nodata, "
    "servfail"
)
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
    vague=dict.fromkeys(("fail", "fails", "failed", "failure", "error", "no", "false"), _FAILING)
    | dict.fromkeys(("timeout", "drop", "dropped", "silence", "silent"), "nothing comes back: `filtered`"),
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
