"""What must be true, resolved to addresses and places of capture."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from labctl.probes.wire import Action, Outcome, Tap


@dataclass(frozen=True, slots=True)
class Inner:
    """The packet inside a GRE packet; what is not given may be anything."""

    proto: str = ""
    src: IPv4Address | None = None
    dst: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """Packets at the taps called `on`; what is not given may be anything. Without `proto`, any IP packet."""

    on: str
    proto: str = ""
    src: IPv4Address | None = None
    dst: IPv4Address | None = None
    port: int = 0
    inner: Inner | None = None
    marker: bool = False
    longer: int = 0

    def __str__(self) -> str:
        inner = self.inner
        words = [
            self.proto or "ip",
            f"from {self.src}" if self.src else "",
            f"to {self.dst}" if self.dst else "",
            f"port {self.port}" if self.port else "",
            f"longer than {self.longer} B" if self.longer else "",
            "with the marker in clear" if self.marker else "",
            f"around {inner.proto or 'ip'} {inner.src or 'any'} to {inner.dst or 'any'}" if inner else "",
        ]
        return f"{' '.join(word for word in words if word)} on {self.on}"


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of a probe. `by`: the addresses that the ICMP error may come from, `by_node` whose they are."""

    outcome: Outcome
    answers: tuple[str, ...] = ()
    authoritative: bool = False
    source: IPv4Address | None = None
    server: str = ""
    mss: int = 0
    mtu: int = 0
    by: tuple[IPv4Address, ...] = ()
    by_node: str = ""

    def __str__(self) -> str:
        words = [
            str(self.outcome),
            f"answers {', '.join(self.answers)}" if self.answers else "",
            "authoritative" if self.authoritative else "",
            f"from server {self.server}" if self.server else "",
            f"client seen as {self.source}" if self.source else "",
            f"mss at most {self.mss}" if self.mss else "",
            f"mtu {self.mtu}" if self.mtu else "",
            f"by {self.by_node}" if self.by_node else "",
        ]
        return ", ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Hop:
    """A node that the probe crosses, and the name of the taps on all its devices."""

    node: str
    tap: str


@dataclass(frozen=True, slots=True)
class Check:
    """One claim, ready to be proved."""

    id: str
    about: str
    node: str
    action: Action
    expected: Expected
    see: tuple[Sight, ...]
    silent: tuple[Sight, ...]
    path: tuple[Hop, ...]
    control: tuple[str, ...]
    timeout_ms: int
    taps: tuple[Tap, ...]

    @property
    def negative(self) -> bool:
        """It claims that something does not work."""
        return self.expected.outcome != "ok"


Proto = Literal["", "esp", "gre", "icmp", "udp", "tcp"]
"""What a blackhole swallows; "": everything."""


@dataclass(frozen=True, slots=True)
class Port:
    """A device that a fault strikes."""

    namespace: str
    device: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks: `link_down` takes carrier away, `blackhole` drops what arrives (of one protocol, or all)."""

    kind: Literal["link_down", "blackhole"]
    link: str
    proto: Proto
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What users may feel, in milliseconds and packets; None: not bounded."""

    restore_ms: int | None
    not_before_ms: int | None
    after: Literal["fault", "repair"]
    lost: int | None
    failback_lost: int | None
    tcp_survives: bool


@dataclass(frozen=True, slots=True)
class Part:
    """What must and must not be seen in one part of a drill."""

    see: tuple[Sight, ...]
    silent: tuple[Sight, ...]


@dataclass(frozen=True, slots=True)
class Drill:
    """A fault while a numbered stream runs from `node` to `target` on `target_node`."""

    id: str
    about: str
    node: str
    target_node: str
    target: IPv4Address
    fault: Fault
    hold_ms: int
    rate: int
    bounds: Bounds
    throughout: Part
    before: Part
    meanwhile: Part
    after: Part
    taps: tuple[Tap, ...]
