"""A shipped topology brought up for a test, edits of it carried out live, and traffic that misses nothing meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from labctl.description.checks import EditSpec
from labctl.description.document import parse
from labctl.description.edit import edited
from labctl.description.record import RecordOf
from labctl.description.sources import read_tree
from labctl.description.tree import Mapping, Tree
from labctl.description.types import Reading
from labctl.kernel import keys, netns
from labctl.kernel.apply import apply
from labctl.kernel.execute import execute
from labctl.kernel.paths import Paths
from labctl.kinds.registry import ALIASES, KINDS
from labctl.kinds.resolve import resolve
from labctl.model.network import Network
from labctl.plan.compile import compile_plan
from labctl.plan.diff import diff
from labctl.plan.objects import Plan, XfrmState
from labctl.services.keeper import Keeper, start

TOPOLOGIES = Path(__file__).resolve().parents[2] / "topologies"
READY_S = 15.0
RATE = 500
"""Datagrams a second, each way."""


class Live:
    """The lab of a shipped topology, up under `paths`; what the file claims of it is left aside."""

    def __init__(self, paths: Paths, topology: str) -> None:
        self.paths = paths
        self.keeper = Keeper(paths)
        self._tree = read_tree((TOPOLOGIES / f"{topology}.yaml").read_bytes(), topology)
        self.net, self.usual = self._meaning(self._tree)
        paths.root.mkdir(parents=True)
        ring = keys.generate({each.key: each.cipher for each in self.usual.objects if isinstance(each, XfrmState)})
        keys.save(paths, ring)
        start(paths)
        execute(diff(None, self.usual), paths, ring, self.keeper, lambda step: None)
        self.settle()

    def _meaning(self, tree: Tree) -> tuple[Network, Plan]:
        root = tree.root
        entries = {name: each for name, each in root.entries.items() if name in ("lab", "resources")}
        document = parse(Tree(tree.source, Mapping(entries, root.keys, root.mark)), KINDS, ALIASES)
        net = resolve(document)
        assert document.reading.faults == []
        return net, compile_plan("t", net)

    def settle(self) -> None:
        """Wait until every watched path is up."""
        deadline = time.monotonic() + READY_S
        while any("down" in each.paths.values() for each in self.keeper.status()):
            assert time.monotonic() < deadline, self.keeper.status()
            time.sleep(0.05)

    def plan(self, edit: str) -> Plan:
        """The plan after an edit in the words of a description."""
        reading = Reading(read_tree(edit.encode(), "edit"))
        return self._meaning(edited(self._tree, RecordOf(EditSpec).read(reading.tree.root, (), reading)))[1]

    @contextlib.contextmanager
    def under(self, edit: str) -> Iterator[None]:
        """The lab under `edit`, and after the block as it was."""
        other = self.plan(edit)
        apply(self.usual, other, self.paths, self.keeper)
        self.settle()
        yield
        apply(other, self.usual, self.paths, self.keeper)
        self.settle()

    def socket(self, node: str, kind: socket.SocketKind) -> socket.socket:
        """A socket in a node."""
        with netns.enter(self.paths.namespace(node)):
            return socket.socket(socket.AF_INET, kind)

    def connects(self, node: str, address: str, port: int) -> bool:
        """Whether a TCP connection comes about."""
        with self.socket(node, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            return client.connect_ex((address, port)) == 0

    def received(self, node: str, device: str) -> int:
        """Bytes that a device has received so far."""
        with netns.enter(self.paths.namespace(node)):
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        return next(int(line.split(":")[1].split()[0]) for line in lines if line.strip().startswith(f"{device}:"))

    def end(self) -> None:
        """Take it down."""
        self.keeper.shutdown()
        netns.destroy(self.paths)


class Numbered:
    """Numbered datagrams from one node to another at `RATE`, and which of them arrived."""

    def __init__(self, lab: Live, source: str, target: str, port: int) -> None:
        self._to = (str(lab.net.addresses[target]), port)
        self._out, self._in = (lab.socket(node, socket.SOCK_DGRAM) for node in (source, target))
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._in.bind(self._to)
        self._in.settimeout(0.5)
        self.sent = 0
        self.refused = 0
        self.arrived: list[int] = []
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=act) for act in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        began = time.monotonic()
        while not self._ending.is_set():
            while self.sent < (time.monotonic() - began) * RATE:
                try:
                    self._out.sendto(struct.pack("!I", self.sent), self._to)
                except OSError:  # no way at this instant, or an ICMP error about an earlier one
                    self.refused += 1
                self.sent += 1
            time.sleep(1 / RATE)

    def _receive(self) -> None:
        while True:
            try:
                self.arrived.append(struct.unpack("!I", self._in.recv(64))[0])
            except TimeoutError:
                if self._ending.is_set():
                    return

    def end(self) -> set[int]:
        """The numbers of those that were lost."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._out.close()
        self._in.close()
        return set(range(self.sent)) - set(self.arrived)


class Connection:
    """A TCP connection to a test server that sends a little all the time, and what the server says it received."""

    def __init__(self, lab: Live, source: str, address: str, port: int) -> None:
        self._socket = lab.socket(source, socket.SOCK_STREAM)
        self._socket.settimeout(20.0)
        self._socket.connect((address, port))
        self._digest = hashlib.sha256()
        self.sent = 0
        self.broken = ""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        try:
            while not self._ending.is_set():
                data = os.urandom(2000)
                self._socket.sendall(data)
                self._digest.update(data)
                self.sent += len(data)
                time.sleep(0.01)
        except OSError as error:
            self.broken = str(error)

    def end(self) -> bool:
        """Whether all of it arrived."""
        self._ending.set()
        self._thread.join()
        self._socket.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: self._socket.recv(4096), b""))
        self._socket.close()
        return not self.broken and self._digest.hexdigest() in said.decode()


@contextlib.contextmanager
def traffic(lab: Live, one: str, other: str, connection: tuple[str, str, int] | None = None) -> Iterator[None]:
    """Datagrams both ways, and a connection (from, address, port), of which nothing may be lost in the block."""
    streams = [Numbered(lab, one, other, 4001), Numbered(lab, other, one, 4002)]
    tcp = Connection(lab, *connection) if connection else None
    time.sleep(0.5)
    try:
        yield
        time.sleep(0.5)
    finally:
        lost = [stream.end() for stream in streams]
        whole = tcp.end() if tcp else True
    assert [stream.refused for stream in streams] == [0, 0]
    assert lost == [set(), set()], f"of {[stream.sent for stream in streams]}"
    assert whole
    assert all(stream.sent > RATE for stream in streams)
