"""What passes at the taps: kernel packet sockets, kept open between probes, each frame reduced to its flow.

A tap that was not bound before the first packet, or that lost a frame, is no evidence: its recording says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import itertools
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from labctl.errors import LabError, ProbeError
from labctl.kernel.netns import enter
from labctl.kernel.paths import Paths
from labctl.probes.evidence import MARKED, OUTGOING, Evidence, Frames, Series
from labctl.probes.packets import ARPHRD_ETHER, dissect
from labctl.probes.wire import Tap

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h, linux/sockios.h
_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23
_PACKET_OUTGOING = 4
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35
_SIOCGIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8927
_IFF_UP = 1

_SNAP = 512
# The kernel must not cut the frames itself: packet_rcv would give the cut frame a head of its own but share its pages,
# so that esp_input sees an unshared packet, decrypts it in place, and a tap on the wire reads cleartext.
_WHOLE = 0xFFFFFFFF
_BUFFER = 64 << 20  # bytes; only what is not read yet counts, so that an idle tap costs nothing
_BATCH = 500  # frames read before others get a turn
_REST_S = 0.002  # frames carry the kernel's time, so that reading them late and many at once loses nothing
ANCILLARY = socket.CMSG_SPACE(16)
_TIME = struct.Struct("qq")


class _Key(NamedTuple):
    """Which listener: the inode tells a namespace from the one that bore its name before."""

    namespace: str
    device: str
    incoming_only: bool
    inode: int


class _Listener:
    """One packet socket on one device: silent until `start`, silent again after `stop`."""

    def __init__(self, namespace: Path, key: _Key) -> None:
        self.key = key
        self.frames: Frames = {}
        self._marker = b""
        self._offset = 0
        with enter(namespace):
            self._link, self.socket = _bound(key.device, key.incoming_only)

    def usable(self) -> bool:
        """Whether the socket is still bound: a device that was deleted takes its binding with it."""
        return bool(self.socket.getsockname()[0] == self.key.device)

    def start(self, marker: bytes, offset: int) -> None:
        """From now on every frame counts. `offset`: nanoseconds from CLOCK_REALTIME to CLOCK_MONOTONIC."""
        for _ in self._frames(1 << 30):
            pass
        self.frames = {}
        self._marker, self._offset = marker, offset
        self.lost()
        _filter(self.socket, _WHOLE)

    def stop(self) -> Frames:
        """The frames since `start`; none after this counts."""
        _filter(self.socket, 0)
        while self.read(_BATCH) == _BATCH:
            pass
        return self.frames

    def read(self, limit: int) -> int:
        """Take up to `limit` waiting frames and say how many there were."""
        taken = 0
        for data, ancillary, address in self._frames(limit):
            taken += 1
            identity, length, hop_limit = dissect(data, self._link)
            series = self.frames.get(identity)
            if series is None:
                series = self.frames[identity] = Series(hop_limit)
            series.times.append(monotonic_ms(ancillary, self._offset))
            series.lengths.append(length)
            series.flags.append((self._marker in data) * MARKED | (address[2] == _PACKET_OUTGOING) * OUTGOING)
        return taken

    def lost(self) -> int:
        """Frames that found no room since this was last asked (packet(7), PACKET_STATISTICS)."""
        _, drops = struct.unpack("II", self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return int(drops)

    def _frames(self, limit: int) -> Iterator[tuple[bytes, list[tuple[int, int, bytes]], tuple[str, int, int]]]:
        receive = self.socket.recvmsg
        for _ in range(limit):
            try:
                data, ancillary, _flags, address = receive(_SNAP, ANCILLARY)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENETDOWN:  # told once when the device goes down; the binding stays
                    raise
            else:
                yield data, ancillary, address


def _bound(device: str, incoming_only: bool) -> tuple[int, socket.socket]:
    """The link type of `device`, and a socket that is bound to it and lets no frame through yet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        request = struct.pack("16s24x", device.encode())
        link = int(struct.unpack_from("H", fcntl.ioctl(asking, _SIOCGIFHWADDR, request), 16)[0])
    # Bare IP from devices without a header of their own: SOCK_DGRAM starts at the network header on every kernel.
    kind = socket.SOCK_RAW if link == ARPHRD_ETHER else socket.SOCK_DGRAM
    sniffer = socket.socket(socket.AF_PACKET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    with contextlib.ExitStack() as undo:
        undo.callback(sniffer.close)
        _filter(sniffer, 0)
        sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        with contextlib.suppress(PermissionError):  # root of a user namespace only: as much as the machine allows
            sniffer.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        sniffer.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sniffer.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, incoming_only)
        sniffer.bind((device, _ETH_P_ALL))
        undo.pop_all()
    return link, sniffer


