import ctypes
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labctl.kernel.doctor import probe
from labctl.kernel.fingerprint import Difference, Fingerprint, differences, take

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

CLONE_NEWNET = 0x40000000
# The rest belongs to the whole machine, where other tests are at work.
NETWORK = ("links", "addresses", "routes", "rules", "firewall", "sysctls", "xfrm", "qdiscs")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def changes_of(act: Callable[[], None], tmp_path: Path) -> dict[str, Difference]:
    """What `act`, done in a network namespace of its own, changes there."""

    def both() -> tuple[Fingerprint, Fingerprint]:
        assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
        ip("link", "set", "dev", "lo", "up")
        before = take(run=tmp_path, netns=tmp_path, etc=tmp_path)
        act()
        return before, take(run=tmp_path, netns=tmp_path, etc=tmp_path)

    with ThreadPoolExecutor(1) as pool:  # a thread that ends takes its namespace with it
        found = differences(*pool.submit(both).result())
    return {difference.section: difference for difference in found if difference.section in NETWORK}


def add_veth_and_route() -> None:
    ip("link", "add", "name", "veth1", "type", "veth", "peer", "name", "veth2")
    ip("address", "add", "192.0.2.1/24", "dev", "veth1")
    ip("link", "set", "dev", "veth1", "up")
    ip("route", "add", "198.51.100.0/24", "via", "192.0.2.9", "dev", "veth1", "table", "77", "onlink")
    ip("rule", "add", "from", "192.0.2.1", "table", "77", "priority", "1000")


def test_every_change_of_the_network_is_named(tmp_path: Path) -> None:
    found = changes_of(add_veth_and_route, tmp_path)
    assert [line.split()[0] for line in found["links"].added] == ["veth1", "veth2"]
    assert any(line.startswith("veth1 192.0.2.1 ") for line in found["addresses"].added)
    assert any(line.startswith("198.51.100.0/24 ") and "table 77" in line for line in found["routes"].added)
    assert [line.split()[:2] for line in found["rules"].added] == [["inet", "1000"]]
    assert not any(difference.removed for difference in found.values())


def test_a_sysctl_and_a_firewall_rule_are_named(tmp_path: Path) -> None:
    def act() -> None:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        subprocess.run(["iptables", "-A", "FORWARD", "-i", "lo", "-j", "DROP"], check=True)

    found = changes_of(act, tmp_path)
    assert "net.ipv4.ip_forward = 1" in found["sysctls"].added
    assert any("-A FORWARD -i lo -j DROP" in line for line in found["firewall"].added)


def test_an_xfrm_policy_and_a_qdisc_are_named(tmp_path: Path) -> None:
    def act() -> None:
        ip("xfrm", "policy", "add", "src", "192.0.2.1", "dst", "192.0.2.2", "dir", "out", "action", "block")
        subprocess.run(["tc", "qdisc", "add", "dev", "lo", "clsact"], check=True)

    found = changes_of(act, tmp_path)
    assert any("dst 192.0.2.2/32" in line for line in found["xfrm"].added)
    assert any(line.startswith("qdisc clsact") for line in found["qdiscs"].added)


def test_doing_nothing_changes_nothing(tmp_path: Path) -> None:
    assert changes_of(lambda: None, tmp_path) == {}


def test_the_doctors_trials_change_nothing(tmp_path: Path) -> None:
    def act() -> None:
        probe(("veth", "bridge", "iptables-nat", "clsact", "xfrm-policy"))

    assert changes_of(act, tmp_path) == {}


def test_a_process_left_behind_is_named(tmp_path: Path) -> None:
    before = take(run=tmp_path, netns=tmp_path, etc=tmp_path)
    left = subprocess.Popen(["sleep", "30"])
    deadline = time.monotonic() + 5
    try:
        # A command line can be read a moment after exec only: until then the program looks like a kernel thread.
        while not Path(f"/proc/{left.pid}/cmdline").read_bytes():
            assert time.monotonic() < deadline
        after = take(run=tmp_path, netns=tmp_path, etc=tmp_path)
    finally:
        left.kill()
        left.wait()
    (found,) = (difference for difference in differences(before, after) if difference.section == "processes")
    assert any(line.startswith(f"{left.pid}@") and line.endswith("sleep 30") for line in found.added)
