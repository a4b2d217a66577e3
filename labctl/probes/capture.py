"""What passes at the taps: a pool of kernel packet sockets, kept open between probes, and the thread that reads them.

A recording is no evidence, and says so, where a tap lost a frame or was not there to the end: its device deleted, its
namespace made anew, its reader dead; nor where the clock of its instants was set.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Generic, TypeVar

from labctl.errors import LabError, ProbeError
from labctl.kernel.paths import Paths
from labctl.probes.bpf import EVERYTHING, datagrams
from labctl.probes.clock import Settings, clock_offset, stamping
from labctl.probes.evidence import Evidence, Watch
from labctl.probes.listener import SNAP, Listener, Place
from labctl.probes.mmsg import Catch
from labctl.probes.pcap import Pcap, Room, file_name
from labctl.probes.ways import Track
from labctl.probes.wire import Saved, Tap

_BATCH = 500  # frames read before others get a turn
_CLOSERS = 64
_REST_S = 0.002  # frames carry the kernel's time, so that reading them late and many at once loses nothing
_ROOM = 64 << 20  # bytes of frames kept, of all recordings together

S = TypeVar("S", Watch, Track)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A numbered stream of datagrams to `to`:`port`, and the taps that take it alone."""

    taps: tuple[Tap, ...]
    to: IPv4Address
    port: int


@dataclass(frozen=True, slots=True)
class _Post(Generic[S]):
    """A listener at work, what its frames are given to, and what is kept of them."""

    listener: Listener
    sink: S
    kept: Pcap


class Recording:
    """What a set of taps sees from `Captures.record` until `stop`. `settings`: how often the clock had been set."""

    def __init__(
        self,
        captures: Captures,
        watches: Sequence[tuple[Tap, _Post[Watch]]],
        tracks: Sequence[tuple[str, _Post[Track]]],
        settings: int,
    ) -> None:
        self._captures = captures
        self._watches, self._tracks = watches, tracks
        self._settings = settings

    def stop(self) -> Evidence:
        """End it, once."""
        watches = list({id(post): post for _, post in self._watches}.values())
        tracks = list({id(post): post for _, post in self._tracks}.values())
        faults, track_faults = self._captures.end(watches), self._captures.end(tracks)
        faults += self._captures.doubts(self._settings)
        self._captures.keep(watches, tracks)
        return Evidence(
            taps=tuple((tap, post.sink.frames) for tap, post in self._watches),
            fault="; ".join(faults),
            tracks=tuple((name, post.sink) for name, post in self._tracks),
            track_fault="; ".join(track_faults),
        )


