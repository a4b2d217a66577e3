"""Faults of the wire, put in and taken out again, each with the instants between which it happened.

A fault is prepared first and takes effect by one message a port, so that its instants lie close together. What takes
it out goes on after a failure and tells of all in the end.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import assert_never

from labctl.errors import KernelError, StateError, attempt_all
from labctl.kernel import links, routes, shaping
from labctl.kernel.netlink import Message
from labctl.kernel.nodes import Nodes
from labctl.kernel.paths import Paths
from labctl.plan.faults import Blackhole, Degrade, Drop, Flap, LinkDown, Port, Proto
from labctl.plan.objects import Shaper
from labctl.plan.qdiscs import qdiscs

WireFault = LinkDown | Flap | Blackhole | Degrade


@dataclass(frozen=True, slots=True)
class Instant:
    """The change happened after `before_ms` and was complete by `after_ms`: milliseconds of CLOCK_MONOTONIC."""

    before_ms: float
    after_ms: float


def inject(paths: Paths, fault: WireFault) -> Instant:
    """Put `fault` in; it may be in already. KernelError names the port that refused, StateError a missing node.

    A flap is over on return; its instants are those of its first fall.
    """
    with Nodes(paths) as nodes:
        match fault:
            case LinkDown(ports=ports):
                return _fall(nodes, paths, ports)
            case Flap():
                return _flap(nodes, paths, fault)
            case Blackhole(ports=ports, proto=proto):
                _hook(nodes, ports)
                return _strike(nodes, [(port.namespace, _drop(nodes, port, proto)) for port in ports])
            case Degrade(worse=worse):
                return _strike(nodes, [(each.namespace, one) for each in worse for one in _shape(nodes, each)])
            case _:
                assert_never(fault)


def repair(paths: Paths, fault: WireFault) -> Instant:
    """Take `fault` out; it may be out already, and every route that it cost is there again.

    What `Blackhole` leaves is an empty filter hook (clsact), which changes nothing. Of `Degrade`, nothing that was
    under way is lost: it returns when that has arrived.
    """
    with Nodes(paths) as nodes:
        match fault:
            case LinkDown(ports=ports) | Flap(ports=ports):
                return _rise(nodes, paths, ports)
            case Blackhole(ports=ports, proto=proto):
                return _mend(partial(_undrop, nodes, port, proto) for port in ports)
            case Degrade():
                return _recover(nodes, fault)
            case _:
                assert_never(fault)


def show(paths: Paths, fault: Drop, program: int) -> Instant:
    """Show what arrives at the ports of `fault` to a `Budget`'s program. KernelError where that is so already."""
    with Nodes(paths) as nodes:
        _hook(nodes, fault.ports)
        messages = []
        for port in fault.ports:
            message = shaping.show(_index(nodes, port), fault.proto, program, _words("drop on", port), port)
            messages.append((port.namespace, message))
        return _strike(nodes, messages)


def unshow(paths: Paths, fault: Drop) -> Instant:
    """End what `show` began; it may be at its end already."""

    def end(nodes: Nodes, port: Port) -> None:
        message = shaping.unshow(_index(nodes, port), fault.proto, _words("repair", port), port)
        nodes[port.namespace].route.send([message])

    with Nodes(paths) as nodes:
        return _mend(partial(end, nodes, port) for port in fault.ports)


def _strike(nodes: Nodes, changes: Sequence[tuple[str, Message]]) -> Instant:
    """Send each message to its namespace; the first refusal ends it."""
    connections = [(nodes[namespace].route, message) for namespace, message in changes]
    before = _now()
    for connection, message in connections:
        connection.send([message])
    return Instant(before, _now())


def _mend(acts: Iterable[Callable[[], object]]) -> Instant:
    """Do every act, those after a failure too."""
    before = _now()
    attempt_all(acts)
    return Instant(before, _now())


def _now() -> float:
    return time.monotonic() * 1000


# -- carrier


def _fall(nodes: Nodes, paths: Paths, ports: Sequence[Port]) -> Instant:
    for port in ports:
        _note_routes(nodes, paths, port)
    return _strike(nodes, [(port.namespace, _state(port, up=False)) for port in ports])


