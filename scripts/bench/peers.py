"""Who builds the same network: labctl, the floor, and the ways in which people do it otherwise.

Each knows how to bring a network up and down by starting processes, and where its first and last node's namespaces are.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import labctl
from labctl.shapes import Shape, describe_shape, loopback

HERE = Path(__file__).resolve().parent
LAB = "bench-up"
FORWARD = "net.ipv4.ip_forward=1"


@dataclass(frozen=True)
class Network:
    """A network to build, and a directory for what is written about it."""

    shape: str
    net: Shape
    place: Path

    @property
    def nodes(self) -> int:
        """How many routers."""
        return self.net.nodes

    def written(self, name: str, text: str) -> Path:
        """A file with `text`."""
        path = self.place / name
        path.write_text(text)
        return path


class Peer:
    """One way to build a network. `most`: larger ones are left out unless asked for, since they take minutes."""

    name = ""
    most = 3000

    def missing(self) -> str:
        """Why it cannot be measured here, or ""."""
        return ""

    def prepare(self, network: Network) -> None:
        """What is not measured: to write the files that it reads."""

    def up(self) -> None:
        """Build the network; it is complete on return."""
        raise NotImplementedError

    def down(self) -> None:
        """Take it away, as far as the peer waits for that."""
        raise NotImplementedError

    def namespaces(self, nodes: int) -> list[str]:
        """The namespaces of the first and the last node, for `ip link set netns`."""
        return [f"{LAB}-n{node}" for node in (0, nodes - 1)]


def run(*command: str | Path, **options: object) -> None:
    """Run a command to its end. SystemExit with what it said where it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()[-400:]}")


class Labctl(Peer):
    """The whole command, as a person calls it."""

    name = "labctl"

    def __init__(self) -> None:
        beside = Path(sys.executable).parent / "labctl"
        self._command = [beside] if beside.exists() else [sys.executable, "-m", "labctl"]

    def prepare(self, network: Network) -> None:
        self._file = network.written("labctl.yaml", describe_shape(network.shape, network.net, LAB))
        run(sys.executable, "-m", "compileall", "-q", Path(labctl.__file__).parent)  # as pip leaves it

    def up(self) -> None:
        run(*self._command, "up", self._file)

    def down(self) -> None:
        run(*self._command, "down", LAB)


class Floor(Peer):
    """scripts/bench/floor.c: the same objects by the same messages, in C, and nothing else."""

    name = "floor (C)"

    def __init__(self, place: Path) -> None:
        self._place = Path("/run/bench-floor")
        self._program = place / "floor"
        self._compiler = shutil.which("cc")

    def missing(self) -> str:
        return "" if self._compiler else "there is no C compiler (cc)"

    def prepare(self, network: Network) -> None:
        if not self._program.exists():
            run(str(self._compiler), "-O2", "-o", self._program, HERE / "floor.c")
        lines = [f"nodes {network.nodes}"]
        lines += [f"link {each.a} {each.a_address} {each.b} {each.b_address}" for each in network.net.joints]
        for node, routes in network.net.routes.items():
            lines += [f"route {node} {to.replace('/', ' ')} {via}" for to, via in routes]
        self._file = network.written("floor.txt", "\n".join([*lines, ""]))

    def up(self) -> None:
        with self._file.open() as file:
            run(self._program, "up", self._place, stdin=file)

    def down(self) -> None:
        run(self._program, "down", self._place)

    def namespaces(self, nodes: int) -> list[str]:
        return [f"{self._place}/n{node}" for node in (0, nodes - 1)]


@dataclass(frozen=True)
class Commands:
    """The network as commands of iproute2: links by themselves, and for each node its own."""

    links: list[str]
    nodes: dict[int, list[str]]


def commands(network: Network) -> Commands:
    """Both ends of each link are made in place; no command needs another's output."""
    links: list[str] = []
    nodes: dict[int, list[str]] = {node: ["link set lo up"] for node in range(network.nodes)}
    devices: dict[int, int] = defaultdict(int)
    for node in nodes:
        nodes[node].append(f"address add {loopback(node)}/32 dev lo")
    for each in network.net.joints:
        names = []
        for node, address in ((each.a, each.a_address), (each.b, each.b_address)):
            names.append(f"eth{devices[node]}")
            devices[node] += 1
            nodes[node] += [f"address add {address}/30 dev {names[-1]}", f"link set {names[-1]} up"]
        one, other = (f"{LAB}-n{node}" for node in (each.a, each.b))
        peer = f"peer name {names[1]} netns {other}"
        links.append(f"link add {names[0]} netns {one} type veth {peer}")
    for node, routes in network.net.routes.items():
        nodes[node] += [f"route add {to} via {via}" for to, via in routes]
    return Commands(links, nodes)


