"""The program on the host that keeps one guest: it starts it, passes frames between it and commands, and ends it.

Each connection to its socket is one job. Until the first job has succeeded, which is the lab's `up`, the guest lives
for that alone: where it fails, nothing is left. From then on a guest that dies leaves its record, so that it is known.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from labctl.errors import LabError
from labctl.guest import record
from labctl.guest.engines import BOOT_LIMIT, channel_seen, prepare, workspace_seen
from labctl.guest.frames import PACE, Frame, Kind, was_read
from labctl.guest.job import Request, Workspace
from labctl.guest.link import Link, wait
from labctl.guest.process import Guest, started
from labctl.guest.record import Place
from labctl.services import processes

POWER_OFF_S = 2.0
"""How long a guest may take to power off before it is killed."""

_FAREWELL_S = 1.0
_FIRST = 1
_INTERRUPTED = 128 + signal.SIGINT
_LOADED = 2
"""So many times what a boot may take, until labctl is loaded and takes jobs."""


@dataclass(slots=True)
class Client:
    """A connection, and the job that it is for."""

    number: int
    socket: socket.socket
    link: Link
    begun: bool = False


@dataclass(slots=True)
class End:
    """How it ends: what each client is told last, where it is not told `told`, and whether the record stays."""

    told: str
    last: dict[int, Frame] = field(default_factory=dict)
    died: bool = False


class Monitor:
    """One guest that runs. `channel`: our end of its byte stream."""

    def __init__(self, place: Place, engine: str, listener: socket.socket, channel: Link, guest: Guest) -> None:
        self._place = place
        self._engine = engine
        self._listener = listener
        self._channel = channel
        self._guest = guest
        self._handle = os.pidfd_open(guest.pid)
        self._work = Workspace(place.work)
        self.clients: dict[int, Client] = {}
        self._number = 0
        self._ready = False
        self._waiting: list[Frame] = []
        self._boot_by = time.monotonic() + _LOADED * BOOT_LIMIT[engine]
        self._stop_by = 0.0
        self._stopper = 0
        self._woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)

    def run(self) -> End:
        """Until the guest has ended, or is to be ended by the caller."""
        while True:
            ready = wait(self._wanted(), self._patience())
            if end := self._passed(ready):
                return end
            if ready.get(self._listener.fileno()):
                self._accept()
            if ready.get(self._channel.fd) and (end := self._hear_guest()):
                return end
            for client in list(self.clients.values()):
                if ready.get(client.link.fd) and (end := self._hear_client(client)):
                    return end

    def _wanted(self) -> dict[int, int]:
        wanted = dict.fromkeys((self._listener.fileno(), self._handle, self._woken), select.POLLIN)
        for link in (self._channel, *(client.link for client in self.clients.values())):
            wanted[link.fd] = link.events
        return wanted

    def _patience(self) -> float | None:
        limits = [*([] if self._ready else [self._boot_by]), *([self._stop_by] if self._stop_by else [])]
        return min(limits) - time.monotonic() if limits else None

    def _passed(self, ready: dict[int, int]) -> End | None:
        """What the clock, a signal or the guest's own end decide."""
        now = time.monotonic()
        if ready.get(self._handle):
            return self._stopped() if self._stop_by else self._died()
        if ready.get(self._woken):
            os.read(self._woken, 64)
            self._stop()
        if self._stop_by and now >= self._stop_by:
            return self._stopped()
        if not self._ready and now >= self._boot_by:
            limit = _LOADED * BOOT_LIMIT[self._engine]
            return End(f"the {self._engine} guest did not boot within {limit:g} s{self._guest.last_words()}")
        return None

    def _stop(self) -> None:
        """Let the guest power off."""
        self._stop_by = self._stop_by or time.monotonic() + (POWER_OFF_S if self._ready else 0.0)
        self._channel.send(Frame(0, Kind.STOP))

    def _stopped(self) -> End:
        return End(f"lab {self._place.lab} was taken down", {self._stopper: Frame(0, Kind.EXIT, b"\0")})

    def _died(self) -> End:
        if fault := self._work.fault():
            return End(f"the {self._engine} guest cannot be set up: {fault}")
        what = "died" if self._ready else "did not boot"
        told = f"the {self._engine} guest of lab {self._place.lab} {what}{self._guest.last_words()}"
        told += "".join(f"\n  {line}" for line in self._work.stderr.read_text(errors="replace").splitlines()[-5:])
        return End(told, died=record.is_up(self._place))

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        self._number += 1
        self.clients[self._number] = Client(self._number, accepted, Link(accepted.fileno()))

    def _hear_guest(self) -> End | None:
        self._channel.flush()
        try:
            received = self._channel.receive()
        except EOFError:
            return None  # the end of its process tells more, and comes now
        for frame in received:
            if frame.kind is Kind.HELLO:
                self._ready = True
                for each in self._waiting:
                    self._channel.send(each)
                self._waiting.clear()
            elif frame.kind is Kind.READ:
                self._channel.was_read(was_read(frame.payload))
            elif (client := self.clients.get(frame.job)) and (end := self._deliver(client, frame)):
                return end
        return None

    def _deliver(self, client: Client, frame: Frame) -> End | None:
        if frame.kind in (Kind.EXIT, Kind.FAULT) and client.number == _FIRST:
            if frame.kind is Kind.FAULT or any(frame.payload):
                return End("", {client.number: frame})
            record.mark_up(self._place)
        client.link.send(frame)
        return None

    def _hear_client(self, client: Client) -> End | None:
        client.link.flush()
        try:
            received = client.link.receive()
        except EOFError:
            return self._lose(client)
        for frame in received:
            if frame.kind is Kind.STOP:
                self._stopper = client.number
                self._stop()
                continue
            if frame.kind is Kind.SIGNAL and client.number == _FIRST and not self._ready:
                return End("", {client.number: Frame(0, Kind.EXIT, bytes([_INTERRUPTED]))})
            client.begun = client.begun or frame.kind is Kind.START
            self._pass_on(Frame(client.number, frame.kind, frame.payload))
        return None

    def _lose(self, client: Client) -> End | None:
        """A command has ended. What it left of its job is hung up; without its first job the guest is for nothing."""
        del self.clients[client.number]
        client.socket.close()
        if client.number == _FIRST and not record.is_up(self._place):
            return End("its command was ended")
        if client.begun:
            for kind in (Kind.OUTPUT, Kind.ERRORS):
                self._pass_on(Frame(client.number, Kind.CLOSED, bytes([kind])))
            self._pass_on(Frame(client.number, Kind.SIGNAL, bytes([signal.SIGHUP])))
        return None

    def _pass_on(self, frame: Frame) -> None:
        if self._ready:
            self._channel.send(frame)
        else:
            self._waiting.append(frame)