class Captures:
    """The pool of listeners of one lab, and the one thread that reads those at work."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._names: dict[str, str] = {}
        self._idle: dict[Place, list[Listener]] = {}
        self._listeners: dict[int, Listener] = {}
        self._last: list[tuple[tuple[str, ...], Pcap]] = []
        self._room = Room(_ROOM)
        self._catch = Catch(SNAP)
        self._stamping: socket.socket | None = None
        self._settings = Settings()
        self._poll = select.epoll()
        self._lock = threading.Lock()  # on every listener and the catch, between the reader and the others
        self._end = os.eventfd(0)
        self._poll.register(self._end, select.EPOLLIN)
        self._reader = threading.Thread(target=self._serve, name="captures", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """End the reader and close every listener."""
        os.eventfd_write(self._end, 1)
        self._reader.join()
        self._poll.close()
        self._settings.close()
        os.close(self._end)
        # Each close waits for an RCU grace period of some 12 ms (packet(7) sockets alone do), so all wait at once.
        sockets = [listener.socket for listener in self._listeners.values()]
        with ThreadPoolExecutor(max_workers=_CLOSERS) as closers:
            for each in [*sockets, *([self._stamping] if self._stamping else [])]:
                closers.submit(each.close)

    def record(self, taps: Sequence[Tap], marker: bytes, stream: Numbered | None = None) -> Recording:
        """Listen at `taps` to everything, and at those of `stream` to that alone; every one does when this returns.

        ProbeError names a tap that cannot be opened.
        """
        self._forget()
        tracked_taps = stream.taps if stream else ()
        inodes = {name: self._inode(name) for name in {tap.namespace for tap in (*taps, *tracked_taps)}}
        watched = [(tap, _place(tap, inodes[tap.namespace])) for tap in taps]
        tracked = [(tap, _place(tap, inodes[tap.namespace])) for tap in tracked_taps]
        with contextlib.ExitStack() as undo:
            watching = self._open({place for _, place in watched}, undo)
            tracking = self._open({place for _, place in tracked}, undo)
            if self._stamping is None and inodes:
                self._stamping = stamping(self._paths.namespace(next(iter(inodes))))
            undo.pop_all()
        settings, offset = self._settings.count(), clock_offset()
        watches = {each.place: self._start(each, EVERYTHING, Watch(marker, each.link), offset) for each in watching}
        tracks: dict[Place, _Post[Track]] = {}
        if stream is not None:
            for each in tracking:
                program = datagrams(each.link, stream.to, stream.port)
                tracks[each.place] = self._start(each, program, Track(marker, each.link), offset)
        return Recording(
            self,
            [(tap, watches[place]) for tap, place in watched],
            [(tap.name, tracks[place]) for tap, place in tracked],
            settings,
        )

    def end(self, posts: Sequence[_Post[Watch] | _Post[Track]]) -> list[str]:
        """Stop these listeners; the faults that they had."""
        faults = []
        for listener in (post.listener for post in posts):
            with self._lock:
                fault = listener.stop()
            if fault:
                faults.append(fault)
            else:
                self._put_back(listener)
        nodes = {(place.namespace, place.inode) for place in (post.listener.place for post in posts)}
        faults += [f"the node {name} was made anew" for name, inode in sorted(nodes) if self._inode(name) != inode]
        return faults

    def doubts(self, settings: int) -> list[str]:
        """What makes any recording no evidence that began when the clock had been set `settings` times."""
        faults = []
        if not self._reader.is_alive():
            faults.append("what reads the captures has ended")
        if self._settings.count() != settings:
            faults.append("the clock was set while packets were captured")
        return faults

    def keep(self, watches: Iterable[_Post[Watch]], tracks: Iterable[_Post[Track]]) -> None:
        """These posts' frames are the last ones."""
        self._forget()
        self._last = [(_words(post.listener.place), post.kept) for post in watches]
        # Most of the places of a lab see nothing of a stream.
        self._last += [((*_words(post.listener.place), "stream"), post.kept) for post in tracks if post.sink.numbers]

    def save(self, directory: Path) -> Saved:
        """Write the frames of the recording that was stopped last, unless another was begun since. ProbeError: cannot.

        A file is named for its namespace and device, and "in" where it holds only what arrived there, "stream" where it
        holds only the numbered stream.
        """
        names: set[str] = set()
        cut = []
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for words, kept in self._last:
                name = file_name(names, *words)
                (directory / name).write_bytes(kept.file())
                cut += [name] if kept.cut else []
        except OSError as error:
            raise ProbeError(f"the packets cannot be written to {directory}: {error.strerror}") from error
        return Saved(tuple(sorted(names)), tuple(sorted(cut)))

    def _forget(self) -> None:
        for _, kept in self._last:
            kept.release()
        self._last = []

    def _inode(self, namespace: str) -> int | None:
        """Of the namespace that bears this name now."""
        path = self._names.get(namespace)
        if path is None:
            path = self._names[namespace] = str(self._paths.namespace(namespace))
        try:
            return os.stat(path).st_ino  # noqa: PTH116 - a Path takes longer than the call, twice for every probe
        except OSError:
            return None

    def _open(self, places: Iterable[Place], undo: contextlib.ExitStack) -> list[Listener]:
        found = []
        for place in places:
            found.append(self._take(place))
            undo.callback(self._put_back, found[-1])
        return found

    def _put_back(self, listener: Listener) -> None:
        self._idle.setdefault(listener.place, []).append(listener)

    def _take(self, place: Place) -> Listener:
        pool = self._idle.get(place, [])
        while pool:
            listener = pool.pop()
            if listener.bound():
                return listener
        try:
            listener = Listener(self._paths.namespace(place.namespace), place, self._catch)
        except LabError as error:
            raise ProbeError(f"no tap on {place}: {error.message}") from error
        except OSError as error:
            raise ProbeError(f"no tap on {place}: {error.strerror}") from error
        with self._lock:
            self._listeners[listener.socket.fileno()] = listener
        self._poll.register(listener.socket.fileno(), select.EPOLLIN)
        return listener

    def _start(self, listener: Listener, program: bytes, sink: S, offset: int) -> _Post[S]:
        kept = Pcap(listener.link, SNAP, self._room)
        with self._lock:
            listener.start(program, sink, kept, offset)
        return _Post(listener, sink, kept)

    def _serve(self) -> None:
        """Read what has come. The rest comes first, so that a short probe is not disturbed: `end` reads its frames."""
        while True:
            ready = [number for number, _ in self._poll.poll()]
            if self._end in ready:
                return
            time.sleep(_REST_S)
            for number in ready:
                with self._lock:
                    self._attend(self._listeners[number])

    def _attend(self, listener: Listener) -> None:
        if listener.working:
            listener.read(_BATCH)
        else:
            listener.discard()
        if listener.failure:
            self._poll.unregister(listener.socket.fileno())


def _place(tap: Tap, inode: int | None) -> Place:
    if inode is None:
        raise ProbeError(f"no tap on {tap.device}: there is no node {tap.namespace}")
    return Place(tap.namespace, tap.device, tap.direction == "in", inode)


def _words(place: Place) -> tuple[str, ...]:
    return (place.namespace, place.device, *(("in",) if place.incoming_only else ()))
