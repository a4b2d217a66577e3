"""A look at the machine before a lab comes, taken by a child process while its parent reads what is to come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labctl.kernel.aside import Aside
from labctl.kernel.paths import NETNS, RUN

if TYPE_CHECKING:
    from labctl.kernel.doctor import Finding
    from labctl.kernel.fingerprint import Fingerprint
    from labctl.plan.needs import Mechanism

EVERYWHERE: tuple[Mechanism, ...] = ("netns", "veth")
"""What there is no lab without."""


@dataclass(frozen=True, slots=True)
class Survey:
    """`findings` about what every lab needs, and where there is all of that, the machine's `fingerprint`."""

    findings: tuple[Finding, ...]
    fingerprint: Fingerprint | None


def begin(run: Path = RUN, netns: Path = NETNS) -> Aside[Survey]:
    """Have it taken. Its `result` raises what `fingerprint.take` does."""
    return Aside(lambda: take(run, netns))


def take(run: Path = RUN, netns: Path = NETNS) -> Survey:
    """Take it here and now. HostError as by `fingerprint.take`."""
    from labctl.kernel import doctor, fingerprint  # for a child, and not for the parent that only begins it

    findings = doctor.probe(EVERYWHERE)
    fit = all(each.ok for each in findings)
    return Survey(findings, fingerprint.take(run, netns) if fit else None)
