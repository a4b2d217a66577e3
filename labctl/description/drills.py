"""Drills and live changes as they are written: what breaks or changes while traffic runs, and what users may feel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labctl.description.actions import LINKS, NODES
from labctl.description.checks import CheckSpec, EditSpec, SightSpec
from labctl.description.programs import PROGRAMS
from labctl.description.record import OneOf, RecordOf, option
from labctl.description.tree import Node
from labctl.description.types import Choice, ListOf, Raw, Ref, Type
from labctl.description.units import DURATION, PERCENT
from labctl.description.words import IDENTIFIER, TEXT, integer

_DURING = (
    "the id of a check that expects ok: traffic runs between its two ends. The target of datagrams is a node or an "
    "address that no gateway translates; `stream: tcp` goes to whatever a tcp check connects to"
)
_STREAM = (
    "udp: numbered packets, and a TCP connection beside them; tcp: numbered records in one TCP connection to the test "
    "server that the check (a tcp check) connects to, also through an endpoint gateway or by a domain name. A record "
    "has arrived when the far end has acknowledged it, up to 40 ms later; what is held up until the connection moves "
    "on is an outage, what never arrives is lost"
)
FLOW_PROTOCOLS = ("esp", "gre", "icmp", "udp", "tcp")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDownSpec:
    """The link loses its carrier: everything attached to it notices at once."""

    example: ClassVar[str] = "{link_down: vpc1.app}"

    link: str = option(Ref(LINKS), "the link or subnet, or one side of a node")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlackholeSpec:
    """The link drops packets in silence; carrier stays."""

    example: ClassVar[str] = "{blackhole: {link: dl, proto: gre}}"

    link: str = option(Ref(LINKS), "the link or subnet, or one side of a node")
    proto: str = option(Choice(FLOW_PROTOCOLS), "only this protocol", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneWaySpec:
    """The link drops in silence what one node sends into it; the other direction works."""

    example: ClassVar[str] = "{one_way: {link: isp1, source: gw, proto: esp}}"

    link: str = option(Ref(LINKS), "the link or subnet")
    source: str = option(Ref(NODES), "the node whose packets are lost")
    proto: str = option(Choice(FLOW_PROTOCOLS), "only this protocol", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSpec:
    """A node loses power: its programs die and its links lose carrier. Or one program of it is killed (SIGKILL)."""

    example: ClassVar[str] = "{kill: {node: kms, program: server}}"

    node: str = option(Ref(NODES), "the node")
    program: str = option(Choice(tuple(PROGRAMS)), "only this program", "")
    also: tuple[str, ...] = option(ListOf(Ref(NODES)), "nodes that lose power with it, whole ones", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeSpec:
    """A node stops in silence: its programs stand still (SIGSTOP) and it takes no packets; its links keep carrier."""

    example: ClassVar[str] = "{freeze: gw}"

    node: str = option(Ref(NODES), "the node")
    program: str = option(Choice(tuple(PROGRAMS)), "only this program; the node goes on passing packets", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RekeySpec:
    """New security associations take over from the old ones (RFC 4301), and after the drill those from them again."""

    example: ClassVar[str] = "{rekey: vpn}"

    connection: str = option(Ref(("ipsec_connection",)), "the connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSpec:
    """The link loses so many packets, and no more."""

    example: ClassVar[str] = "{drop: {link: isp1, packets: 1}}"

    link: str = option(Ref(LINKS), "the link or subnet, or one side of a node")
    packets: int = option(integer(1, 1000), "how many", 1)
    proto: str = option(Choice(FLOW_PROTOCOLS), "only this protocol", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradeSpec:
    """The link gets worse, in each direction: slower, unsteady, lossy (tc-netem(8))."""

    example: ClassVar[str] = "{degrade: {link: dl, delay: 50ms, jitter: 10ms, loss: 2%}}"

    link: str = option(Ref(LINKS), "the link or subnet, or one side of a node")
    delay: int = option(DURATION, "what is added to the time under way", 0)
    jitter: int = option(DURATION, "how far the delay varies", 0)
    loss: int = option(PERCENT, "how much is lost at random", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlapSpec:
    """The link loses its carrier and gets it back, again and again, and has it in the end."""

    example: ClassVar[str] = "{flap: {link: dl, times: 5}}"

    link: str = option(Ref(LINKS), "the link or subnet, or one side of a node")
    times: int = option(integer(1, 100), "how often", 10)
    down: int = option(DURATION, "how long it is down each time", 100)
    up: int = option(DURATION, "how long it is up in between", 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneOffSpec:
    """Every subnet of an availability zone loses its carrier."""

    example: ClassVar[str] = "{zone_off: z1}"

    zone: str = option(TEXT, "the zone, as subnets name it")


FaultSpec = (
    LinkDownSpec
    | BlackholeSpec
    | OneWaySpec
    | KillSpec
    | FreezeSpec
    | RekeySpec
    | DropSpec
    | DegradeSpec
    | FlapSpec
    | ZoneOffSpec
)
FAULTS: dict[str, type[FaultSpec]] = {
    "link_down": LinkDownSpec,
    "blackhole": BlackholeSpec,
    "one_way": OneWaySpec,
    "kill": KillSpec,
    "freeze": FreezeSpec,
    "rekey": RekeySpec,
    "drop": DropSpec,
    "degrade": DegradeSpec,
    "flap": FlapSpec,
    "zone_off": ZoneOffSpec,
}
_SHORT = {
    "link_down": "link",
    "blackhole": "link",
    "kill": "node",
    "freeze": "node",
    "rekey": "connection",
    "drop": "link",
    "flap": "link",
    "zone_off": "zone",
}
FAULT: Type[FaultSpec] = OneOf(FAULTS, short=_SHORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeltSpec:
    """What users may feel of anything that happens while a stream runs."""

    lost: int | None = option(integer(0, 1_000_000), "at most so many packets lost in all", None)
    duplicated: int | None = option(integer(0, 1_000_000), "at most so many packets arriving twice", None)
    reordered: int | None = option(integer(0, 1_000_000), "at most so many packets overtaken", None)
    gap: int | None = option(DURATION, "no longer time between two packets that arrive", None)
    path_changes: int | None = option(integer(0, 1000), "at most so many changes of the path", None)
    tcp: str = option(Choice(("survives", "may_break")), "what becomes of a TCP connection", "survives")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsSpec(FeltSpec):
    """What users may feel of a fault. `restore` counts from the fault, or from its repair with `after: repair`."""

    example: ClassVar[str] = "{restore: 1s, not_before: 400ms, lost: 120, tcp: survives}"

    restore: int | None = option(DURATION, "traffic is whole again not later than this", None)
    not_before: int | None = option(DURATION, "and not earlier: a silent fault cannot be noticed sooner", None)
    after: str = option(Choice(("fault", "repair")), "what `restore` counts from", "fault")
    failback_lost: int | None = option(integer(0, 1_000_000), "at most so many packets lost after the repair", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachSpec(FeltSpec):
    """What users may feel of a change."""

    example: ClassVar[str] = "{lost: 0, path_changes: 0, reach: 2s}"

    reach: int | None = option(
        DURATION,
        "what `then` claims is true not later than this after the change; the time that a check itself takes counts "
        "too (that nobody answers ARP is known after 3 s)",
        None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SightsSpec:
    """What must and must not be captured in one part of a drill or change."""

    example: ClassVar[str] = "{see: [{on: isp2, proto: esp}], silent: [{on: isp1, proto: tcp}]}"

    see: tuple[SightSpec, ...] = option(ListOf(RecordOf(SightSpec)), "packets that must be captured in that part", ())
    silent: tuple[SightSpec, ...] = option(
        ListOf(RecordOf(SightSpec)), "packets that must not be captured in that part", ()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillSpec:
    """A fault while traffic runs, and what users may feel of it.

    The traffic is numbered UDP packets and one TCP connection beside them, or one TCP connection alone (`stream`).
    """

    example: ClassVar[str] = """\
