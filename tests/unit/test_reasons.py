"""Each step says why it is taken: what the description asks for, what the kernel has, what lies on what."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from labctl.model.services import Listen, Server
from labctl.plan.foreign import Foreign, Removal
from labctl.plan.objects import (
    Address,
    Bridge,
    End,
    KernelObject,
    Namespace,
    Plan,
    Process,
    Route,
    Ruleset,
    Shaper,
    Veth,
    XfrmState,
)
from labctl.plan.reasons import differences
from labctl.plan.render import render_step

NODE, SEGMENT = Namespace("n", forwarding=True), Namespace("s")
BRIDGE = Bridge("s", "br0")
LINK = Veth(End("n", "eth0", "02:00:00:00:00:01"), End("s", "n", "02:00:00:00:00:02", "br0"))
ADDRESS = Address("n", "eth0", IPv4Interface("10.0.0.1/24"))
ROUTE = Route("n", IPv4Network("0.0.0.0/0"), via=IPv4Address("10.0.0.254"))
RULES = Ruleset("n", (("filter", (":FORWARD DROP [0:0]", "-A FORWARD -s 10.0.0.0/8 -j ACCEPT")),))
SERVER = Process("n", "server", Server("n", (Listen("tcp", 80),)))
STATE = XfrmState("n", IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), 7, "aes128-gcm", "t.ab", 1)
SHAPER = Shaper("s", "n", delay_ms=10)
ALL: tuple[KernelObject, ...] = (NODE, SEGMENT, BRIDGE, LINK, ADDRESS, STATE, RULES, ROUTE, SHAPER, SERVER)

FOREIGN = Foreign("n", "device own (bridge)", Removal(0, 17, ""), (("device", "n", "own"),))


def plan(*objects: KernelObject) -> Plan:
    return Plan("x", objects)


def told(
    present: tuple[KernelObject, ...],
    wanted: tuple[KernelObject, ...] = ALL,
    applied: tuple[KernelObject, ...] | None = ALL,
) -> list[str]:
    found = differences(plan(*applied) if applied is not None else None, plan(*present), plan(*wanted))
    return [f"{render_step(each.step)[0]} {each.reason}" for each in found]


def without(*gone: KernelObject) -> tuple[KernelObject, ...]:
    return tuple(each for each in ALL if each not in gone)


def swap(old: KernelObject, new: KernelObject) -> tuple[KernelObject, ...]:
    return tuple(new if each == old else each for each in ALL)


def test_what_is_as_it_should_be_is_not_told() -> None:
    assert told(ALL) == []


def test_what_the_description_asks_for_and_no_longer_asks_for() -> None:
    assert told(without(ROUTE), ALL, without(ROUTE)) == ["+ the description asks for it now"]
    assert told(ALL, without(ROUTE), ALL) == ["- the description no longer asks for it"]


def test_what_is_gone_and_what_was_made_by_hand() -> None:
    assert told(without(ROUTE)) == ["+ it is gone from the kernel"]
    own = replace(ROUTE, to=IPv4Network("192.0.2.0/24"))
    assert told((*ALL, own, FOREIGN)) == ["- made by hand", "- made by hand"]


def test_what_is_left_of_a_command_that_was_killed_is_not_blamed_on_a_hand() -> None:
    own = replace(ROUTE, to=IPv4Network("192.0.2.0/24"))
    assert told((*ALL, own), ALL, None) == ["- left by a command that was killed, or made by hand"]


def test_what_went_with_something_else_says_with_what() -> None:
    assert told(without(LINK, ADDRESS, ROUTE, SHAPER)) == [
        "+ it is gone from the kernel",
        "+ it went with device eth0 of n",
        "+ it went with device eth0 of n",
        "+ it went with device n of s",
    ]
    nothing = (SEGMENT, BRIDGE)
    assert "+ it went with namespace n" in told(nothing)


def test_what_the_kernel_has_that_nobody_asked_for() -> None:
    down = replace(LINK, a=replace(LINK.a, up=False), mtu=1400)
    assert told(swap(LINK, down)) == ["~ the kernel has mtu 1400, eth0 of n down"]
    assert told(swap(NODE, replace(NODE, forwarding=False))) == ["~ the kernel has forwarding off"]
    assert told(swap(NODE, replace(NODE, altered=("lo is down",)))) == ["~ the kernel has it so that lo is down"]
    assert told(swap(SHAPER, replace(SHAPER, delay_ms=20.0))) == ["~ the kernel has delay 20 ms"]
    other = replace(ROUTE, via=IPv4Address("10.0.0.9"))
    assert told(swap(ROUTE, other)) == ["~ the kernel has via 10.0.0.9"]
    assert told(swap(SERVER, replace(SERVER, program=Server("n", ())))) == ["~ the kernel has other settings for it"]


def test_a_change_of_the_description_is_told_apart_from_one_by_hand() -> None:
    wanted, both = replace(SHAPER, delay_ms=30.0), replace(SHAPER, rate_bit=1_000_000)
    assert told(ALL, swap(SHAPER, wanted)) == ["~ the description asks for delay 30 ms now"]
    assert told(swap(SHAPER, both), swap(SHAPER, wanted)) == [
        "~ the kernel has rate 1000000 bit/s; the description asks for delay 30 ms now"
    ]


def test_rules_are_told_line_by_line_however_they_are_written() -> None:
    more = Ruleset(
        "n", (("filter", (":FORWARD DROP [0:0]", "-A FORWARD -j ACCEPT -s 10.0.0.0/8", "-A INPUT -j DROP")),)
    )
    assert told(swap(RULES, more)) == ["~ the kernel has filter -A INPUT -j DROP"]
    less = Ruleset("n", (("filter", ("-A FORWARD -s 10.0.0.0/8 -j ACCEPT",)),))
    assert told(swap(RULES, less)) == ["~ the kernel has no filter :FORWARD DROP [0:0]"]
    assert told(ALL, swap(RULES, more)) == ["~ the description asks for filter -A INPUT -j DROP now"]


def test_what_is_made_anew_says_why_or_what_it_lies_on() -> None:
    lost = told(swap(STATE, replace(STATE, key="")))
    assert lost == [f"{sign} made anew: the kernel has a key that is none of the lab's" for sign in "-+"]
    astray = told(swap(SERVER, replace(SERVER, astray=True)))
    assert {each[2:] for each in astray} == {
        "made anew: the kernel has it in a namespace that is not the node's any more"
    }


def test_no_key_is_ever_told() -> None:
    assert "t.ab" not in " ".join(told(without(STATE)) + told(swap(STATE, replace(STATE, key=""))))
