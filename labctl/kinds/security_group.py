"""A security group: what its targets let in and out. It knows connections: answers to what was let through pass
("About security groups")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import ClassVar

from labctl.description.faults import did_you_mean
from labctl.description.record import RecordOf, option
from labctl.description.types import ListOf, Ref
from labctl.kinds.base import Lab
from labctl.kinds.custom_resolver import CustomResolver
from labctl.kinds.filtering import ESTABLISHED, RuleSpec, prefixes, refuse_ports, refuse_targets, vpc_of, words
from labctl.kinds.instance import Instance

MOST = 5
"""How many groups one target may have ("Planning for virtual private endpoint gateways")."""
_CHAINS = {"inbound": ("INPUT", "-s"), "outbound": ("OUTPUT", "-d")}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup:
    """A packet filter of instances and endpoint gateways. Once a target has one, nothing passes but what a rule of one
    of its groups allows, and the answers to that; the order of the rules does not matter.
    """

    kind: ClassVar[str] = "security_group"
    group: ClassVar[str] = "In a cloud"
    becomes: ClassVar[str] = (
        "iptables rules of each target. Those of an instance or a location are in its INPUT and OUTPUT: connections "
        "that are there already pass (conntrack), then each rule accepts, and the policy drops, in silence. A packet "
        "that may not go out does not leave the target. Those of an endpoint_gateway are in its FORWARD, for what is "
        "translated; rules for outbound mean nothing there, as it calls nobody in the VPC. A rule that is added or "
        "removed counts for new connections: those that are there go on. What has no group lets everything pass, where "
        "the provider would give it the VPC's default group."
    )
    cites: ClassVar[tuple[str, ...]] = (
        "IBM Cloud Docs, VPC: About security groups",
        "IBM Cloud Docs, VPC: Planning for virtual private endpoint gateways",
    )
    example: ClassVar[str] = """\
vpc1: {kind: vpc, subnets: {app: {zone: z1, prefix: 10.240.0.0/24}}}
vsi1: {kind: instance, subnet: vpc1.app, address: 10.240.0.4}
vsi2: {kind: instance, subnet: vpc1.app, address: 10.240.0.5, serves: [tcp/8080]}
web: {kind: security_group, targets: [vsi1], rules: [{dir: outbound}]}
db:
  kind: security_group
  targets: [vsi2]
  rules: [{dir: inbound, proto: tcp, port: 8080, peer: web}, {dir: inbound, proto: icmp}]
"""

    targets: tuple[str, ...] = option(
        ListOf(Ref(("instance", "endpoint_gateway", "location"))),
        "what has it, in one VPC: instances, endpoint gateways, locations of a custom resolver (cr.app)",
    )
    rules: tuple[RuleSpec, ...] = option(ListOf(RecordOf(RuleSpec)), "what passes; without any, nothing does", ())

    def names(self, me: str) -> dict[str, tuple[str, ...]]:
        return {me: ("security_group",)}

    def refuse(self, me: str, lab: Lab) -> None:
        refuse_targets(lab, (me, "targets"), self.targets, [_vpc(lab, target) for target in self.targets])
        for i, target in enumerate(self.targets):
            groups = [name for name, _ in groups_of(lab, target)]
            if me in groups[MOST:]:
                lab.fault((me, "targets", i), f"has {MOST} security groups already: {', '.join(groups[:MOST])}")
        known = [name for name, _ in lab.all(SecurityGroup)]
        for i, rule in enumerate(self.rules):
            refuse_ports(lab, (me, "rules", i), rule)
            if isinstance(rule.peer, str) and rule.peer not in known and not lab.unread(self.kind):
                what = "is neither a prefix, nor an address, nor the name of a security group"
                lab.fault((me, "rules", i, "peer"), what, did_you_mean(rule.peer, known))

    def place(self, me: str, lab: Lab) -> None:
        """It adds no node."""

    def join(self, me: str, lab: Lab) -> None:
        for target in self.targets:
            groups = groups_of(lab, target)
            if isinstance(lab.document.resources[lab.owner(target)], (Instance, CustomResolver)) and groups[0][0] == me:
                _filter(lab, target)


def groups_of(lab: Lab, target: str) -> list[tuple[str, SecurityGroup]]:
    """The security groups of an instance or endpoint gateway, by name, in the order written."""
    return [(name, each) for name, each in lab.all(SecurityGroup) if target in each.targets]


def let_through(lab: Lab, target: str, direction: str) -> Iterator[tuple[object, ...]]:
    """What iptables rules match for the packets that the groups of `target` let through, all nodes being placed."""
    for _, group in groups_of(lab, target):
        for rule in group.rules:
            if rule.dir == direction:
                yield from (words(rule, peer, _CHAINS[direction][1]) for peer in _peers(lab, rule))


def _filter(lab: Lab, instance: str) -> None:
    for direction, (chain, _) in _CHAINS.items():
        lab.net.rule(instance, "filter", chain, "-i" if chain == "INPUT" else "-o", "lo", "-j", "ACCEPT")
        lab.net.rule(instance, "filter", chain, *ESTABLISHED)
        for matched in let_through(lab, instance, direction):
            lab.net.rule(instance, "filter", chain, *matched, "-j", "ACCEPT")
    lab.net.otherwise(instance, "INPUT", "DROP")
    lab.net.otherwise(instance, "OUTPUT", "DROP")


def _peers(lab: Lab, rule: RuleSpec) -> tuple[IPv4Network, ...]:
    if isinstance(rule.peer, IPv4Network):
        return (rule.peer,)
    members = lab.get(rule.peer, SecurityGroup).targets
    return prefixes([plug.address.ip for plug in lab.net.plugs if plug.node in members])


def _vpc(lab: Lab, target: str) -> str:
    instance = lab.find(target, Instance)
    if instance:
        return vpc_of(lab, instance.subnet)
    return getattr(lab.document.resources.get(lab.owner(target)), "vpc", "")