def _rise(nodes: Nodes, paths: Paths, ports: Sequence[Port]) -> Instant:
    """Bring the ports up and give them their routes back, those of one port although another failed."""

    def up(port: Port) -> None:
        nodes[port.namespace].route.send([_state(port, up=True)])

    def restore(port: Port) -> None:
        nodes[port.namespace].route.send(_noted_routes(paths, port))

    instant = _mend(partial(act, port) for act in (up, restore) for port in ports)
    for port in ports:
        _note(paths, port).unlink(missing_ok=True)
    return instant


def _flap(nodes: Nodes, paths: Paths, fault: Flap) -> Instant:
    """Down and up by the clock: how long a change takes does not add up."""
    falls = [_fall(nodes, paths, fault.ports)]
    start_ms, cycle_ms = falls[0].before_ms, fault.down_ms + fault.up_ms
    for i in range(fault.times):
        if i:
            _sleep_until(start_ms + i * cycle_ms)
            falls.append(_fall(nodes, paths, fault.ports))
        _sleep_until(start_ms + i * cycle_ms + fault.down_ms)
        _rise(nodes, paths, fault.ports)
    return falls[0]


def _sleep_until(ms: float) -> None:
    time.sleep(max(0.0, ms - _now()) / 1000)


def _state(port: Port, *, up: bool) -> Message:
    return links.set_state(port.device, "up" if up else "down", _where(port), port)


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


# -- silence


def _hook(nodes: Nodes, ports: Sequence[Port]) -> None:
    for port in ports:
        hook = shaping.ingress_hook(_index(nodes, port), _words("prepare", port), port)
        nodes[port.namespace].route.send([hook])


def _drop(nodes: Nodes, port: Port, proto: Proto) -> Message:
    return shaping.drop(_index(nodes, port), proto, _words("blackhole", port), port)


def _undrop(nodes: Nodes, port: Port, proto: Proto) -> None:
    message = shaping.undrop(_index(nodes, port), proto, _words("repair", port), port)
    nodes[port.namespace].route.send([message])


# -- quality


def _recover(nodes: Nodes, fault: Degrade) -> Instant:
    """Back to the usual; only when nothing is under way any more is a netem taken away, since that loses its queue."""
    usual = {each.identity: each for each in fault.usual}
    instant = _mend(partial(_calm, nodes, each, usual.get(each.identity)) for each in fault.worse)
    longest_ms = max((each.delay_ms + each.jitter_ms for each in fault.worse), default=0.0)
    _sleep_until(instant.after_ms + longest_ms)
    attempt_all(partial(_settle, nodes, each, usual.get(each.identity)) for each in fault.worse)
    return instant


def _calm(nodes: Nodes, worse: Shaper, usual: Shaper | None) -> None:
    """From now on everything is as usual, except that the netem of `worse` may stay, without effect."""
    stays = usual is not None and "netem" in qdiscs(usual)
    index = _device(nodes, worse.namespace, worse.device)
    messages = shaping.shape(usual, index) if usual and stays else (shaping.calm(worse, index),)
    nodes[worse.namespace].route.send(messages)


def _settle(nodes: Nodes, worse: Shaper, usual: Shaper | None) -> None:
    index = _device(nodes, worse.namespace, worse.device)
    nodes[worse.namespace].route.send(shaping.shape(usual, index) if usual else (shaping.unshape(worse, index),))


def _shape(nodes: Nodes, item: Shaper) -> Sequence[Message]:
    return shaping.shape(item, _device(nodes, item.namespace, item.device))


# -- places


def _index(nodes: Nodes, port: Port) -> int:
    return _device(nodes, port.namespace, port.device)


def _device(nodes: Nodes, namespace: str, device: str) -> int:
    try:
        return nodes[namespace].index(device)
    except KernelError as error:
        port = Port(namespace, device)
        reason = f"cannot reach {_where(port)}: {error.message}"
        raise KernelError(reason, subject=port, errno=error.errno) from error


def _where(port: Port) -> str:
    return f"{port.device} in {port.namespace}"


def _words(verb: str, port: Port) -> str:
    return f"{verb} {_where(port)}"
