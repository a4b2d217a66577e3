from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from core_lab import POWER, VPN, plan_of
from hypothesis import given, settings
from hypothesis import strategies as st

from labctl.describe import describe
from labctl.model.services import Listen, PathWatcher, Server, WatchedPath
from labctl.plan.diff import diff
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
    Shaper,
    Step,
    Veth,
    XfrmInterface,
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


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_equal_plans_differ_by_nothing(topology: Path) -> None:
    described = describe(topology.read_bytes(), topology.name)
    assert diff(described.plan, describe(topology.read_bytes(), topology.name).plan) == ()


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
    ],
    ids=["route", "process", "namespace", "tunnel-mtu", "tunnel-down"],
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
    assert remade(swap(VETH, replace(VETH, mtu=9000))) == {
        *(VETH, ADDRESS, TUNNEL, ON_TUNNEL, BY_GATEWAY, SHAPER, WATCHER),
    }


def test_what_lies_on_a_device_on_a_device_made_anew_is_made_anew_too() -> None:
    gone = {ON_TUNNEL, WATCHER, TUNNEL}
    assert gone <= remade(swap(VETH, replace(VETH, mtu=9000)))
    assert remade(swap(TUNNEL, replace(TUNNEL, if_id=2))) == gone


def test_a_bridge_made_anew_takes_its_ports_along() -> None:
    assert {BRIDGE, VETH, ADDRESS, SHAPER, BY_GATEWAY} <= remade(swap(BRIDGE, replace(BRIDGE, mtu=9000)))


def test_an_address_that_changes_takes_the_routes_along_that_need_it() -> None:
    new = replace(ADDRESS, address=IPv4Interface("10.0.0.1/16"))
    found = steps(ALL, swap(ADDRESS, new))
    assert Delete(ADDRESS) in found
    assert Create(new) in found
    assert remade(swap(ADDRESS, new)) == {BY_GATEWAY, ON_TUNNEL}


def test_guards_and_servers_outlive_every_device() -> None:
    assert not {GUARD, SERVER, *SPACES} & remade(swap(BRIDGE, replace(BRIDGE, mtu=9000)))


def test_routes_of_other_namespaces_are_left_alone() -> None:
    other = (
        Namespace("m"),
        Veth(End("m", "eth0", "02:00:00:00:00:03"), End("s", "m", "02:00:00:00:00:04", "br0")),
        Address("m", "eth0", IPv4Interface("10.0.0.3/24")),
        Route("m", NET, via=IPv4Address("10.0.0.254")),
    )
    found = steps((*ALL, *other), (*swap(VETH, replace(VETH, mtu=9000)), *other))
    assert not [step for step in found if render_step(step)[2:].startswith("m:")]


def test_what_goes_goes_before_anything_comes() -> None:
    found = steps(ALL, swap(VETH, replace(VETH, mtu=9000)))
    kinds = [type(step) for step in found]
    assert kinds == sorted(kinds, key=lambda kind: kind is not Delete)


def key(each: KernelObject) -> tuple[type, object]:
    return type(each), each.identity


def apply(old: Plan, found: tuple[Step, ...]) -> dict[tuple[type, object], KernelObject]:
    """Carry out the steps on a table of objects, as strictly as a kernel would."""
    there = {key(each): each for each in old.objects}
    for step in found:
        match step:
            case Create(new=new):
                assert key(new) not in there
                there[key(new)] = new
            case Delete(old=gone):
                assert there.pop(key(gone)) == gone
            case Change(old=before, new=after):
                assert there[key(after)] == before != after
                there[key(after)] = after
    return there


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


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(st.sampled_from([POWER_PLAN, VPN_PLAN]).flatmap(lambda base: st.tuples(some_of(base), some_of(base))))
def test_the_steps_from_a_to_b_carried_out_on_a_give_exactly_b(pair: tuple[Plan, Plan]) -> None:
    old, new = pair
    assert apply(old, diff(old, new)) == {key(each): each for each in new.objects}


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(some_of(VPN_PLAN), some_of(VPN_PLAN))
def test_nothing_that_stays_lies_on_a_device_that_is_gone_for_a_while(old: Plan, new: Plan) -> None:
    found = diff(old, new)
    gone = {
        (end.namespace, end.name)
        for step in found
        if isinstance(step, Delete) and isinstance(step.old, Veth)
        for end in (step.old.a, step.old.b)
    }
    touched = {key(step.old if isinstance(step, Delete) else step.new) for step in found}
    for each in old.objects:
        if isinstance(each, (Address, Shaper, XfrmInterface)) and (each.namespace, each.device) in gone:
            assert key(each) in touched


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_a_change_and_its_undoing_lead_back(topology: Path) -> None:
    described = describe(topology.read_bytes(), topology.name)
    usual = {key(each): each for each in described.plan.objects}
    for other in described.changed.values():
        assert apply(described.plan, diff(described.plan, other)) == {key(each): each for each in other.objects}
        assert apply(other, diff(other, described.plan)) == usual


def test_a_step_is_written_with_its_sign() -> None:
    assert render_step(Create(ADDRESS)) == "+ n: address 10.0.0.1/24 on eth0"
    assert render_step(Delete(SHAPER)) == "- s: delay 10 ms on n"
    assert (
        render_step(Change(TUNNEL, replace(TUNNEL, up=False))) == "~ n: xfrm interface t1 if_id 1 on eth0 mtu 1400 down"
    )
    assert render_step(Create(replace(SHAPER, jitter_ms=2.5))) == "+ s: delay 10 ms and up to 2.5 ms more or less on n"
