"""Where a lab lies on the machine: one run directory, and the names of its namespaces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RUN = Path("/run/labctl")
NETNS = Path("/run/netns")


@dataclass(frozen=True, slots=True)
class Paths:
    """The places of the lab `lab`. `namespaces` is a tmpfs of the lab's own: one umount ends every namespace in it.

    `run` and `netns` are /run/labctl and /run/netns, except in tests.
    """

    lab: str
    run: Path = RUN
    netns: Path = NETNS

    @property
    def root(self) -> Path:
        """The run directory: state, journal, keys, logs, sockets."""
        return self.run / self.lab

    @property
    def namespaces(self) -> Path:
        """The mount point of the lab's tmpfs of bound namespaces."""
        return self.root / "ns"

    @property
    def keyring(self) -> Path:
        """The lab's keys, JSON of name to hexadecimal, mode 0600."""
        return self.root / "keys.json"

    @property
    def control(self) -> Path:
        """The supervisor's control socket."""
        return self.root / "supervisor.sock"

    @property
    def log(self) -> Path:
        """What the supervisor and its programs print."""
        return self.root / "services.log"

    def program(self, node: str, name: str) -> Path:
        """The directory for the files of the program `name` of `node`, if it keeps any."""
        return self.root / "programs" / f"{node}-{name}"

    def namespace(self, node: str) -> Path:
        """The file to enter for `node`."""
        return self.namespaces / node

    def link(self, node: str) -> Path:
        """The name under which `ip netns exec` knows `node`: a symbolic link to `namespace(node)`."""
        return self.netns / f"{self.lab}-{node}"