def _filter(sniffer: socket.socket, keep: int) -> None:
    """Classic BPF of one instruction, `ret #keep`: the bytes kept of each frame, 0 for none (linux/filter.h)."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, keep))
    program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(code))
    sniffer.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


class Recording:
    """What a set of taps sees from `Captures.record` until `stop`."""

    def __init__(self, captures: Captures, taps: Sequence[tuple[Tap, _Listener]]) -> None:
        self._captures = captures
        self._taps = taps

    def stop(self) -> Evidence:
        """End it, once."""
        listeners = {id(each): each for _, each in self._taps}
        frames, faults = self._captures.end(listeners)
        return Evidence(tuple((tap, frames[id(each)]) for tap, each in self._taps), "; ".join(faults))


class Captures:
    """The pool of listeners of one lab, and the one thread that reads those at work."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._idle: dict[_Key, list[_Listener]] = {}
        self._working: dict[int, _Listener] = {}
        self._poll = select.epoll()
        self._lock = threading.Lock()
        self._failures: set[str] = set()
        self._end = os.eventfd(0)
        self._poll.register(self._end, select.EPOLLIN)
        self._reader = threading.Thread(target=self._serve, name="captures", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """End the reader and close every listener that is not at work."""
        os.eventfd_write(self._end, 1)
        self._reader.join()
        self._poll.close()
        os.close(self._end)
        for listener in itertools.chain(*self._idle.values()):
            listener.socket.close()

    def record(self, taps: Sequence[Tap], marker: bytes) -> Recording:
        """Listen at `taps`; every one does when this returns. ProbeError names a tap that cannot be opened."""
        taken: dict[_Key, _Listener] = {}
        keys = [self._key(tap) for tap in taps]
        try:
            for key in keys:
                if key not in taken:
                    taken[key] = self._take(key)
        except ProbeError:
            for key, listener in taken.items():
                self._idle.setdefault(key, []).append(listener)
            raise
        offset = clock_offset()
        for listener in taken.values():
            listener.start(marker, offset)
            with self._lock:
                self._working[listener.socket.fileno()] = listener
            self._poll.register(listener.socket.fileno(), select.EPOLLIN)
        return Recording(self, [(tap, taken[key]) for tap, key in zip(taps, keys, strict=True)])

    def end(self, listeners: Mapping[int, _Listener]) -> tuple[dict[int, Frames], list[str]]:
        """Stop `listeners` and put them back into the pool; their frames, and the faults that they had."""
        frames: dict[int, Frames] = {}
        faults = sorted(self._failures)
        for name, listener in listeners.items():
            self._poll.unregister(listener.socket.fileno())
            with self._lock:
                del self._working[listener.socket.fileno()]
            frames[name] = listener.stop()
            lost = listener.lost()
            if lost:
                faults.append(f"the tap on {listener.key.device} of {listener.key.namespace} lost {lost} frames")
            self._idle.setdefault(listener.key, []).append(listener)
        return frames, faults

    def _key(self, tap: Tap) -> _Key:
        try:
            inode = self._paths.namespace(tap.namespace).stat().st_ino
        except OSError as error:
            raise ProbeError(f"no tap on {tap.device}: there is no node {tap.namespace}") from error
        return _Key(tap.namespace, tap.device, tap.direction == "in", inode)

    def _take(self, key: _Key) -> _Listener:
        pool = self._idle.get(key, [])
        while pool:
            listener = pool.pop()
            if listener.usable():
                return listener
            listener.socket.close()
        try:
            return _Listener(self._paths.namespace(key.namespace), key)
        except LabError as error:
            raise ProbeError(f"no tap on {key.device} of {key.namespace}: {error.message}") from error
        except OSError as error:
            raise ProbeError(f"no tap on {key.device} of {key.namespace}: {error.strerror}") from error

    def _serve(self) -> None:
        while True:
            for number, _events in self._poll.poll():
                if number == self._end:
                    return
                with self._lock:
                    listener = self._working.get(number)
                    if listener is not None:
                        self._read(listener)
            time.sleep(_REST_S)

    def _read(self, listener: _Listener) -> None:
        try:
            listener.read(_BATCH)
        except OSError as error:
            self._failures.add(f"the tap on {listener.key.device} failed: {error.strerror}")


def devices(namespace: Path) -> list[str]:
    """The devices of a namespace that are up, its loopback left out: all by which a packet can leave it."""
    with enter(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        return [name for _, name in socket.if_nameindex() if name != "lo" and _is_up(asking, name)]


def _is_up(asking: socket.socket, device: str) -> bool:
    request = struct.pack("16s24x", device.encode())
    flags = struct.unpack_from("H", fcntl.ioctl(asking, _SIOCGIFFLAGS, request), 16)[0]
    return bool(flags & _IFF_UP)


def clock_offset() -> int:
    """Nanoseconds to add to CLOCK_REALTIME, the kernel's packet time, for CLOCK_MONOTONIC; exact to a microsecond."""
    best, offset = 1 << 62, 0
    for _ in range(5):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best:
            best, offset = after - before, (before + after) // 2 - real
    return offset


def monotonic_ms(ancillary: Sequence[tuple[int, int, bytes]], offset: int) -> float:
    """The instant in a received SO_TIMESTAMPNS message, as milliseconds of CLOCK_MONOTONIC."""
    seconds, nanoseconds = _TIME.unpack(ancillary[0][2])
    return float(seconds * 1_000_000_000 + nanoseconds + offset) / 1e6
