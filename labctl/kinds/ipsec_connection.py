"""An IPsec connection: one ESP tunnel between two gateways, with what may cross it.

Several connections between the same two gateways back each other up: the one with the greater weight carries, as
long as its check passes. The check is a BFD session inside the tunnel (RFC 5880).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar, cast, get_args

from labctl.description.record import RecordOf, option
from labctl.description.types import Choice, ListOf, Ref
from labctl.description.units import DURATION
from labctl.description.words import ADDRESS, PREFIX, integer
from labctl.kinds.base import Lab, Subnet
from labctl.kinds.customer_gateway import CustomerGateway
from labctl.kinds.gateway_appliance import GatewayAppliance
from labctl.kinds.internet import Internet
from labctl.kinds.ipsec_rivals import refuse_rivals
from labctl.kinds.vpc import Vpc
from labctl.kinds.vpn_gateway import VpnGateway
from labctl.model.network import device_name, host_prefix
from labctl.model.numbers import slot_of
from labctl.model.services import WatchedPath
from labctl.model.tunnels import Cipher, Esp, EspSide

GATEWAYS = ("gateway", "side")
WHY_NOT = dict.fromkeys(
    ("power_workspace", "lpar"),
    "a VPN cannot connect directly to Power Systems Virtual Server; end it on a gateway appliance",
)
MOST_CONNECTIONS = 0x7FFFE
"""Numbers of connections: 19 bits of a security parameters index, neither all zero nor all one; see FRESH_SPI."""
LARGEST_MTU = 1400
"""What a VPN gateway passes at most ("VPN Gateway: MTU")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorsSpec:
    """What may cross the tunnel (RFC 4301 section 4.4.1.1)."""

    local: tuple[IPv4Network, ...] = option(ListOf(PREFIX, least=1), "prefixes behind `local`")
    remote: tuple[IPv4Network, ...] = option(ListOf(PREFIX, least=1), "prefixes behind `remote`")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSpec:
    """How the two ends find out that the tunnel no longer carries."""

    from_: IPv4Address = option(
        ADDRESS, "the local gateway's address behind the tunnel; it must lie in the local selectors"
    )
    to: IPv4Address = option(
        ADDRESS, "the remote gateway's address behind the tunnel; it must lie in the remote selectors"
    )
    interval: int = option(DURATION, "time between two checks", 200)
    count: int = option(integer(2, 50), "checks missed before the tunnel counts as down", 3)


@dataclass(frozen=True, slots=True)
class End:
    """A gateway's public end, as the fields `local` and `remote` name it."""

    node: str
    internet: str
    address: IPv4Address


