"""A lab for kernel tests: objects made by the code under test, looked at by other means (ip, ping, raw sockets)."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, Literal

from labctl.kernel import netns
from labctl.kernel.execute import execute
from labctl.kernel.paths import Paths
from labctl.plan.objects import (
    Address,
    Change,
    Create,
    Delete,
    End,
    KernelObject,
    Namespace,
    Process,
    Route,
    Step,
    Veth,
)


class Keeper:
    """A process keeper that starts and changes nothing and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Process]] = []

    def start(self, process: Process) -> None:
        self.told.append(("start", process))

    def stop(self, process: Process) -> None:
        self.told.append(("stop", process))

    def change(self, old: Process, new: Process) -> None:
        self.told += [("from", old), ("to", new)]


class Tap:
    """All frames at a device from the moment this is made."""

    def __init__(self, lab: Lab, node: str, device: str) -> None:
        with netns.enter(lab.paths.namespace(node)):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
        self._socket.bind((device, 3))
        self._socket.setblocking(False)

    def packets(self, wait_s: float = 0.05) -> list[bytes]:
        """The IPv4 packets so far, without their Ethernet headers."""
        time.sleep(wait_s)
        found: list[bytes] = []
        while True:
            try:
                frame = self._socket.recv(65536)
            except BlockingIOError:
                return found
            if frame[12:14] == b"\x08\x00":
                found.append(frame[14:])

    def protocols(self) -> dict[int, int]:
        """How many packets of each IP protocol were seen."""
        seen: dict[int, int] = {}
        for packet in self.packets():
            seen[packet[9]] = seen.get(packet[9], 0) + 1
        return seen

    def close(self) -> None:
        self._socket.close()


class Lab:
    """Makes objects under `paths` and looks at them."""

    def __init__(self, paths: Paths, keys: Mapping[str, bytes] | None = None) -> None:
        self.paths = paths
        self.keys = dict(keys or {})
        self.keeper = Keeper()
        self.told: list[Step] = []
        self._links = 0

    def steps(self, *steps: Step) -> None:
        execute(steps, self.paths, self.keys, self.keeper, self.told.append)

    def make(self, *items: KernelObject) -> None:
        self.steps(*map(Create, items))

    def unmake(self, *items: KernelObject) -> None:
        self.steps(*map(Delete, items))

    def change(self, old: KernelObject, new: KernelObject) -> None:
        self.steps(Change(old, new))

    def nodes(self, *names: str, forwarding: bool = False) -> None:
        self.make(*(Namespace(name, forwarding) for name in names))

    def veth(self, a: str, a_name: str, b: str, b_name: str, *, b_master: str | None = None, mtu: int = 1500) -> Veth:
        self._links += 1
        macs = [f"02:00:00:00:{self._links:02x}:{side:02x}" for side in (1, 2)]
        return Veth(End(a, a_name, macs[0]), End(b, b_name, macs[1], b_master), mtu)

    def wire(self, a: str, a_name: str, a_address: str, b: str, b_name: str, b_address: str) -> Veth:
        link = self.veth(a, a_name, b, b_name)
        self.make(link, address(a, a_name, a_address), address(b, b_name, b_address))
        return link

    def route(self, node: str, to: str, *, via: str = "", device: str = "", metric: int = 0) -> Route:
        made = route(node, to, via=via, device=device, metric=metric)
        self.make(made)
        return made

    def run(self, node: str, *command: str, check: bool = True) -> str:
        """What `command` prints in `node`."""
        with netns.enter(self.paths.namespace(node)):
            done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def json(self, node: str, *command: str) -> Any:
        return json.loads(self.run(node, command[0], "-j", *command[1:]) or "[]")

    def device(self, node: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.json(node, "ip", "-d", "link", "show", "dev", name)[0]
        return found

    def ping(self, node: str, to: str, *options: str, count: int = 3) -> int:
        """How many of `count` pings were answered."""
        words = self.run(node, "ping", "-n", f"-c{count}", "-i0.05", "-W1", *options, to, check=False)
        number = re.search(r"(\d+) received", words)
        return int(number[1]) if number else 0

    def tap(self, node: str, device: str) -> Tap:
        return Tap(self, node, device)


def address(node: str, device: str, text: str) -> Address:
    return Address(node, device, IPv4Interface(text))


def route(
    node: str,
    to: str,
    *,
    via: str = "",
    device: str = "",
    metric: int = 0,
    type: Literal["unicast", "unreachable", "blackhole"] = "unicast",
    source: str = "",
) -> Route:
    return Route(
        node,
        IPv4Network(to),
        IPv4Address(via) if via else None,
        device or None,
        type,
        metric,
        IPv4Address(source) if source else None,
    )
