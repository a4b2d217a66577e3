"""Checks as they are written: what to do, what must come of it, where it must and must not be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labctl.description.actions import (
    ACTION,
    LINKS,
    NODES,
    ActionSpec,
)
from labctl.description.outcomes import EXPECT, ExpectSpec
from labctl.description.record import RecordOf, option
from labctl.description.tree import Node
from labctl.description.types import Choice, ListOf, MapOf, Raw, Ref
from labctl.description.units import DURATION
from labctl.description.words import BOOLEAN, IDENTIFIER, PLACE, TEXT, integer


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSpec:
    """The packet inside a GRE or Geneve packet."""

    proto: str = option(Choice(("tcp", "udp", "icmp")), "its protocol", "")
    src: str = option(PLACE, "where it comes from", "")
    dst: str = option(PLACE, "where it goes to", "")


PROTOCOLS = ("tcp", "udp", "icmp", "esp", "gre", "geneve", "arp")


@dataclass(frozen=True, slots=True, kw_only=True)
class SightSpec:
    """Packets on a link. What is not given may be anything; without `proto`, any IP packet."""

    example: ClassVar[str] = "{on: vpc1.db, proto: tcp, src: web1, dst: db1, port: 5432}"

    on: str = option(
        Ref((*LINKS, *NODES)),
        "where: a subnet (vpc1.app), a link, a node (all of its links) or one side of a node (gw.isp1)",
    )
    proto: str = option(Choice(PROTOCOLS), "the protocol", "")
    src: str = option(PLACE, "where it comes from", "")
    dst: str = option(PLACE, "where it goes to", "")
    port: int = option(integer(1, 65535), "the destination port", 0)
    inner: InnerSpec | None = option(RecordOf(InnerSpec), "the packet inside a GRE or Geneve packet", None)
    spi: int | None = option(integer(256, 0xFFFFFFFF), "the security parameters index of ESP (RFC 4303)", None)
    connection: str = option(Ref(("ipsec_connection",)), "ESP of this connection, in either direction", "")
    vni: int | None = option(integer(0, 0xFFFFFF), "the network identifier of Geneve (RFC 8926)", None)
    marker: bool = option(BOOLEAN, "the probe's marker can be read in it: it is the probe, in clear", False)
    longer: int = option(integer(0, 65535), "only packets with more IP bytes than this", 0)
    least: int | None = option(
        integer(0, 1_000_000),
        "in `see`: at least so many of them (default 1), at each device of the place counted",
        None,
    )
    most: int | None = option(integer(1, 1_000_000), "in `see`: and no more than so many", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditSpec:
    """An edit of the resources. Keys are paths (`byoip.enabled`)."""

    example: ClassVar[str] = "{set: {t1.weight: 0, t2.weight: 100}, remove: [vra.static_routes]}"

    set: dict[str, Node] = option(
        MapOf(TEXT, Raw()), "values to put: the path of a field below `resources`, and its value", {}
    )
    add: dict[str, Node] = option(
        MapOf(TEXT, Raw()), "likewise: items to append to a list, or new entries of a mapping", {}
    )
    remove: tuple[str, ...] = option(ListOf(TEXT), "the paths of fields or resources to take away", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSpec:
    """One claim, and the probe that proves or disproves it.

    What fails proves nothing by itself: such a check needs a `control`, a check that works and differs from it in one
    thing alone: who asks, how, for what, or the lab itself (`with`).
    """

    example: ClassVar[str] = """\
- id: P1
  about: the web server reaches the database through the VPC's router
  from: web1
  do: {tcp: {to: db1, port: 5432}}
  expect: {ok: {source: 10.0.1.10}}
  path: [web1, vpc1, db1]
  see: [{on: vpc1.db, proto: tcp, src: web1, dst: db1, port: 5432}]
- id: N1
  about: a VPC has no way out by default, and its router says so
  from: web1
  do: {tcp: {to: 203.0.113.1, port: 443}}
  expect: {no_route: {by: vpc1}}
  control: P1
"""

    id: str = option(IDENTIFIER, "its name in every report, and on the command line (--only)")
    about: str = option(TEXT, "the claim, in a sentence", "")
    from_: str = option(Ref(NODES), "the node that probes; `explain` names the nodes that each kind brings")
    do: ActionSpec = option(ACTION, "what it does: one probe")
    expect: ExpectSpec = option(EXPECT, "what must come of it; what fails must fail in the way named")
    see: tuple[SightSpec, ...] = option(
        ListOf(RecordOf(SightSpec)), "packets that must be captured while it does that", ()
    )
    silent: tuple[SightSpec, ...] = option(
        ListOf(RecordOf(SightSpec)), "packets that must not be captured meanwhile", ()
    )
    path: tuple[str, ...] = option(
        ListOf(Ref(NODES)), "the nodes that the probe itself crosses, in this order, the sender first", ()
    )
    control: tuple[str, ...] = option(
        ListOf(Ref(("check",))),
        "checks that pass beside this one: the same probe with one thing changed; needed where it expects a failure",
        (),
    )
    with_: EditSpec | None = option(RecordOf(EditSpec), "an edit of the resources, for this check alone", None)
    within: int | None = option(DURATION, "how long to wait for an answer (default 4s, or 1s for silence)", None)
