"""The path watcher: one BFD session a path, and the path's routes in the kernel exactly while the session is up.

Each path has two sockets on its device: one at port 3784 that receives, and one at a port of 49152 to 65535 that
sends (RFC 5881 section 4). Loss of carrier counts at once. The devices must outlive the program.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator

from labctl.errors import KernelError
from labctl.model.services import PathWatcher, WatchedPath
from labctl.plan.objects import Route
from labctl.services import bfd
from labctl.services.linkwatch import LinkWatch
from labctl.services.pathroutes import PathRoutes, Way
from labctl.services.sockets import udp

Report = Callable[[str, dict[str, str]], None]

_IP_RECVTTL = 12  # linux/in.h; not in the socket module before Python 3.14
_INT = struct.Struct("=i")
_PORTS = range(49152, 65536)
_PRIORITY = -15


def _now() -> float:
    return time.monotonic() * 1000


class _Path:
    """One path: its session, its sockets, its routes. KernelError where a device or port cannot be had."""

    def __init__(self, config: WatchedPath, namespace: str) -> None:
        self.config = config
        self._namespace = namespace
        self.device = _index(config.device)
        self.carrier_device = _index(config.carrier)
        self.carrier = True  # until the kernel, asked at the start, says otherwise
        self.up = False
        self.since = _now()
        self.transitions = 0
        self.receiver = udp(config.local, bfd.PORT, config.device)
        self.receiver.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        self._sender = _sender(config)
        self._remote = (str(config.remote), bfd.PORT)
        self.session = bfd.Session(
            random.randrange(1, 1 << 32), config.interval_ms, config.count, self.since, random.random
        )

    def routes(self) -> Iterator[Way]:
        """What shall be in the kernel while the session is up."""
        for prefix in self.config.prefixes:
            metric, source = self.config.metric, self.config.source
            yield Route(self._namespace, prefix, device=self.config.device, metric=metric, source=source), self.device

    def goes_on_as(self, config: WatchedPath) -> bool:
        """Whether the path is still between the same two ends: then its session goes on with the new settings."""
        devices = _index(config.device), _index(config.carrier)
        return _ends(self.config) == _ends(config) and devices == (self.device, self.carrier_device)

    def adopt(self, config: WatchedPath) -> None:
        """Take over the new settings."""
        self.config = config
        self.session.retime(config.interval_ms, config.count, _now())

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

    def take_leave(self) -> None:
        """Tell the neighbour that the session ends, so that it need not wait for the detection time."""
        self.session.disable(_now())
        self.send(self.session.poll(_now()).packets)

    def close(self) -> None:
        """Close the sockets."""
        self.receiver.close()
        self._sender.close()

    def describe(self) -> str:
        """State, instant (CLOCK_MONOTONIC, ms) and count of changes in words."""
        state = "up" if self.up else "down"
        return f"{self.config.name} {state} since {self.since:.0f} ms, {self.transitions} transitions"


class Watcher:
    """The program. Its paths begin down, without their routes. KernelError where a device or port cannot be had."""

    def __init__(self, config: PathWatcher, namespace: str, report: Report) -> None:
        self._namespace = namespace
        self._report = report
        self._routes = PathRoutes()
        self._links = LinkWatch()
        self._later: list[Callable[[], None]] = []
        self._paths: list[_Path] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._links.socket, selectors.EVENT_READ, self._follow_carrier)
        self.reconfigure(config)
        self._routes.clear(way for path in self._paths for way in path.routes())

    def reconfigure(self, config: PathWatcher) -> None:
        """Watch what `config` says. A path whose ends stay the same stays up, and routes change without a gap.

        KernelError: nothing has changed.
        """
        paths = self._successors(config)
        fresh = [path for path in paths if path not in self._paths]
        gone = [path for path in self._paths if path not in paths]
        for path in fresh:
            self._selector.register(path.receiver, selectors.EVENT_READ, path.receive)
        for path, each in zip(paths, config.paths, strict=True):
            path.adopt(each)
        if fresh and self._paths:  # the first time the answer is on its way already
            self._links.ask()
        self._paths = paths
        self._put()
        for path in gone:
            path.take_leave()
            self._selector.unregister(path.receiver)
            path.close()
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
                while self._later:
                    self._later.pop()()
        finally:
            self._leave()

    def also(self, source: int, act: Callable[[], None]) -> None:
        """`run` calls `act` when `source` can be read, once all else that was ready has had its turn."""
        self._selector.register(source, selectors.EVENT_READ, lambda: self._later.append(act))

    def _successors(self, config: PathWatcher) -> list[_Path]:
        """For each path of `config` the one that is watched already, or a new one."""
        paths: list[_Path] = []
        opened: list[_Path] = []
        try:
            for each in config.paths:
                path = next((path for path in self._paths if path not in paths and path.goes_on_as(each)), None)
                if path is None:
                    path = _Path(each, self._namespace)
                    opened.append(path)
                paths.append(path)
        except KernelError:
            for path in opened:
                path.close()
            raise
        return paths

    def _turn(self, path: _Path) -> float:
        now = _now()
        turn = path.session.poll(now)
        path.send(turn.packets)
        for event in turn.events:
            path.up, path.since, path.transitions = event == "up", now, path.transitions + 1
            self._put()
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

    def _put(self) -> None:
        self._routes.put(way for path in self._paths if path.up for way in path.routes())

    def _tell(self) -> None:
        states = {path.config.name: "up" if path.up else "down" for path in self._paths}
        self._report("; ".join(path.describe() for path in self._paths), states)

    def _leave(self) -> None:
        for path in self._paths:
            path.take_leave()
        self._routes.put(())


def _ends(config: WatchedPath) -> tuple[object, ...]:
    return config.device, config.carrier, config.local, config.remote


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
