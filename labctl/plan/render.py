"""A plan and its differences as stable text: one line an object, grouped by namespace, with what people look for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from labctl.model.services import PathWatcher, Program, Resolver, Server, Vrrp
from labctl.plan.devices import Tunnel
from labctl.plan.dnswords import resolver_words
from labctl.plan.objects import (
    Address,
    Bridge,
    Change,
    Create,
    Delete,
    Foreign,
    Geneve,
    Gre,
    KernelObject,
    Namespace,
    Neighbour,
    Plan,
    Process,
    Route,
    RouteRule,
    Ruleset,
    Shaper,
    Step,
    Sysctl,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)


def render_plan(plan: Plan) -> str:
    """The whole plan, namespace by namespace, in the order in which its objects are created."""
    groups: dict[str, list[KernelObject]] = {}
    for each in plan.objects:
        groups.setdefault(home(each), []).append(each)
    blocks = [_block(name, group) for name, group in groups.items()]
    return "\n\n".join([f"lab {plan.lab}: {len(groups)} namespaces, {len(plan.objects)} objects", *blocks]) + "\n"


def _block(name: str, group: list[KernelObject]) -> str:
    return "\n".join([name, *(f"  {line}" for each in group for line in _lines(each))])


def render_step(step: Step) -> str:
    """One step as a line: + made, - removed, ~ changed."""
    match step:
        case Create(new=each):
            return f"+ {home(each)}: {describe(each)}"
        case Delete(old=each):
            return f"- {home(each)}: {describe(each)}"
        case Change(new=each):
            return f"~ {home(each)}: {describe(each)}"
        case _:
            assert_never(step)


def describe(each: KernelObject) -> str:
    """One object in a line."""
    return "; ".join(_lines(each))


def home(each: KernelObject) -> str:
    """The namespace under which an object is listed."""
    if isinstance(each, Namespace):
        return each.name
    return each.a.namespace if isinstance(each, Veth) else each.namespace


def _lines(each: KernelObject) -> Iterator[str]:
    match each:
        case Namespace():
            yield "namespace" + (", forwarding" if each.forwarding else "")
        case Sysctl():
            yield f"sysctl {each.name} = {each.value}"
        case Bridge() | Veth() | Gre() | Geneve() | XfrmInterface():
            yield _device(each)
        case Address():
            yield f"address {each.address} on {each.device}"
        case Neighbour():
            yield f"neighbour {each.address} at {each.mac} on {each.device}"
        case Route():
            yield _route(each)
        case RouteRule():
            yield _choice(each)
        case XfrmState():
            ends = f"{each.source} to {each.destination}"
            yield f"esp {ends} spi {each.spi:#x} {each.cipher} key {each.key} if_id {each.if_id}"
        case XfrmPolicy():
            outer = f" in {each.outer[0]} to {each.outer[1]} if_id {each.if_id}" if each.outer else ""
            yield f"policy {each.direction} {each.source} to {each.destination} {each.action}{outer}"
        case Ruleset():
            for table, lines in each.tables:
                yield from (f"iptables {table} {line}" for line in lines)
        case Shaper():
            yield f"{_shaping(each)} on {each.device}"
        case Process():
            yield f"process {each.name}: {_program(each.program)}"
        case Foreign():
            yield each.what
        case _:
            assert_never(each)


def _device(each: Bridge | Veth | Tunnel) -> str:
    match each:
        case Bridge():
            return f"bridge {each.name} mtu {each.mtu}{_down(each.up)}"
        case Veth(a=a, b=b):
            port = f" port of {b.master}" if b.master else ""
            return f"veth {a.name} ({a.mac}) to {b.namespace}/{b.name}{port} mtu {each.mtu}{_down(a.up and b.up)}"
        case Gre():
            key = f" key {each.key}" if each.key is not None else ""
            return f"gre {each.name} {each.local} to {each.remote}{key} ttl {each.ttl} mtu {each.mtu}{_down(each.up)}"
        case Geneve():
            ends = f"{each.local} to {each.remote} vni {each.vni} ({each.mac})"
            port = f" port of {each.master}" if each.master else ""
            together = "" if each.isolated else " not isolated"
            return f"geneve {each.name} {ends}{port}{together} mtu {each.mtu}{_down(each.up)}"
        case XfrmInterface():
            return f"xfrm interface {each.name} if_id {each.if_id} on {each.device} mtu {each.mtu}{_down(each.up)}"


def _shaping(each: Shaper) -> str:
    jitter = f" and up to {each.jitter_ms:g} ms more or less" if each.jitter_ms else ""
    words = [f"delay {each.delay_ms:g} ms{jitter}"] if each.delay_ms or jitter else []
    words += [f"loss {each.loss_percent:g} %"] if each.loss_percent else []
    words += [f"rate {each.rate_bit / 1e6:g} mbit"] if each.rate_bit else []
    return ", ".join(words)


def _down(up: bool) -> str:
    return "" if up else " down"


def _route(each: Route) -> str:
    words = [f"route {each.to}"]
    words += [each.type] if each.type != "unicast" else []
    words += [f"via {each.via}"] if each.via else []
    words += [f"dev {each.device}"] if each.device else []
    words += [f"src {each.source}"] if each.source else []
    words += [f"metric {each.metric}"] if each.metric else []
    words += [f"table {each.table}"] if each.table else []
    return " ".join(words)


def _choice(each: RouteRule) -> str:
    words = [f"rule {each.priority}"]
    words += [f"from {each.source}"] if each.source is not None else []
    words += [f"iif {each.device}"] if each.device is not None else []
    return " ".join([*words, f"table {each.table}"])


def _program(program: Program) -> str:
    match program:
        case Server():
            return "listens on " + ", ".join(f"{listen.proto}/{listen.port}" for listen in program.listens)
        case Resolver():
            return resolver_words(program)
        case PathWatcher():
            return "watches " + ", ".join(
                f"{path.name} ({path.local} to {path.remote} by {path.device}, {path.interval_ms} ms x {path.count}, "
                f"metric {path.metric} for {' '.join(str(prefix) for prefix in path.prefixes)})"
                for path in program.paths
            )
        case Vrrp():
            held = ", ".join(f"{address} on {device}" for device, address in program.addresses)
            words = f"virtual router {program.number} priority {program.priority} every {program.interval_ms} ms"
            return f"{words}, while MASTER with {held}{'' if program.preempt else '; does not preempt'}"
        case _:
            assert_never(program)
