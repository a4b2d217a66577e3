"""A command on the host and its job in a guest: streams, the terminal, signals and the exit status pass through."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType

from labctl.errors import GuestError
from labctl.guest import record
from labctl.guest.frames import PIECE, WINDOW, Frame, Kind, Start, credit, credited, size
from labctl.guest.link import Link, wait
from labctl.guest.record import Place

Sink = Callable[[Kind, bytes], None]
"""Takes what a job writes to its standard OUTPUT or ERRORS; BrokenPipeError where nobody reads that any more."""

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@contextlib.contextmanager
def reached(place: Place) -> Iterator[socket.socket]:
    """A connection to the monitor of the guest. GuestError where nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as ours:
        try:
            with beside(place) as name:
                ours.connect(name)
        except OSError:
            raise record.dead(place) from None
        yield ours


@contextlib.contextmanager
def beside(place: Place) -> Iterator[str]:
    """The path of the guest's socket, short enough for unix(7) wherever the record lies."""
    folder = os.open(place.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{place.socket.name}"
    finally:
        os.close(folder)


def window() -> tuple[int, int] | None:
    """Rows and columns of our terminal; None unless all three standard streams are at one."""
    if not all(os.isatty(fd) for fd in (0, 1, 2)):
        return None
    found = os.get_terminal_size(1)
    return found.lines, found.columns


def write(kind: Kind, data: bytes) -> None:
    """The usual sink: our own standard output and standard error."""
    fd = 2 if kind is Kind.ERRORS else 1
    while data:
        data = data[os.write(fd, data) :]


def perform(connection: socket.socket, start: Start, place: Place, sink: Sink = write) -> int:
    """Do a job in the guest and give its exit status. Its input, where it is `heard`, is our standard input.

    With a terminal ours is raw meanwhile, so that every key is the job's. Signals that would end us go to the job.
    GuestError where the guest died, or cannot begin the job.
    """
    link = Link(connection.fileno())
    link.send(Frame(0, Kind.START, start.packed()))
    with _signals() as (woken, caught), _raw(at=start.terminal is not None):
        job = _Job(link, sink, heard=start.heard or start.terminal is not None, at_terminal=start.terminal is not None)
        while job.status is None:
            ready = wait({link.fd: link.events, woken: select.POLLIN, **job.wanted()})
            if ready.get(woken):
                os.read(woken, 64)
                while caught:
                    job.tell_signal(caught.pop(0))
            if ready.get(0):
                job.hand_in()
            if ready.get(link.fd):
                link.flush()
                try:
                    received = link.receive()
                except EOFError:
                    raise record.dead(place) from None
                for frame in received:
                    job.take(frame)
    return job.status


class _Job:
    """Our side of a job."""

    def __init__(self, link: Link, sink: Sink, *, heard: bool, at_terminal: bool) -> None:
        self._link = link
        self._sink = sink
        self._heard = heard
        self._at_terminal = at_terminal
        self._credit = WINDOW
        self.status: int | None = None

    def wanted(self) -> dict[int, int]:
        """Whether our input is to be read now."""
        return {0: select.POLLIN} if self._heard and self._credit > 0 else {}

    def hand_in(self) -> None:
        """Pass on what has come in at our standard input."""
        try:
            data = os.read(0, min(PIECE, self._credit))
        except OSError:
            data = b""
        self._credit -= len(data)
        self._heard = bool(data)
        self._link.send(Frame(0, Kind.INPUT, data))

    def tell_signal(self, number: int) -> None:
        """Pass on a signal, or the new size of our terminal."""
        if number != signal.SIGWINCH:
            self._link.send(Frame(0, Kind.SIGNAL, bytes([number])))
        elif self._at_terminal and (now := window()):
            self._link.send(Frame(0, Kind.RESIZE, size(*now)))

    def take(self, frame: Frame) -> None:
        """What the guest says of the job."""
        match frame.kind:
            case Kind.OUTPUT | Kind.ERRORS:
                try:
                    self._sink(frame.kind, frame.payload)
                except BrokenPipeError:
                    self._link.send(Frame(0, Kind.CLOSED, bytes([frame.kind])))
                else:
                    self._link.send(Frame(0, Kind.CREDIT, credit(frame.kind, len(frame.payload))))
            case Kind.CREDIT:
                self._credit += credited(frame.payload)[1]
            case Kind.CLOSED:
                self._heard = False
            case Kind.EXIT:
                self.status = frame.payload[0]
            case Kind.FAULT:
                raise GuestError(frame.payload.decode(errors="replace"))
            case _:
                pass


@contextlib.contextmanager
def _signals() -> Iterator[tuple[int, list[int]]]:
    """Within, signals are gathered in a list, and a descriptor can be read when there are some."""
    caught: list[int] = []

    def catch(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    numbers = (*_PASSED_ON, signal.SIGWINCH)
    # A signal that is ignored, as in the background of a shell without job control, stays so.
    before = {number: signal.getsignal(number) for number in numbers}
    was = signal.set_wakeup_fd(waker)
    try:
        for number in numbers:
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, catch)
        yield woken, caught
    finally:
        signal.set_wakeup_fd(was)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(woken)
        os.close(waker)


@contextlib.contextmanager
def _raw(*, at: bool) -> Iterator[None]:
    """Our terminal passes every key on as it is."""
    if not at:
        yield
        return
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
