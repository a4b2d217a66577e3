"""The numbered UDP stream: a sender that keeps to its schedule, a receiver, and what either of them did wrong.

Every packet has its instant of sending on an absolute schedule, so that a late one delays none of those after it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from ipaddress import IPv4Address
from pathlib import Path

from labctl.kernel.netns import enter
from labctl.probes.clock import ANCILLARY, SO_TIMESTAMPNS, clock_offset, instant_ns, stamping
from labctl.probes.ends import READ_S, Worker, opened
from labctl.probes.listener import widen
from labctl.probes.ways import NUMBER

_RECEIVE_BUFFER = 4 << 20
_SO_MEMINFO, _DROPS = 55, 8  # asm-generic/socket.h; SK_MEMINFO_DROPS (linux/sock_diag.h)
_SNMP, _SOFTNET = Path("/proc/thread-self/net/snmp"), Path("/proc/thread-self/net/softnet_stat")


class Numbers:
    """A stream from the namespace `source` to a port of its own at `to` in `target`, `rate` packets a second.

    OSError: an end cannot be opened. `sent` holds instants by number; `received` numbers with theirs, as they came; in
    milliseconds of CLOCK_MONOTONIC.
    """

    def __init__(self, source: Path, target: Path, to: IPv4Address, rate: int, marker: bytes) -> None:
        self.sent: list[float] = []
        self.received: list[tuple[float, float]] = []
        self.began = threading.Event()
        self._marker, self._interval, self._target = marker, 1 / rate, target
        with contextlib.ExitStack() as undo:
            self._inlet = undo.enter_context(opened(target, socket.SOCK_DGRAM))
            self._inlet.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            widen(self._inlet, _RECEIVE_BUFFER)
            self._inlet.bind((str(to), 0))
            self._outlet = undo.enter_context(opened(source, socket.SOCK_DGRAM))
            stamping(target).close()  # the inlet keeps the kernel at it
            undo.pop_all()
        self.port = int(self._inlet.getsockname()[1])
        self._to = (str(to), self.port)
        self._full, self._shed = _full(target), _shed()
        self._sender = Worker(self._send, "the sender of the stream")
        self._receiver = Worker(self._receive, "the receiver of the stream")

    def start(self) -> None:
        """Start both ends, the receiver first."""
        self._receiver.start()
        self._sender.start()

    def finish(self) -> None:
        """No more sending."""
        self._sender.end()

    def close(self) -> str:
        """No more receiving either. What makes the numbers no evidence; "" where nothing does."""
        self.finish()
        self._receiver.end()
        faults = [self._sender.fault, self._receiver.fault or self._overflow(), self._overload()]
        self._outlet.close()
        self._inlet.close()
        return "; ".join(filter(None, faults))

    def _send(self, over: threading.Event) -> None:
        start = time.monotonic()
        while not over.wait(start + len(self.sent) * self._interval - time.monotonic()):
            self.sent.append(time.monotonic() * 1000)
            with contextlib.suppress(OSError):  # no route, no carrier: a packet lost like any other
                self._outlet.sendto(NUMBER.pack(len(self.sent) - 1) + self._marker, self._to)
            self.began.set()

    def _receive(self, over: threading.Event) -> None:
        self._inlet.settimeout(READ_S)
        offset = clock_offset()
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                data, ancillary, _, _ = self._inlet.recvmsg(2048, ANCILLARY)
                if data[NUMBER.size :] == self._marker:
                    self.received.append((NUMBER.unpack_from(data)[0], (instant_ns(ancillary) + offset) / 1e6))

    def _overflow(self) -> str:
        """Packets that reached the receiver's socket and found no room in it were not lost on the way.

        The socket also counts those that an IPsec policy forbids, which were: its count tells only where a buffer of
        the namespace overflowed meanwhile.
        """
        drops = struct.unpack_from("I", self._inlet.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64), 4 * _DROPS)[0]
        full = _full(self._target) - self._full if drops else 0
        return f"the receiver of the stream had no room for {min(drops, full)} packets" if full else ""

    def _overload(self) -> str:
        """Where packets were lost, the machine must not have thrown any away itself."""
        shed = _shed() - self._shed
        if not shed or len(self.sent) == len({number for number, _ in self.received}):
            return ""
        return f"the machine was too busy: it dropped {shed} packets of its own accord, which may be the stream's"


def _shed() -> int:
    """How many packets all processors have dropped between devices because too many were waiting there.

    The second column of softnet_stat; the bound is net.core.netdev_max_backlog.
    """
    return sum(int(line.split()[1], 16) for line in _SOFTNET.read_text().splitlines())


def _full(namespace: Path) -> int:
    """How many datagrams found no room in a socket of the namespace (RFC 4113; RcvbufErrors is Linux's own)."""
    with enter(namespace):
        names, values = (line.split() for line in _SNMP.read_text().splitlines() if line.startswith("Udp:"))
    return int(values[names.index("RcvbufErrors")])