- id: D1
  about: the database's subnet loses its carrier, and is whole again as soon as it has it back
  during: P1
  fault: {link_down: vpc1.db}
  for: 1s
  bounds: {restore: 1s, after: repair, tcp: survives}
"""

    id: str = option(IDENTIFIER, "its name in every report, and on the command line (--only)")
    about: str = option(TEXT, "the claim, in a sentence", "")
    during: str = option(Ref(("check",)), _DURING)
    fault: FaultSpec = option(FAULT, "what breaks")
    for_: int = option(DURATION, "how long it stays broken", 2000)
    rate: int = option(integer(1, 1000), "numbered packets a second", 100)
    stream: str = option(Choice(("udp", "tcp")), _STREAM, "udp")
    bounds: BoundsSpec = option(
        RecordOf(BoundsSpec), "what users may feel: at least `restore`, `lost`, `gap` or `failback_lost`"
    )
    first: tuple[Node, ...] = option(
        ListOf(Raw(RecordOf(CheckSpec))),
        "checks of the lab just before the fault; what follows needs that they pass",
        (),
    )
    then: tuple[Node, ...] = option(ListOf(Raw(RecordOf(CheckSpec))), "checks of the lab while it is broken", ())
    afterwards: tuple[Node, ...] = option(
        ListOf(Raw(RecordOf(CheckSpec))),
        "checks of the lab after the repair, true within the time that it was broken",
        (),
    )
    throughout: SightsSpec = option(RecordOf(SightsSpec), "captured from start to end", SightsSpec())
    before: SightsSpec = option(RecordOf(SightsSpec), "captured before the fault", SightsSpec())
    meanwhile: SightsSpec = option(RecordOf(SightsSpec), "captured while broken, traffic being whole", SightsSpec())
    after: SightsSpec = option(RecordOf(SightsSpec), "captured after the repair, once traffic is back", SightsSpec())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSpec(EditSpec):
    """A live change: the resources are edited while traffic runs, and edited back.

    The traffic is numbered UDP packets and one TCP connection beside them, or one TCP connection alone (`stream`).
    """

    example: ClassVar[str] = """\