@dataclass(frozen=True, slots=True, kw_only=True)
class IpsecConnection:
    """One ESP tunnel between two gateways, with what may cross it. Several connections between the same two gateways
    back each other up: the one with the greatest weight carries as long as its check passes.
    """

    kind: ClassVar[str] = "ipsec_connection"
    group: ClassVar[str] = "VPN"
    becomes: ClassVar[str] = (
        "At both gateways an xfrm interface of this name, an ESP security association for each direction with keys "
        "made for each lab, and for each pair of selectors a policy for what leaves, arrives and is forwarded; in "
        "clear, what a selector covers is discarded (unless `inbound_clear` is bypass). The prefixes behind the far "
        "end are routed into the tunnel (and from the VPC's router to its gateway), with an unreachable route behind, "
        "so that nothing leaves in clear; TCP segments are fitted to its MTU. With `check` a path watcher at both "
        "ends holds a BFD session inside the tunnel and keeps those routes only while it is up. Keys are given, not "
        "negotiated: there is no IKE."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "Alibaba Cloud documentation, VPN Gateway: IPsec-VPN connections (VPN Gateway)",
        "RFC 4301: Security Architecture for the Internet Protocol",
        "RFC 4303: IP Encapsulating Security Payload (ESP)",
        "RFC 5880: Bidirectional Forwarding Detection (BFD)",
    )
    example: ClassVar[str] = """\
inet: {kind: internet, prefixes: [198.51.100.0/24]}
vpc1: {kind: vpc, subnets: {app: {zone: a, prefix: 10.0.1.0/24}}}
gw: {kind: vpn_gateway, subnet: vpc1.app, private: 10.0.1.2, addresses: {inet: 198.51.100.10}}
dc: {kind: site, prefix: 172.16.10.0/24, hosts: {dc-host: 172.16.10.10}}
cgw: {kind: customer_gateway, site: dc, addresses: {inet: 198.51.100.20}}
vpn:
  kind: ipsec_connection
  local: gw
  remote: cgw
  selectors: {local: [10.0.1.0/24], remote: [172.16.10.0/24]}
  check: {from: 10.0.1.2, to: 172.16.10.1, interval: 200ms, count: 3}
"""

    never: ClassVar[dict[str, str]] = dict.fromkeys(
        ("psk", "key", "keys"), "keys are made anew for each lab that comes up"
    )

    local: str = option(
        Ref(GATEWAYS, WHY_NOT), "a gateway, or where it has several public addresses one side of it, such as gw.isp1"
    )
    remote: str = option(Ref(GATEWAYS, WHY_NOT), "the gateway at the other end, or one side of it likewise")
    selectors: SelectorsSpec = option(RecordOf(SelectorsSpec), "what may cross the tunnel; all else stays outside")
    cipher: str = option(Choice(get_args(Cipher)), "encryption and integrity", "aes256-gcm")
    mtu: int = option(
        integer(576, LARGEST_MTU, "a VPN gateway passes no larger packets"),
        "the largest packet inside, in bytes",
        LARGEST_MTU,
    )
    weight: int = option(
        integer(0, 100),
        "of the connections between the same gateways the one with the greatest carries, the others stand by",
        100,
    )
    check: HealthSpec | None = option(
        RecordOf(HealthSpec), "how both ends find out that the tunnel is dead; needed where there are several", None
    )
    inbound_clear: str = option(
        Choice(("discard", "bypass")), "what becomes of packets in clear for the prefixes behind the tunnel", "discard"
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("ipsec_connection",)}

    def refuse(self, me: str, lab: Lab) -> None:
        for side in ("local", "remote"):
            name = getattr(self, side)
            gateway = any(lab.find(name, kind) for kind in (VpnGateway, CustomerGateway, GatewayAppliance))
            if gateway and "." in name and _end(lab, name) is None:
                lab.fault((me, side), "is not a public side of its gateway: a tunnel crosses the Internet")
            elif gateway and _end(lab, name) is None:
                lab.fault((me, side), "has several public addresses", f"name one side, as {name}.INTERNET")
        if self.local.partition(".")[0] == self.remote.partition(".")[0]:
            lab.fault((me, "remote"), "both ends are the same gateway")
        self._refuse_overlap(me, lab)
        self._refuse_misplaced(me, lab)
        self._refuse_check(me, lab)
        refuse_rivals(me, self, lab)
        group = self._group(lab)
        weights = [each.weight for each in group.values()]
        if len(group) > 1 and not any(weights):
            lab.fault((me, "weight"), "every connection between these gateways has weight 0: none would carry")
        elif weights.count(self.weight) > 1:
            twins = ", ".join(name for name, each in group.items() if each.weight == self.weight and name != me)
            rule = f"has the same weight {self.weight} as {twins} between the same gateways: only one can carry"
            lab.fault((me, "weight"), rule, "give each its own", value="")
        if len(group) > 1 and self.check is None:
            lab.fault((me,), "field `check` is missing: without it a standby never takes over", value="")

    def _refuse_overlap(self, me: str, lab: Lab) -> None:
        for i, remote in enumerate(self.selectors.remote):
            for local in self.selectors.local:
                if remote.overlaps(local):
                    lab.fault((me, "selectors", "remote", i), f"overlaps the local selector {local}")

    def _refuse_misplaced(self, me: str, lab: Lab) -> None:
        """A selector with nothing of the gateway's own network carries nothing, or belongs to the far end."""
        for side, gateway, selectors in (
            ("local", self.local, self.selectors.local),
            ("remote", self.remote, self.selectors.remote),
        ):
            behind = _behind(lab, gateway)
            for i, selector in enumerate(selectors):
                if behind and not any(selector.overlaps(prefix) for prefix in behind):
                    node, have = gateway.partition(".")[0], ", ".join(str(prefix) for prefix in behind)
                    lab.fault((me, "selectors", side, i), f"is not behind {node}, which has {have}")

    def beyond(self, gateway: str) -> tuple[str, tuple[IPv4Network, ...]]:
        """The side of the selectors that is beyond the tunnel for a gateway, and its prefixes."""
        if self.local.partition(".")[0] == gateway:
            return "remote", self.selectors.remote
        return "local", self.selectors.local

    def _refuse_check(self, me: str, lab: Lab) -> None:
        if self.check is None:
            return
        for field, address, selectors in (
            ("from", self.check.from_, self.selectors.local),
            ("to", self.check.to, self.selectors.remote),
        ):
            if not any(address in prefix for prefix in selectors):
                allowed = ", ".join(str(prefix) for prefix in selectors)
                lab.fault((me, "check", field), f"lies outside the selectors, so it cannot cross the tunnel: {allowed}")

    def _group(self, lab: Lab) -> dict[str, IpsecConnection]:
        """The connections between the same two gateways, by name."""
        return {name: each for name, each in lab.all(IpsecConnection) if each.gateways() == self.gateways()}

    def gateways(self) -> frozenset[str]:
        """The two gateways that it joins."""
        return frozenset(end.partition(".")[0] for end in (self.local, self.remote))

    def place(self, me: str, lab: Lab) -> None:
        """A tunnel has no nodes of its own."""

    def join(self, me: str, lab: Lab) -> None:
        local, remote = _end(lab, self.local), _end(lab, self.remote)
        assert local and remote
        number = 1 + slot_of(me, MOST_CONNECTIONS, [esp.number - 1 for esp in lab.net.esps])
        lab.net.esp(
            Esp(
                name=device_name(me),
                number=number,
                a=_side(lab, local, self.selectors.local),
                b=_side(lab, remote, self.selectors.remote),
                cipher=cast(Cipher, self.cipher),
                mtu=self.mtu,
                inbound_clear="discard" if self.inbound_clear == "discard" else "bypass",
            )
        )
        check = self.check
        self._carry(me, lab, local, remote, self.selectors.remote, (check.from_, check.to) if check else None)
        self._carry(me, lab, remote, local, self.selectors.local, (check.to, check.from_) if check else None)

    def _carry(
        self,
        me: str,
        lab: Lab,
        near: End,
        far: End,
        beyond: tuple[IPv4Network, ...],
        inside: tuple[IPv4Address, IPv4Address] | None,
    ) -> None:
        device, metric = device_name(me), 200 - self.weight
        public = _public(lab, near)
        if far.address not in public.prefix:
            lab.net.route(near.node, host_prefix(far.address), via=public.router)
        lab.net.clamp(near.node, device)
        source = inside[0] if inside else _inside(lab, near.node)
        for prefix in beyond:
            lab.net.guard(near.node, prefix)
            if inside is None:
                lab.net.route(near.node, prefix, device=device, metric=metric, source=source)
        if inside and self.check:
            interval, count = self.check.interval, self.check.count
            carrier = device_name(public.segment)
            path = WatchedPath(me, device, carrier, *inside, interval, count, beyond, metric, source)
            lab.net.watch(near.node, path)
        _publish(lab, near.node, beyond)


