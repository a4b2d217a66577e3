"""What is wrong with the faults of drills: with what is written, and with what the model has nothing of."""

from __future__ import annotations

from collections.abc import Callable

from labctl.claims.resolve_faults import Plugged, is_side, plugs_of, shaped, zones
from labctl.description.document import Document
from labctl.description.drills import (
    FAULTS,
    DegradeSpec,
    DrillSpec,
    FlapSpec,
    FreezeSpec,
    KillSpec,
    OneWaySpec,
    RekeySpec,
    ZoneOffSpec,
)
from labctl.description.faults import Path, did_you_mean
from labctl.model.network import Network
from labctl.plan.compile import programs

_NAMES = {spec: name for name, spec in FAULTS.items()}


def refuse_faults(document: Document) -> None:
    """Report faults that break nothing as they are written, and bounds and times that their faults cannot have."""
    for i, drill in document.numbered_drills():
        _refuse_time(document, ("drills", i), drill)
        _refuse_bounds(document, ("drills", i, "bounds"), drill)
        fault, at = drill.fault, _at(i, drill)
        if isinstance(fault, DegradeSpec) and not (fault.delay or fault.jitter or fault.loss):
            document.reading.fault(at, "makes nothing worse: say `delay`, `jitter` or `loss`", value="")
        if isinstance(fault, FlapSpec) and not (fault.down and fault.up):
            document.reading.fault(at, "a flapping link is down for some time, and up for some: `down`, `up`", value="")


def refuse_misplaced(document: Document, net: Network) -> None:
    """Report faults of things that the lab does not have."""
    for i, drill in document.numbered_drills():
        fault, at = drill.fault, _at(i, drill)
        match fault:
            case ZoneOffSpec(zone=zone):
                _refuse_zone(document, (*at, "zone"), zone, zones(net))
            case KillSpec() | FreezeSpec():
                _refuse_program(document, net, at, fault)
            case RekeySpec():
                pass
            case _:
                plugs = shaped if isinstance(fault, DegradeSpec) else plugs_of
                _refuse_link(document, net, (*at, "link"), fault.link, plugs)
        if isinstance(fault, OneWaySpec):
            _refuse_source(document, net, at, fault)
        if isinstance(fault, DegradeSpec):
            _refuse_jitter(document, net, at, fault)


def _at(i: int, drill: DrillSpec) -> tuple[str | int, ...]:
    return ("drills", i, "fault", _NAMES[type(drill.fault)])


def _refuse_time(document: Document, where: Path, drill: DrillSpec) -> None:
    at = (*where, "for")
    if isinstance(drill.fault, FlapSpec):
        if document.reading.tree.text_at(at):
            document.reading.fault(at, "a flap ends by itself: its `times`, `down` and `up` say when")
        if drill.then:
            document.reading.fault((*where, "then"), "a flap ends by itself: nothing stays broken to look at")
    elif drill.for_ == 0:
        document.reading.fault(at, "a fault that lasts no time breaks nothing")


def _refuse_bounds(document: Document, where: Path, drill: DrillSpec) -> None:
    """A rekeying breaks nothing, so that nothing could be restored; after a flap nothing is left to be repaired."""
    bounds, fault = drill.bounds, document.reading.fault
    if isinstance(drill.fault, RekeySpec):
        for name in ("restore", "not_before"):
            if getattr(bounds, name) is not None:
                fault((*where, name), "a rekeying is no outage that ends; bound what is felt of it: `lost`, `gap`")
    if isinstance(drill.fault, (RekeySpec, FlapSpec)) and bounds.after == "repair":
        fault((*where, "after"), "nothing is repaired after this fault")


def _refuse_link(
    document: Document, net: Network, at: Path, link: str, plugs: Callable[[Network, str], list[Plugged]]
) -> None:
    if not plugs(net, link):
        document.reading.fault(at, "has nothing plugged in: there is nothing to break", value=link)


def _refuse_zone(document: Document, at: Path, zone: str, known: tuple[str, ...]) -> None:
    if zone not in known:
        hint = did_you_mean(zone, known) or "zones are those of a VPC's subnets"
        document.reading.fault(at, "no subnet of the lab is in this zone", hint, value=zone)


def _refuse_source(document: Document, net: Network, at: Path, fault: OneWaySpec) -> None:
    nodes = tuple(dict.fromkeys(each.node for each in plugs_of(net, fault.link)))
    if nodes and fault.source not in nodes:
        rule = f"sends nothing into {fault.link}: it is not plugged in there"
        document.reading.fault((*at, "source"), rule, did_you_mean(fault.source, nodes), value=fault.source)


def _refuse_program(document: Document, net: Network, at: Path, fault: KillSpec | FreezeSpec) -> None:
    also = fault.also if isinstance(fault, KillSpec) else ()
    for path, node in (((*at, "node"), fault.node), *(((*at, "also", i), each) for i, each in enumerate(also))):
        if node in net.spots:
            rule = "is a network and not one machine: with its router gone, those on one prefix still reach each other"
            document.reading.fault(path, rule, "`link_down` or `blackhole` breaks all of it", value=node)
    known = programs(net, fault.node)
    if fault.program and fault.program not in known:
        hint = f"it runs its {', '.join(known)}" if known else "it runs none; leave `program` out for the whole node"
        document.reading.fault((*at, "program"), f"{fault.node} runs no {fault.program}", hint, value=fault.program)


def _refuse_jitter(document: Document, net: Network, at: Path, fault: DegradeSpec) -> None:
    """No packet can arrive before it was sent."""
    planned = [0.0] if is_side(net, fault.link) else [each.delay_ms for each in shaped(net, fault.link)]
    least = min(planned, default=0.0)
    if fault.jitter > least + fault.delay:
        rule = f"varies by more than the delay itself, which is {least + fault.delay:g} ms"
        document.reading.fault((*at, "jitter"), rule, value=f"{fault.jitter}ms")
