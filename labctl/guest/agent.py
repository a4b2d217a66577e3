"""The resident program of a guest that stays: it takes jobs over a byte stream and forks a child for each.

A child has labctl loaded already, and pipes or a terminal of its own; in it `serve` returns what it is to do.
"""

from __future__ import annotations

import contextlib
import os
import select
import tty
from pathlib import Path

from labctl.guest.frames import PIECE, Frame, Kind, Start, credit, credited, read, sized, started
from labctl.guest.jobs import Job, begin
from labctl.guest.link import Link, wait

HIGH_WATER = 1 << 16
"""Above so many unsent bytes no more is read from jobs."""

_PORTS = Path("/sys/class/virtio-ports")


def open_channel(name: str) -> int:
    """Open the byte stream: a serial line by its path, or a virtio port by its name. OSError where it is not there."""
    if name.startswith("/"):
        fd = os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        tty.setraw(fd)
        return fd
    for port in _PORTS.glob("*/name"):
        if port.read_text().strip() == name:
            return os.open(f"/dev/{port.parent.name}", os.O_RDWR | os.O_CLOEXEC)
    raise FileNotFoundError(f"there is no virtio port {name}")


class Agent:
    """Carries out what frames say, until the guest is to end. `workspace`: where the guest sees that directory."""

    def __init__(self, link: Link, workspace: Path) -> None:
        self._link = link
        self._workspace = workspace
        self._jobs: dict[int, Job] = {}
        self._begun = False

    def serve(self) -> Start | None:
        """Take jobs. In the child for a job it returns that; else None, when the guest is to end."""
        self._link.send(Frame(0, Kind.HELLO))
        while True:
            ready = wait(self._wanted())
            if ready.get(self._link.fd):
                self._link.flush()
                try:
                    received = self._link.receive()
                except EOFError:
                    return None
                if self._link.received:
                    self._link.send(Frame(0, Kind.READ, read(self._link.received)))
                for frame in received:
                    if frame.kind is Kind.STOP:
                        return None
                    if frame.kind is Kind.START and (mine := self._start(frame)):
                        return mine
                    if frame.job in self._jobs:
                        self._obey(self._jobs[frame.job], frame)
            for job in list(self._jobs.values()):
                self._attend(job, ready)

    def _wanted(self) -> dict[int, int]:
        wanted = {self._link.fd: self._link.events}
        for job in self._jobs.values():
            if job.status is None:
                wanted[job.handle] = select.POLLIN
            if job.told and job.input >= 0:
                wanted[job.input] = select.POLLOUT
            wanted |= {fd: select.POLLIN for kind, fd in job.outputs.items() if self._may_read(job, kind)}
        return wanted

    def _may_read(self, job: Job, kind: Kind) -> bool:
        return kind in job.outputs and job.credit[kind] > 0 and self._link.backlog < HIGH_WATER

    def _start(self, frame: Frame) -> Start | None:
        try:
            start = started(frame.payload)
            job = begin(start, self._workspace)
        except (OSError, ValueError, TypeError) as error:
            self._link.send(Frame(frame.job, Kind.FAULT, f"the guest cannot begin it: {error}".encode()))
            return None
        if job is None:
            return start
        job.number = frame.job
        if not self._begun:
            job.mounts.clear()  # what the lab's `up` is shown stays in sight: it belongs to the scene before the lab
        self._begun = True
        self._jobs[frame.job] = job
        return None

    def _obey(self, job: Job, frame: Frame) -> None:
        with contextlib.suppress(ValueError):
            match frame.kind:
                case Kind.INPUT:
                    job.told += frame.payload
                    job.last = job.last or not frame.payload
                case Kind.CREDIT:
                    kind, amount = credited(frame.payload)
                    job.credit[kind] += amount
                case Kind.CLOSED:
                    job.close_output(Kind(frame.payload[0]))
                case Kind.RESIZE:
                    job.resize(*sized(frame.payload))
                case Kind.SIGNAL:
                    job.signal(frame.payload[0])
                case _:
                    pass

    def _attend(self, job: Job, ready: dict[int, int]) -> None:
        """Move what can be moved. Once the job has ended, what lies in its pipes is the last of its output."""
        self._tell(job)
        if job.status is None and ready.get(job.handle):
            job.reap()
        for kind in list(job.outputs):
            if job.status is None:
                if ready.get(job.outputs[kind]):
                    self._hear(job, kind)
                continue
            while self._may_read(job, kind):
                self._hear(job, kind)
        if job.status is not None and not job.outputs:
            del self._jobs[job.number]
            job.finish()
            self._link.send(Frame(job.number, Kind.EXIT, bytes([job.status])))

    def _tell(self, job: Job) -> None:
        if job.input < 0:
            job.told.clear()
            return
        try:
            while job.told:
                count = os.write(job.input, job.told[:PIECE])
                del job.told[:count]
                self._link.send(Frame(job.number, Kind.CREDIT, credit(Kind.INPUT, count)))
        except BlockingIOError:
            return
        except OSError:  # it reads no more
            job.close_input()
            self._link.send(Frame(job.number, Kind.CLOSED, bytes([Kind.INPUT])))
        if job.last:
            job.close_input()

    def _hear(self, job: Job, kind: Kind) -> None:
        try:
            data = os.read(job.outputs[kind], min(PIECE, job.credit[kind]))
        except BlockingIOError:
            if job.status is not None:
                job.close_output(kind)  # a process that stays behind holds it open
            return
        except OSError:  # a terminal that nobody has open any more
            data = b""
        if not data:
            job.close_output(kind)
            return
        job.credit[kind] -= len(data)
        self._link.send(Frame(job.number, kind, data))
