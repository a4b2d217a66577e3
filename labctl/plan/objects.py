"""What must exist: the union `KernelObject` of frozen dataclasses, the joint between the pure core and the kernel.

`namespace` is always the node's own name in its lab ("vpc1"); the kernel package alone knows how that becomes a
network namespace (`LAB-vpc1`). Device names are private to a namespace. Links are created up unless `up` is False,
with IPv6 off and checksum offload off, so that what is captured is what was sent. Durations are milliseconds, rates
bits per second, MTUs bytes.

Each class has an `identity`: two objects with equal identity are the same thing, perhaps with other settings. Addresses
are numbers in it, which are told apart in a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal

from labctl.model.services import Program
from labctl.plan.devices import Bridge as Bridge
from labctl.plan.devices import End as End
from labctl.plan.devices import Geneve as Geneve
from labctl.plan.devices import Gre as Gre
from labctl.plan.devices import Veth as Veth
from labctl.plan.devices import XfrmInterface as XfrmInterface
from labctl.plan.foreign import Foreign as Foreign
from labctl.plan.foreign import Removal as Removal

CipherName = Literal["aes128-gcm", "aes256-gcm", "aes128-cbc-sha1", "aes256-cbc-sha1", "aes256-cbc-sha256"]
"""A transform of ESP, see `labctl.plan.ciphers`."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace; its `lo` is up. `forwarding`: it routes (net.ipv4.ip_forward).

    `altered` says what else is not as labctl makes a namespace: nothing in a plan, but a kernel may hold such a one.
    """

    name: str
    forwarding: bool = False
    altered: tuple[str, ...] = ()

    @property
    def identity(self) -> Hashable:
        return self.name


@dataclass(frozen=True, slots=True)
class Sysctl:
    """One value under /proc/sys inside a namespace, e.g. `net.ipv4.icmp_ratelimit` = "0"."""

    namespace: str
    name: str
    value: str

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a device."""

    namespace: str
    device: str
    address: IPv4Interface

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.device, int(self.address), self.address.network.prefixlen)


@dataclass(frozen=True, slots=True)
class Route:
    """A route of `table` (0: the main one). `via` or `device` or both for unicast; neither for unreachable and
    blackhole.
    """

    namespace: str
    to: IPv4Network
    via: IPv4Address | None = None
    device: str | None = None
    type: Literal["unicast", "unreachable", "blackhole"] = "unicast"
    metric: int = 0
    source: IPv4Address | None = None
    table: int = 0

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.table, int(self.to.network_address), self.to.prefixlen, self.metric)


@dataclass(frozen=True, slots=True)
class RouteRule:
    """A routing rule (ip-rule(8)): what comes from `source`, or in by `device` (None: whatever it is), is looked up in
    `table`, and where that says nothing by the rules after it. The lowest `priority` comes first.
    """

    namespace: str
    priority: int
    table: int
    source: IPv4Network | None = None
    device: str | None = None

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.priority, self.table, self.source, self.device)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent entry of a node's neighbour table (ARP, RFC 826): whose MAC address `address` behind `device` has."""

    namespace: str
    device: str
    address: IPv4Address
    mac: str

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.device, int(self.address))


@dataclass(frozen=True, slots=True)
class XfrmState:
    """A security association (RFC 4301 section 4.4.2), ESP in tunnel mode.

    `cipher` names the transform; `key` is a name in the lab's key ring, never the key itself. A kernel may hold one
    whose key is none of the lab's: "".
    """

    namespace: str
    source: IPv4Address
    destination: IPv4Address
    spi: int
    cipher: CipherName
    key: str
    if_id: int

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.destination, self.spi)


@dataclass(frozen=True, slots=True)
class XfrmPolicy:
    """An entry of the security policy database (RFC 4301 section 4.4.1).

    `action` protect: through the tunnel `outer` (source, destination) of `if_id`; discard: drop what matches
    (`if_id` 0: whatever did not come through a tunnel).
    """

    namespace: str
    direction: Literal["in", "out", "fwd"]
    source: IPv4Network
    destination: IPv4Network
    action: Literal["protect", "discard"]
    if_id: int = 0
    outer: tuple[IPv4Address, IPv4Address] | None = None
    priority: int = 100

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.direction, self.source, self.destination, self.if_id)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All iptables rules of a namespace, in iptables-restore form: `tables` maps a table to its lines.

    Lines are chain policies (":FORWARD DROP [0:0]") and appended rules ("-A POSTROUTING ..."); COMMIT is implied.
    """

    namespace: str
    tables: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def identity(self) -> Hashable:
        return self.namespace


@dataclass(frozen=True, slots=True)
class Shaper:
    """What leaves a device is late by `delay_ms`, give or take `jitter_ms`; some of it is lost at random; and it leaves
    at `rate_bit` (0: as fast as it comes), counted in Ethernet frames of up to `mtu` bytes and their headers.
    """

    namespace: str
    device: str
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    rate_bit: int = 0
    loss_percent: float = 0.0
    mtu: int = 1500

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.device)


@dataclass(frozen=True, slots=True)
class Process:
    """A labctl program that runs inside a namespace under the lab's supervisor. `astray`, never so in a plan: it runs
    in a namespace that is not its node's any more.
    """

    namespace: str
    name: str
    program: Program
    astray: bool = False

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.name)


KernelObject = (
    Namespace
    | Sysctl
    | Bridge
    | Veth
    | Gre
    | Geneve
    | XfrmInterface
    | Address
    | Neighbour
    | Route
    | RouteRule
    | XfrmState
    | XfrmPolicy
    | Ruleset
    | Shaper
    | Process
    | Foreign
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Every object of one lab, in an order in which each can be created after those before it."""

    lab: str
    objects: tuple[KernelObject, ...]


@dataclass(frozen=True, slots=True)
class Create:
    """A step: make `new`."""

    new: KernelObject


@dataclass(frozen=True, slots=True)
class Delete:
    """A step: remove `old`."""

    old: KernelObject


@dataclass(frozen=True, slots=True)
class Change:
    """A step: `old` and `new` have one identity; make it like `new`."""

    old: KernelObject
    new: KernelObject


Step = Create | Delete | Change