def _end(lab: Lab, name: str) -> End | None:
    """The public end that `local` or `remote` names; None where that is not one address."""
    gateway = lab.find(name, VpnGateway) or lab.find(name, CustomerGateway)
    appliance = lab.find(name, GatewayAppliance)
    addresses = gateway.addresses if gateway else appliance.public if appliance else {}
    node, _, side = name.partition(".")
    if side:
        return End(node, side, addresses[side]) if side in addresses else None
    if len(addresses) != 1:
        return None
    [(internet, address)] = addresses.items()
    return End(node, internet, address)


def _behind(lab: Lab, gateway: str) -> tuple[IPv4Network, ...]:
    """The prefixes behind a gateway, where its kind tells; an appliance routes for others."""
    customer, vpn = lab.find(gateway, CustomerGateway), lab.find(gateway, VpnGateway)
    if customer and (subnet := lab.subnet(customer.site)):
        return (subnet.prefix,)
    vpc = lab.find(vpn.subnet, Vpc) if vpn else None
    return vpc.prefixes() if vpc else ()


def _public(lab: Lab, end: End) -> Subnet:
    subnet = lab.get(end.internet, Internet).subnet_of(end.internet, end.address)
    assert subnet is not None
    return subnet


def _side(lab: Lab, end: End, behind: tuple[IPv4Network, ...]) -> EspSide:
    return EspSide(end.node, end.address, device_name(_public(lab, end).segment), behind)


def _inside(lab: Lab, node: str) -> IPv4Address:
    """The gateway's own address behind the tunnel: what it sends itself (ICMP errors) must fit the selectors."""
    gateway = lab.find(node, CustomerGateway)
    if gateway:
        return gateway.inside(node, lab)
    appliance, vpn = lab.find(node, GatewayAppliance), lab.find(node, VpnGateway)
    assert appliance or vpn
    return appliance.private if appliance else vpn.private if vpn else IPv4Address(0)


def _publish(lab: Lab, node: str, beyond: tuple[IPv4Network, ...]) -> None:
    """Tell the VPC's router that `beyond` lies behind its gateway, once for all connections of the gateway."""
    gateway = lab.find(node, VpnGateway)
    vpc = lab.owner(gateway.subnet) if gateway else ""
    for prefix in beyond if gateway and lab.find(vpc, Vpc) else ():
        known = any((path.node, path.to, path.table) == (vpc, prefix, 0) for path in lab.net.paths)
        if gateway and not known:
            lab.net.route(vpc, prefix, via=gateway.private)
