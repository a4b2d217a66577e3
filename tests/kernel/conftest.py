"""Every test here works in namespaces of its own, under temporary paths, and needs root on the kernel it runs on.

`@pytest.mark.needs("gre")` names a mechanism that the test cannot do without; whether the kernel has it is found out
by making one. Where it is missing the test is skipped with the kernel's reason, or, with LABCTL_TEST_REQUIRE_ALL=1 in
the environment, fails with it.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from kernel_lab import Lab

from labctl.breaking import Breaker
from labctl.errors import LabError
from labctl.kernel import netns
from labctl.kernel.faults import inject
from labctl.kernel.paths import Paths
from labctl.plan.faults import Blackhole, Drop, Port
from labctl.plan.objects import Bridge, Geneve, Gre, KernelObject, Namespace, Ruleset, Shaper, XfrmInterface, XfrmState

_HERE, _THERE = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")

PROBES: dict[str, tuple[KernelObject, ...]] = {
    "namespaces": (),
    "gre": (Gre("probe", "gre1", _HERE, _THERE, 1400),),
    "esp": (
        XfrmState("probe", _HERE, _THERE, 1000, "aes256-gcm", "gcm", 1),
        XfrmState("probe", _HERE, _THERE, 1001, "aes256-cbc-sha256", "cbc", 1),
    ),
    "xfrm-interface": (XfrmInterface("probe", "xfrm1", 7, "lo", 1400),),
    "netem": (Shaper("probe", "lo", 10.0),),
    "tbf": (Shaper("probe", "lo", rate_bit=1_000_000),),
    "iptables": (Ruleset("probe", (("nat", ("-A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE",)),)),),
    "drop": (),
    "budget": (),
    "geneve": (
        Bridge("probe", "br0"),
        Geneve("probe", "gnv1", 7, _HERE, _THERE, 1400, "02:00:00:00:00:01", "br0"),
    ),
}


@functools.cache
def missing(mechanism: str) -> str:
    """Why `mechanism` cannot be had here, or ""."""
    with tempfile.TemporaryDirectory() as place:
        paths = Paths("probe", run=Path(place, "run"), netns=Path(place, "netns"))
        try:
            lab = Lab(paths, keys={"gcm": bytes(range(36)), "cbc": bytes(range(64))})
            lab.make(Namespace("probe"), *PROBES[mechanism])
            if mechanism == "drop":
                inject(paths, Blackhole((Port("probe", "lo"),)))
            if mechanism == "budget":
                Breaker(paths, {}).inject(Drop((Port("probe", "lo"),), 1))
        except LabError as error:
            return f"this machine has no {mechanism}: {error}"
        finally:
            netns.destroy(paths)
    return ""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(mechanism): a kernel mechanism that the test cannot do without")
    config.addinivalue_line("markers", "once: long, and run only on a kernel that has every mechanism")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if any(item.iter_markers("once")) and any(map(missing, PROBES)):
        pytest.skip("long: it runs with the whole suite on a kernel that has everything")
    wanted = ["namespaces", *(name for mark in item.iter_markers("needs") for name in mark.args)]
    reason = next(filter(None, map(missing, wanted)), "")
    if reason and os.environ.get("LABCTL_TEST_REQUIRE_ALL") == "1":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    """The places of a lab `t`, all of them temporary; its namespaces end with the test."""
    paths = Paths("t", run=tmp_path / "run", netns=tmp_path / "netns")
    yield paths
    netns.destroy(paths)


@pytest.fixture
def lab(paths: Paths) -> Lab:
    """An empty lab to make objects in."""
    return Lab(paths)


@pytest.fixture
def pair(lab: Lab) -> Lab:
    """Two nodes, `left` 10.0.0.1/24 and `right` 10.0.0.2/24, joined by the veth `eth0`."""
    lab.nodes("left", "right")
    lab.wire("left", "eth0", "10.0.0.1/24", "right", "eth0", "10.0.0.2/24")
    return lab


@pytest.fixture
def wan(lab: Lab) -> Lab:
    """`a` - `gwa` - `wan` - `gwb` - `b`: 10.1.0.0/24, 198.51.100.0/30, 203.0.113.0/30, 10.2.0.0/24.

    The gateways reach each other; `wan` knows neither of the networks behind them.
    """
    lab.nodes("a", "b")
    lab.nodes("gwa", "wan", "gwb", forwarding=True)
    lab.wire("a", "eth0", "10.1.0.2/24", "gwa", "lan", "10.1.0.1/24")
    lab.wire("gwa", "wan", "198.51.100.2/30", "wan", "wa", "198.51.100.1/30")
    lab.wire("wan", "wb", "203.0.113.1/30", "gwb", "wan", "203.0.113.2/30")
    lab.wire("gwb", "lan", "10.2.0.1/24", "b", "eth0", "10.2.0.2/24")
    everywhere = IPv4Network("0.0.0.0/0")
    for node, via in (("a", "10.1.0.1"), ("b", "10.2.0.1"), ("gwa", "198.51.100.1"), ("gwb", "203.0.113.1")):
        lab.route(node, str(everywhere), via=via)
    return lab
