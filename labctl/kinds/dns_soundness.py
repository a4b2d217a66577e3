"""What is wrong with a custom resolver: its places, its rules, and where the questions that it passes on end up."""

from __future__ import annotations

from ipaddress import IPv4Address

from labctl.description.faults import Path
from labctl.kinds.base import Lab
from labctl.kinds.custom_resolver import LOCATIONS, QUOTAS, CustomResolver
from labctl.kinds.dns_loops import Rule, Servers, longest, refuse_resolver_loops
from labctl.kinds.dns_server import DnsServer
from labctl.kinds.leases import has_names, private_names
from labctl.kinds.private_dns import private_addresses
from labctl.kinds.vpc import Vpc

NO_RULE: Rule = ((), "", ())


def refuse_resolver(me: str, resolver: CustomResolver, lab: Lab) -> None:
    """Report every rule that the custom resolver `me` breaks."""
    _refuse_places(me, resolver, lab)
    _refuse_number(me, resolver, lab)
    _refuse_zones(me, resolver, lab)
    _refuse_default(me, resolver, lab)
    for i, each in enumerate(resolver.secondary_zones):
        for j, address in enumerate(each.from_):
            _refuse_transfer((me, "secondary_zones", i, "from", j), each.zone, address, resolver, lab)
    if "rule_elsewhere" not in resolver.allow:
        _refuse_rules(me, resolver, lab)
    if "loop" not in resolver.allow:
        refuse_resolver_loops(me, resolver, lab)


def _refuse_places(me: str, resolver: CustomResolver, lab: Lab) -> None:
    twin = next((name for name, other in lab.all(CustomResolver) if other.vpc == resolver.vpc), me)
    if twin != me:
        lab.fault((me, "vpc"), f"has a custom resolver already: {twin}; a VPC has one", other=(twin, "vpc"))
    for i, each in enumerate(resolver.locations):
        path = (me, "locations", i)
        if i >= LOCATIONS:
            lab.fault(path, f"a custom resolver has at most {LOCATIONS} locations", value=str(each.address))
        elif lab.find(resolver.vpc, Vpc) and lab.subnet(each.subnet) and lab.owner(each.subnet) != resolver.vpc:
            lab.fault((*path, "subnet"), f"is no subnet of {resolver.vpc}, which the resolver serves")
        lab.claim_address((*path, "address"), each.address, lab.subnet(each.subnet))


def _refuse_number(me: str, resolver: CustomResolver, lab: Lab) -> None:
    most = QUOTAS[resolver.profile]
    larger = next((profile for profile, quota in QUOTAS.items() if quota > most), "")
    hint = f"`profile: {larger}` allows {QUOTAS[larger]}" if larger else ""
    counts = {"rules": len(resolver.rules), "secondary_zones": len(resolver.secondary_zones)}
    for field, count in counts.items():
        if count > most:
            what = field.replace("_", " ")
            lab.fault((me, field), f"{count} {what}, and {resolver.profile} allows {most}", hint, value="")


def _refuse_zones(me: str, resolver: CustomResolver, lab: Lab) -> None:
    seen: dict[str, Path] = {}
    for where, zone, servers in resolver.asked():
        path = (me, *where, "zone")
        first = seen.setdefault(zone, path)
        if first is not path:
            lab.fault(path, "has a rule or a copy already: one of them would never be used", other=first)
        field = "to" if where[0] == "rules" else "from"
        if not servers:
            lab.fault((me, *where, field), "a rule needs an upstream server to forward to", value=zone)
        _refuse_own((me, *where, field), servers, resolver, lab)


def _refuse_own(path: Path, servers: Servers, resolver: CustomResolver, lab: Lab) -> None:
    own = [each.address for each in resolver.locations]
    for i, address in enumerate(servers):
        if address in own:
            rule = "is a location of this very resolver: it would ask itself"
            lab.fault((*path, i), rule, value=str(address))


def _refuse_default(me: str, resolver: CustomResolver, lab: Lab) -> None:
    vpc, path = lab.find(resolver.vpc, Vpc), (me, "default")
    private = private_addresses(lab, vpc.on) if vpc else ()
    elsewhere = bool(resolver.default) and not set(private) & set(resolver.default or ())
    if resolver.default == ():
        lab.fault(path, "the default rule can be edited, and not deleted", "leave the field out for the private DNS")
    elif resolver.default is None and vpc and not private and not lab.unread("private_dns"):
        rule = f"the default rule has no server: there is no private_dns on the backbone of {resolver.vpc}"
        lab.fault((me,), rule, "add one, or say `default: [ADDRESS]`", value="")
    elif vpc and elsewhere and "default_elsewhere" not in resolver.allow and has_names(lab, resolver.vpc):
        rule = f"leaves out the private DNS: the private names of {resolver.vpc} would no longer resolve"
        lab.fault(path, rule, "`allow: [default_elsewhere]` if that is to be seen")
    _refuse_own(path, resolver.default or (), resolver, lab)


def _refuse_rules(me: str, resolver: CustomResolver, lab: Lab) -> None:
    """A rule or a copy that takes a private name of the VPC away from the private DNS, just as a default rule can."""
    vpc = lab.find(resolver.vpc, Vpc)
    private = set(private_addresses(lab, vpc.on)) if vpc else set()
    for name in private_names(lab, resolver.vpc) if private else ():
        zones = ((zone, (where, zone, servers)) for where, zone, servers in resolver.asked())
        where, zone, servers = longest(name, zones, NO_RULE)
        if where and (where[0] != "rules" or not private & set(servers)):
            rule = f"takes {name}, a private name of {resolver.vpc}, away from the private DNS"
            lab.fault((me, *where, "zone"), rule, "`allow: [rule_elsewhere]` if that is to be seen", value=zone)


def _refuse_transfer(path: Path, zone: str, address: IPv4Address, resolver: CustomResolver, lab: Lab) -> None:
    """A secondary zone whose server, where that is in the lab, does not have the zone or does not give it."""
    found = next(((name, each) for name, each in lab.all(DnsServer) if each.address == address), None)
    if found is None:
        return
    name, server = found
    if zone not in server.zones:
        lab.fault(path, f"{name} has no zone {zone}, so that there is nothing to copy", value=str(address))
        return
    missing = [each.address for each in resolver.locations if each.address not in server.transfer_to]
    if missing:
        rule = f"{name} does not allow its transfer to the location {missing[0]}"
        lab.fault(path, rule, f"every location must be in `transfer_to` of {name}", value=str(address))
