from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from core_lab import POWER, VPN, plan_of
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_model import Kernel, key, table

from labctl.description.checks import EditSpec
from labctl.description.document import parse
from labctl.description.edit import edited
from labctl.description.record import RecordOf
from labctl.description.sources import read_tree
from labctl.description.tree import Mapping, Tree
from labctl.description.types import Reading, Refused
from labctl.kinds.registry import ALIASES, KINDS
from labctl.kinds.resolve import resolve
from labctl.model.services import Listen, PathWatcher, Resolver, Server, WatchedPath
from labctl.plan.compile import compile_plan
from labctl.plan.diff import back, diff
from labctl.plan.foreign import Foreign, Removal
from labctl.plan.objects import (
    Address,
    Bridge,
    Change,
    Create,
    Delete,
    End,
    Gre,
    KernelObject,
    Namespace,
    Plan,
    Process,
    Route,
    Ruleset,
    Shaper,
    Step,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)
from labctl.plan.render import render_step

TOPOLOGIES = sorted((Path(__file__).resolve().parents[2] / "topologies").glob("*.yaml"))

IP = IPv4Address("10.0.0.1")
NET = IPv4Network("172.16.0.0/16")
SPACES = (Namespace("n"), Namespace("s"))
BRIDGE = Bridge("s", "br0")
VETH = Veth(End("n", "eth0", "02:00:00:00:00:01"), End("s", "n", "02:00:00:00:00:02", "br0"))
ADDRESS = Address("n", "eth0", IPv4Interface("10.0.0.1/24"))
TUNNEL = XfrmInterface("n", "t1", 1, "eth0", 1400)
ON_TUNNEL = Route("n", NET, device="t1", source=IP)
BY_GATEWAY = Route("n", IPv4Network("0.0.0.0/0"), via=IPv4Address("10.0.0.254"))
GUARD = Route("n", NET, type="unreachable", metric=4_000_000)
SHAPER = Shaper("s", "n", 10)
WATCH = WatchedPath("t1", "t1", "eth0", IP, IPv4Address("172.16.0.1"), 200, 3, (NET,), 100, IP)
WATCHER = Process("n", "watcher", PathWatcher((WATCH,)))
SERVER = Process("n", "server", Server("n", (Listen("tcp", 80),)))
ALL = (*SPACES, BRIDGE, VETH, TUNNEL, ADDRESS, ON_TUNNEL, BY_GATEWAY, GUARD, SHAPER, WATCHER, SERVER)


OTHER_VETH = replace(VETH, b=replace(VETH.b, name="other"))


def plan(*objects: KernelObject) -> Plan:
    return Plan("x", objects)


def steps(old: tuple[KernelObject, ...], new: tuple[KernelObject, ...]) -> list[Step]:
    return list(diff(plan(*old), plan(*new)))


def swap(old: KernelObject, new: KernelObject) -> tuple[KernelObject, ...]:
    assert old in ALL
    return tuple(new if each == old else each for each in ALL)


def remade(new: tuple[KernelObject, ...]) -> set[KernelObject]:
    """What is deleted and created again on the way from ALL to `new`."""
    found = steps(ALL, new)
    created = {(type(step.new), step.new.identity) for step in found if isinstance(step, Create)}
    return {step.old for step in found if isinstance(step, Delete) and (type(step.old), step.old.identity) in created}


@lru_cache
def written(topology: str, *edits: str) -> Plan | None:
    """The plan of a shipped topology after `edits`; None where they do not make sense together."""
    path = next(path for path in TOPOLOGIES if path.stem == topology)
    tree = read_tree(path.read_bytes(), path.name)
    for text in edits:
        reading = Reading(read_tree(text.encode(), "edit"))
        try:
            tree = edited(tree, RecordOf(EditSpec).read(reading.tree.root, (), reading))
        except Refused:
            return None
    document = parse(Tree(tree.source, without_claims(tree.root)), KINDS, ALIASES)
    net = resolve(document)
    return None if document.reading.faults else compile_plan(document.name, net)


def without_claims(root: Mapping) -> Mapping:
    entries = {name: each for name, each in root.entries.items() if name not in ("checks", "drills", "changes")}
    return Mapping(entries, root.keys, root.mark)


