from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import get_args, get_type_hints

import pytest

from labctl.plan.faults import Blackhole, Degrade, Drop, Flap, Freeze, Kill, LinkDown, Port, Rekey
from labctl.plan.needs import MEANS, Mechanism, needs
from labctl.plan.objects import (
    Address,
    Bridge,
    End,
    Geneve,
    Gre,
    KernelObject,
    Namespace,
    Neighbour,
    Plan,
    Route,
    RouteRule,
    Ruleset,
    Shaper,
    Sysctl,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)

A, B = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
NET = IPv4Network("198.51.100.0/24")


def state(cipher: str) -> XfrmState:
    return XfrmState("gw", A, B, 0x1001, cipher, "k1", 7)  # type: ignore[arg-type]


EACH: list[tuple[KernelObject, tuple[str, ...]]] = [
    (Namespace("vpc1"), ("netns", "program:ip")),
    (Veth(End("a", "eth0", "02:00:00:00:00:01"), End("b", "eth0", "02:00:00:00:00:02")), ("veth",)),
    (Bridge("net", "br0"), ("bridge",)),
    (Neighbour("a", "eth0", A, "02:00:00:00:00:02"), ()),
    (Gre("gw", "gre1", A, B, 1476), ("gre",)),
    (Geneve("gw", "seg-b", 7, A, B, 1450, "02:00:00:00:00:01", "seg"), ("geneve",)),
    (RouteRule("gw", 1000, 7, NET), ("policy-routing",)),
    (Route("gw", NET, via=B, table=7), ("policy-routing",)),
    (XfrmInterface("gw", "xfrm1", 7, "eth0", 1400), ("xfrm-interface",)),
    (state("aes128-gcm"), ("esp-aes128-gcm",)),
    (state("aes256-cbc-sha256"), ("esp-aes256-cbc-sha256",)),
    (XfrmPolicy("gw", "out", NET, NET, "discard"), ("xfrm-policy",)),
    (Shaper("gw", "eth0", 5.0), ("netem", "program:tc")),
    (Shaper("gw", "eth0", rate_bit=1000), ("program:tc", "tbf")),
    (Shaper("gw", "eth0", 5.0, rate_bit=1000), ("netem", "program:tc", "tbf")),
    (Address("gw", "eth0", IPv4Interface("192.0.2.1/24")), ()),
    (Route("gw", NET, via=B), ()),
    (Sysctl("gw", "net.ipv4.icmp_ratelimit", "0"), ()),
]


@pytest.mark.parametrize(("item", "mechanisms"), EACH, ids=lambda value: type(value).__name__)
def test_an_object_needs_its_own_mechanism(item: KernelObject, mechanisms: tuple[str, ...]) -> None:
    assert needs(Plan("x", (item,))) == mechanisms


def test_every_cipher_of_the_plan_is_a_mechanism() -> None:
    ciphers = get_args(get_type_hints(XfrmState)["cipher"])
    assert ciphers
    for cipher in ciphers:
        assert needs(Plan("x", (state(cipher),))) == (f"esp-{cipher}",)


def test_rules_need_their_tables_and_extensions() -> None:
    ruleset = Ruleset(
        "gw",
        (
            ("filter", (":FORWARD DROP [0:0]", "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT")),
            ("nat", ("-A POSTROUTING -o eth0 -j MASQUERADE",)),
            ("mangle", ("-A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1360",)),
        ),
    )
    assert needs(Plan("x", (ruleset,))) == (
        "iptables",
        "iptables-conntrack",
        "iptables-mangle",
        "iptables-nat",
        "iptables-tcpmss",
        "program:iptables-restore",
    )


def test_a_table_that_is_not_used_is_not_needed() -> None:
    assert "iptables-nat" not in needs(Plan("x", (Ruleset("gw", (("filter", ()),)),)))


def test_needs_are_sorted_and_named_once() -> None:
    plan = Plan("x", (Namespace("b"), Bridge("b", "br0"), Namespace("a")))
    assert needs(plan) == ("bridge", "netns", "program:ip")


def test_a_fault_needs_what_puts_it_in() -> None:
    port = (Port("s", "p"),)
    esp = state("aes256-gcm")
    for fault, wanted in (
        (LinkDown(port), ()),
        (Flap(port, 1, 1, 1), ()),
        (Kill((), port), ()),
        (Blackhole(port), ("clsact", "clsact-u32", "program:tc")),
        (Freeze((), port), ("clsact", "clsact-u32", "program:tc")),
        (Freeze(()), ()),
        (Drop(port, 1), ("clsact", "clsact-bpf", "program:tc")),
        (Degrade((), (Shaper("s", "p", loss_percent=5.0),)), ("netem", "program:tc")),
        (Degrade((), (Shaper("s", "p", 5.0, rate_bit=1000),)), ("netem", "program:tc", "tbf")),
        (Rekey((esp,), (esp,)), ("esp-aes256-gcm",)),
    ):
        assert needs(Plan("x", ()), [fault]) == wanted


def test_every_mechanism_is_explained() -> None:
    assert set(MEANS) == set(get_args(Mechanism))
    for mechanism, means in MEANS.items():
        assert means.what
        assert bool(means.options) != mechanism.startswith("program:")
        assert all(option.startswith("CONFIG_") for option in means.options)
