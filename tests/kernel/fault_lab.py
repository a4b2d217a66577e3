"""What tests of faults need: numbered streams, and all that a fault could leave behind in a node."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from kernel_lab import Lab

from labctl.kernel.netns import enter


class Stream:
    """Numbered datagrams of 100 bytes from a node to an address, `rate` a second, until it is stopped."""

    def __init__(self, lab: Lab, node: str, to_node: str, to: str, rate: int = 1000, port: int = 9000) -> None:
        self._sender, self._receiver = opened(lab, node), opened(lab, to_node)
        self._receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._receiver.bind((to, port))
        self._receiver.settimeout(0.5)
        self._to, self._rate = (to, port), rate
        self._arrived: list[tuple[int, float]] = []
        self._stopped = threading.Event()
        self.sent = 0
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._send, self._receive)]
        for each in self._threads:
            each.start()

    def stop(self) -> list[int]:
        """The numbers that did not arrive."""
        self._stopped.set()
        for each in self._threads:
            each.join()
        for end in (self._sender, self._receiver):
            end.close()
        return sorted(set(range(self.sent)) - {number for number, _ in self._arrived})

    def arrived_since(self, ms: float) -> int:
        """How many have arrived after that instant (CLOCK_MONOTONIC)."""
        return sum(at > ms for _, at in list(self._arrived))

    def _send(self) -> None:
        began = time.monotonic()
        while not self._stopped.is_set():
            due = int((time.monotonic() - began) * self._rate)
            while self.sent < due:
                with contextlib.suppress(OSError):
                    self._sender.sendto(self.sent.to_bytes(4, "big") + bytes(96), self._to)
                self.sent += 1
            time.sleep(0.5 / self._rate)

    def _receive(self) -> None:
        while True:
            try:
                number = int.from_bytes(self._receiver.recv(200)[:4], "big")
            except TimeoutError:
                if self._stopped.is_set():
                    return
            else:
                self._arrived.append((number, time.monotonic() * 1000))


def opened(lab: Lab, node: str, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    with enter(lab.paths.namespace(node)):
        return socket.socket(socket.AF_INET, kind)


def eventually(holds: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def state(lab: Lab, *nodes: str) -> dict[str, Any]:
    """Files, devices, routes, queues, filters and associations; counters and keys left aside."""
    found: dict[str, Any] = {"files": sorted(each.name for each in lab.paths.root.iterdir())}
    for node in nodes:
        links = lab.json(node, "ip", "link")
        states = lab.run(node, "ip", "xfrm", "state", "list", "nokeys").splitlines()
        found[node] = {
            "links": [(each["ifname"], each["flags"], each["operstate"]) for each in links],
            "routes": sorted(lab.run(node, "ip", "route").splitlines()),
            "queues": [each for each in lab.run(node, "tc", "qdisc").splitlines() if "clsact" not in each],
            "filters": [lab.run(node, "tc", "filter", "show", "dev", each["ifname"], "ingress") for each in links],
            "associations": sorted(each for each in states if each.startswith(("src", "\tproto"))),
        }
    return found