def sound(topology: str, *edits: str) -> Plan:
    found = written(topology, *edits)
    assert found is not None
    return found


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_equal_plans_differ_by_nothing(topology: Path) -> None:
    assert diff(sound(topology.stem), sound(topology.stem, "{}")) == ()


def test_from_nothing_everything_is_made_in_order() -> None:
    assert list(diff(None, plan(*ALL))) == [Create(each) for each in ALL]


def test_to_nothing_everything_goes_in_the_reverse_order() -> None:
    assert list(diff(plan(*ALL), plan())) == [Delete(each) for each in reversed(ALL)]


def test_what_is_new_is_made_and_nothing_else() -> None:
    new = Route("n", IPv4Network("192.168.0.0/16"), via=IPv4Address("10.0.0.9"))
    assert steps(ALL, (*ALL, new)) == [Create(new)]


def test_what_is_gone_is_removed_and_nothing_else() -> None:
    assert steps(ALL, tuple(each for each in ALL if each != GUARD)) == [Delete(GUARD)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (BY_GATEWAY, replace(BY_GATEWAY, via=IPv4Address("10.0.0.253"))),
        (SERVER, replace(SERVER, program=Server("n", (Listen("udp", 53),)))),
        (SPACES[0], replace(SPACES[0], forwarding=True)),
        (TUNNEL, replace(TUNNEL, mtu=1300)),
        (TUNNEL, replace(TUNNEL, up=False)),
        (VETH, replace(VETH, mtu=1400)),
        (BRIDGE, replace(BRIDGE, mtu=1400)),
        (SHAPER, replace(SHAPER, delay_ms=20)),
    ],
    ids=["route", "process", "namespace", "tunnel-mtu", "tunnel-down", "link-mtu", "bridge-mtu", "shaper"],
)
def test_what_can_change_in_place_does(old: KernelObject, new: KernelObject) -> None:
    assert steps(ALL, swap(old, new)) == [Change(old, new)]


def test_a_gre_device_changes_in_place_only_in_what_the_kernel_can_change() -> None:
    gre = Gre("n", "g", IP, IPv4Address("10.0.0.2"), 1476)
    for new in (replace(gre, up=False), replace(gre, mtu=1400)):
        assert steps((*SPACES, gre), (*SPACES, new)) == [Change(gre, new)]
    for new in (replace(gre, remote=IPv4Address("10.0.0.3")), replace(gre, key=7), replace(gre, ttl=1)):
        assert steps((*SPACES, gre), (*SPACES, new)) == [Delete(gre), Create(new)]


def test_a_device_made_anew_takes_its_addresses_and_routes_along() -> None:
    assert remade(swap(VETH, OTHER_VETH)) == {
        *(VETH, ADDRESS, TUNNEL, ON_TUNNEL, BY_GATEWAY, WATCHER),
    }


def test_what_lies_on_a_device_on_a_device_made_anew_is_made_anew_too() -> None:
    gone = {ON_TUNNEL, WATCHER, TUNNEL}
    assert gone <= remade(swap(VETH, OTHER_VETH))
    assert remade(swap(TUNNEL, replace(TUNNEL, if_id=2))) == gone


def test_guards_and_servers_outlive_every_device() -> None:
    assert not {GUARD, SERVER, *SPACES} & remade(swap(VETH, OTHER_VETH))


def test_an_address_gets_another_length_before_it_loses_the_old_one_so_that_its_routes_stay() -> None:
    new = replace(ADDRESS, address=IPv4Interface("10.0.0.1/16"))
    assert steps(ALL, swap(ADDRESS, new)) == [Create(new), Delete(ADDRESS)]


def test_a_route_moves_to_another_device_before_its_old_one_goes() -> None:
    other = XfrmInterface("n", "t2", 2, "eth0", 1400)
    new = tuple(each for each in swap(ON_TUNNEL, replace(ON_TUNNEL, device="t2")) if each not in (TUNNEL, WATCHER))
    found = steps(ALL, (*new[:4], other, *new[4:]))
    assert found == [Create(other), Change(ON_TUNNEL, replace(ON_TUNNEL, device="t2")), Delete(WATCHER), Delete(TUNNEL)]


