"""Segments that are stretched over hosts: frames cross them inside Geneve, once, and nothing goes in circles."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from kernel_lab import Lab
from reading import differing, reading

from labctl.kernel import netns
from labctl.kernel.observe import observe
from labctl.kernel.paths import Paths
from labctl.model.network import Network
from labctl.plan.compile import compile_plan
from labctl.plan.diff import diff
from labctl.plan.objects import Bridge, Foreign, Geneve, KernelObject, Namespace, Plan, Veth

pytestmark = pytest.mark.needs("geneve")

HOSTS = ("h1", "h2", "h3")
UDP, GENEVE_PORT, ARP = 17, 6081, 0x0806


def network(vni: int = 5001, hosts: tuple[str, ...] = HOSTS, mtu: int = 1450, at: str = "192.0.2.0") -> Network:
    """Hosts in the segment `under`; in each a machine in the overlay `seg`: v1 10.0.0.1 in h1, and so on."""
    net = Network()
    net.segment("under")
    for number, host in enumerate(HOSTS, 1):
        net.node(host)
        net.plug(host, "under", IPv4Interface(f"{IPv4Address(at) + number}/24"))
    net.overlay("seg", vni, {host: IPv4Address(at) + HOSTS.index(host) + 1 for host in hosts}, mtu=mtu)
    for number, host in enumerate(hosts, 1):
        net.node(f"v{number}")
        net.plug(f"v{number}", "seg", IPv4Interface(f"10.0.0.{number}/24"), host=host)
    return net


PLAN = compile_plan("t", network())


@pytest.fixture
def overlay(lab: Lab) -> Iterator[Lab]:
    lab.make(*PLAN.objects)
    yield lab


def become(lab: Lab, plan: Plan, present: Plan = PLAN) -> None:
    lab.steps(*diff(present, plan))


def tunnels(plan: Plan = PLAN) -> list[Geneve]:
    return [each for each in plan.objects if isinstance(each, Geneve)]


def other(lab: Lab, plan: Plan = PLAN) -> list[KernelObject]:
    """What is not as asked for, or not asked for."""
    return [each for each in observe(lab.paths, (plan,), {}, ()).objects if each not in plan.objects]


def test_machines_on_different_hosts_reach_each_other_inside_geneve_alone(overlay: Lab) -> None:
    tap = overlay.tap("h2", "under")
    assert overlay.ping("v1", "10.0.0.2") == 3
    packets = [each for each in tap.packets() if each[9] == UDP]
    tap.close()
    sent = [each for each in packets if each[12:20] == bytes([192, 0, 2, 1, 192, 0, 2, 2])]
    assert len(packets) > len(sent) >= 3
    for each in packets:
        assert int.from_bytes(each[22:24], "big") == GENEVE_PORT
        assert each[6] & 0x40, "may be cut on its way"
        assert each[26:28] != b"\0\0", "no checksum"
        assert (each[28:32], int.from_bytes(each[32:35], "big")) == (b"\0\0\x65\x58", 5001)
    assert any(each[36 + 14 + 12 : 36 + 14 + 20] == bytes([10, 0, 0, 1, 10, 0, 0, 2]) for each in sent)


def test_a_frame_to_all_arrives_once_everywhere_and_never_comes_back(overlay: Lab) -> None:
    """Three hosts in a circle: were the tunnels not isolated from each other, it would go round for ever."""
    taps = [overlay.tap(f"v{number}", "seg") for number in (1, 2, 3)]
    overlay.run("v1", "ping", "-b", "-n", "-c1", "-W1", "10.0.0.255", check=False)
    counts = [sum(packet[16:20] == bytes([10, 0, 0, 255]) for packet in tap.packets(0.3)) for tap in taps]
    for tap in taps:
        tap.close()
    assert counts == [1, 1, 1]


def test_a_whole_packet_of_the_overlay_fits_the_hosts_link_and_a_greater_one_is_refused(overlay: Lab) -> None:
    tap = overlay.tap("h2", "under")
    assert overlay.ping("v1", "10.0.0.2", "-s1422", "-Mdo", count=1) == 1
    assert max(int.from_bytes(each[2:4], "big") for each in tap.packets()) == 1500
    tap.close()
    assert "message too long" in overlay.run("v1", "ping", "-c1", "-W1", "-s1423", "-Mdo", "10.0.0.2", check=False)


def test_the_kernel_holds_what_was_asked_for_and_makes_no_device_of_its_own(overlay: Lab) -> None:
    assert other(overlay) == []
    names = {each["ifname"] for each in overlay.json("h1", "ip", "link")}
    assert {each for each in names if "gen" in each.lower()} == set()
    assert {"under", "seg", "seg-h2", "seg-h3", "v1-seg"} <= names
    [first] = [each for each in tunnels() if (each.namespace, each.name) == ("h1", "seg-h2")]
    found = overlay.device("h1", "seg-h2")
    assert (found["address"], found["mtu"], found["master"]) == (first.mac, 1450, "seg")
    data = found["linkinfo"]["info_data"]
    assert (data["id"], data["remote"], data["port"], data["udp_csum"], data["df"]) == (
        *(5001, "192.0.2.2", GENEVE_PORT, True, "set"),
    )
    assert found["linkinfo"]["info_slave_data"]["isolated"]


@pytest.mark.parametrize(
    ("by_hand", "found"),
    [
        ("ip link set seg-h2 type bridge_slave isolated off", {"isolated": False}),
        ("ip link set seg-h2 type geneve id 5001 remote 192.0.2.9", {"remote": IPv4Address("192.0.2.9")}),
        ("ip link set seg-h2 mtu 1400", {"mtu": 1400}),
        ("ip link set seg-h2 down", {"up": False}),
        ("ip link set seg-h2 nomaster", {"master": None}),
        ("ip link set seg-h2 address 02:00:00:00:00:77", {"mac": "02:00:00:00:00:77"}),
    ],
    ids=lambda each: each.split(" ", 3)[-1] if isinstance(each, str) else "",
)
def test_what_was_changed_by_hand_is_found_and_put_right(overlay: Lab, by_hand: str, found: dict[str, object]) -> None:
    overlay.run("h1", *by_hand.split())
    [first] = [each for each in tunnels() if (each.namespace, each.name) == ("h1", "seg-h2")]
    before = overlay.device("h1", "seg-h2")["ifindex"]
    wrong = other(overlay)
    assert [replace(first, **found)] == [each for each in wrong if isinstance(each, Geneve)]  # type: ignore[arg-type]
    become(overlay, PLAN, observe(overlay.paths, (PLAN,), {}, ()))
    assert other(overlay) == []
    assert overlay.device("h1", "seg-h2")["ifindex"] == before
    assert overlay.ping("v1", "10.0.0.2") == 3


@pytest.mark.parametrize(
    "kind", ["id 5001 remote 192.0.2.2 dstport 7777", "id 5001 remote 192.0.2.2", "external dstport 7777"]
)
def test_a_tunnel_that_is_none_of_labctls_in_the_place_of_one_is_taken_away(overlay: Lab, kind: str) -> None:
    index = str(overlay.device("h1", "seg-h2")["ifindex"])
    overlay.run("h1", "ip", "link", "del", "seg-h2")
    overlay.run("h1", "ip", "link", "add", "seg-h2", "index", index, "type", "geneve", *kind.split())
    present = observe(overlay.paths, (PLAN,), {}, ())
    assert [each.what for each in present.objects if isinstance(each, Foreign)] == ["device seg-h2 (geneve)"]
    become(overlay, PLAN, present)
    assert other(overlay) == []
    assert overlay.ping("v1", "10.0.0.2") == 3


@pytest.mark.parametrize(
    "wanted",
    [
        *(network(vni=6001), network(hosts=("h1", "h2")), network(hosts=("h2", "h3")), network(mtu=1400)),
        *(network(at="192.0.2.50"), network(at="198.51.100.0")),
    ],
    ids=["VNI", "a member less", "another member less", "MTU", "addresses", "another subnet"],
)
def test_a_changed_overlay_is_as_if_it_had_always_been_so_and_carries_on(
    overlay: Lab, wanted: Network, tmp_path: Path
) -> None:
    plan = compile_plan("t", wanted)
    become(overlay, plan)
    assert other(overlay, plan) == []
    fresh = Lab(Paths("t", tmp_path / "fresh", tmp_path / "fresh-netns"))
    fresh.make(*plan.objects)
    assert differing(reading(overlay.paths, ()), reading(fresh.paths, ())) == []
    netns.destroy(fresh.paths)
    assert overlay.ping("v1", "10.0.0.2") == 3
    become(overlay, PLAN, plan)
    assert other(overlay) == []
    assert overlay.ping("v1", "10.0.0.3") == 3


def test_two_overlays_between_the_same_hosts_are_apart(overlay: Lab) -> None:
    net = network()
    net.overlay("two", 5002, {"h1": IPv4Address("192.0.2.1"), "h2": IPv4Address("192.0.2.2")})
    for number, host in ((8, "h1"), (9, "h2")):
        net.node(f"w{number}")
        net.plug(f"w{number}", "two", IPv4Interface(f"10.0.0.{number}/24"), host=host)
    become(overlay, compile_plan("t", net))
    assert overlay.ping("w8", "10.0.0.9") == 3
    assert overlay.ping("w8", "10.0.0.1", count=1) == 0
    assert overlay.ping("v1", "10.0.0.2") == 3


def test_a_bridge_inside_a_host_carries_the_frames_of_machines_of_the_same_host(lab: Lab) -> None:
    net = network(hosts=("h1",))
    net.node("w1")
    net.plug("w1", "seg", IPv4Interface("10.0.0.9/24"), host="h1")
    plan = compile_plan("t", net)
    assert [each for each in plan.objects if isinstance(each, Geneve)] == []
    lab.make(*plan.objects)
    assert lab.ping("w1", "10.0.0.1") == 3


def test_a_member_that_is_plugged_into_its_own_part_answers_for_itself_once(lab: Lab) -> None:
    """Its bridge hears the questions as well, and must not answer for what the node has elsewhere."""
    net = network(hosts=("h1", "h2"))
    net.plug("h2", "seg", IPv4Interface("10.0.0.9/24"), host="h2")
    plan = compile_plan("t", net)
    lab.make(*plan.objects)
    [mac] = [each.a.mac for each in plan.objects if isinstance(each, Veth) and each.a.name == "seg-h2" != each.b.name]
    with netns.enter(lab.paths.namespace("v1")):
        heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(ARP))
    with heard:
        heard.bind(("seg", ARP))
        heard.setblocking(False)
        assert lab.ping("v1", "10.0.0.9") == 3
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(heard.recv(2048))
    answers = [frame for frame in frames if frame[20:22] == b"\0\2" and frame[28:32] == bytes([10, 0, 0, 9])]
    assert [frame[22:28].hex(":") for frame in answers] == [mac]
    assert other(lab, plan) == []


def test_a_tunnel_and_its_bridge_are_deleted_and_may_be_gone_already(overlay: Lab) -> None:
    [first] = [each for each in tunnels() if (each.namespace, each.name) == ("h1", "seg-h2")]
    overlay.unmake(first, Bridge("h1", "seg", 1450))
    overlay.unmake(first, Bridge("h1", "seg", 1450), Namespace("h3"))
    assert not {"seg", "seg-h2"} & {each["ifname"] for each in overlay.json("h1", "ip", "link")}


def test_what_does_not_fit_the_way_is_not_cut_and_its_sender_is_told_the_size_that_does(lab: Lab) -> None:
    """An overlay whose MTU leaves no room for the tunnel's own 50 bytes."""
    lab.make(*compile_plan("t", network(mtu=1500)).objects)
    tap = lab.tap("h2", "under")
    words = lab.run("v1", "ping", "-n", "-c3", "-i0.2", "-W1", "-s1472", "-Mdo", "10.0.0.2", check=False)
    assert "mtu = 1450" in words or "mtu=1450" in words, words
    assert lab.ping("v1", "10.0.0.2", "-s1472", "-Mdont", count=2) == 0
    assert lab.ping("v1", "10.0.0.2", "-s1422", count=1) == 1
    assert not [each for each in tap.packets() if int.from_bytes(each[6:8], "big") & 0x3FFF]
    tap.close()
