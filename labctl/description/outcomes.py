"""What must come of a check's probe, as written: that it works, and what else is so, or in which way it fails."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar, Literal

from labctl.description.actions import LINKS, NODES
from labctl.description.record import OneOf, RecordOf, option
from labctl.description.types import Choice, ListOf, MapOf, Ref, Type
from labctl.description.units import PERCENT, RATE
from labctl.description.words import ADDRESS, BOOLEAN, HOP, PLACE, TEXT, integer


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

    answers: tuple[str, ...] = option(ListOf(TEXT), "the DNS answers, or the addresses that a lookup tells", ())
    order: str = option(Choice(("strict", "any")), "whether the DNS answers come in the order written", "strict")
    first: IPv4Address | None = option(ADDRESS, "the first address of the DNS answer", None)
    ttl: int | None = option(
        integer(0, 2_147_483_647), "the longest time-to-live of the records of the DNS answer, in seconds", None
    )
    authoritative: bool = option(BOOLEAN, "the DNS answer is authoritative (AA)", False)
    reached: IPv4Address | None = option(
        ADDRESS, "of the addresses of a domain name the one that was connected to", None
    )
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
    established: int | None = option(
        integer(1, 400), "how many connections are established together, neither more nor less (default: all)", None
    )
    state: str = option(
        Choice(("healthy", "degraded", "critical")),
        "healthy: every location answers; degraded: some do; critical: none",
        "",
    )


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
