"""Devices are what the plan says, as `ip` and `ethtool`'s ioctl read them back."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import socket
import struct
import time
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from kernel_lab import Lab, address

from labctl.errors import KernelError, StateError
from labctl.kernel import netns
from labctl.plan.objects import Bridge, Create, Delete, Gre, Namespace, Sysctl, XfrmInterface


def test_a_bridge_forwards_at_once_and_floods_multicast(lab: Lab) -> None:
    lab.nodes("sw")
    lab.make(Bridge("sw", "br0", 1400))
    found = lab.device("sw", "br0")
    data = found["linkinfo"]["info_data"]
    assert found["mtu"] == 1400
    assert "UP" in found["flags"]
    assert (data["stp_state"], data["forward_delay"], data["mcast_snooping"]) == (0, 0, 0)
    assert data["ageing_time"] == 30000


def test_three_nodes_on_a_bridge_reach_each_other(lab: Lab) -> None:
    lab.nodes("sw", "n1", "n2", "n3")
    lab.make(Bridge("sw", "br0"))
    for number in (1, 2, 3):
        lab.make(lab.veth(f"n{number}", "eth0", "sw", f"p{number}", b_master="br0"))
        lab.make(address(f"n{number}", "eth0", f"10.0.0.{number}/24"))
    assert lab.ping("n1", "10.0.0.2") == 3
    assert lab.ping("n2", "10.0.0.3") == 3
    assert lab.ping("n3", "10.0.0.1") == 3


def test_both_ends_of_a_veth_are_as_written(lab: Lab) -> None:
    lab.nodes("a", "sw")
    lab.make(Bridge("sw", "br0"))
    link = lab.veth("a", "eth0", "sw", "port-of-a", b_master="br0", mtu=1450)
    lab.make(link)
    for end in (link.a, link.b):
        found = lab.device(end.namespace, end.name)
        assert found["address"] == end.mac
        assert found["mtu"] == 1450
        assert (found["num_tx_queues"], found.get("num_rx_queues", 1)) == (1, 1)
        assert found["operstate"] == "UP"
        assert found.get("master") == end.master


def test_both_ends_of_a_veth_differ_in_their_index_so_that_a_loss_of_carrier_is_told_at_once(lab: Lab) -> None:
    lab.nodes("left", "right")
    lab.make(link := lab.veth("left", "eth0", "right", "eth0"))
    assert lab.device("left", "eth0")["ifindex"] != lab.device("right", "eth0")["ifindex"]
    assert [lab.device(end.namespace, end.name)["operstate"] for end in (link.a, link.b)] == ["UP", "UP"]


def test_the_first_end_of_a_veth_may_be_the_port(lab: Lab) -> None:
    lab.nodes("a", "sw")
    link = lab.veth("a", "eth0", "sw", "p1", b_master="br0")
    lab.make(Bridge("sw", "br0"), replace(link, a=link.b, b=link.a))
    assert lab.device("sw", "p1")["master"] == "br0"
    assert lab.device("a", "eth0")["operstate"] == "UP"


def test_a_veth_may_join_two_devices_of_one_node(lab: Lab) -> None:
    lab.nodes("a")
    lab.make(lab.veth("a", "left", "a", "right"))
    assert {lab.device("a", name)["operstate"] for name in ("left", "right")} == {"UP"}


@pytest.mark.parametrize(("sender", "receiver", "to"), [("left", "right", "10.0.0.2"), ("right", "left", "10.0.0.1")])
def test_captured_packets_carry_the_checksums_that_were_sent(pair: Lab, sender: str, receiver: str, to: str) -> None:
    """With offload on, a UDP checksum on the wire is only the sum of the pseudo header."""
    tap = pair.tap(receiver, "eth0")
    pair.run(sender, "bash", "-c", f"echo hello > /dev/udp/{to}/9")
    packet = next(each for each in tap.packets() if each[9] == 17)
    tap.close()
    datagram = packet[20 : int.from_bytes(packet[2:4], "big")]
    data = packet[12:20] + bytes([0, 17]) + len(datagram).to_bytes(2, "big") + datagram + bytes(len(datagram) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    assert total % 0xFFFF == 0


def test_tcp_segments_leave_in_the_size_of_the_mtu(pair: Lab) -> None:
    tap = pair.tap("left", "eth0")
    with netns.enter(pair.paths.namespace("right")):
        server = socket.create_server(("10.0.0.2", 99))
    with netns.enter(pair.paths.namespace("left")):
        client = socket.create_connection(("10.0.0.2", 99))
    accepted, _ = server.accept()
    client.sendall(bytes(20_000))
    received = 0
    while received < 20_000:
        received += len(accepted.recv(65536))
    sizes = [int.from_bytes(each[2:4], "big") for each in tap.packets() if each[9] == 6]
    tap.close()
    for each in (client, accepted, server):
        each.close()
    assert max(sizes) == 1500


def test_no_ipv6_packet_ever_leaves_a_device(lab: Lab) -> None:
    """Listening begins before there are devices. A device that spoke IPv6 would ask for neighbours, routers and
    listeners within two seconds of coming up (RFC 4861, 4862, 3810); the control shows that it would be heard.
    """
    lab.nodes("host", "switch")
    lab.nodes("router", forwarding=True)
    heard = {node: everything(lab, node) for node in ("host", "switch", "router")}
    lab.make(Bridge("switch", "br0"))
    lab.make(lab.veth("host", "eth0", "switch", "p1", b_master="br0"), address("host", "eth0", "10.0.0.1/24"))
    lab.make(lab.veth("router", "eth0", "switch", "p2", b_master="br0"), address("router", "eth0", "10.0.0.2/24"))
    assert lab.ping("host", "10.0.0.2") == 3
    time.sleep(2)
    assert {node: ipv6_frames(each) for node, each in heard.items()} == dict.fromkeys(heard, 0)
    if Path("/proc/sys/net/ipv6").exists():
        lab.make(Sysctl("host", "net.ipv6.conf.all.disable_ipv6", "0"))
        time.sleep(2)
        assert ipv6_frames(heard["switch"]) > 0
    for each in heard.values():
        each.close()


def everything(lab: Lab, node: str) -> socket.socket:
    """A socket for every frame of every device of `node`, those that are yet to come as well."""
    with netns.enter(lab.paths.namespace(node)):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(3))
    made.setblocking(False)
    return made


def ipv6_frames(heard: socket.socket) -> int:
    count = 0
    while True:
        try:
            _, source = heard.recvfrom(65536)
        except BlockingIOError:
            return count
        count += source[1] == 0x86DD


@pytest.mark.parametrize("kind", ["veth", "bridge port", "gre"])
def test_no_offload_is_left_on(lab: Lab, kind: str) -> None:
    """As ethtool(8) reads them: checksums, scatter-gather, segmentation, GRO."""
    lab.nodes("a", "b")
    lab.make(Bridge("b", "br0"), lab.veth("a", "eth0", "b", "p1", b_master="br0"))
    if kind == "gre":
        made = Gre("a", "gre1", IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), 1400)
        try:
            lab.make(made)
        except KernelError:
            pytest.skip("this machine has no gre")
    node, device = {"veth": ("a", "eth0"), "bridge port": ("b", "p1"), "gre": ("a", "gre1")}[kind]
    assert {name: offload(lab, node, device, command) for name, command in OFFLOADS.items()} == dict.fromkeys(
        OFFLOADS, 0
    )


OFFLOADS = {"tx checksum": 0x16, "scatter-gather": 0x18, "TSO": 0x1E, "GSO": 0x23, "GRO": 0x2B}
"""ETHTOOL_GTXCSUM, _GSG, _GTSO, _GGSO, _GGRO of linux/ethtool.h."""


def offload(lab: Lab, node: str, device: str, command: int) -> int:
    value = ctypes.create_string_buffer(struct.pack("=II", command, 1), 8)
    request = device.encode().ljust(16, b"\0") + struct.pack("@P16x", ctypes.addressof(value))
    with netns.enter(lab.paths.namespace(node)), socket.socket() as sock:
        fcntl.ioctl(sock, 0x8946, request)
    return int(struct.unpack_from("=I", value, 4)[0])


def test_no_device_has_an_ipv6_address(pair: Lab) -> None:
    assert pair.run("left", "ip", "-6", "addr", "show").strip() == ""


@pytest.mark.needs("gre")
@pytest.mark.parametrize("key", [None, 0, 42, 0xFFFFFFFF])
def test_a_gre_device_is_as_written(lab: Lab, key: int | None) -> None:
    lab.nodes("a")
    lab.make(Gre("a", "gre1", IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), 1400, key, ttl=33))
    found = lab.device("a", "gre1")
    data = found["linkinfo"]["info_data"]
    assert found["mtu"] == 1400
    assert "UP" in found["flags"]
    assert (data["local"], data["remote"], data["ttl"], data["pmtudisc"]) == ("192.0.2.1", "192.0.2.2", 33, True)
    keys = {data.get("ikey"), data.get("okey")}
    assert keys == ({None} if key is None else {str(IPv4Address(key))})


@pytest.mark.needs("gre")
def test_a_device_is_down_where_the_plan_says_so(lab: Lab) -> None:
    lab.nodes("a")
    lab.make(Gre("a", "gre1", IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), 1400, up=False))
    assert "UP" not in lab.device("a", "gre1")["flags"]


@pytest.mark.needs("gre")
@pytest.mark.parametrize("key", [None, 42])
def test_packets_cross_a_gre_tunnel_in_the_header_that_was_asked_for(wan: Lab, key: int | None) -> None:
    a, b = IPv4Address("198.51.100.2"), IPv4Address("203.0.113.2")
    wan.make(Gre("gwa", "gre1", a, b, 1400, key, ttl=50), Gre("gwb", "gre1", b, a, 1400, key, ttl=50))
    wan.route("gwa", "10.2.0.0/24", device="gre1")
    wan.route("gwb", "10.1.0.0/24", device="gre1")
    tap = wan.tap("wan", "wa")
    assert wan.ping("a", "10.2.0.2") == 3
    packets = tap.packets()
    tap.close()
    assert {packet[9] for packet in packets} == {47}
    assert len(packets) == 6
    outgoing = next(packet for packet in packets if packet[12:16] == a.packed)
    assert outgoing[8] == 50  # TTL
    assert outgoing[6] & 0x40  # do not fragment
    header = outgoing[20:28] if key else outgoing[20:24]
    assert header == bytes.fromhex("20000800" + f"{key:08x}" if key else "00000800")
    assert outgoing[20 + len(header) + 12 :][:4] == bytes([10, 1, 0, 2])


@pytest.mark.needs("xfrm-interface")
def test_an_xfrm_interface_is_as_written(pair: Lab) -> None:
    pair.make(XfrmInterface("left", "ipsec1", 77, "eth0", 1400))
    found = pair.device("left", "ipsec1")
    assert (found["link"], found["linkinfo"]["info_data"]["if_id"], found["mtu"]) == ("eth0", "0x4d", 1400)


def test_a_device_that_exists_is_refused_with_its_name(pair: Lab) -> None:
    second = pair.veth("left", "eth0", "right", "eth1")
    with pytest.raises(KernelError, match=r"link eth0 in left to eth1 in right: .*exists") as caught:
        pair.make(second)
    assert caught.value.subject == second
    assert caught.value.errno == errno.EEXIST


def test_a_missing_bridge_is_named(lab: Lab) -> None:
    lab.nodes("a", "sw")
    link = lab.veth("a", "eth0", "sw", "p1", b_master="br0")
    with pytest.raises(KernelError, match="link eth0 in a to p1 in sw: there is no device br0") as caught:
        lab.make(link)
    assert caught.value.subject == link


def test_a_name_too_long_for_the_kernel_is_named(lab: Lab) -> None:
    lab.nodes("a")
    with pytest.raises(KernelError, match="seventeen-letters"):
        lab.make(lab.veth("a", "eth0", "a", "seventeen-letters"))


def test_a_missing_namespace_is_named(lab: Lab) -> None:
    lab.nodes("a")
    with pytest.raises(StateError, match=r"there is no namespace .*/b"):
        lab.make(lab.veth("a", "eth0", "b", "eth0"))


def test_deleting_is_idempotent(lab: Lab) -> None:
    lab.nodes("a", "sw")
    link, bridge = lab.veth("a", "eth0", "sw", "p1", b_master="br0"), Bridge("sw", "br0")
    lab.make(bridge, link)
    lab.unmake(link, bridge)
    lab.unmake(link, bridge)
    assert [each["ifname"] for each in lab.json("sw", "ip", "link") if each["ifname"] in ("p1", "br0")] == []
    lab.unmake(Namespace("a"), Namespace("sw"))
    lab.unmake(link, bridge, Namespace("a"))
    assert not Path(lab.paths.link("a")).is_symlink()


def test_a_device_made_again_under_its_name_is_found_again(lab: Lab) -> None:
    lab.nodes("a", "b")
    link = lab.veth("a", "eth0", "b", "eth0")
    first = address("a", "eth0", "10.0.0.1/24")
    lab.steps(Create(link), Create(first), Delete(first), Delete(link), Create(link), Create(first))
    assert "10.0.0.1/24" in lab.run("a", "ip", "-br", "addr", "show", "dev", "eth0")
