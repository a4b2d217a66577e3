"""What a machine's network and its surroundings are, as lines of text that can be kept and compared.

A lab must leave its host as it was: take a fingerprint before and after, and `differences` names what changed. Only
what stays put is taken: no counters, no timers, no neighbour entries, and of secrets neither the value nor a digest.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path

from labctl.errors import HostError
from labctl.kernel import sections
from labctl.kernel.paths import NETNS, RUN, Paths
from labctl.kernel.sections import Lines


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A machine at one moment; each section is sorted lines, one for each thing.

    `processes` are those that lived through the taking, without the taker's own ancestors and without the kernel's
    threads. `labs` and `namespaces` are the entries of /run/labctl and /run/netns, `etc` everything below /etc.
    """

    links: Lines = ()
    addresses: Lines = ()
    routes: Lines = ()
    rules: Lines = ()
    firewall: Lines = ()
    sysctls: Lines = ()
    xfrm: Lines = ()
    qdiscs: Lines = ()
    mounts: Lines = ()
    namespaces: Lines = ()
    etc: Lines = ()
    processes: Lines = ()
    labs: Lines = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """What one section lost and what it gained; a thing that changed is in both. `ours`: what of `added` is a lab's."""

    section: str
    removed: Lines
    added: Lines
    ours: Lines = ()


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where a lab may leave something: its places, and its processes as `PID@START`."""

    paths: Paths
    processes: Collection[str] = ()

    def bears(self, section: str, line: str) -> bool:
        """Whether what `line` tells of is the lab's."""
        if section == "processes":
            command = rf" -m labctl\.(services\.supervisor|probes\.prober) {self.paths.lab}( |$)"
            return _key(line) in self.processes or bool(re.search(command, line))
        return bool(re.search(rf"{re.escape(str(self.paths.root))}(?=[/ ]|$)", line))

    def is_in(self, found: Fingerprint) -> bool:
        """Whether there is, or may be, anything of the lab on the machine."""
        root = str(self.paths.root)
        return any(root in line for line in (*found.mounts, *found.namespaces, *found.labs))

    def concerns(self, section: str, line: str) -> bool:
        """Whether a difference in `line` says anything: not so of other labs, and of what else runs on the machine."""
        if section == "processes":
            return self.bears(section, line)
        return self.bears(section, line) or f"{self.paths.run}/" not in line


def take(run: Path = RUN, netns: Path = NETNS, etc: Path = Path("/etc")) -> Fingerprint:
    """The fingerprint of the network namespace and the mount table that this thread is in.

    Raises HostError where this is not root, or where iproute2 is missing.
    """
    if os.geteuid() != 0:
        raise HostError("only root can read all that a fingerprint compares", hint="run as root")
    at_first = sections.processes()
    said = sections.programs()
    return Fingerprint(
        links=sections.links(said["links"]),
        addresses=sections.addresses(said["addresses"]),
        routes=sections.routes(said["routes4"], said["routes6"]),
        rules=sections.rules(said["rules4"], said["rules6"]),
        firewall=sections.firewall({name: said[name] for name in sections.FIREWALLS}),
        sysctls=sections.sysctls(),
        xfrm=sections.xfrm(said["states"], said["policies"]),
        qdiscs=sections.qdiscs(said["qdiscs"]),
        mounts=sections.mounts(),
        namespaces=sections.entries(netns),
        etc=sections.files(etc),
        processes=tuple(sorted(at_first & sections.processes())),
        labs=sections.entries(run),
    )


def differences(before: Fingerprint, after: Fingerprint, of: Footprint | None = None) -> tuple[Difference, ...]:
    """What changed between two fingerprints, empty where nothing did; with `of` as far as it concerns that lab.

    Of processes only new ones count. A sysctl that is only in `after` came with a module or a device, and does not
    count.
    """
    found = []
    for field in fields(Fingerprint):
        section = field.name
        pair = (getattr(before, section), getattr(after, section))
        old, new = (tuple(line for line in lines if of is None or of.concerns(section, line)) for lines in pair)
        removed, added = _changes(section, old, new)
        if removed or added:
            ours = tuple(line for line in added if of is not None and of.bears(section, line))
            found.append(Difference(section, removed, added, ours))
    return tuple(found)


def _changes(section: str, old: Lines, new: Lines) -> tuple[Lines, Lines]:
    known = {_key(line) for line in old}
    if section == "processes":
        return (), tuple(line for line in new if _key(line) not in known)
    removed = tuple((Counter(old) - Counter(new)).elements())
    added = tuple((Counter(new) - Counter(old)).elements())
    if section == "sysctls":
        added = tuple(line for line in added if _key(line) in known)
    return removed, added


def _key(line: str) -> str:
    return line.partition(" ")[0]
