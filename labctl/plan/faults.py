"""What can be broken while a lab runs: a union of frozen dataclasses, resolved to devices, programs and associations.

`labctl.breaking` puts them in and takes them out. Durations are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from labctl.plan.objects import Process, Shaper, XfrmState

Proto = Literal["", "esp", "gre", "icmp", "udp", "tcp"]
"""What a fault swallows; "": everything."""


@dataclass(frozen=True, slots=True)
class Port:
    """A device in a node or segment of the lab."""

    namespace: str
    device: str


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The ports are administratively down. The far end of a veth loses its carrier: both neighbours notice."""

    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Flap:
    """The ports go down and come up `times` times, and are up in the end."""

    ports: tuple[Port, ...]
    times: int
    down_ms: int
    up_ms: int


@dataclass(frozen=True, slots=True)
class Blackhole:
    """What arrives at the ports is lost without a trace while their carrier stays; `proto` "": every frame.

    A capture on the port still sees what is lost.
    """

    ports: tuple[Port, ...]
    proto: Proto = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """The first `packets` packets of `proto` that arrive at any of the ports are lost, and no more."""

    ports: tuple[Port, ...]
    packets: int
    proto: Proto = ""


@dataclass(frozen=True, slots=True)
class Degrade:
    """The devices are shaped like `worse` in place of `usual`, which names those that have a shaper in the plan."""

    usual: tuple[Shaper, ...]
    worse: tuple[Shaper, ...]


@dataclass(frozen=True, slots=True)
class Kill:
    """The programs die by SIGKILL and the ports go down; what is repaired starts the programs anew."""

    processes: tuple[Process, ...]
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Freeze:
    """The programs stand still (SIGSTOP) and nothing that arrives at the ports is taken in; carrier stays."""

    processes: tuple[Process, ...]
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Rekey:
    """The associations `fresh`, with keys of their own, take over from `old`, one for one, make before break."""

    old: tuple[XfrmState, ...]
    fresh: tuple[XfrmState, ...]


Fault = LinkDown | Flap | Blackhole | Drop | Degrade | Kill | Freeze | Rekey
