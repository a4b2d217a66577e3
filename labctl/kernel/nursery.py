"""Network namespaces are made aside: many of them by a child process, at first without a name.

Half of the time that a big lab takes is this, and all of it the kernel's. A namespace without a name is nothing that
could be left behind: it ends with the child, and that with its parent, whatever ends either. So they can be begun
before anybody knows what they will be called.
"""

from __future__ import annotations

import os
import pickle
import resource
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from types import TracebackType
from typing import Self

from labctl.errors import HostError, LabError
from labctl.kernel import netns
from labctl.kernel.aside import Child, Strand
from labctl.kernel.paths import Paths
from labctl.kernel.sysctl import Preparing

Order = tuple[str, bool]
"""The name of a node, and whether it routes."""

Ahead = tuple[int, bool]
"""An open namespace without a name, and whether it routes."""

PACE = 16
"""So many namespaces are told of together."""
MADE = b"."
_SPARE_DESCRIPTORS = 100
_WORTH_A_PROCESS = 32
_UNHURRIED = 10


class Nursery:
    """Makes namespaces, `guess` of them before any is asked for, if those are worth a process; those route, or not, as
    `forwarding` says, until it is known. A context manager: nothing is made after its end.
    """

    def __init__(self, guess: int = 0, *, forwarding: bool = False) -> None:
        self._orders, orders = socket.socketpair()
        forks = guess >= _WORTH_A_PROCESS
        try:
            work = partial(_work, orders, guess if forks else 0, forwarding)
            self.maker: Child | Strand = Child(work) if forks else Strand(work)
        except BaseException:
            self._orders.close()
            raise
        finally:
            if forks:
                orders.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._orders.close()  # a thread then ends, too
        self.maker.end()

    def order(self, paths: Paths, nodes: Sequence[Order]) -> None:
        """Have `nodes` made, and bound to their names in this order, after `netns.make_ready`; once.

        The maker then writes MADE for every PACE of them and for the last; or, and ends, the pickled number of the one
        that could not be made and its LabError.
        """
        with suppress(ConnectionError):  # it has ended, and says so by its silence
            self._orders.sendall(pickle.dumps((paths, list(nodes))))
            self._orders.shutdown(socket.SHUT_WR)


def _work(orders: socket.socket, guess: int, guessed: bool, told: int) -> None:
    """What the maker does. Ordered nothing, it ends."""
    with closing(Preparing()) as settings:
        with orders:
            nameless = ((fd, guessed) for fd in _ahead(orders, settings, guess, guessed))
            order = b"".join(iter(partial(orders.recv, 1 << 16), b""))
        if order:
            paths, nodes = pickle.loads(order)
            _make(paths, nodes, nameless, settings, told)


def _make(paths: Paths, nodes: Sequence[Order], nameless: Iterator[Ahead], settings: Preparing, told: int) -> None:
    turn = 0
    try:
        for turn, (node, forwarding) in enumerate(nodes):
            _become(next(nameless, None), settings, forwarding)
            netns.bind(paths, node)
            if (turn + 1) % PACE == 0 or turn + 1 == len(nodes):
                os.write(told, MADE)
    except LabError as error:
        os.write(told, pickle.dumps((turn, error)))
    except OSError as error:
        os.write(told, pickle.dumps((turn, HostError(f"cannot make namespaces: {error}"))))


def _ahead(orders: socket.socket, settings: Preparing, guess: int, forwarding: bool) -> Iterator[int]:
    """Open namespaces, made until an order comes. What goes wrong will go wrong again when they are asked for.

    Whether they route is settled here already: the kernel has whoever changes that later go round in circles as long as
    the lock of all devices is held elsewhere (restart_syscall, net/ipv4/devinet.c), and links hold it.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_DESCRIPTORS
    made: list[int] = []
    if not guess:
        return iter(made)
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.nice(_UNHURRIED)  # what is guessed shall not keep anybody waiting for a processor
        while len(made) < min(guess, most) and not select.select([orders], [], [], 0)[0]:
            netns.leave_for_new()
            settings.prepare(forwarding=forwarding)
            made.append(os.open(netns.MINE, os.O_RDONLY | os.O_CLOEXEC))
    except (LabError, OSError):
        pass
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, usual)
    return iter(made)


def _become(ahead: Ahead | None, settings: Preparing, forwarding: bool) -> None:
    """Go into a namespace that is ready for a name."""
    if ahead is None:
        netns.leave_for_new()
        settings.prepare(forwarding=forwarding)
        return
    fd, guessed = ahead
    netns.go_into(fd)
    os.close(fd)
    if forwarding != guessed:
        settings.turn(forwarding=forwarding)