class Script(Peer):
    """A shell script of `ip` commands."""

    def prepare(self, network: Network) -> None:
        found = commands(network)
        up = self._up(found, network)
        self._script = network.written(f"{type(self).__name__}.sh", "\n".join(["set -e", *up, ""]))
        self._gone = network.written("gone.batch", "".join(f"netns del {LAB}-n{node}\n" for node in found.nodes))

    def _up(self, found: Commands, network: Network) -> Iterator[str]:
        raise NotImplementedError

    def up(self) -> None:
        run("bash", self._script)

    def down(self) -> None:
        run("ip", "-batch", self._gone)


class Batch(Script):
    """As few processes of `ip` as there can be: one for all namespaces and links, two for each node."""

    name = "ip -batch"

    def _up(self, found: Commands, network: Network) -> Iterator[str]:
        lines = [f"netns add {LAB}-n{node}" for node in found.nodes] + found.links
        yield f"ip -batch {network.written('links.batch', chr(10).join([*lines, '']))}"
        for node, its in found.nodes.items():
            batch = network.written(f"node{node}.batch", "\n".join([*its, ""]))
            yield f"ip -n {LAB}-n{node} -batch {batch}"
            yield f"ip netns exec {LAB}-n{node} sysctl -qw {FORWARD}"


class Plain(Script):
    """A process for each command, as tutorials have it, except that no link is moved."""

    name = "bash"
    most = 200

    def _up(self, found: Commands, network: Network) -> Iterator[str]:
        yield from (f"ip netns add {LAB}-n{node}" for node in found.nodes)
        yield from (f"ip {link}" for link in found.links)
        for node, its in found.nodes.items():
            yield from (f"ip netns exec {LAB}-n{node} ip {each}" for each in its)
            yield f"ip netns exec {LAB}-n{node} sysctl -qw {FORWARD}"


class Spoken(Peer):
    """A Python program that builds the network, says so, and takes it away when it is told to."""

    program = ""
    python = sys.executable
    module = ""

    def missing(self) -> str:
        asked = subprocess.run([self.python, "-c", f"import {self.module}"], capture_output=True)
        return f"{self.module} is not installed for {self.python}" if asked.returncode else ""

    def prepare(self, network: Network) -> None:
        joints = [[each.a, str(each.a_address), each.b, str(each.b_address)] for each in network.net.joints]
        routes = [[node, to, str(via)] for node, its in network.net.routes.items() for to, via in its]
        loopbacks = [str(loopback(node)) for node in range(network.nodes)]
        self._file = network.written("network.json", json.dumps([loopbacks, joints, routes]))
        self._place = network.place

    def up(self) -> None:
        command = [self.python, "-I", str(HERE / self.program), str(self._file), str(self._place)]
        said = self._place / f"{self.program}.log"
        with said.open("w") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        told = self._process.stdout.readline()
        if not told:
            raise SystemExit(f"{self.name} did not build the network: {said.read_text()[-400:]}")
        self._pids: list[str] = json.loads(told)

    def down(self) -> None:
        self._process.communicate("\n")

    def namespaces(self, nodes: int) -> list[str]:
        return self._pids


class Mininet(Spoken):
    """Mininet's own Python interface; the commands of a node go to its shell as one line."""

    name = "Mininet"
    program = "with_mininet.py"
    python = "/usr/bin/python3"
    module = "mininet.net"
    most = 1000


class Munet(Spoken):
    """munet's own Python interface; the commands of a node go to its shell as one line."""

    name = "munet"
    program = "with_munet.py"
    module = "munet.native"
    most = 50


def everybody(place: Path, munet: str) -> list[Peer]:
    """All peers. `munet`: a Python that has it."""
    Munet.python = munet
    return [Labctl(), Floor(place), Batch(), Plain(), Mininet(), Munet()]
