"""An object of a plan in words, for messages: what it is and where. Never a key."""

from __future__ import annotations

from typing import assert_never

from labctl.plan.objects import (
    Address,
    Bridge,
    Foreign,
    Geneve,
    Gre,
    KernelObject,
    Namespace,
    Neighbour,
    Process,
    Route,
    RouteRule,
    Ruleset,
    Shaper,
    Sysctl,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)
from labctl.plan.qdiscs import qdiscs


def describe(item: KernelObject) -> str:
    """`item` as a noun phrase."""
    match item:
        case Namespace():
            return f"namespace {item.name}"
        case Sysctl():
            return f"sysctl {item.name}={item.value} in {item.namespace}"
        case Bridge():
            return f"bridge {item.name} in {item.namespace}"
        case Veth(a=a, b=b):
            return f"link {a.name} in {a.namespace} to {b.name} in {b.namespace}"
        case Gre():
            return f"GRE tunnel {item.name} in {item.namespace} from {item.local} to {item.remote}"
        case Geneve():
            return f"Geneve tunnel {item.name} in {item.namespace} to {item.remote} with VNI {item.vni}"
        case XfrmInterface():
            return f"xfrm interface {item.name} in {item.namespace} on {item.device}"
        case Address():
            return f"address {item.address} on {item.device} in {item.namespace}"
        case Neighbour():
            return f"neighbour {item.address} at {item.mac} on {item.device} in {item.namespace}"
        case Route():
            return f"{_route(item)} in {item.namespace}"
        case RouteRule():
            return f"{_rule(item)} in {item.namespace}"
        case XfrmState():
            ends = f"{item.source} to {item.destination}"
            return f"security association {ends} SPI {item.spi:#x} in {item.namespace}"
        case XfrmPolicy():
            flow = f"{item.source} to {item.destination}"
            return f"IPsec policy {item.action} {item.direction} {flow} in {item.namespace}"
        case Ruleset():
            return f"iptables rules in {item.namespace}"
        case Shaper():
            return f"{' and '.join(qdiscs(item))} on {item.device} in {item.namespace}"
        case Process():
            return f"process {item.name} in {item.namespace}"
        case Foreign():
            return f"{item.what} in {item.namespace}"
        case _:
            assert_never(item)


def _route(route: Route) -> str:
    kind = "route" if route.type == "unicast" else f"{route.type} route"
    via = f" via {route.via}" if route.via else ""
    device = f" dev {route.device}" if route.device else ""
    metric = f" metric {route.metric}" if route.metric else ""
    table = f" in table {route.table}" if route.table else ""
    return f"{kind} {route.to}{via}{device}{metric}{table}"


def _rule(rule: RouteRule) -> str:
    source = f" from {rule.source}" if rule.source is not None else ""
    device = f" iif {rule.device}" if rule.device is not None else ""
    return f"routing rule {rule.priority}{source}{device} to table {rule.table}"
