"""Checks and drills as they are written: what to do, what must come of it, where it must and must not be seen."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from labctl.description.record import OneOf, RecordOf, option
from labctl.description.tree import Node
from labctl.description.types import (
    ADDRESS,
    BOOLEAN,
    DURATION,
    IDENTIFIER,
    NAME,
    SIZE,
    TEXT,
    Choice,
    ListOf,
    MapOf,
    Raw,
    Ref,
    Type,
    Word,
    integer,
)

NODES: tuple[str, ...] = ("node",)
LINKS: tuple[str, ...] = ("link",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSpec:
    """Ask a DNS server."""

    server: IPv4Address = option(ADDRESS, "the server's address")
    name: str = option(TEXT, "the name to ask for")
    type: str = option(Choice(("A", "CNAME", "TXT", "ANY", "AAAA")), "the record type", "A")
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


ActionSpec = DnsSpec | TcpSpec | UdpSpec | PingSpec | InjectSpec
ACTION: Type[ActionSpec] = OneOf(
    {"dns": DnsSpec, "tcp": TcpSpec, "udp": UdpSpec, "ping": PingSpec, "inject": InjectSpec}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OkSpec:
    """It works; the options say what else must be so."""

    answers: tuple[str, ...] = option(ListOf(TEXT), "the DNS answers, in this order", ())
    authoritative: bool = option(BOOLEAN, "the DNS answer is authoritative (AA)", False)
    source: str = option(TEXT, "the node or address that the server saw as its client", "")
    server: str = option(Ref(NODES), "the node that answered", "")
    mss: int = option(integer(0, 65535), "the largest TCP segment that the connection may use, in bytes (0: any)", 0)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSpec:
    """The packet inside a GRE packet."""

    proto: str = option(Choice(("tcp", "udp", "icmp")), "its protocol", "")
    src: str = option(TEXT, "the node or address it comes from", "")
    dst: str = option(TEXT, "the node or address it goes to", "")


PROTOCOLS = ("tcp", "udp", "icmp", "esp", "gre", "arp")


@dataclass(frozen=True, slots=True, kw_only=True)
class SightSpec:
    """Packets on a link. What is not given may be anything; without `proto`, any IP packet."""

    on: str = option(Ref((*LINKS, *NODES)), "a subnet, a link, a node (all of its links) or one side of a node")
    proto: str = option(Choice(PROTOCOLS), "the protocol", "")
    src: str = option(TEXT, "the node or address it comes from", "")
    dst: str = option(TEXT, "the node or address it goes to", "")
    port: int = option(integer(1, 65535), "the destination port", 0)
    inner: InnerSpec | None = option(RecordOf(InnerSpec), "the packet inside a GRE packet", None)
    marker: bool = option(BOOLEAN, "the probe's marker can be read in it: it is the probe, in clear", False)
    longer: int = option(integer(0, 65535), "only packets with more IP bytes than this", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSpec:
    """An edit of the description, in force during one check and undone after it. Keys are paths (`byoip.enabled`)."""

    set: dict[str, Node] = option(MapOf(TEXT, Raw()), "values to put", {})
    remove: tuple[str, ...] = option(ListOf(TEXT), "fields or resources to take away", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSpec:
    """One claim, and the probe that proves or disproves it."""

    id: str = option(IDENTIFIER, "its name in every report")
    about: str = option(TEXT, "the claim, in a sentence", "")
    from_: str = option(Ref(NODES), "the node that probes")
    do: ActionSpec = option(ACTION, "the probe")
    expect: ExpectSpec = option(EXPECT, "what must come of it")
    see: tuple[SightSpec, ...] = option(ListOf(RecordOf(SightSpec)), "packets that must be captured", ())
    silent: tuple[SightSpec, ...] = option(ListOf(RecordOf(SightSpec)), "packets that must not be captured", ())
    path: tuple[str, ...] = option(ListOf(Ref(NODES)), "nodes that the probe itself crosses, in this order", ())
    control: tuple[str, ...] = option(
        ListOf(Ref(("check",))), "checks that pass beside this one: the same probe with one thing changed", ()
    )
    with_: ChangeSpec | None = option(RecordOf(ChangeSpec), "a change of the lab for this check alone", None)
    within: int | None = option(DURATION, "how long to wait for an answer (default 3s, or 1s for silence)", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDownSpec:
    """The link loses its carrier: everything attached to it notices at once."""

    link: str = option(Ref(LINKS), "the link or subnet, or one side of a node")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlackholeSpec:
    """The link drops packets in silence; carrier stays."""

    link: str = option(Ref(LINKS), "the link or subnet, or one side of a node")
    proto: str = option(Choice(("esp", "gre", "icmp", "udp", "tcp")), "only this protocol", "")


FaultSpec = LinkDownSpec | BlackholeSpec
FAULT: Type[FaultSpec] = OneOf(
    {"link_down": LinkDownSpec, "blackhole": BlackholeSpec}, short={"link_down": "link", "blackhole": "link"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsSpec:
    """What users may feel. Instants are of the injection, or of the repair with `after: repair`."""

    restore: int | None = option(DURATION, "traffic is whole again not later than this", None)
    not_before: int | None = option(DURATION, "and not earlier: a silent fault cannot be noticed sooner", None)
    after: str = option(Choice(("fault", "repair")), "what `restore` counts from", "fault")
    lost: int | None = option(integer(0, 1_000_000), "at most so many packets lost in all", None)
    failback_lost: int | None = option(integer(0, 1_000_000), "at most so many packets lost after the repair", None)
    tcp: str = option(Choice(("survives", "may_break")), "what becomes of a TCP connection", "survives")


@dataclass(frozen=True, slots=True, kw_only=True)
class SightsSpec:
    """What must and must not be captured in one part of a drill."""

    see: tuple[SightSpec, ...] = option(ListOf(RecordOf(SightSpec)), "packets that must be captured", ())
    silent: tuple[SightSpec, ...] = option(ListOf(RecordOf(SightSpec)), "packets that must not be captured", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillSpec:
    """A fault while traffic runs, and what users may feel of it."""

    id: str = option(IDENTIFIER, "its name in every report")
    about: str = option(TEXT, "the claim, in a sentence", "")
    during: str = option(Ref(("check",)), "the check between whose ends the traffic runs")
    fault: FaultSpec = option(FAULT, "what breaks")
    for_: int = option(DURATION, "how long it stays broken", 2000)
    rate: int = option(integer(1, 1000), "numbered packets a second", 100)
    bounds: BoundsSpec = option(RecordOf(BoundsSpec), "what users may feel")
    throughout: SightsSpec = option(RecordOf(SightsSpec), "captured from start to end", SightsSpec())
    before: SightsSpec = option(RecordOf(SightsSpec), "captured before the fault", SightsSpec())
    meanwhile: SightsSpec = option(RecordOf(SightsSpec), "captured while broken, traffic being whole", SightsSpec())
    after: SightsSpec = option(RecordOf(SightsSpec), "captured after the repair, once traffic is back", SightsSpec())


VERSION = 1


def _version(text: str) -> int:
    if text != str(VERSION):
        raise ValueError("the file is written for a newer labctl" if text.isdecimal() and text != "0" else "")
    return VERSION


LAB_VERSION = Word(f"{VERSION}, the version of this language", _version)


@dataclass(frozen=True, slots=True)
class _Unread:
    """Stands for the resources, which the registry of kinds reads."""

    says: str = "a mapping of names to resources"

    def read(self, node: Node, path: tuple[str | int, ...], reading: object) -> Node:
        return node


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSpec:
    """The head of a lab file, and its checks and drills."""

    lab: str = option(NAME, "the lab's name", "")  # must be given, but what else is wrong is told without it too
    version: int = option(LAB_VERSION, "the version of this language", VERSION)
    about: str = option(TEXT, "what the lab shows, in a few sentences", "")
    cites: tuple[str, ...] = option(ListOf(TEXT), "the provider's pages that it follows, by title", ())
    resources: Node = option(_Unread(), "the lab's parts")
    checks: tuple[CheckSpec, ...] = option(ListOf(RecordOf(CheckSpec)), "what must be true", ())
    drills: tuple[DrillSpec, ...] = option(ListOf(RecordOf(DrillSpec)), "what must hold while something breaks", ())
