"""What the programs inside a node are told: their whole configuration, as data.

Addresses are IPv4, durations milliseconds, time-to-live seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record (RFC 1035 section 3.2.1). `name` is absolute, lower case, without the final dot."""

    name: str
    type: Literal["A", "CNAME", "TXT"]
    value: str
    ttl: int = 60


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone and who may see it: `permitted` source networks (empty: everyone). Unseen, it does not exist."""

    name: str
    records: tuple[Record, ...]
    permitted: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolver:
    """A DNS server at `listen`:53 (UDP and TCP). A name in no visible zone is answered with `otherwise`."""

    listen: tuple[IPv4Address, ...]
    zones: tuple[Zone, ...]
    otherwise: Literal["nxdomain", "refused"] = "nxdomain"


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


Program = Resolver | Server | PathWatcher
