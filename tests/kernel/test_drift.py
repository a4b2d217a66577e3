"""What is changed by hand in a lab is found, named and repaired, and then nothing is left: as the distribution's own
tools see it, too.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apply_lab import Converging, watched
from edits import base
from kernel_lab import Lab
from live_lab import Connection
from reading import differing, reading

from labctl.kernel import netns
from labctl.kernel.paths import Paths
from labctl.plan.render import render_step

Hand = Callable[[Converging], object]

IPSEC = pytest.mark.needs("esp", "xfrm-interface", "iptables", "netem")
GRE = pytest.mark.needs("gre", "esp", "xfrm-interface", "iptables", "netem")


def ip(node: str, *lines: str) -> Hand:
    """Commands of iproute2 in a node."""

    def act(lab: Converging) -> None:
        for line in lines:
            Lab(lab.paths).run(node, *line.split())

    return act


def unbind(lab: Converging) -> None:
    """What `ip netns del` does."""
    subprocess.run(["umount", lab.paths.namespace("pdns")], check=True)
    lab.paths.namespace("pdns").unlink()
    lab.paths.link("pdns").unlink()


def kill_server(lab: Converging) -> None:
    [pid] = [each.pid for each in lab.keeper.status() if each.namespace == "kms-b"]
    os.kill(pid, signal.SIGKILL)
    while [each for each in lab.keeper.status() if (each.pid, each.state) == (pid, "running")]:
        time.sleep(0.01)


def kill_supervisor(lab: Converging) -> None:
    pids = [pid for _, pid in lab.keeper.programs()]
    parent = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    while any(Path(f"/proc/{pid}").exists() for pid in (parent, *pids)):
        time.sleep(0.01)


def other_key(lab: Converging) -> None:
    """An association with the same numbers, and a key of its own."""
    text = Lab(lab.paths).run("gw", "ip", "xfrm", "state", "list")
    first = text.split("\nsrc ")[0].removeprefix("src ")
    words = first.split()
    there = ["src", words[0], "dst", words[2], "proto", "esp", "spi", words[words.index("spi") + 1]]
    rest = ["reqid", words[words.index("reqid") + 1], "mode", "tunnel", "if_id", words[words.index("if_id") + 1]]
    run = Lab(lab.paths).run
    run("gw", "ip", "xfrm", "state", "delete", *there[2:4], *there[4:])
    key = "0x" + "5a" * 20
    run("gw", "ip", "xfrm", "state", "add", *there, *rest, "flag", "af-unspec", "aead", "rfc4106(gcm(aes))", key, "128")


FOUND: dict[str, tuple[Hand, tuple[str, ...]]] = {
    "a route deleted": (
        ip("vsi1", "ip route del default"),
        ("+ vsi1: route 0.0.0.0/0 via 10.240.0.1 (it is gone from the kernel)",),
    ),
    "a route by another way": (
        ip("vsi1", "ip route replace default via 10.240.0.9"),
        ("~ vsi1: route 0.0.0.0/0 via 10.240.0.1 (the kernel has via 10.240.0.9",),
    ),
    "a route added": (
        ip("vsi1", "ip route add 192.0.2.0/24 via 10.240.0.1"),
        ("- vsi1: route 192.0.2.0/24 via 10.240.0.1", "(made by hand)"),
    ),
    "routes of other kinds": (
        ip("vsi1", "ip route add prohibit 192.0.2.0/25", "ip route add blackhole 192.0.2.128/25"),
        ("- vsi1: route 192.0.2.0/25 of a kind", "- vsi1: route 192.0.2.128/25 blackhole"),
    ),
    "an address deleted": (
        ip("vsi2", "ip address del 10.241.0.4/24 dev vpc2-app"),
        ("+ vsi2: address 10.241.0.4/24", "+ vsi2: route 0.0.0.0/0 via 10.241.0.1"),
    ),
    "an address added": (
        ip("vsi2", "ip address add 10.241.0.77/24 dev vpc2-app", "ip address add 192.0.2.1/32 dev lo"),
        ("- vsi2: address 10.241.0.77/24", "- vsi2: address 192.0.2.1/32 on lo (made by hand)"),
    ),
    "a rule of the firewall added": (
        ip("vpegw-a", "iptables -A FORWARD -s 192.0.2.1 -j DROP"),
        ("~ vpegw-a: iptables", "(the kernel has filter -A FORWARD -s 192.0.2.1/32 -j DROP)"),
    ),
    "a rule of the firewall deleted": (
        ip("vpegw-a", "iptables -t nat -F PREROUTING"),
        (
            "~ vpegw-a: iptables",
            "(the kernel has no nat -A PREROUTING",
        ),
    ),
    "a chain that drops": (
        ip("vpegw-a", "iptables -P FORWARD ACCEPT"),
        ("~ vpegw-a: iptables", "(the kernel has no filter :FORWARD DROP"),
    ),
    "a firewall where none was": (
        ip("vsi1", "iptables -A INPUT -p icmp -j DROP", "iptables -N own"),
        ("- vsi1: iptables filter", "(made by hand)"),
    ),
    "a link down": (
        ip("client", "ip link set inet-0 down"),
        ("~ client: veth inet-0", "(the kernel has inet-0 of client down)", "+ client: route 0.0.0.0/0"),
    ),
    "a port of a segment down": (
        ip("vpc1.app", "ip link set vsi1 down"),
        ("~ vsi1: veth vpc1-app", "(the kernel has vsi1 of vpc1.app down)"),
    ),
    "a segment down": (ip("vpc1.app", "ip link set br0 down"), ("~ vpc1.app: bridge br0", "(the kernel has it down)")),
    "another MTU": (ip("kms-a", "ip link set inet-0 mtu 1400"), ("~ kms-a: veth inet-0", "(the kernel has mtu 1400)")),
    "another MTU of a segment": (
        ip("vpc1.app", "ip link set br0 mtu 1300"),
        ("~ vpc1.app: bridge br0", "(the kernel has mtu 1300)"),
    ),
    "another MAC address": (
        ip("vsi1", "ip link set vpc1-app address 02:00:00:00:00:77"),
        ("~ vsi1: veth vpc1-app", "(the kernel has vpc1-app of vsi1 at 02:00:00:00:00:77)"),
    ),
    "a port unplugged": (
        ip("vpc1.app", "ip link set vsi1 nomaster"),
        ("~ vsi1: veth vpc1-app", "(the kernel has vsi1 of vpc1.app as no port)"),
    ),
    "a loopback down": (
        ip("kms-b", "ip link set lo down"),
        ("~ kms-b: namespace", "(the kernel has it so that lo is down"),
    ),
    "a router that forwards no more": (
        ip("bb", "sysctl -q -w net.ipv4.ip_forward=0"),
        ("~ bb: namespace, forwarding", "(the kernel has forwarding off)"),
    ),
    "a link deleted": (
        ip("vsi1", "ip link del vpc1-app"),
        ("+ vsi1: veth vpc1-app", "+ vsi1: route 0.0.0.0/0 via 10.240.0.1 (it went with device vpc1-app of vsi1)"),
    ),
    "a link replaced": (
        ip("vsi1", "ip link del vpc1-app", "ip link add vpc1-app type veth peer name other"),
        ("- vsi1: device vpc1-app (veth)", "- vsi1: device other (veth)", "+ vsi1: veth vpc1-app"),
    ),
    "a device added": (
        ip("vsi1", "ip link add own type bridge", "ip address add 192.0.2.9/24 dev own", "ip link set own up"),
        ("- vsi1: device own (bridge) (made by hand)",),
    ),
    "a rule of routing added": (
        ip("vsi1", "ip rule add from 192.0.2.1 lookup 100"),
        ("- vsi1: rule 32765 from 192.0.2.1/32 table 100 (made by hand)",),
    ),
    "rules of routing of other kinds": (
        ip("vsi1", "ip rule add fwmark 1 lookup 100 priority 7", "ip rule add to 192.0.2.1 prohibit priority 8"),
        ("- vsi1: routing rule 7 of a kind of its own, to table 100 (made by hand)", "- vsi1: routing rule 8 of"),
    ),
    "a rule of routing of the kernel's own deleted": (
        ip("vsi1", "ip rule del priority 32767"),
        ("~ vsi1: namespace", "(the kernel has it so that it lacks routing rule 32767 to table 253)"),
    ),
    "routes added to other tables": (
        ip(
            "vsi1",
            "ip route add 192.0.2.0/24 via 10.240.0.1 table 100",
            "ip route add prohibit default table 4000",
            "ip route add local 192.0.2.0/24 dev lo",
        ),
        (
            "- vsi1: route 192.0.2.0/24 via 10.240.0.1 dev vpc1-app table 100 (made by hand)",
            "- vsi1: route 0.0.0.0/0 of a kind or service of its own, metric 0, table 4000 (made by hand)",
            "- vsi1: route 192.0.2.0/24 of a kind or service of its own, metric 0, table 255 (made by hand)",
        ),
    ),
    "a neighbour fixed": (
        ip("vsi1", "ip neigh add 10.240.0.77 lladdr 02:00:00:00:00:09 dev vpc1-app nud permanent"),
        ("- vsi1: neighbour 10.240.0.77", "(made by hand)"),
    ),
    "a namespace gone": (
        unbind,
        (
            *("+ pdns: namespace (it is gone from the kernel)", "+ pdns: veth bb", "- pdns: process resolver"),
            "- bb: device pdns (veth) (in the way: device pdns of bb is made anew)",
            *("+ pdns: process resolver", "the kernel has it in a namespace that is not the node's any more"),
        ),
    ),
    "a namespace without its name": (
        lambda lab: lab.paths.link("vsi1").unlink(),
        ("~ vsi1: namespace", "it has no name in"),
    ),
    "a namespace too many": (
        lambda lab: lab.paths.namespace("extra").touch(),
        ("- extra: namespace (made by hand)",),
    ),
    "a program killed": (kill_server, ("+ kms-b: process server", "(it is gone from the kernel)")),
    "every program killed": (
        kill_supervisor,
        ("+ kms-b: process server", "+ kms-a: process server", "+ pdns: process resolver"),
    ),
}
FOUND_IN_VPN: dict[str, tuple[Hand, tuple[str, ...]]] = {
    "associations deleted": (ip("gw", "ip xfrm state flush"), ("+ gw: esp", "(it is gone from the kernel)")),
    "an association with another key": (
        other_key,
        ("- gw: esp", "+ gw: esp", "(made anew: the kernel has", "a key that is none of the lab's"),
    ),
    "an association added": (
        ip(
            "gw", "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto ah spi 7 mode transport auth sha1 0x" + "11" * 20
        ),
        ("- gw: association to 192.0.2.2 spi 0x7 (made by hand)",),
    ),
    "policies deleted": (ip("cgw", "ip xfrm policy flush"), ("+ cgw: policy in", "+ cgw: policy out")),
    "policies added": (
        ip(
            "gw",
            "ip xfrm policy add src 192.0.2.0/24 dst 192.0.3.0/24 dir out action block",
            "ip xfrm policy add src 192.0.4.0/24 dst 192.0.3.0/24 proto tcp dir in action block",
        ),
        ("- gw: policy out 192.0.2.0/24 to 192.0.3.0/24 discard", "- gw: policy in 192.0.4.0/24 to 192.0.3.0/24 index"),
    ),
    "a tunnel down": (ip("gw", "ip link set t1 down"), ("~ gw: xfrm interface t1", "(the kernel has it down)")),
    "a tunnel deleted": (ip("gw", "ip link del t1"), ("+ gw: xfrm interface t1", "~ gw: process watcher")),
    "a delay gone": (ip("isp1.0", "tc qdisc del dev gw root"), ("+ isp1.0: delay 10 ms on gw",)),
    "another delay": (
        ip("isp1.0", "tc qdisc change dev gw root netem delay 99ms limit 100000"),
        ("~ isp1.0: delay 10 ms on gw", "(the kernel has delay 99 ms)"),
    ),
    "a line made slow": (
        ip("gw", "tc qdisc add dev isp1-0 root tbf rate 1mbit burst 2000 limit 15000"),
        ("- gw: queue tbf on isp1-0 (made by hand)",),
    ),
    "filters": (
        ip(
            "gw",
            "tc qdisc add dev isp1-0 clsact",
            "tc filter add dev isp1-0 egress protocol all prio 1 u32 match u32 0 0 action drop",
        ),
        ("- gw: filters clsact on isp1-0 (made by hand)",),
    ),
}
FOUND_IN_GRE: dict[str, tuple[Hand, tuple[str, ...]]] = {
    "another time to live": (
        ip("vra", "ip link set byoip type gre local 10.148.252.83 remote 172.16.3.1 ttl 9"),
        ("- vra: gre byoip", "+ vra: gre byoip", "the kernel has ttl 9"),
    ),
    "a GRE tunnel deleted": (ip("power", "ip link del byoip"), ("+ power: gre byoip", "it went with device byoip")),
}

FOUND_IN_OVERLAY: dict[str, tuple[Hand, tuple[str, ...]]] = {
    "a tunnel that passes on what came by another": (
        ip("esxi1", "ip link set nsx-seg-a-esxi2 type bridge_slave isolated off"),
        ("~ esxi1: geneve nsx-seg-a-esxi2", "(the kernel has it not isolated from other tunnels)"),
    ),
    "a tunnel to somewhere else": (
        ip("esxi1", "ip link set nsx-seg-a-esxi2 type geneve id 5001 remote 10.240.2.99"),
        ("~ esxi1: geneve nsx-seg-a-esxi2", "(the kernel has remote 10.240.2.99)"),
    ),
    "a tunnel of an overlay deleted": (
        ip("esxi1", "ip link del nsx-seg-a-esxi2"),
        ("+ esxi1: geneve nsx-seg-a-esxi2", "(it is gone from the kernel)"),
    ),
    "a part of an overlay deleted": (
        ip("esxi1", "ip link del nsx-seg-a"),
        ("+ esxi1: bridge nsx-seg-a", "~ esxi1: geneve nsx-seg-a-esxi2", "(the kernel has no bridge)"),
    ),
    "the virtual address where it cannot be": (
        ip("esxi1", "ip address add 192.168.0.10/32 dev lo"),
        ("- esxi1: address 192.168.0.10/32 on lo (made by hand)",),
    ),
}


@pytest.fixture(scope="module")
def made() -> Iterator[dict[str, Converging]]:
    """The labs that are up, by topology: every test leaves its lab as it was."""
    labs: dict[str, Converging] = {}
    yield labs
    for each in labs.values():
        each.end()


def up(made: dict[str, Converging], topology: str, places: pytest.TempPathFactory) -> Converging:
    if topology not in made:
        place = places.mktemp(topology)
        made[topology] = Converging(Paths("t", place / "run", place / "netns"), base(topology))
    return made[topology]


def repaired(lab: Converging, hand: Hand, lines: tuple[str, ...]) -> None:
    """What `hand` does is found, named by `lines`, repaired, and gone."""
    apart = watched(lab.described.plan)
    assert lab.differences() == ()
    before = reading(lab.paths, apart)
    hand(lab)
    found = [f"{render_step(each.step)} ({each.reason})" for each in lab.differences()]
    missing = [line for line in lines if not any(line in each for each in found)]
    rounds = 0
    while lab.differences():
        lab.apply(lab.described)
        rounds += 1
        assert rounds < 3, [f"{render_step(each.step)} ({each.reason})" for each in lab.differences()]
    assert differing(reading(lab.paths, apart), before) == []
    assert missing == [], "\n".join(found)


@pytest.mark.needs("iptables")
@pytest.mark.parametrize("what", FOUND)
def test_what_was_done_by_hand_is_found_and_repaired(
    what: str, made: dict[str, Converging], tmp_path_factory: pytest.TempPathFactory
) -> None:
    repaired(up(made, "vpe-subnet", tmp_path_factory), *FOUND[what])


@IPSEC
@pytest.mark.parametrize("what", FOUND_IN_VPN)
def test_what_was_done_to_tunnels_and_lines_is_found_and_repaired(
    what: str, made: dict[str, Converging], tmp_path_factory: pytest.TempPathFactory
) -> None:
    repaired(up(made, "vpn-dc-failover", tmp_path_factory), *FOUND_IN_VPN[what])


@GRE
@pytest.mark.parametrize("what", FOUND_IN_GRE)
def test_what_was_done_to_a_gre_tunnel_is_found_and_repaired(
    what: str, made: dict[str, Converging], tmp_path_factory: pytest.TempPathFactory
) -> None:
    repaired(up(made, "pvs-ipsec-gre-byoip", tmp_path_factory), *FOUND_IN_GRE[what])


@pytest.mark.needs("geneve", "iptables")
@pytest.mark.parametrize("what", FOUND_IN_OVERLAY)
def test_what_was_done_to_an_overlay_is_found_and_repaired(
    what: str, made: dict[str, Converging], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The address that its routers hold by turns is at one of them all the while, and no drift."""
    repaired(up(made, "vpe-nsxt-overlay", tmp_path_factory), *FOUND_IN_OVERLAY[what])