def test_routes_of_other_namespaces_are_left_alone() -> None:
    other = (
        Namespace("m"),
        Veth(End("m", "eth0", "02:00:00:00:00:03"), End("s", "m", "02:00:00:00:00:04", "br0")),
        Address("m", "eth0", IPv4Interface("10.0.0.3/24")),
        Route("m", NET, via=IPv4Address("10.0.0.254")),
    )
    found = steps((*ALL, *other), (*swap(VETH, OTHER_VETH), *other))
    assert not [step for step in found if render_step(step)[2:].startswith("m:")]


# ---- make before break


NODES = (Namespace("a"), Namespace("b"), Namespace("s"), Bridge("s", "br0"))


def plugged(node: str, address: str) -> tuple[KernelObject, ...]:
    link = Veth(End(node, "eth0", f"02:00:00:00:00:{node}1"), End("s", node, f"02:00:00:00:00:{node}2", "br0"))
    return link, Address(node, "eth0", IPv4Interface(address))


def test_what_comes_comes_before_anything_goes() -> None:
    new = Route("n", IPv4Network("192.168.0.0/16"), via=IPv4Address("10.0.0.9"))
    changed = replace(BY_GATEWAY, via=IPv4Address("10.0.0.253"))
    found = steps(ALL, tuple(changed if each == BY_GATEWAY else each for each in (new, *ALL) if each != GUARD))
    assert found == [Create(new), Change(BY_GATEWAY, changed), Delete(GUARD)]


def test_an_address_that_moves_to_another_node_leaves_the_old_one_first() -> None:
    old = (*NODES, *plugged("a", "10.0.0.1/24"), *plugged("b", "10.0.0.2/24"))
    new = (*NODES, *plugged("a", "10.0.0.3/24"), *plugged("b", "10.0.0.1/24"))
    link = plugged("a", "10.0.0.1/24")[0]
    a1, b2, a3, b1 = old[5], old[7], new[5], new[7]
    assert steps(old, new) == [Create(a3), Delete(a1), Create(b1), Delete(b2)]
    gone = (*NODES[1:], *plugged("b", "10.0.0.1/24"))
    assert steps(old, gone) == [Delete(a1), Create(b1), Delete(b2), Delete(link), Delete(NODES[0])]


def test_two_tunnels_never_ask_for_one_number_or_one_pair_of_ends_at_a_time() -> None:
    renamed = XfrmInterface("n", "t9", 1, "eth0", 1400)
    old = tuple(each for each in ALL if each not in (ON_TUNNEL, WATCHER))
    assert steps(old, tuple(renamed if each == TUNNEL else each for each in old)) == [Delete(TUNNEL), Create(renamed)]
    gre, other = (Gre("n", name, IP, IPv4Address("10.0.0.2"), 1476) for name in ("g1", "g2"))
    assert steps((*SPACES, gre), (*SPACES, other)) == [Delete(gre), Create(other)]
    assert steps((*SPACES, gre), (*SPACES, replace(other, key=7))) == [Create(replace(other, key=7)), Delete(gre)]


def test_a_route_that_a_path_watcher_lets_go_is_made_after_that_and_the_other_way_round() -> None:
    second = replace(WATCH, name="t2", metric=200)
    with_both, with_one = (Process("n", "watcher", PathWatcher(paths)) for paths in ((WATCH, second), (second,)))
    base = tuple(each for each in ALL if each not in (WATCHER, ON_TUNNEL))
    static = Route("n", NET, device="t1", source=IP, metric=100)
    assert steps((*base, with_both), (*base, static, with_one)) == [Change(with_both, with_one), Create(static)]
    assert steps((*base, static, with_one), (*base, with_both)) == [Delete(static), Change(with_one, with_both)]


def test_a_port_is_let_go_by_one_program_before_another_listens_there() -> None:
    dns = Process("n", "resolver", Resolver((IP,), ()))
    taking = replace(SERVER, program=Server("n", (Listen("udp", 53),)))
    base = tuple(each for each in ALL if each != SERVER)
    assert steps((*base, dns), (*base, taking)) == [Delete(dns), Create(taking)]
    assert steps((*base, SERVER, dns), (*base, taking)) == [Delete(dns), Change(SERVER, taking)]
    assert steps((*base, taking), (*base, SERVER, dns)) == [Change(taking, SERVER), Create(dns)]


