"""The path watcher: one BFD session a path, and the path's routes in the kernel exactly while the session is up.

Each path has two sockets on its device: one at port 3784 that receives, and one at a port of 49152 to 65535 that
sends (RFC 5881 section 4). Loss of carrier counts at once. The devices must outlive the program.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import random
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

from labctl.errors import KernelError
from labctl.kernel import routes
from labctl.kernel.netlink import ROUTE, Connection, Message
from labctl.model.services import PathWatcher, WatchedPath
from labctl.plan.objects import Route
from labctl.services import bfd
from labctl.services.linkwatch import LinkWatch
from labctl.services.sockets import udp

Report = Callable[[str, dict[str, str]], None]

_IP_RECVTTL = 12  # linux/in.h; not in the socket module before Python 3.14
_INT = struct.Struct("=i")
_PORTS = range(49152, 65536)
_PRIORITY = -15


def _now() -> float:
    return time.monotonic() * 1000


class _Path:
    """One path: its session, its sockets, its routes."""

    def __init__(self, config: WatchedPath, namespace: str) -> None:
        self.config = config
        self.device = _index(config.device)
        self.carrier_device = _index(config.carrier)
        self.carrier = True  # until the kernel, asked at the start, says otherwise
        self.up = False
        self.since = _now()
        self.transitions = 0
        self.routes = tuple(
            Route(namespace, prefix, device=config.device, metric=config.metric, source=config.source)
            for prefix in config.prefixes
        )
        self.receiver = udp(config.local, bfd.PORT, config.device)
        self.receiver.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        self._sender = _sender(config)
        self._remote = (str(config.remote), bfd.PORT)
        self.session = bfd.Session(
            random.randrange(1, 1 << 32), config.interval_ms, config.count, self.since, random.random
        )

    def receive(self) -> None:
        """Hand the session what waits; nothing that arrived by other ways while the carrier is gone."""
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, control, _, sender = self.receiver.recvmsg(512, socket.CMSG_SPACE(_INT.size))
                if self.carrier and sender[0] == self._remote[0]:
                    self.session.receive(packet, _ttl(control), _now())

    def send(self, packets: tuple[bytes, ...]) -> None:
        """Send; a packet that finds no way is as good as one lost on it."""
        for packet in packets:
            with contextlib.suppress(OSError):
                self._sender.sendto(packet, self._remote)

    def describe(self) -> str:
        """State, instant (CLOCK_MONOTONIC, ms) and count of changes in words."""
        state = "up" if self.up else "down"
        return f"{self.config.name} {state} since {self.since:.0f} ms, {self.transitions} transitions"


class Watcher:
    """The program. Its paths begin down, without their routes. KernelError where a device or port cannot be had."""

    def __init__(self, config: PathWatcher, namespace: str, report: Report) -> None:
        self._report = report
        self._kernel = Connection(ROUTE)
        self._links = LinkWatch()
        self._paths = [_Path(path, namespace) for path in config.paths]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._links.socket, selectors.EVENT_READ, self._follow_carrier)
        for path in self._paths:
            self._selector.register(path.receiver, selectors.EVENT_READ, path.receive)
            self._remove(path)  # one that was killed before us may have left them
        self._tell()

    def run(self) -> None:
        """Watch until SIGTERM; then take leave of the neighbours and remove the routes."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with contextlib.suppress(PermissionError):  # on a busy machine a late packet would look like a broken path
            os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
        try:
            while True:
                deadline = min((self._turn(path) for path in self._paths), default=float("inf"))
                timeout = None if deadline == float("inf") else max(0.0, deadline - _now()) / 1000
                # What has arrived is taken before the clock is looked at: a late wake-up is not a lost packet.
                for key, _ in self._selector.select(timeout):
                    key.data()
        finally:
            self._leave()

    def _turn(self, path: _Path) -> float:
        now = _now()
        turn = path.session.poll(now)
        path.send(turn.packets)
        for event in turn.events:
            path.up, path.since, path.transitions = event == "up", now, path.transitions + 1
            (self._add if path.up else self._remove)(path)
        if turn.events:
            self._tell()
        return turn.deadline

    def _follow_carrier(self) -> None:
        for index, carrier in self._links.changes():
            for path in self._paths:
                if path.carrier_device == index:
                    path.carrier = carrier
                    if not carrier:
                        path.session.carrier_lost(_now())

    def _add(self, path: _Path) -> None:
        messages = [routes.route(route, path.device) for route in path.routes]
        self._change([dataclasses.replace(message, tolerated=(errno.EEXIST,)) for message in messages])

    def _remove(self, path: _Path) -> None:
        self._change([routes.delete_route(route, path.device) for route in path.routes])

    def _change(self, messages: list[Message]) -> None:
        try:
            self._kernel.send(messages)
        except KernelError as error:
            # The device may be going down this very moment; the session will notice, and the log tells why.
            print(error.message, file=sys.stderr, flush=True)

    def _tell(self) -> None:
        states = {path.config.name: "up" if path.up else "down" for path in self._paths}
        self._report("; ".join(path.describe() for path in self._paths), states)

    def _leave(self) -> None:
        for path in self._paths:
            path.session.disable(_now())
            path.send(path.session.poll(_now()).packets)
            self._remove(path)


def _index(device: str) -> int:
    try:
        return socket.if_nametoindex(device)
    except OSError as error:
        raise KernelError(f"there is no device {device} to watch", errno=errno.ENODEV) from error


def _sender(config: WatchedPath) -> socket.socket:
    """A socket at a free port of the range; the first try nearly always succeeds."""
    for port in random.sample(_PORTS, 16):
        try:
            opened = udp(config.local, port, config.device)
        except KernelError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, bfd.TTL)
        return opened
    raise KernelError(f"no free port at {config.local} to send from", errno=errno.EADDRINUSE)


def _ttl(control: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, socket.IP_TTL):
            return int(_INT.unpack(data)[0])
    return 0
