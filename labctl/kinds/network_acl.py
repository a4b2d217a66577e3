"""A network ACL: what may enter and leave a subnet, packet by packet. It knows no connections, so that answers need
rules of their own ("About network ACLs")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from labctl.description.record import RecordOf, option
from labctl.description.types import ListOf, Ref
from labctl.kinds.base import Lab
from labctl.kinds.filtering import AclRuleSpec, refuse_ports, refuse_targets, vpc_of, words
from labctl.model.network import device_name

_VERDICTS = {"allow": "ACCEPT", "deny": "DROP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAcl:
    """The access control list of subnets: the first rule that a packet fits decides, and what fits none is dropped. It
    is for what crosses the border of the subnet; inside it everybody reaches everybody.
    """

    kind: ClassVar[str] = "network_acl"
    group: ClassVar[str] = "In a cloud"
    becomes: ClassVar[str] = (
        "iptables rules of the VPC's router, in the mangle table: outbound in PREROUTING, for what comes from the "
        "subnet, inbound in POSTROUTING, for what goes there, each in the order written and followed by one that drops "
        "in silence. Packets of the router itself are no exception, pings to it and its ICMP errors included. Between "
        "two hosts of one subnet there is no router, and no ACL. A subnet without an ACL lets all pass."
    )
    cites: ClassVar[tuple[str, ...]] = ("IBM Cloud Docs, VPC: About network ACLs",)
    example: ClassVar[str] = """\
vpc1: {kind: vpc, subnets: {app: {zone: z1, prefix: 10.240.0.0/24}, db: {zone: z1, prefix: 10.240.1.0/24}}}
vsi1: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}
vsi2: {kind: instance, subnet: vpc1.db, address: 10.240.1.4, serves: [tcp/5432]}
acl1:
  kind: network_acl
  targets: [vpc1.db]
  rules:
    - {dir: inbound, action: allow, proto: tcp, port: 5432, peer: 10.240.0.0/24}
    - {dir: outbound, action: allow, proto: tcp, source_port: 5432, peer: 10.240.0.0/24}
"""

    targets: tuple[str, ...] = option(ListOf(Ref(("subnet",))), "the subnets of one VPC that have it")
    rules: tuple[AclRuleSpec, ...] = option(
        ListOf(RecordOf(AclRuleSpec)), "in their order; without any, nothing passes", ()
    )

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("network_acl",)}

    def refuse(self, me: str, lab: Lab) -> None:
        vpcs = [vpc_of(lab, target) for target in self.targets]
        refuse_targets(lab, (me, "targets"), self.targets, vpcs)
        for i, (target, vpc) in enumerate(zip(self.targets, vpcs, strict=True)):
            if lab.subnet(target) and not vpc:
                lab.fault((me, "targets", i), "is no subnet of a VPC")
            holder = next(name for name, each in lab.all(NetworkAcl) if target in each.targets)
            if holder != me:
                lab.fault((me, "targets", i), f"has a network ACL already: {holder}")
        for i, rule in enumerate(self.rules):
            refuse_ports(lab, (me, "rules", i), rule)

    def place(self, me: str, lab: Lab) -> None:
        """It adds no node."""

    def join(self, me: str, lab: Lab) -> None:
        for target in self.targets:
            router, device = lab.owner(target), device_name(target)
            self._write(lab, router, "outbound", ("PREROUTING", "-i", device, "-d"))
            self._write(lab, router, "inbound", ("POSTROUTING", "-o", device, "-s"))

    def _write(
        self, lab: Lab, router: str, direction: Literal["inbound", "outbound"], place: tuple[str, str, str, str]
    ) -> None:
        chain, way, device, side = place
        for rule in self.rules:
            if rule.dir == direction:
                matched = words(rule, rule.peer, side)
                lab.net.rule(router, "mangle", chain, way, device, *matched, "-j", _VERDICTS[rule.action])
        lab.net.rule(router, "mangle", chain, way, device, "-j", "DROP")
