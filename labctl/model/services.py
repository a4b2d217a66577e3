"""What the programs inside a node are told: their whole configuration, as data.

Addresses are IPv4, durations milliseconds, time-to-live seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record (RFC 1035 section 3.2.1). `name` is absolute, lower case, without the final dot.

    `value` as in a zone file: an address (A, AAAA), a name (CNAME, NS, PTR), text, `PREFERENCE NAME` (MX),
    `PRIORITY WEIGHT PORT NAME` (SRV, RFC 2782). Names are absolute. `near`: the clients for whom this record comes
    first where its zone's `order` is near.
    """

    name: str
    type: Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT"]
    value: str
    ttl: int = 60
    near: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone and who may see it: `permitted` source networks (empty: everyone). Unseen, it does not exist.

    `order` of the records of one set: as they are given; those near to the client first; or each answer begins with
    the next one. `serial` is the least that the zone's SOA shows: a running server counts it up when records change
    (RFC 1982). `transfer_to` may have the whole zone (AXFR, RFC 5936; IXFR, RFC 1995) and is told of every new serial
    (NOTIFY, RFC 1996); such a zone has an NS record at its apex, `ns.ZONE` if none is given, and its serial begins with
    the start of the program, in seconds since 1970, so that it is never less than before a restart.
    """

    name: str
    records: tuple[Record, ...]
    permitted: tuple[IPv4Network, ...] = ()
    order: Literal["given", "near", "rotate"] = "given"
    serial: int = 1
    transfer_to: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """Names in `zone` ("" for all others) are asked of the servers `to`, one after the other until one answers."""

    zone: str
    to: tuple[IPv4Address, ...]


@dataclass(frozen=True, slots=True)
class Secondary:
    """A copy of `zone`, taken over from the first of `primaries` that gives it (RFC 1034 section 4.3.5)."""

    zone: str
    primaries: tuple[IPv4Address, ...]


@dataclass(frozen=True, slots=True)
class Resolver:
    """A DNS server at `listen`:53 (UDP and TCP).

    Of its zones, secondaries and forwards the one with the longest name that contains the question decides; of equals
    a zone before a secondary before a forward. A name in none of them is answered with `otherwise`. `clients` are
    answered (empty: everyone), others are `strangers`.

    One upstream server has `attempt_ms` to answer, all of them `patience_ms`; then the answer is SERVFAIL. Answers are
    kept for their time-to-live, at most `positive_s`, those that deny at most `negative_s` (RFC 2308 section 5).
    Upstream servers are asked from `upstream_source`, None: from the address that the route gives.
    """

    listen: tuple[IPv4Address, ...]
    zones: tuple[Zone, ...]
    otherwise: Literal["nxdomain", "refused"] = "nxdomain"
    forwards: tuple[Forward, ...] = ()
    secondaries: tuple[Secondary, ...] = ()
    clients: tuple[IPv4Network, ...] = ()
    strangers: Literal["refused", "silence"] = "refused"
    attempt_ms: int = 300
    patience_ms: int = 1500
    negative_s: int = 10800
    positive_s: int = 86400
    upstream_source: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """One listening socket of a test server."""

    proto: Literal["tcp", "udp", "http"]
    port: int


@dataclass(frozen=True, slots=True)
class Server:
    """A test server on all addresses of its node. It tells who it is and whom it sees.

    TCP: on connect it sends one line `labctl NAME PEER_ADDRESS PEER_PORT\\n`; reads until the client's end of stream;
    then sends one line of JSON `{"bytes": N, "sha256": HEX}` and closes. UDP: it returns
    `labctl NAME PEER_ADDRESS PEER_PORT\\n` followed by the datagram. HTTP: it answers every GET with 200, and
    `/status/NNN` with that status; X-Labctl-Server holds NAME, X-Labctl-Peer `PEER_ADDRESS PEER_PORT`, and the body
    the line above, the request's first words and its Host.
    """

    name: str
    listens: tuple[Listen, ...]


@dataclass(frozen=True, slots=True)
class WatchedPath:
    """One path of a path watcher: a BFD session (RFC 5880 asynchronous mode) through `device`.

    While the session is up the routes `prefixes` dev `device` src `source` metric `metric` exist, else they do not.
    `carrier` is the device whose loss of carrier takes the path down at once.
    """

    name: str
    device: str
    carrier: str
    local: IPv4Address
    remote: IPv4Address
    interval_ms: int
    count: int
    prefixes: tuple[IPv4Network, ...]
    metric: int
    source: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class PathWatcher:
    """Keeps routes only where packets get through: the health check of a gateway with several paths."""

    paths: tuple[WatchedPath, ...]


@dataclass(frozen=True, slots=True)
class Vrrp:
    """One router of a virtual router (VRRP version 3, RFC 5798), of which at any time one, the MASTER, has `addresses`.

    Each is a device with the address that moves; on every device the virtual router has the identifier `number` (1 to
    255), and all of them move together. The highest `priority` (1 to 254) wins; unless it may `preempt`, one that comes
    later leaves a lower one that is MASTER alone. The MASTER tells of itself every `interval_ms`, a multiple of 10; one
    that is silent for three of them, and a little, is taken for dead.
    """

    number: int
    priority: int
    interval_ms: int
    addresses: tuple[tuple[str, IPv4Interface], ...]
    preempt: bool = True


Program = Resolver | Server | PathWatcher | Vrrp
