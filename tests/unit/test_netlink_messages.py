"""The bytes that labctl packs mean, to another implementation of rtnetlink, what the plan says."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from labctl.kernel import geneve, links, neighbours, routes, rules, shaping, xfrm
from labctl.kernel.netlink import Message, attribute, attributes, nested, text, u32
from labctl.plan.ciphers import CIPHERS
from labctl.plan.faults import Proto
from labctl.plan.indices import index
from labctl.plan.objects import (
    Address,
    Bridge,
    End,
    Geneve,
    Gre,
    Namespace,
    Neighbour,
    Route,
    RouteRule,
    Shaper,
    Veth,
    XfrmInterface,
    XfrmPolicy,
    XfrmState,
)

NET = IPv4Network("192.0.2.0/24")


def decoded(kind: Any, message: Message) -> Any:
    """`message` as pyroute2 reads it."""
    found = kind(message.pack(1, ack=True))
    found.decode()
    assert found["header"]["length"] == len(message.body) + 16
    assert found["header"]["flags"] == message.flags | 0x5
    return found


def link(message: Message) -> Any:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    return decoded(ifinfmsg, message)


def info(message: Message) -> Any:
    return link(message).get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")


def test_bridge() -> None:
    message = links.bridge(Bridge("sw", "br0", 1400))
    found = link(message)
    assert found.get_attr("IFLA_IFNAME") == "br0"
    assert found.get_attr("IFLA_MTU") == 1400
    assert found["flags"] & 1
    assert found.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "bridge"
    data = info(message)
    assert [data.get_attr(f"IFLA_BR_{name}") for name in ("FORWARD_DELAY", "STP_STATE", "MCAST_SNOOPING")] == [0, 0, 0]


def test_veth() -> None:
    item = Veth(End("a", "eth0", "02:00:00:00:00:01"), End("b", "p1", "02:00:00:00:00:02"), 1300)
    message = links.veth(item, 5, 6, 9)
    found, peer = link(message), info(message).get_attr("VETH_INFO_PEER")
    assert found.get_attr("IFLA_MASTER") == 9
    assert found["flags"] & 1
    for end, name, fd, mac in ((found, "eth0", 5, "02:00:00:00:00:01"), (peer, "p1", 6, "02:00:00:00:00:02")):
        assert end.get_attr("IFLA_IFNAME") == name
        assert end.get_attr("IFLA_NET_NS_FD") == fd
        assert end.get_attr("IFLA_ADDRESS") == mac
        assert end.get_attr("IFLA_MTU") == 1300
        assert (end.get_attr("IFLA_NUM_TX_QUEUES"), end.get_attr("IFLA_NUM_RX_QUEUES")) == (1, 1)


@pytest.mark.parametrize("key", [None, 0, 42])
def test_gre(key: int | None) -> None:
    data = info(links.gre(Gre("a", "gre1", IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), 1400, key, 33)))
    assert data.get_attr("IFLA_GRE_LOCAL") == "192.0.2.1"
    assert data.get_attr("IFLA_GRE_REMOTE") == "192.0.2.2"
    assert (data.get_attr("IFLA_GRE_TTL"), data.get_attr("IFLA_GRE_PMTUDISC")) == (33, 1)
    assert (data.get_attr("IFLA_GRE_IKEY"), data.get_attr("IFLA_GRE_OKEY")) == (key, key)


def test_xfrm_interface() -> None:
    data = info(links.xfrm_interface(XfrmInterface("a", "ipsec1", 7, "wan", 1400), 3))
    assert (data.get_attr("IFLA_XFRM_LINK"), data.get_attr("IFLA_XFRM_IF_ID")) == (3, 7)


def test_devices_are_given_their_index() -> None:
    bridge, gre = Bridge("a", "br0"), Gre("a", "gre1", IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), 1400)
    assert link(links.bridge(bridge))["index"] == index(bridge)
    assert link(links.gre(gre))["index"] == index(gre)
    ends = End("a", "eth0", "02:00:00:00:00:01"), End("b", "eth0", "02:00:00:00:00:02")
    message = links.veth(Veth(*ends), 5, 6, None)
    found = [link(message)["index"], info(message).get_attr("VETH_INFO_PEER")["index"]]
    assert found == [index(end) for end in ends]
    assert len({*found, index(bridge), index(gre)}) == 4


@pytest.mark.parametrize(("up", "master"), [(True, None), (False, 9)])
def test_the_other_end_is_raised_and_attached(up: bool, master: int | None) -> None:
    item = Veth(End("a", "eth0", "02:00:00:00:00:01"), End("b", "p1", "02:00:00:00:00:02", "br0", up))
    found = link(links.attach(item, item.b, master))
    assert (found["index"], found["flags"] & 1, found["change"]) == (index(item.b), int(up), 1)
    assert found.get_attr("IFLA_MASTER") == master


def test_a_loopback_is_raised() -> None:
    found = link(links.loopback(Namespace("a")))
    assert (found["index"], found["flags"] & 1, found["change"]) == (1, 1, 1)


def test_neighbour() -> None:
    from pyroute2.netlink.rtnl.ndmsg import ndmsg

    item = Neighbour("a", "eth0", IPv4Address("10.0.0.2"), "02:00:00:00:00:0a")
    for message in (neighbours.neighbour(item, 4), neighbours.delete_neighbour(item, 4)):
        found = decoded(ndmsg, message)
        assert (found["family"], found["ifindex"], found["state"]) == (2, 4, 0x80)
        assert found.get_attr("NDA_DST") == "10.0.0.2"
    assert decoded(ndmsg, neighbours.neighbour(item, 4)).get_attr("NDA_LLADDR") == item.mac


def test_words_are_put_together_when_they_are_needed() -> None:
    assert links.bridge(Bridge("a", "br0")).words == "create bridge br0 in a"


def test_address() -> None:
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

    found = decoded(ifaddrmsg, routes.address(Address("a", "eth0", IPv4Interface("10.0.0.1/24")), 4))
    assert (found["index"], found["prefixlen"], found["family"]) == (4, 24, 2)
    assert found.get_attr("IFA_LOCAL") == found.get_attr("IFA_ADDRESS") == "10.0.0.1"


@pytest.mark.parametrize(
    ("item", "fields", "wanted"),
    [
        (
            Route("a", IPv4Network("192.0.2.0/24"), IPv4Address("10.0.0.2"), "eth0", metric=5),
            {"dst_len": 24, "table": 254, "proto": 4, "scope": 0, "type": 1},
            {"DST": "192.0.2.0", "GATEWAY": "10.0.0.2", "OIF": 4, "PRIORITY": 5, "PREFSRC": None},
        ),
        (
            Route("a", IPv4Network("0.0.0.0/0"), None, "eth0", source=IPv4Address("10.0.0.1")),
            {"dst_len": 0, "scope": 253, "type": 1},
            {"DST": None, "GATEWAY": None, "OIF": 4, "PRIORITY": None, "PREFSRC": "10.0.0.1"},
        ),
        (
            Route("a", IPv4Network("192.0.2.1/32"), type="unreachable"),
            {"dst_len": 32, "scope": 0, "type": 7},
            {"DST": "192.0.2.1", "GATEWAY": None, "OIF": None},
        ),
        (Route("a", IPv4Network("10.0.0.0/8"), type="blackhole"), {"dst_len": 8, "type": 6}, {"DST": "10.0.0.0"}),
        (Route("a", NET, type="blackhole", table=7), {"table": 7}, {"DST": "192.0.2.0", "TABLE": None}),
        (Route("a", NET, type="blackhole", table=4000), {"table": 0}, {"DST": "192.0.2.0", "TABLE": 4000}),
    ],
)
def test_route(item: Route, fields: dict[str, int], wanted: dict[str, Any]) -> None:
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    found = decoded(rtmsg, routes.route(item, 4 if item.device else None))
    assert {name: found[name] for name in fields} == fields
    assert {name: found.get_attr(f"RTA_{name}") for name in wanted} == wanted


RULES = (
    (RouteRule("a", 1000, 7, NET, "eth0"), (24, "192.0.2.0", "eth0", 1000, 7)),
    (RouteRule("a", 1001, 4000), (0, None, None, 1001, 4000)),
)


@pytest.mark.parametrize(("item", "wanted"), RULES)
def test_a_routing_rule(item: RouteRule, wanted: tuple[object, ...]) -> None:
    from pyroute2.netlink.rtnl.fibmsg import fibmsg

    for message, protocol in ((rules.rule(item), 4), (rules.delete_rule(item), None)):
        found = decoded(fibmsg, message)
        named = (found.get_attr(f"FRA_{name}") for name in ("SRC", "IIFNAME", "PRIORITY", "TABLE"))
        assert (found["src_len"], *named) == wanted
        assert (found["family"], found["action"], found["dst_len"], found["flags"]) == (2, 1, 0, 0)
        assert found.get_attr("FRA_PROTOCOL") == protocol


def test_the_rules_of_every_namespace_are_given_back_where_they_are_missing() -> None:
    from pyroute2.netlink.rtnl.fibmsg import fibmsg

    found = [decoded(fibmsg, each) for each in rules.usual(Namespace("a"))]
    assert {(each.get_attr("FRA_PRIORITY"), each.get_attr("FRA_TABLE")) for each in found} == rules.USUAL


SEG = Geneve("a", "seg-b", 5001, IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), 1450, "02:00:00:00:00:07", "seg")


def test_geneve() -> None:
    made, settled = geneve.geneve(SEG, 9)
    found, data = link(made), info(made)
    assert (found["index"], found["flags"] & 1) == (index(SEG), 0), "down until it is isolated"
    assert [found.get_attr(f"IFLA_{name}") for name in ("IFNAME", "MTU", "ADDRESS", "MASTER")] == [
        *("seg-b", 1450, SEG.mac, 9),
    ]
    assert found.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "geneve"
    assert [data.get_attr(f"IFLA_GENEVE_{name}") for name in ("ID", "REMOTE", "UDP_CSUM", "DF")] == [
        *(5001, "192.0.2.2", 1, "set"),
    ]
    port = link(settled).get_attr("IFLA_LINKINFO")
    assert port.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge"
    assert port.get_attr("IFLA_INFO_SLAVE_DATA").get_attr("IFLA_BRPORT_ISOLATED") == 1
    assert (link(settled)["index"], link(settled)["flags"] & 1) == (index(SEG), 1)


def test_a_geneve_device_is_told_only_what_changes_and_leaves_its_bridge_before_it_joins_another() -> None:
    same, _ = geneve.adjust(SEG, replace(SEG, mtu=1400), 9)
    assert (link(same).get_attr("IFLA_MTU"), link(same).get_attr("IFLA_LINKINFO")) == (1400, None)
    assert (link(same).get_attr("IFLA_ADDRESS"), link(same)["flags"] & 1) == (None, 1)
    peer, _ = geneve.adjust(SEG, replace(SEG, remote=IPv4Address("192.0.2.9"), mac="02:00:00:00:00:08"), 9)
    assert info(peer).get_attr("IFLA_GENEVE_REMOTE") == "192.0.2.9"
    assert info(peer).get_attr("IFLA_GENEVE_UDP_CSUM") is None, "the kernel lets nobody change it"
    assert link(peer).get_attr("IFLA_ADDRESS") == "02:00:00:00:00:08"
    moved, settled = geneve.adjust(SEG, replace(SEG, master=None), 0)
    assert (link(moved).get_attr("IFLA_MASTER"), link(moved)["flags"] & 1) == (0, 0)
    assert (link(settled).get_attr("IFLA_LINKINFO"), link(settled)["flags"] & 1) == (None, 1)


def options_of(message: Message) -> bytes:
    return attributes(message.body[20:])[2]


def test_netem() -> None:
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

    message, emptied = shaping.shape(Shaper("a", "eth0", 12.5, 0.25, loss_percent=50.0), 4)
    found = decoded(tcmsg, message)
    assert (found["index"], found["parent"], found.get_attr("TCA_KIND")) == (4, 0xFFFFFFFF, "netem")
    options = options_of(message)
    assert struct.unpack_from("=I", options, 8)[0] == 0x80000000, "half of all random numbers"
    inner = attributes(options[24:])
    assert [struct.unpack("=q", inner[kind])[0] for kind in (10, 11)] == [12_500_000, 250_000]
    assert decoded(tcmsg, emptied)["parent"] == found["handle"] | 1, "no speed is left over inside it"


@pytest.mark.parametrize(
    ("rate_bit", "bucket", "queue"),
    [(1_000_000, 1518, 15_180), (100_000_000, 12_500, 625_000), (10_000_000_000, 1_250_000, 62_500_000)],
)
def test_tbf(rate_bit: int, bucket: int, queue: int) -> None:
    """The bucket: 1 ms or a frame; the queue: 50 ms or ten frames."""
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

    (message,) = shaping.shape(Shaper("a", "eth0", rate_bit=rate_bit), 4)
    assert (decoded(tcmsg, message)["parent"], decoded(tcmsg, message).get_attr("TCA_KIND")) == (0xFFFFFFFF, "tbf")
    inner = attributes(options_of(message))
    assert struct.unpack_from("=8xI", inner[1])[0] == rate_bit // 8
    assert struct.unpack_from("=24xI", inner[1])[0] == queue
    assert struct.unpack("=I", inner[6])[0] == bucket
    assert 4 not in inner


def test_a_rate_beyond_32_bits_is_given_in_64() -> None:
    (message,) = shaping.shape(Shaper("a", "eth0", rate_bit=100_000_000_000), 4)
    assert struct.unpack("=Q", attributes(options_of(message))[4])[0] == 12_500_000_000


def test_a_rate_with_a_delay_sits_inside_netem() -> None:
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

    outer, inner = (decoded(tcmsg, each) for each in shaping.shape(Shaper("a", "eth0", 5.0, rate_bit=8000), 4))
    assert [each.get_attr("TCA_KIND") for each in (outer, inner)] == ["netem", "tbf"]
    assert inner["parent"] == outer["handle"] | 1


def test_the_filters_of_faults_do_not_share_a_place() -> None:
    protos: tuple[Proto, ...] = ("", "esp", "gre", "icmp", "udp", "tcp")
    places = [make(4, proto).body[:20] for proto in protos for make in (_dropped, _shown)]
    assert len(set(places)) == len(places)


def _dropped(device: int, proto: Proto) -> Message:
    return shaping.drop(device, proto, "", None)


def _shown(device: int, proto: Proto) -> Message:
    return shaping.show(device, proto, 3, "", None)


def test_an_association_has_the_length_of_the_kernels_structures() -> None:
    here, there = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
    for name, cipher in CIPHERS.items():
        key = bytes(range(cipher.key_bytes))
        item = XfrmState("a", here, there, 0x1001, name, "k", 7)  # type: ignore[arg-type]
        body = xfrm.state(item, key).body
        found = attributes(body[224:])
        assert found[31] == struct.pack("=I", 7)
        keys = {kind: value[64:] for kind, value in found.items() if kind != 31}
        if cipher.authentication:
            assert keys[2] == struct.pack("=I", cipher.encryption_bytes * 8) + key[: cipher.encryption_bytes]
            assert keys[20][8:] == key[cipher.encryption_bytes :]
        else:
            assert keys[18] == struct.pack("=II", len(key) * 8, 128) + key


def test_a_policy_has_the_length_of_the_kernels_structures() -> None:
    here, there = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
    net = IPv4Network("10.0.0.0/8")
    protect = xfrm.policy(XfrmPolicy("a", "out", net, net, "protect", 7, (here, there))).body
    discard = xfrm.policy(XfrmPolicy("a", "fwd", net, net, "discard")).body
    assert {kind: len(value) for kind, value in attributes(protect[168:]).items()} == {5: 64, 31: 4}
    assert len(discard) == 168
    assert (protect[160:162], discard[160:162]) == (b"\1\0", b"\2\1")


def test_no_message_shows_a_key_in_its_words() -> None:
    here, there = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
    key = bytes(range(36))
    message = xfrm.state(XfrmState("a", here, there, 1000, "aes256-gcm", "k", 7), key)
    assert key.hex() not in message.words
    assert key not in message.words.encode()


def test_attributes_are_read_as_they_are_written() -> None:
    packed = u32(1, 7) + text(2, "abc") + nested(3, attribute(4, b"x"), u32(5, 6)) + attribute(6, b"")
    found = attributes(packed)
    assert len(packed) % 4 == 0
    assert (found[1], found[2], found[6]) == (b"\7\0\0\0", b"abc\0", b"")
    assert attributes(found[3]) == {4: b"x", 5: b"\6\0\0\0"}


def test_damaged_attributes_end_the_reading() -> None:
    assert attributes(u32(1, 7) + b"\0\0\0\0" + u32(2, 8)) == {1: b"\7\0\0\0"}
