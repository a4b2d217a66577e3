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
from labctl.kernel.paths import NETNS, RUN
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
    """What one section lost and what it gained; a thing that changed is in both."""

    section: str
    removed: Lines
    added: Lines


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


def differences(before: Fingerprint, after: Fingerprint, others: Collection[Path] = ()) -> tuple[Difference, ...]:
    """What changed between two fingerprints, empty where nothing did.

    `others` are the run directories of labs that may come and go meanwhile: lines that mention one are left out. Of
    processes only new ones count. A sysctl that is only in `after` came with a module or a device, and does not count.
    """
    found = []
    for field in fields(Fingerprint):
        old, new = (_without(getattr(each, field.name), others) for each in (before, after))
        removed, added = _changes(field.name, old, new)
        if removed or added:
            found.append(Difference(field.name, removed, added))
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


def _without(lines: Lines, others: Collection[Path]) -> Lines:
    if not others:
        return lines
    mention = re.compile(f"({'|'.join(re.escape(str(path)) for path in others)})(?=[/ ]|$)")
    return tuple(line for line in lines if not mention.search(line))