def keep(place: Place, engine: str, listener: socket.socket) -> None:
    """Keep a guest for as long as it lives."""
    ours, theirs = socket.socketpair()
    agent = [sys.executable, "-m", "labctl.cli.resident", channel_seen(engine)]
    clients: dict[int, Client] = {}
    work = Workspace(place.work)
    try:
        request = Request([*agent, workspace_seen(engine, work)], (), (), {}, channel=theirs.fileno())
        launch = prepare(engine, work, request)
        work.fill(launch.job)
        with started(launch) as guest:
            record.note(place, "guest", guest.pid)
            theirs.close()
            os.chdir("/")
            monitor = Monitor(place, engine, listener, Link(ours.fileno(), PACE), guest)
            clients = monitor.clients
            end = monitor.run()
    except OSError as fault:
        end = End(f"the {engine} guest cannot be prepared: {fault}")
    except LabError as fault:
        end = End(fault.message)
    conclude(place, listener, clients, end)


def conclude(place: Place, listener: socket.socket, clients: dict[int, Client], end: End) -> None:
    """After the guest's end: first its record is what it should be, then whoever waits is told."""
    _reap()
    if end.died:
        record.obituary(place, end.told)
    else:
        record.remove(place)
    listener.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            accepted, _ = listener.accept()
            clients[-accepted.fileno()] = Client(-accepted.fileno(), accepted, Link(accepted.fileno()))
    deadline = time.monotonic() + _FAREWELL_S
    for client in clients.values():
        client.link.send(end.last.get(client.number) or Frame(0, Kind.FAULT, end.told.encode()))
        while client.link.backlog and time.monotonic() < deadline:
            wait({client.link.fd: select.POLLOUT}, deadline - time.monotonic())
            client.link.flush()


def _reap() -> None:
    """The guest's processes were all killed; those whose parent was killed before them are our children now."""
    deadline = time.monotonic() + _FAREWELL_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.005)


def main(arguments: list[str]) -> None:
    """`LAB HOME ENGINE LISTENER`: keep the guest of LAB, whose record is made; LISTENER is a descriptor."""
    lab, home, engine, listening = arguments
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    place = Place(lab, Path(home))
    processes.adopt_orphans()
    processes.set_name(f"labctl-guest:{lab}")
    record.note(place, "monitor", os.getpid())
    keep(place, engine, socket.socket(fileno=int(listening)))


if __name__ == "__main__":
    main(sys.argv[1:])
