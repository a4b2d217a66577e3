"""Rules of packet filters as clouds write them: a direction, a protocol, ports, and the other side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from labctl.description.faults import Path
from labctl.description.record import option
from labctl.description.types import Choice, Word
from labctl.description.words import ADDRESS, NAME, PREFIX
from labctl.kinds.base import Lab
from labctl.kinds.vpc import Vpc
from labctl.model.network import host_prefix

ANY = IPv4Network("0.0.0.0/0")
ESTABLISHED = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")
"""The words of a rule for whatever belongs to a connection that was let through when it began."""

Ports = tuple[int, int]
"""The first and the last port of a range."""


def _ports(text: str) -> Ports:
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise ValueError("a port from 1 to 65535, or a range of them such as 8000-8080")
    return first, last


def shown_ports(ports: Ports) -> str:
    """A range as people write it."""
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"


PORTS = Word(
    "a port or a range of ports",
    _ports,
    pattern="[0-9]{1,5}(?:-[0-9]{1,5})?",
    like="8000-8080",
    about="numbers from 1 to 65535",
    show=shown_ports,
)


def _prefix(text: str) -> IPv4Network:
    if text == "any":
        return ANY
    return PREFIX.parse(text) if "/" in text else host_prefix(ADDRESS.parse(text))


def _peer(text: str) -> IPv4Network | str:
    if text != "any" and NAME.takes(text):
        return text
    return _prefix(text)


def _shown(peer: IPv4Network | str) -> str:
    if peer == ANY:
        return "any"
    return str(peer).removesuffix("/32")


_NUMBERS = "any|[0-9./]+"
RANGE = Word("a prefix, an address or any", _prefix, pattern=_NUMBERS, like="10.240.0.0/24", show=_shown)
PEER = Word(
    "a prefix, an address, the name of a security group, or any",
    _peer,
    pattern=f"{_NUMBERS}|{NAME.pattern}",
    like="10.240.0.0/24",
    show=_shown,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """What a security group lets through."""

    example: ClassVar[str] = "{dir: inbound, proto: tcp, port: 443, peer: 10.240.0.0/24}"
    never: ClassVar[dict[str, str]] = {"action": "a security group only allows; what no rule allows is dropped"}

    dir: str = option(Choice(("inbound", "outbound")), "whether the other side begins the connection, or the target")
    proto: str = option(Choice(("tcp", "udp", "icmp", "all")), "the protocol", "all")
    port: Ports | None = option(PORTS, "the port that is called; only with tcp and udp; not given: every port", None)
    peer: IPv4Network | str = option(
        PEER, "the other side: a prefix, an address, a security group (all of its targets), or any", ANY
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AclRuleSpec:
    """What a network ACL lets through, or does not."""

    example: ClassVar[str] = "{dir: inbound, action: deny, proto: tcp, port: 443, peer: 10.240.64.0/24}"

    dir: str = option(Choice(("inbound", "outbound")), "for packets that enter the subnet, or that leave it")
    action: str = option(Choice(("allow", "deny")), "what becomes of them")
    proto: str = option(Choice(("tcp", "udp", "icmp", "all")), "the protocol", "all")
    port: Ports | None = option(PORTS, "the destination port; only with tcp and udp; not given: every port", None)
    source_port: Ports | None = option(PORTS, "the source port likewise: answers come from the port called", None)
    peer: IPv4Network = option(RANGE, "the other side, outside the subnet: a prefix, an address, or any", ANY)


def refuse_ports(lab: Lab, path: Path, rule: RuleSpec | AclRuleSpec) -> None:
    """Faults where a rule names ports of a protocol that has none."""
    ports = {"port": rule.port, "source_port": rule.source_port if isinstance(rule, AclRuleSpec) else None}
    for field, value in ports.items():
        if value and rule.proto not in ("tcp", "udp"):
            lab.fault((*path, field), f"proto {rule.proto} has no ports", "say `proto: tcp` or `proto: udp`")


def refuse_targets(lab: Lab, path: Path, targets: Sequence[str], vpcs: Sequence[str]) -> None:
    """Faults where a target is named twice, or lies in another VPC (`vpcs`, "" if unknown) than the first."""
    first = next((vpc for vpc in vpcs if vpc), "")
    for i, (target, vpc) in enumerate(zip(targets, vpcs, strict=True)):
        if target in targets[:i]:
            lab.fault((*path, i), "is named twice")
        elif vpc and vpc != first:
            lab.fault((*path, i), f"is in {vpc}, and the others are in {first}: one for each VPC")


def vpc_of(lab: Lab, subnet: str) -> str:
    """The VPC that a subnet is in, "" if it is none of a VPC."""
    return lab.owner(subnet) if lab.find(subnet, Vpc) else ""


def words(rule: RuleSpec | AclRuleSpec, peer: IPv4Network, side: str) -> tuple[object, ...]:
    """What an iptables rule matches for `rule`, with `peer` on its `side`: -s or -d."""
    found: list[object] = [side, peer] if peer != ANY else []
    if rule.proto != "all":
        found += ["-p", rule.proto]
    if rule.port:
        found += ["--dport", _span(rule.port)]
    if isinstance(rule, AclRuleSpec) and rule.source_port:
        found += ["--sport", _span(rule.source_port)]
    return tuple(found)


def _span(ports: Ports) -> str:
    return shown_ports(ports).replace("-", ":")


def prefixes(addresses: Sequence[IPv4Address]) -> tuple[IPv4Network, ...]:
    """Each address as a prefix of its own."""
    return tuple(map(host_prefix, addresses))
