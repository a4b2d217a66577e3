"""What must be true, resolved to addresses and places of capture."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from labctl.claims.quantities import often, rate, time
from labctl.plan.faults import Fault
from labctl.probes.wire import Action, Inject, Named, Outcome, Tap


@dataclass(frozen=True, slots=True)
class Inner:
    """The packet inside a GRE or Geneve packet; what is not given may be anything."""

    proto: str = ""
    src: IPv4Address | None = None
    dst: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """Packets at the taps called `on`; what is not given may be anything. Without `proto`, any IP packet.

    `spis`: ESP with one of these security parameters indices, which `connection` names where they are its own.
    `inner` without `proto`: GRE or Geneve. Of what must be seen, `least` packets are, and no more than `most`.
    """

    on: str
    proto: str = ""
    src: IPv4Address | None = None
    dst: IPv4Address | None = None
    port: int = 0
    inner: Inner | None = None
    spis: tuple[int, ...] = ()
    connection: str = ""
    vni: int | None = None
    marker: bool = False
    longer: int = 0
    least: int = 1
    most: int | None = None

    def __str__(self) -> str:
        inner = self.inner
        words = [
            self.proto or "ip",
            f"of {self.connection}" if self.connection else "",
            f"with SPI {self.spis[0]}" if self.spis and not self.connection else "",
            f"with VNI {self.vni}" if self.vni is not None else "",
            f"from {self.src}" if self.src else "",
            f"to {self.dst}" if self.dst else "",
            f"port {self.port}" if self.port else "",
            f"longer than {self.longer} B" if self.longer else "",
            "with the marker in clear" if self.marker else "",
            f"around {inner.proto or 'ip'} {inner.src or 'any'} to {inner.dst or 'any'}" if inner else "",
        ]
        return f"{' '.join(word for word in words if word)} on {self.on}{self._count()}"

    def _count(self) -> str:
        if self.most is None:
            return f", at least {often(self.least)}" if self.least != 1 else ""
        return f", {self.least} to {often(self.most)}" if self.least else f", at most {often(self.most)}"


@dataclass(frozen=True, slots=True)
class Spread:
    """How flows share the taps called by the names `over`: each has at least `least` per cent of them."""

    over: tuple[str, ...]
    least: int

    def __str__(self) -> str:
        return f"each flow on one of {', '.join(self.over)}, at least {self.least} % on each"


@dataclass(frozen=True, slots=True)
class TraceHop:
    """A hop of a trace: the addresses that its answer may come from (none: it stays silent), and what it is called."""

    name: str
    addresses: tuple[IPv4Address, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of a probe. `by`: the addresses that the ICMP error may come from, `by_node` whose they are.

    `any_order`: of the DNS answers, `first` the first address among them, `ttl_s` their longest time-to-live.
    `rate_bit` is in bits per second and `tolerance` in per cent of it.
    """

    outcome: Outcome
    answers: tuple[str, ...] = ()
    any_order: bool = False
    authoritative: bool = False
    source: IPv4Address | None = None
    server: str = ""
    mss: int = 0
    mtu: int = 0
    by: tuple[IPv4Address, ...] = ()
    by_node: str = ""
    status: int | None = None
    body: str = ""
    header: tuple[tuple[str, str], ...] = ()
    hops: tuple[TraceHop, ...] = ()
    rate_bit: int | None = None
    tolerance: int = 0
    spread: Spread | None = None
    first: IPv4Address | None = None
    ttl_s: int | None = None
    reached: IPv4Address | None = None
    established: int | None = None
    state: str = ""

    @property
    def rates(self) -> tuple[float, float]:
        """The least and the greatest rate that is as expected, in bits per second."""
        wanted, percent = self.rate_bit or 0, self.tolerance
        return wanted * (100 - percent) / 100, wanted * (100 + percent) / 100

    def __str__(self) -> str:
        words = [
            str(self.outcome),
            f"answers {', '.join(self.answers)}" if self.answers else "",
            "in any order" if self.answers and self.any_order else "",
            f"{self.first} first" if self.first else "",
            f"ttl at most {self.ttl_s} s" if self.ttl_s is not None else "",
            "authoritative" if self.authoritative else "",
            f"at {self.reached}" if self.reached else "",
            f"{self.established} established" if self.established is not None else "",
            self.state,
            f"from server {self.server}" if self.server else "",
            f"client seen as {self.source}" if self.source else "",
            f"mss at most {self.mss}" if self.mss else "",
            f"mtu {self.mtu}" if self.mtu else "",
            f"by {self.by_node}" if self.by_node else "",
            f"status {self.status}" if self.status is not None else "",
            *(f"{name}: {value}" for name, value in self.header),
            f"a body with `{self.body}`" if self.body else "",
            f"hops {', '.join(hop.name for hop in self.hops)}" if self.hops else "",
            " to ".join(rate(each) for each in self.rates) if self.rate_bit is not None else "",
            str(self.spread or ""),
        ]
        return ", ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Hop:
    """A node that the probe crosses, and the name of the taps on all its devices."""

    node: str
    tap: str