- id: C1
  about: another subnet is added while the first ones carry traffic
  during: P1
  add: {vpc1.subnets.cache: {zone: a, prefix: 10.0.3.0/24}}
  bounds: {lost: 0}
  then:
    - {id: C1-there, from: web1, do: {ping: {to: 10.0.3.1}}, expect: ok}
"""

    id: str = option(IDENTIFIER, "its name in every report, and on the command line (--only)")
    about: str = option(TEXT, "the claim, in a sentence", "")
    during: str = option(Ref(("check",)), _DURING)
    rate: int = option(integer(1, 1000), "numbered packets a second", 100)
    stream: str = option(Choice(("udp", "tcp")), _STREAM, "udp")
    bounds: ReachSpec = option(RecordOf(ReachSpec), "what users may feel: `lost` or `gap`, unless there is `then`")
    first: tuple[Node, ...] = option(
        ListOf(Raw(RecordOf(CheckSpec))),
        "checks of the lab just before the change; what follows needs that they pass",
        (),
    )
    then: tuple[Node, ...] = option(ListOf(Raw(RecordOf(CheckSpec))), "checks of the lab as it is after the change", ())
    afterwards: tuple[Node, ...] = option(
        ListOf(Raw(RecordOf(CheckSpec))), "checks of the lab once the change is undone, true within twice `reach`", ()
    )
    throughout: SightsSpec = option(RecordOf(SightsSpec), "captured from start to end", SightsSpec())
    before: SightsSpec = option(RecordOf(SightsSpec), "captured before the change", SightsSpec())
    changed: SightsSpec = option(RecordOf(SightsSpec), "captured while the change is in force", SightsSpec())
    after: SightsSpec = option(RecordOf(SightsSpec), "captured once the lab is as before", SightsSpec())
