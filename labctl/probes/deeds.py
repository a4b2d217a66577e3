"""What a probe can do: a union of frozen dataclasses. Times are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal


@dataclass(frozen=True, slots=True)
class Dns:
    """Ask `server`:53 for `name` `type`."""

    server: IPv4Address
    name: str
    type: str = "A"
    transport: Literal["udp", "tcp"] = "udp"


@dataclass(frozen=True, slots=True)
class Named:
    """A target by its domain name: each of `servers` in turn has `patience_ms` to answer, the first answer counts, and
    its addresses are tried in their order, as applications do.
    """

    name: str
    servers: tuple[IPv4Address, ...]
    patience_ms: int = 1000


@dataclass(frozen=True, slots=True)
class Tcp:
    """Connect to `to`:`port` (a labctl test server), send `send` bytes that carry the marker, compare its digest."""

    port: int
    to: IPv4Address | None = None
    named: Named | None = None
    send: int = 64


@dataclass(frozen=True, slots=True)
class Udp:
    """Send one marked datagram to `to`:`port` (a labctl test server) and wait for it to come back."""

    to: IPv4Address
    port: int


@dataclass(frozen=True, slots=True)
class Ping:
    """One ICMP echo request with `size` bytes of data (marker included), DF set or not."""

    to: IPv4Address
    size: int = 56
    df: bool = False


@dataclass(frozen=True, slots=True)
class Inject:
    """Put one forged, marked TCP SYN `source` to `to`:`port` on the wire, in clear, addressed to `via`'s MAC.

    `via` is a neighbour of the sender. Nobody answers the sender: what counts is where the taps see the packet.
    """

    source: IPv4Address
    to: IPv4Address
    port: int
    via: IPv4Address


@dataclass(frozen=True, slots=True)
class Http:
    """GET `path` from `to`:`port` with the Host header `host`; the marker is in the header X-Labctl-Marker."""

    port: int
    path: str
    host: str
    to: IPv4Address | None = None
    named: Named | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Marked packets towards `to` with TTL 1 to `most`, until it answers itself (RFC 1812 section 5.3.1)."""

    to: IPv4Address
    proto: Literal["udp", "icmp", "tcp"]
    port: int
    most: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Send for `for_ms` to a receiver opened at `to` in `target_node`: udp at `offer_bit` bits of IP a second."""

    to: IPv4Address
    target_node: str
    proto: Literal["udp", "tcp"]
    offer_bit: int
    for_ms: int


@dataclass(frozen=True, slots=True)
class Flows:
    """`count` marked exchanges with the test server at `to`:`port`, each from a source port of its own."""

    to: IPv4Address
    port: int
    count: int
    proto: Literal["udp", "tcp"]


@dataclass(frozen=True, slots=True)
class Connect:
    """`count` connections to the test server at `to`:`port`, held open together and then closed."""

    port: int
    count: int
    to: IPv4Address | None = None
    named: Named | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """Run the program `by` for `name`, with `files` in place of those of the host, by their paths.

    `servers`: those that these files name.
    """

    name: str
    by: Literal["getent", "dig", "curl"]
    servers: tuple[IPv4Address, ...]
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Health:
    """Ask each of `servers` by DNS; any answer will do."""

    servers: tuple[IPv4Address, ...]


Action = Dns | Tcp | Udp | Ping | Http | Trace | Rate | Flows | Connect | Lookup | Health | Inject
