"""What a check does, as written."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from labctl.description.record import OneOf, option
from labctl.description.types import Choice, Ref, Type
from labctl.description.units import DURATION, RATE, SIZE
from labctl.description.words import ADDRESS, BOOLEAN, DOMAIN, PLACE, TARGET, TEXT, integer

NODES: tuple[str, ...] = ("node",)
LINKS: tuple[str, ...] = ("link",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSpec:
    """Ask a DNS server."""

    example: ClassVar[str] = "{dns: {server: 161.26.0.7, name: kms.example.com}}"

    server: IPv4Address = option(ADDRESS, "the server's address")
    name: str = option(TEXT, "the name to ask for")
    type: str = option(
        Choice(("A", "AAAA", "ANY", "AXFR", "CNAME", "MX", "NS", "PTR", "SOA", "TXT")),
        "the record type; AXFR asks for a whole zone, by TCP",
        "A",
    )
    transport: str = option(Choice(("udp", "tcp")), "how to ask", "udp")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSpec:
    """Connect to a test server; send bytes that carry the marker; compare the digest that it computed."""

    example: ClassVar[str] = "{tcp: {to: db1, port: 5432, send: 1MB}}"

    to: str = option(
        TARGET,
        "where to; a domain name is asked of the sender's own resolver, and must resolve; of several addresses each "
        "but the last has an equal share of the time before the next one is tried",
    )
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectSpec:
    """Open TCP connections to a test server, hold those that come about open together, then close all of them."""

    example: ClassVar[str] = "{connect: {to: db1, port: 5432, count: 17}}"

    to: str = option(TARGET, "where to; a domain name is asked of the sender's own resolver, and must resolve")
    port: int = option(integer(1, 65535), "the port")
    count: int = option(integer(1, 400), "how many at once", 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupSpec:
    """Look a name up as an application of the node does: an ordinary program, with the node's own resolv.conf."""

    example: ClassVar[str] = "{lookup: {name: kms.example.com, by: getent}}"

    name: str = option(DOMAIN, "the name to look up")
    by: str = option(
        Choice(("getent", "dig", "curl")),
        "the program: getent asks as every C program does (getaddrinfo), dig as a DNS tool, curl connects to port 80 "
        "of what it finds and tells the addresses that it tried",
        "getent",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSpec:
    """Ask every location of a custom resolver, each for itself, and tell the state of all together. One that is not
    enabled is down.
    """

    example: ClassVar[str] = "{health: {of: cr}}"

    of: str = option(Ref(("custom_resolver",)), "the custom resolver")


ActionSpec = (
    DnsSpec
    | TcpSpec
    | UdpSpec
    | PingSpec
    | HttpSpec
    | TraceSpec
    | RateSpec
    | FlowsSpec
    | ConnectSpec
    | LookupSpec
    | HealthSpec
    | InjectSpec
)
ACTIONS: dict[str, type[ActionSpec]] = {
    "dns": DnsSpec,
    "tcp": TcpSpec,
    "udp": UdpSpec,
    "ping": PingSpec,
    "http": HttpSpec,
    "trace": TraceSpec,
    "rate": RateSpec,
    "flows": FlowsSpec,
    "connect": ConnectSpec,
    "lookup": LookupSpec,
    "health": HealthSpec,
    "inject": InjectSpec,
}
ACTION: Type[ActionSpec] = OneOf(ACTIONS)