def test_a_watcher_goes_on_watching_the_paths_whose_devices_stay() -> None:
    device, wan = XfrmInterface("n", "t2", 2, "eth1", 1400), plugged("n", "10.0.9.1/24")[0]
    assert isinstance(wan, Veth)
    wan = replace(wan, a=replace(wan.a, name="eth1"), b=replace(wan.b, name="n2"))
    second = replace(WATCH, name="t2", device="t2", carrier="eth1", metric=200)
    both = Process("n", "watcher", PathWatcher((WATCH, second)))
    faster = Process("n", "watcher", PathWatcher((replace(WATCH, interval_ms=100), replace(second, interval_ms=100))))
    old = (*(each for each in ALL if each != WATCHER), wan, device, both)
    anew = replace(TUNNEL, if_id=7)
    new = tuple(anew if each == TUNNEL else faster if each == both else each for each in old)
    kept = replace(both, program=PathWatcher((second,)))
    assert steps(old, new) == [
        *(Change(both, kept), Delete(ON_TUNNEL), Delete(TUNNEL)),
        *(Create(anew), Create(ON_TUNNEL), Change(kept, faster)),
    ]


def test_a_policy_changes_in_place_and_an_association_does_not() -> None:
    ends = (IP, IPv4Address("10.0.0.2"))
    policy = XfrmPolicy("n", "out", NET, NET, "protect", 1, ends)
    assert steps((*SPACES, policy), (*SPACES, replace(policy, outer=(ends[1], ends[0])))) == [
        Change(policy, replace(policy, outer=(ends[1], ends[0])))
    ]
    state = XfrmState("n", *ends, 1, "aes128-gcm", "k", 1)
    other = replace(state, cipher="aes256-gcm")
    assert steps((*SPACES, state), (*SPACES, other)) == [Delete(state), Create(other)]


# -- from what was observed


def test_what_is_wrong_with_a_link_is_put_right_in_place() -> None:
    ends = replace(VETH.a, mac="02:00:00:00:00:99", up=False), replace(VETH.b, master=None)
    for wrong in (replace(VETH, a=ends[0]), replace(VETH, b=ends[1]), replace(VETH, mtu=1400)):
        base = tuple(each for each in ALL if each != WATCHER)
        assert steps(tuple(wrong if each == VETH else each for each in base), base) == [Change(wrong, VETH)]


def test_what_stands_where_something_is_to_be_goes_first() -> None:
    foreign = Foreign("n", "device eth0 (bridge)", Removal(0, 17, ""), (("device", "n", "eth0"),))
    gone = (VETH, ADDRESS, TUNNEL, ON_TUNNEL, BY_GATEWAY, SHAPER, WATCHER)
    found = steps((*(each for each in ALL if each not in gone), foreign), ALL)
    assert found == [Delete(foreign), *(Create(each) for each in ALL if each in gone)]


def test_a_program_in_a_namespace_that_is_lost_is_ended_and_started_in_its_own() -> None:
    astray = replace(SERVER, astray=True)
    lost = tuple(astray if each == SERVER else each for each in ALL if each != SPACES[0])
    assert steps(lost, ALL) == [Create(SPACES[0]), Delete(astray), Create(SERVER)]


def test_a_watcher_begins_anew_with_the_paths_whose_device_was_gone_or_down() -> None:
    second = replace(WATCH, name="t2", device="t2", metric=200)
    device = XfrmInterface("n", "t2", 2, "eth0", 1400)
    both = Process("n", "watcher", PathWatcher((WATCH, second)))
    all_ = (*(each for each in ALL if each != WATCHER), device, both)
    kept = replace(both, program=PathWatcher((WATCH,)))
    assert steps(tuple(each for each in all_ if each != device), all_) == [
        *(Create(device), Change(both, kept), Change(kept, both)),
    ]
    down = replace(device, up=False)
    assert steps(tuple(down if each == device else each for each in all_), all_) == [
        *(Change(down, device), Change(both, kept), Change(kept, both)),
    ]


