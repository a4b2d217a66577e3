"""What is asked of the prober and what it answers: one JSON object a line, see `labctl.codec`.

Times are milliseconds of CLOCK_MONOTONIC, one clock for every process of a kernel, so that the instant of a fault
and the instant of a packet can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

from labctl.probes.deeds import Action as Action
from labctl.probes.deeds import Connect as Connect
from labctl.probes.deeds import Dns as Dns
from labctl.probes.deeds import Flows as Flows
from labctl.probes.deeds import Health as Health
from labctl.probes.deeds import Http as Http
from labctl.probes.deeds import Inject as Inject
from labctl.probes.deeds import Lookup as Lookup
from labctl.probes.deeds import Named as Named
from labctl.probes.deeds import Ping as Ping
from labctl.probes.deeds import Rate as Rate
from labctl.probes.deeds import Tcp as Tcp
from labctl.probes.deeds import Trace as Trace
from labctl.probes.deeds import Udp as Udp


@dataclass(frozen=True, slots=True)
class Tap:
    """A place to capture. `name` is what a description calls it; several taps may share one name.

    `direction` "in": only frames that arrive at `device` (a segment's port: each frame once); "both": all.
    """

    name: str
    namespace: str
    device: str
    direction: Literal["in", "both"] = "both"


@dataclass(frozen=True, slots=True)
class Probe:
    """Do `action` in the namespace of `node` while `taps` listen; give up after `timeout_ms`.

    Unless silence is expected, an answer is waited for `late_ms` longer: one that comes too late is told from none.
    `linger_ms`: how long the taps go on after the action ended. `expect_silence`: they go on for the whole timeout,
    because an empty tap is part of the claim. `tries`: how often the action is done in the time, for where one packet
    lost by chance would look like silence.
    """

    node: str
    action: Action
    taps: tuple[Tap, ...]
    marker: str
    timeout_ms: int
    late_ms: int = 0
    linger_ms: int = 30
    expect_silence: bool = False
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets alike, as one tap saw them: how many, and when the first and the last.

    `proto` is tcp, udp, icmp, esp, gre, geneve, arp or the IP protocol's number. Ports 0, `spi` 0, `icmp` "" and `vni`
    -1 where there are none; `icmp` is "TYPE/CODE". `inner` is the packet inside GRE or Geneve (and inside an ICMP
    error). `marked`: how many of them carried the marker in clear, or are the probe's own TCP segments by both their
    ports. `hop_limit` is the TTL of the first of them; `data` is the sum of their IP lengths.
    """

    tap: str
    namespace: str
    device: str
    proto: str
    src: str
    dst: str
    sport: int = 0
    dport: int = 0
    icmp: str = ""
    spi: int = 0
    vni: int = -1
    inner: Flow | None = None
    packets: int = 0
    marked: int = 0
    data: int = 0
    longest: int = 0
    hop_limit: int = 0
    first_ms: float = 0.0
    last_ms: float = 0.0
    first_marked_ms: float = 0.0


Outcome = Literal[
    "ok",  # the answer that a working service gives
    "refused",  # TCP RST, ICMP port unreachable, DNS REFUSED
    "no_route",  # ICMP net or host unreachable, or no route in the sender itself
    "prohibited",  # ICMP administratively prohibited
    "expired",  # ICMP time exceeded: it went in circles, or too far
    "filtered",  # nothing came back in time
    "too_big",  # ICMP fragmentation needed, or the sender's own MTU
    "nxdomain",
    "nodata",
    "servfail",
    "corrupt",  # an answer came, but not the bytes that were sent
    "error",  # the probe itself failed: proves nothing
]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a `Probe` found.

    `reason` says in words how the outcome was reached. `lookup`: it is that of the lookup of the target's name, and
    nothing was sent to the target. `peer` is the source address that the test server saw, `server` its name; `answers`
    the addresses of a DNS answer in order, `ttl_s` the longest time-to-live in it, -1 without any; `mtu` that of a
    too_big; `reporter` who sent the ICMP error; `mss` the TCP connection's largest segment in bytes, options included
    (TCP_MAXSEG plus the 12 that timestamps take, where they are used); `status`, `header` and `body` those of an HTTP
    answer, the body's beginning alone; `hops` who answered a trace, "*" for nobody; `rate_bit` what got through, in
    bits a second; `answered` how many of the flows; `tried` the addresses of a domain name that were tried, the last of
    them in the end; `established` how many connections were open together, and `rest` what became of the others;
    `state` that of a custom resolver; `said` what a program printed; `elapsed_ms` from the first packet to the outcome;
    `ready`: every tap was listening before it.
    """

    outcome: Outcome
    reason: str = ""
    ready: bool = False
    lookup: bool = False
    peer: str = ""
    server: str = ""
    answers: tuple[str, ...] = ()
    authoritative: bool = False
    ttl_s: int = -1
    mtu: int = 0
    reporter: str = ""
    mss: int = 0
    status: int = 0
    header: tuple[tuple[str, str], ...] = ()
    body: str = ""
    hops: tuple[str, ...] = ()
    rate_bit: float = 0.0
    answered: int = 0
    tried: tuple[str, ...] = ()
    established: int = 0
    rest: str = ""
    state: str = ""
    said: str = ""
    sent: int = 0
    elapsed_ms: float = 0.0
    flows: tuple[Flow, ...] = ()


@dataclass(frozen=True, slots=True)
class StartRecords:
    """Start numbered records, `rate` a second, in one TCP connection to the test server at `to`:`port`, until
    `StopStream`. Every record carries the marker; `taps` listen all the time.
    """

    node: str
    port: int
    to: IPv4Address | None
    named: Named | None
    rate: int
    taps: tuple[Tap, ...]
    marker: str


@dataclass(frozen=True, slots=True)
class StartStream:
    """Start a numbered UDP stream (`rate` a second) and, if `tcp`, a TCP byte stream beside it, until `StopStream`.

    The sender is in `node`; the receiver is opened by the prober in `target_node`, at `target`. The TCP stream is
    paced at about `tcp_rate` bytes a second. Both carry the marker in every packet. `taps` listen all the time. `track`
    are taps that take the numbered stream alone; each is named for the place that it is, NODE/DEVICE.
    """

    node: str
    target_node: str
    target: IPv4Address
    rate: int
    taps: tuple[Tap, ...]
    track: tuple[Tap, ...]
    marker: str
    tcp: bool = True
    tcp_rate: int = 200_000


@dataclass(frozen=True, slots=True)
class StopStream:
    """Stop sending, wait `drain_ms` for what is under way (TCP: up to `tcp_drain_ms`), and report.

    `marks_ms`: instants that divide the time; flows are reported for each part separately.
    """

    marks_ms: tuple[float, ...]
    drain_ms: int = 500
    tcp_drain_ms: int = 5000


@dataclass(frozen=True, slots=True)
class TcpReport:
    """The TCP stream: bytes given to the socket and bytes that came out, `intact`: equal digests and a clean end.

    `ended_ms`: when the sender's kernel or the server ended a connection of records, None where neither did. The
    verdict on a stream counts it from its first record.
    """

    sent: int
    received: int
    intact: bool
    longest_stall_ms: float
    reason: str = ""
    ended_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """Packets `first` to `last`, as far as they arrived (`packets` of them), went by these `track` taps, in order."""

    first: int
    last: int
    packets: int
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SaveFrames:
    """Write what the taps of the last probe or stream captured to `directory`, one pcap file a tap."""

    directory: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The files written, by name inside the directory; `cut`: those in which not every frame had room."""

    files: tuple[str, ...]
    cut: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The stream: `sent` holds the instant of packet i at index i; `received` the instants of its arrivals.

    `received` is a tuple of (number, instant), in order of arrival. `parts` holds the flows between the marks, one
    tuple a part; `ways` the ways that the packets took, in the order of their numbers. `records`: TCP carried them, and
    each arrived when it was acknowledged.
    """

    ready: bool
    sent: tuple[float, ...]
    received: tuple[tuple[float, ...], ...]
    tcp: TcpReport | None
    parts: tuple[tuple[Flow, ...], ...] = field(default=())
    ways: tuple[Way, ...] = ()
    reason: str = ""
    records: bool = False


Request = Probe | StartStream | StartRecords | StopStream | SaveFrames
Response = Reply | StreamReport | Saved