@dataclass(frozen=True, slots=True)
class Check:
    """One claim, ready to be proved. `edit`: how the lab differs for it, in words."""

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
    edit: str = ""

    @property
    def negative(self) -> bool:
        """It claims that something does not work."""
        return self.expected.outcome != "ok"

    @property
    def bounded(self) -> bool:
        """It claims that packets were not seen, or no more than so many."""
        return bool(self.silent) or any(sight.most is not None for sight in self.see)

    def __str__(self) -> str:
        """What is expected; of silence also how long it must last, of a forged packet that nobody answers it."""
        if isinstance(self.action, Inject):
            return f"{self.expected}: where it is seen tells"
        silence = f": nothing comes back for {time(self.timeout_ms)}" if self.expected.outcome == "filtered" else ""
        return f"{self.expected}{silence}"


@dataclass(frozen=True, slots=True)
class Felt:
    """What users may feel, in packets and milliseconds; None: not bounded."""

    lost: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    gap_ms: int | None = None
    path_changes: int | None = None
    tcp_survives: bool = True


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a drill may cost, in milliseconds and packets; None: not bounded."""

    felt: Felt
    restore_ms: int | None
    not_before_ms: int | None
    after: Literal["fault", "repair"]
    failback_lost: int | None


@dataclass(frozen=True, slots=True)
class Part:
    """What must and must not be seen in one part of a drill or change."""

    see: tuple[Sight, ...] = ()
    silent: tuple[Sight, ...] = ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """A numbered stream from `node` to `target` on `target_node`, `rate` packets a second, and where it is watched.

    `taps` serve the sights. `track` are the taps by which each packet's way is told: every device of every node that
    has an address, each named `NODE/DEVICE`. With `port` it is records in a TCP connection to the test server there,
    whose way is not told, and the target may be `named`; `target_node` is "" where nobody knows it beforehand.
    """

    node: str
    target_node: str
    target: IPv4Address | None
    rate: int
    taps: tuple[Tap, ...]
    track: tuple[Tap, ...]
    port: int = 0
    named: Named | None = None

    @property
    def proto(self) -> Literal["udp", "tcp"]:
        """What carries the stream."""
        return "tcp" if self.port else "udp"

    def __str__(self) -> str:
        target = self.named.name if self.named else f"{self.target_node} ({self.target})"
        if self.port:
            return f"{self.rate} numbered records a second from {self.node} to {target} in one TCP connection"
        return f"{self.rate} numbered UDP packets a second from {self.node} to {target}, and a TCP connection"


@dataclass(frozen=True, slots=True)
class Drill:
    """A fault while traffic runs. `what` is the fault in words; it stays for `hold_ms` (0: it ends by itself), in which
    `then` becomes true. `first` is true just before it, `afterwards` once it is repaired.
    """

    id: str
    about: str
    traffic: Traffic
    fault: Fault
    what: str
    hold_ms: int
    bounds: Bounds
    throughout: Part
    before: Part
    meanwhile: Part
    after: Part
    first: tuple[Check, ...] = ()
    then: tuple[Check, ...] = ()
    afterwards: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """An edit of the description while traffic runs. `what` is the edit in words, `then` what is true after it; `first`
    is true just before it, `afterwards` once it is undone.
    """

    id: str
    about: str
    traffic: Traffic
    what: str
    felt: Felt
    reach_ms: int | None
    then: tuple[Check, ...]
    throughout: Part
    before: Part
    changed: Part
    after: Part
    first: tuple[Check, ...] = ()
    afterwards: tuple[Check, ...] = ()