def test_a_route_whose_next_hop_is_behind_another_device_names_that_while_both_are_there() -> None:
    other = replace(VETH, a=replace(VETH.a, name="eth9"), b=replace(VETH.b, name="n9"))
    moved = replace(ADDRESS, device="eth9")
    base = tuple(each for each in ALL if each not in (TUNNEL, ON_TUNNEL, WATCHER, SHAPER))
    new = tuple({VETH: other, ADDRESS: moved}.get(each, each) for each in base)
    assert steps(base, new) == [
        *(Create(other), Create(moved), Change(BY_GATEWAY, replace(BY_GATEWAY, device="eth9"))),
        *(Delete(ADDRESS), Delete(VETH)),
    ]


def test_the_way_back_makes_nothing_that_only_others_could_make() -> None:
    foreign = Foreign("n", "device own (bridge)", Removal(0, 17, ""))
    unknown = XfrmState("n", IP, IPv4Address("10.0.0.2"), 1, "aes128-gcm", "", 1)
    assert back((Delete(foreign), Delete(unknown), Delete(GUARD))) == (Delete(GUARD), Create(GUARD))


POWER_PLAN, VPN_PLAN = plan_of(POWER), plan_of(VPN)


def variants(each: KernelObject) -> list[KernelObject]:
    """`each`, and itself with another setting where it has one."""
    if isinstance(each, (Veth, Bridge, Gre, XfrmInterface)):
        return [each, replace(each, mtu=1280)]
    if isinstance(each, Namespace):
        return [each, replace(each, forwarding=not each.forwarding)]
    if isinstance(each, Route):
        return [each, replace(each, source=IPv4Address("192.0.2.1"))]
    return [each]


@st.composite
def some_of(draw: st.DrawFn, base: Plan) -> Plan:
    kept = draw(st.lists(st.sampled_from(range(len(base.objects))), max_size=60, unique=True))
    return plan(*(draw(st.sampled_from(variants(base.objects[i]))) for i in sorted(kept)))


def carried_out(old: Plan, new: Plan) -> set[KernelObject]:
    """Take every step on a model of the kernel; what was gone for a while though both plans have it, and alike."""
    kernel, missed = Kernel(old), set()
    stays = {each for word, each in table(old).items() if table(new).get(word) == each}
    for step in diff(old, new):
        kernel.take(step)
        missed |= stays.difference(as_asked(kernel.there, new).values())
    assert as_asked(kernel.there, new) == table(new)
    return missed


def as_asked(there: dict[tuple[type, object], KernelObject], new: Plan) -> dict[tuple[type, object], KernelObject]:
    """Routes that name the device behind which their next hop is, as the plan has them: by the next hop alone."""
    wanted = table(new)
    return {
        word: wanted[word] if isinstance(each, Route) and replace(each, device=None) == wanted.get(word) else each
        for word, each in there.items()
    }


def strict(old: Plan, new: Plan) -> dict[tuple[type, object], KernelObject]:
    """Take every step on a table of objects, whatever they lie on."""
    there = table(old)
    for step in diff(old, new):
        match step:
            case Create(new=made):
                assert key(made) not in there
                there[key(made)] = made
            case Delete(old=gone):
                assert there.pop(key(gone)) == gone
            case Change(old=before, new=after):
                assert there[key(after)] == before != after
                there[key(after)] = after
    return there


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(st.sampled_from([POWER_PLAN, VPN_PLAN]).flatmap(lambda base: st.tuples(some_of(base), some_of(base))))
def test_the_steps_from_a_to_b_carried_out_on_a_give_exactly_b(pair: tuple[Plan, Plan]) -> None:
    old, new = pair
    assert strict(old, new) == table(new)