@pytest.mark.needs("iptables")
def test_a_stream_elsewhere_does_not_notice_repairs(
    made: dict[str, Converging], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lab = up(made, "vpe-subnet", tmp_path_factory)
    stream = Connection(Sockets(lab.paths), "client", "198.51.100.80", 443)  # type: ignore[arg-type]
    for what in ("a namespace gone", "a link deleted", "a rule of the firewall added", "a segment down"):
        FOUND[what][0](lab)
        lab.apply(lab.described)
    assert stream.end()
    assert lab.differences() == ()


class Sockets:
    """Sockets in the nodes of a lab."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def socket(self, node: str, kind: socket.SocketKind) -> socket.socket:
        with netns.enter(self._paths.namespace(node)):
            return socket.socket(socket.AF_INET, kind)


@IPSEC
def test_routes_that_a_path_watcher_puts_are_no_drift(
    made: dict[str, Converging], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lab = up(made, "vpn-dc-failover", tmp_path_factory)
    deadline = time.monotonic() + 15
    while any("down" in each.paths.values() for each in lab.keeper.status()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert lab.differences() == ()
    routes = Lab(lab.paths).run("gw", "ip", "route")
    assert [metric for metric in (100, 200) if f"metric {metric}" in routes] == [100, 200], routes
    Lab(lab.paths).run("gw", "ip", "route", "flush", "metric", "100")
    assert lab.differences() == ()
