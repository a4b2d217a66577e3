"""The devices that must exist, each in a namespace; names are private to it. MTUs are bytes.

Links are created up unless `up` is False, with IPv6 off and checksum offload off, so that what is captured is what was
sent.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv4Address


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge: a layer-2 segment. No spanning tree, no address ageing surprises, no host firewall hooks."""

    namespace: str
    name: str
    mtu: int = 1500
    up: bool = True

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a veth pair; `master`: the bridge of the same namespace that it is a port of. `up` is always so in a
    plan; a kernel may hold one that is not.
    """

    namespace: str
    name: str
    mac: str
    master: str | None = None
    up: bool = True


@dataclass(frozen=True, slots=True)
class Veth:
    """A veth pair, both ends made in place."""

    a: End
    b: End
    mtu: int = 1500

    @property
    def identity(self) -> Hashable:
        return (self.a.namespace, self.a.name)


@dataclass(frozen=True, slots=True)
class Gre:
    """A GRE tunnel device (RFC 2784, key RFC 2890). Path MTU discovery on."""

    namespace: str
    name: str
    local: IPv4Address
    remote: IPv4Address
    mtu: int
    key: int | None = None
    ttl: int = 64
    up: bool = True

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Geneve:
    """A Geneve tunnel to one peer (RFC 8926): Ethernet frames of the virtual network `vni`. UDP checksums are sent
    (section 3.3), packets that do not fit the way are not cut (section 4.1.1). A device has the one peer, because Linux
    finds it by VNI and peer.

    It is a port of the bridge `master`, isolated from other such ports: what came out of one tunnel goes into no other
    (split horizon), so that a full mesh has no loops. `isolated` is always so in a plan, as `up` is. `local` is told to
    the far end alone: Linux takes the source address from its route to `remote`, and it must be this one.
    """

    namespace: str
    name: str
    vni: int
    local: IPv4Address
    remote: IPv4Address
    mtu: int
    mac: str
    master: str | None
    up: bool = True
    isolated: bool = True

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class XfrmInterface:
    """An xfrm interface: what is routed into it meets only policies and states with its `if_id`."""

    namespace: str
    name: str
    if_id: int
    device: str
    mtu: int
    up: bool = True

    @property
    def identity(self) -> Hashable:
        return (self.namespace, self.name)


Tunnel = Gre | Geneve | XfrmInterface
"""A device that wraps what it is given."""