HARMLESS = {
    "vpn-dc-failover": (
        "set: {t1.weight: 0, t2.weight: 100}",
        "set: {t1.weight: 70}",
        "set: {t1.check.interval: 100ms, t1.check.count: 5}",
        "set: {t1.mtu: 1300, t2.mtu: 1300}",
        "set: {t1.inbound_clear: bypass, t2.inbound_clear: bypass}",
        "set: {isp1.delay: 20ms}",
        "add: {vpc1.subnets.far: {zone: b, prefix: 10.1.0.0/24}, t1.selectors.local: 10.1.0.0/24,"
        " t2.selectors.local: 10.1.0.0/24}",
        "add: {vpc1.subnets.db: {zone: b, prefix: 10.0.2.0/24}}",
        "add: {ecs2: {kind: instance, subnet: vpc1.app, address: 10.0.1.11, serves: [tcp/80]}}",
        "add: {dc.hosts: {dc2: 172.16.10.11}}",
        "add: {ecs1.serves: udp/53}",
        "remove: [t1]",
        "remove: [t2]",
        "remove: [web, intruder]",
        "remove: [ecs1.serves]",
    ),
    "pvs-ipsec-gre-byoip": (
        "add: {power.subnets.own2: {prefix: 192.168.51.0/24, byoip: true, lpars: {lpar2: 192.168.51.10}},"
        " byoip.carries.a: 192.168.51.0/24, vpn.selectors.local: 192.168.51.0/24}",
        "add: {power.subnets.plain.lpars: {lpar3: 10.150.0.11}}",
        "add: {cnet.subnets.db: {prefix: 10.148.252.128/26}}",
        "add: {vra.static_routes: {to: 172.16.9.0/24, via: private}}",
        "set: {byoip.when_down: follow_default}",
        "set: {byoip.mtu: 1400, vpn.mtu: 1280}",
        "set: {power.serves: [tcp/22, tcp/443]}",
        "remove: [jump]",
    ),
    "vpe-subnet": (
        "add: {vpc1.subnets.db: {zone: z2, prefix: 10.240.64.0/24}, vpegw-a.ips.z2: 10.240.64.9}",
        "add: {vsi3: {kind: instance, subnet: vpc1.app, address: 10.240.0.5}}",
        "set: {kms-a.ports: [tcp/443, tcp/8443]}",
        "add: {kms-c: {kind: cloud_service, on: bb, fqdn: kms-c.private.us-south.example.com, address: 166.9.20.12,"
        " ports: [tcp/443]}, vpegw-c: {kind: endpoint_gateway, vpc: vpc1, target: kms-c, ips: {z1: 10.240.0.11}}}",
        "remove: [vpegw-b, sg-b]",
        "remove: [vpegw-a, kms-a]",
        "remove: [vpegw-b, sg-b, kms-b]",
        "remove: [client]",
    ),
}
"""Edits that leave alone whatever they do not name."""

OTHERS = {
    "vpn-dc-failover": (
        "set: {t1.cipher: aes256-gcm}",
        "set: {gw.addresses: {isp1: 198.51.100.11, isp2: 203.0.113.10}}",
        "set: {ecs1.address: 10.0.1.12}",
        "set: {web.address: 198.51.100.66, intruder.address: 198.51.100.200}",
        "set: {cgw.addresses: {isp1: 198.51.100.10, isp2: 203.0.113.20}, gw.addresses: {isp1: 198.51.100.20,"
        " isp2: 203.0.113.10}}",
        "remove: [t2]\nset: {t1.local: gw.isp2, t1.remote: cgw.isp2}",
        "add: {t0: {kind: ipsec_connection, local: gw.isp1, remote: cgw.isp2, weight: 10,"
        " selectors: {local: 10.0.0.0/16, remote: 172.16.10.0/24}, check: {from: 10.0.1.2, to: 172.16.10.1}}}",
        "remove: [t2, t1.check]",
        "set: {vpc1.subnets.app.prefix: 10.0.0.0/22}",
        "remove: [t1, t2, cgw, gw]",
    ),
    "pvs-ipsec-gre-byoip": (
        "set: {byoip.enabled: false}",
        "set: {byoip.outer: {a: 172.16.3.2, b: 10.148.252.83}}",
        "set: {vpn.cipher: aes128-gcm}",
        "set: {jump.address: 10.148.252.71}",
        "set: {byoip.inner: {a: 172.16.3.6/30, b: 172.16.3.5/30}}",
        "set: {dl.peering: 169.254.254.4/30}",
        "remove: [byoip, power.subnets.own]",
        "remove: [vpn]",
    ),
    "vpe-subnet": (
        "set: {vpegw-a.target: kms-b, vpegw-b.target: kms-a}",
        "set: {vpegw-a.ips.z1: 10.240.0.10, vpegw-b.ips.z1: 10.240.0.9}",
        "set: {vpegw-a.ips.z1: 10.240.0.11}",
        "set: {kms-a.address: 166.9.20.12}",
        "add: {vpc0: {kind: vpc, on: bb, subnets: {app: {zone: z1, prefix: 10.242.0.0/24}}}}",
        "set: {pdns.addresses: [161.26.0.7]}",
        "remove: [vpc2, vsi2]",
    ),
}


