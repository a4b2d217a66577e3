"""Faults of the wire, put in and taken out again, each with the instants between which it happened.

A fault is prepared first and takes effect by one message a port, so that its instants lie close together.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from labctl.errors import KernelError, StateError
from labctl.kernel import links, routes, shaping
from labctl.kernel.netlink import Message
from labctl.kernel.nodes import Nodes
from labctl.kernel.paths import Paths
from labctl.kernel.shaping import Proto


@dataclass(frozen=True, slots=True)
class Port:
    """A device in a node of the lab."""

    namespace: str
    device: str


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The ports are administratively down. The far end of a veth loses its carrier: both neighbours notice."""

    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Blackhole:
    """What arrives at the ports is lost without a trace while their carrier stays; `proto` "": every frame.

    A capture on the port still sees what is lost.
    """

    ports: tuple[Port, ...]
    proto: Proto = ""


Fault = LinkDown | Blackhole


@dataclass(frozen=True, slots=True)
class Instant:
    """The change happened after `before_ms` and was complete by `after_ms`: milliseconds of CLOCK_MONOTONIC."""

    before_ms: float
    after_ms: float


def inject(paths: Paths, fault: Fault) -> Instant:
    """Put `fault` in; it may be in already. KernelError names the port that refused, StateError a missing node."""
    with Nodes(paths) as nodes:
        match fault:
            case LinkDown():
                for port in fault.ports:
                    _note_routes(nodes, paths, port)
                return _apply(nodes, [(port, _state(port, up=False)) for port in fault.ports])
            case Blackhole():
                for port in fault.ports:
                    index = _index(nodes, port)
                    nodes[port.namespace].route.send([shaping.ingress_hook(index, _words("prepare", port), port)])
                return _apply(nodes, [(port, _drop(nodes, port, fault.proto)) for port in fault.ports])
            case _:
                assert_never(fault)


def repair(paths: Paths, fault: Fault) -> Instant:
    """Take `fault` out; it may be out already, and every route that it cost is there again.

    What `Blackhole` leaves is an empty filter hook (clsact), which changes nothing.
    """
    with Nodes(paths) as nodes:
        match fault:
            case LinkDown():
                changes = [(port, _state(port, up=True)) for port in fault.ports]
                lost = [(port, each) for port in fault.ports for each in _noted_routes(paths, port)]
                instant = _apply(nodes, changes + lost)
                for port in fault.ports:
                    _note(paths, port).unlink(missing_ok=True)
                return instant
            case Blackhole():
                return _apply(nodes, [(port, _undrop(nodes, port, fault.proto)) for port in fault.ports])
            case _:
                assert_never(fault)


def _apply(nodes: Nodes, changes: Sequence[tuple[Port, Message]]) -> Instant:
    connections = [(nodes[port.namespace].route, message) for port, message in changes]
    before = time.monotonic() * 1000
    for connection, message in connections:
        connection.send([message])
    return Instant(before, time.monotonic() * 1000)


def _state(port: Port, *, up: bool) -> Message:
    return links.set_state(port.device, "up" if up else "down", _where(port), port)


def _drop(nodes: Nodes, port: Port, proto: Proto) -> Message:
    return shaping.drop(_index(nodes, port), proto, _words("blackhole", port), port)


def _undrop(nodes: Nodes, port: Port, proto: Proto) -> Message:
    return shaping.undrop(_index(nodes, port), proto, _words("repair", port), port)


def _index(nodes: Nodes, port: Port) -> int:
    try:
        return nodes[port.namespace].index(port.device)
    except KernelError as error:
        reason = f"cannot reach {_where(port)}: {error.message}"
        raise KernelError(reason, subject=port, errno=error.errno) from error


def _note_routes(nodes: Nodes, paths: Paths, port: Port) -> None:
    """Write down the routes that the kernel will flush with the device, for the `repair` of a later process."""
    index = _index(nodes, port)
    listed = nodes[port.namespace].route.dump(routes.list_routes())
    lost = [body.hex() for body in listed if routes.leaves_by(body, index)]
    with _file_errors(_note(paths, port)) as file:
        # A port that is down already has no routes left to note: the earlier note stands.
        if lost or not file.exists():
            file.write_text(json.dumps(lost))


def _noted_routes(paths: Paths, port: Port) -> list[Message]:
    """Ways to restore what was noted; routes to neighbours first, since those to gateways need them."""
    with _file_errors(_note(paths, port)) as file:
        bodies = [bytes.fromhex(each) for each in json.loads(file.read_text())] if file.exists() else []
    words = _words("restore a route through", port)
    return [routes.restore(body, words, port) for body in sorted(bodies, key=routes.has_gateway)]


def _note(paths: Paths, port: Port) -> Path:
    return paths.root / f"link-down-{port.namespace}-{port.device}.json"


@contextlib.contextmanager
def _file_errors(file: Path) -> Iterator[Path]:
    try:
        yield file
    except (OSError, ValueError) as error:
        raise StateError(f"cannot use {file}: {error}") from error


def _where(port: Port) -> str:
    return f"{port.device} in {port.namespace}"


def _words(verb: str, port: Port) -> str:
    return f"{verb} {_where(port)}"
