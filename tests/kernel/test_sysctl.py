"""Settings stick or are errors, concern one namespace, and a new node has those that keep probes honest."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel_lab import Lab

from labctl.errors import KernelError
from labctl.plan.objects import Namespace, Sysctl


def value(lab: Lab, node: str, name: str) -> str:
    return lab.run(node, "cat", "/proc/sys/" + name.replace(".", "/")).strip()


def test_a_setting_is_written_in_its_node_only(lab: Lab) -> None:
    lab.nodes("a", "b")
    host = Path("/proc/sys/net/ipv4/tcp_rmem").read_text()
    lab.make(Sysctl("a", "net.ipv4.tcp_rmem", "4096 8192 16384"))
    assert value(lab, "a", "net.ipv4.tcp_rmem").split() == ["4096", "8192", "16384"]
    assert value(lab, "b", "net.ipv4.tcp_rmem").split() != ["4096", "8192", "16384"]
    assert Path("/proc/sys/net/ipv4/tcp_rmem").read_text() == host


def test_a_setting_of_a_device_with_a_dot_in_its_name(lab: Lab) -> None:
    lab.nodes("a")
    lab.make(lab.veth("a", "eth0.5", "a", "peer"), Sysctl("a", "net.ipv4.conf.eth0/5.forwarding", "1"))
    assert lab.run("a", "cat", "/proc/sys/net/ipv4/conf/eth0.5/forwarding") == "1\n"


@pytest.mark.parametrize("forwarding", [False, True])
def test_a_new_node_has_the_settings_that_keep_probes_honest(lab: Lab, forwarding: bool) -> None:
    lab.make(Namespace("a", forwarding))
    lab.make(lab.veth("a", "eth0", "a", "eth1"))
    assert value(lab, "a", "net.ipv4.ip_forward") == str(int(forwarding))
    for name in ("rp_filter", "send_redirects", "accept_redirects"):
        for place in ("all", "default", "eth0"):
            assert value(lab, "a", f"net.ipv4.conf.{place}.{name}") == "0", (place, name)
    assert value(lab, "a", "net.ipv4.conf.all.ignore_routes_with_linkdown") == "1"
    assert value(lab, "a", "net.ipv4.icmp_ratemask") == "0"
    assert value(lab, "a", "net.ipv4.tcp_no_metrics_save") == "1"
    if Path("/proc/sys/net/ipv6/conf").exists():
        assert value(lab, "a", "net.ipv6.conf.eth0.disable_ipv6") == "1"


def test_forwarding_can_be_changed_and_redirects_stay_off(lab: Lab) -> None:
    lab.nodes("a")
    lab.change(Namespace("a", False), Namespace("a", True))
    assert value(lab, "a", "net.ipv4.ip_forward") == "1"
    lab.change(Namespace("a", True), Namespace("a", False))
    assert value(lab, "a", "net.ipv4.ip_forward") == "0"
    assert value(lab, "a", "net.ipv4.conf.all.accept_redirects") == "0"


def test_a_setting_that_does_not_exist_is_named(lab: Lab) -> None:
    lab.nodes("a")
    wrong = Sysctl("a", "net.ipv4.no_such_thing", "1")
    with pytest.raises(KernelError, match=r"net.ipv4.no_such_thing") as caught:
        lab.make(wrong)
    assert caught.value.subject == wrong


def test_a_value_that_is_refused_is_an_error(lab: Lab) -> None:
    lab.nodes("a")
    with pytest.raises(KernelError, match=r"cannot set net.ipv4.ip_default_ttl to 4711"):
        lab.make(Sysctl("a", "net.ipv4.ip_default_ttl", "4711"))


def test_a_value_that_does_not_stick_is_an_error(lab: Lab) -> None:
    lab.nodes("a")
    with pytest.raises(KernelError, match="was set to 010 but reads 8"):
        lab.make(Sysctl("a", "net.ipv4.ip_default_ttl", "010"))


@pytest.mark.parametrize("name", ["kernel.hostname", "net.../kernel.hostname", "net..ipv4", "vm.swappiness"])
def test_settings_of_the_host_are_out_of_reach(lab: Lab, name: str) -> None:
    lab.nodes("a")
    with pytest.raises(KernelError, match="is not a setting of a network namespace"):
        lab.make(Sysctl("a", name, "x"))