@pytest.mark.parametrize(
    ("topology", "edit"), [(topology, edit) for topology, edits in HARMLESS.items() for edit in edits]
)
def test_a_harmless_edit_and_its_undoing_leave_alone_what_they_do_not_name(topology: str, edit: str) -> None:
    usual, other = sound(topology), sound(topology, edit)
    assert usual != other
    for one, another in ((usual, other), (other, usual)):
        assert carried_out(one, another) == set()
        goes = [isinstance(step, Delete) for step in diff(one, another)]
        assert goes == sorted(goes), "something goes before all has come"


@pytest.mark.parametrize(
    ("topology", "edit"), [(topology, edit) for topology, edits in OTHERS.items() for edit in edits]
)
def test_any_edit_and_its_undoing_can_be_carried_out(topology: str, edit: str) -> None:
    usual, other = sound(topology), sound(topology, edit)
    assert usual != other
    for one, another in ((usual, other), (other, usual)):
        assert_excused(one, another, carried_out(one, another))


def assert_excused(old: Plan, new: Plan, missed: set[KernelObject]) -> None:
    """What was gone for a while lies where a device or an address of the same node had to go."""
    gone = {step.old for step in diff(old, new) if isinstance(step, Delete)}
    moved = [each for each in gone if isinstance(each, (Veth, Gre, XfrmInterface, Address))]
    nodes = {each.a.namespace if isinstance(each, Veth) else each.namespace for each in moved}
    nodes |= {each.b.namespace for each in moved if isinstance(each, Veth)}
    assert {getattr(each, "namespace", "") for each in missed} <= nodes
    assert not [each for each in missed if isinstance(each, (Namespace, Bridge, Ruleset, XfrmPolicy, XfrmState))]


def tolerant(there: dict[tuple[type, object], KernelObject], found: Sequence[Step]) -> None:
    """Take the steps as the kernel does on the way back: what is gone already may be deleted."""
    for step in found:
        match step:
            case Create(new=new):
                assert key(new) not in there
                there[key(new)] = new
            case Delete(old=old):
                there.pop(key(old), None)
            case Change(new=new):
                there[key(new)] = new


@pytest.mark.parametrize(
    ("topology", "edit"), [(topology, edit) for topology, edits in OTHERS.items() for edit in edits]
)
def test_from_any_step_there_is_a_way_back(topology: str, edit: str) -> None:
    """Some of the last steps were told and not carried out, since messages travel together."""
    usual, found = sound(topology), diff(sound(topology), sound(topology, edit))
    for number in range(len(found) + 1):
        there = table(usual)
        tolerant(there, found[: max(0, number - number % 4)])
        tolerant(there, back(found[:number]))
        assert there == table(usual)


@st.composite
def two_edits(draw: st.DrawFn) -> tuple[Plan, Plan]:
    """Two plans that edits of one shipped topology lead to, one of them perhaps the topology itself."""
    topology = draw(st.sampled_from(sorted(HARMLESS)))
    catalogue = [*HARMLESS[topology], *OTHERS[topology]]
    found = []
    for _ in range(2):
        wanted = draw(st.lists(st.sampled_from(catalogue), max_size=4, unique=True))
        edits: tuple[str, ...] = ()
        for edit in wanted:
            edits = (*edits, edit) if written(topology, *edits, edit) else edits
        found.append(sound(topology, *edits))
    return found[0], found[1]


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(two_edits())
def test_nothing_is_missing_at_any_step_between_two_descriptions_but_what_had_to_make_way(
    plans: tuple[Plan, Plan],
) -> None:
    assert_excused(*plans, carried_out(*plans))


def test_a_step_is_written_with_its_sign() -> None:
    assert render_step(Create(ADDRESS)) == "+ n: address 10.0.0.1/24 on eth0"
    assert render_step(Delete(SHAPER)) == "- s: delay 10 ms on n"
    assert (
        render_step(Change(TUNNEL, replace(TUNNEL, up=False))) == "~ n: xfrm interface t1 if_id 1 on eth0 mtu 1400 down"
    )
    assert render_step(Create(replace(SHAPER, jitter_ms=2.5))) == "+ s: delay 10 ms and up to 2.5 ms more or less on n"
