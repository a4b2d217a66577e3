"""Checks as they are written: what to do, what must come of it, where it must and must not be seen."""

from __future__ import annotations

from dataclasses import dataclass

from labctl.description.actions import ACTION, EXPECT, LINKS, NODES, ActionSpec, ExpectSpec
from labctl.description.record import RecordOf, option
from labctl.description.tree import Node
from labctl.description.types import Choice, ListOf, MapOf, Raw, Ref
from labctl.description.units import DURATION
from labctl.description.words import BOOLEAN, IDENTIFIER, TEXT, integer


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSpec:
    """The packet inside a GRE or Geneve packet."""

    proto: str = option(Choice(("tcp", "udp", "icmp")), "its protocol", "")
    src: str = option(TEXT, "the node or address it comes from", "")
    dst: str = option(TEXT, "the node or address it goes to", "")


PROTOCOLS = ("tcp", "udp", "icmp", "esp", "gre", "geneve", "arp")


@dataclass(frozen=True, slots=True, kw_only=True)
class SightSpec:
    """Packets on a link. What is not given may be anything; without `proto`, any IP packet."""

    on: str = option(Ref((*LINKS, *NODES)), "a subnet, a link, a node (all of its links) or one side of a node")
    proto: str = option(Choice(PROTOCOLS), "the protocol", "")
    src: str = option(TEXT, "the node or address it comes from", "")
    dst: str = option(TEXT, "the node or address it goes to", "")
    port: int = option(integer(1, 65535), "the destination port", 0)
    inner: InnerSpec | None = option(RecordOf(InnerSpec), "the packet inside a GRE or Geneve packet", None)
    spi: int | None = option(integer(256, 0xFFFFFFFF), "the security parameters index of ESP (RFC 4303)", None)
    connection: str = option(Ref(("ipsec_connection",)), "ESP of this connection, in either direction", "")
    vni: int | None = option(integer(0, 0xFFFFFF), "the network identifier of Geneve (RFC 8926)", None)
    marker: bool = option(BOOLEAN, "the probe's marker can be read in it: it is the probe, in clear", False)
    longer: int = option(integer(0, 65535), "only packets with more IP bytes than this", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditSpec:
    """An edit of the resources. Keys are paths (`byoip.enabled`)."""

    set: dict[str, Node] = option(MapOf(TEXT, Raw()), "values to put", {})
    add: dict[str, Node] = option(MapOf(TEXT, Raw()), "items to append to a list, or a new entry of a mapping", {})
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
    with_: EditSpec | None = option(RecordOf(EditSpec), "a change of the lab for this check alone", None)
    within: int | None = option(DURATION, "how long to wait for an answer (default 4s, or 1s for silence)", None)
