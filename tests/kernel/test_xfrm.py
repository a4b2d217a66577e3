"""IPsec: what is configured is what `ip xfrm` shows, only ESP is on the wire, and what is not protected is dropped."""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from kernel_lab import Lab, address

from labctl.errors import KernelError, StateError
from labctl.kernel import keys, netns
from labctl.plan.ciphers import CIPHERS
from labctl.plan.objects import Delete, KernelObject, XfrmInterface, XfrmPolicy, XfrmState

GWA, GWB = IPv4Address("198.51.100.2"), IPv4Address("203.0.113.2")
ANY = IPv4Network("0.0.0.0/0")
NAMES = sorted(CIPHERS)


def gateway(node: str, mine: IPv4Address, other: IPv4Address, cipher: str, if_id: int) -> list[KernelObject]:
    """One end of a tunnel: keys `ab` and `ba`, SPI 0x1001 from a to b and 0x1002 back."""
    ab = XfrmState(node, GWA, GWB, 0x1001, cipher, "ab", if_id)  # type: ignore[arg-type]
    ba = XfrmState(node, GWB, GWA, 0x1002, cipher, "ba", if_id)  # type: ignore[arg-type]
    return [
        XfrmPolicy(node, "out", ANY, ANY, "protect", if_id, (mine, other)),
        XfrmPolicy(node, "in", ANY, ANY, "protect", if_id, (other, mine)),
        XfrmPolicy(node, "fwd", ANY, ANY, "protect", if_id, (other, mine)),
        ab,
        ba,
        XfrmInterface(node, "ipsec1", if_id, "wan", 1400),
    ]


def tunnel(wan: Lab, cipher: str) -> list[KernelObject]:
    """Protect all traffic between 10.1.0.0/24 and 10.2.0.0/24 with `cipher`."""
    wan.keys |= keys.generate({"ab": cipher, "ba": cipher})
    objects = [*gateway("gwa", GWA, GWB, cipher, 7), *gateway("gwb", GWB, GWA, cipher, 8)]
    wan.make(*objects)
    wan.route("gwa", "10.2.0.0/24", device="ipsec1")
    wan.route("gwb", "10.1.0.0/24", device="ipsec1")
    return objects


@pytest.mark.needs("esp", "xfrm-interface")
@pytest.mark.parametrize("cipher", NAMES)
def test_traffic_passes_and_only_esp_is_on_the_wire(wan: Lab, cipher: str) -> None:
    tunnel(wan, cipher)
    tap = wan.tap("wan", "wa")
    marker = "6c616263746c"
    assert wan.ping("a", "10.2.0.2", "-p", marker) == 3
    packets = tap.packets()
    tap.close()
    assert [packet[9] for packet in packets] == [50] * 6
    assert not any(bytes.fromhex(marker) in packet for packet in packets)
    assert {packet[20:24] for packet in packets} == {b"\0\0\x10\x01", b"\0\0\x10\x02"}


@pytest.mark.needs("esp", "xfrm-interface")
def test_without_the_tunnel_the_tap_sees_the_marker(wan: Lab) -> None:
    """The control of the test above: silence there means encryption, not a deaf tap."""
    wan.route("wan", "10.1.0.0/24", via=str(GWA))
    wan.route("wan", "10.2.0.0/24", via=str(GWB))
    tap = wan.tap("wan", "wa")
    assert wan.ping("a", "10.2.0.2", "-p", "6c616263746c") == 3
    assert all(b"labctl" in packet for packet in tap.packets())
    tap.close()


@pytest.mark.needs("esp", "xfrm-interface")
def test_a_wrong_key_lets_nothing_through(wan: Lab) -> None:
    objects = tunnel(wan, "aes256-gcm")
    ab = next(item for item in objects if isinstance(item, XfrmState) and item.namespace == "gwb")
    wan.keys |= keys.generate({"other": "aes256-gcm"})
    wan.change(ab, replace(ab, key="other"))
    assert wan.ping("a", "10.2.0.2") == 0
    wan.change(replace(ab, key="other"), ab)
    assert wan.ping("a", "10.2.0.2") == 3


@pytest.mark.needs("esp", "xfrm-interface")
def test_without_its_associations_a_tunnel_leaks_nothing(wan: Lab) -> None:
    objects = tunnel(wan, "aes256-gcm")
    wan.unmake(*(item for item in objects if isinstance(item, XfrmState)))
    tap = wan.tap("wan", "wa")
    assert wan.ping("a", "10.2.0.2", count=1) == 0
    assert tap.packets() == []
    tap.close()


@pytest.mark.needs("esp")
@pytest.mark.parametrize("cipher", NAMES)
def test_an_association_reads_back_as_written(lab: Lab, cipher: str) -> None:
    lab.nodes("a")
    lab.keys |= keys.generate({"k": cipher})
    lab.make(XfrmState("a", GWA, GWB, 0xABCDEF, cipher, "k", 7))  # type: ignore[arg-type]
    words = " ".join(lab.run("a", "ip", "xfrm", "state").split())
    key, form = lab.keys["k"].hex(), CIPHERS[cipher]
    split = form.encryption_bytes * 2
    assert f"src {GWA} dst {GWB} proto esp spi 0x00abcdef reqid 7 mode tunnel replay-window 32 flag af-unspec" in words
    assert "if_id 0x7" in words
    if form.authentication:
        assert f"auth-trunc {form.authentication} 0x{key[split:]} {form.icv_bits}" in words
        assert f"enc {form.encryption} 0x{key[:split]}" in words
    else:
        assert f"aead {form.encryption} 0x{key} {form.icv_bits}" in words


@pytest.mark.needs("esp")
def test_policies_read_back_as_written_and_go_when_deleted(lab: Lab) -> None:
    lab.nodes("a")
    made = [
        XfrmPolicy("a", "out", IPv4Network("10.1.0.0/24"), ANY, "protect", 7, (GWA, GWB)),
        XfrmPolicy("a", "fwd", IPv4Network("10.1.0.0/24"), IPv4Network("10.2.0.0/16"), "discard", priority=200),
    ]
    lab.make(*made)
    words = [" ".join(each.split()) for each in lab.run("a", "ip", "xfrm", "policy").split("src 10.1.0.0/24")[1:]]
    assert sorted(words) == [
        "dst 0.0.0.0/0 dir out priority 100 tmpl src 198.51.100.2 dst 203.0.113.2 "
        "proto esp reqid 7 mode tunnel if_id 0x7",
        "dst 10.2.0.0/16 dir fwd action block priority 200",
    ]
    lab.unmake(*made, *made)
    assert lab.run("a", "ip", "xfrm", "policy").strip() == ""


@pytest.mark.needs("esp")
def test_associations_go_when_deleted(lab: Lab) -> None:
    lab.nodes("a")
    lab.keys |= keys.generate({"k": "aes128-gcm"})
    made = XfrmState("a", GWA, GWB, 1000, "aes128-gcm", "k", 7)
    lab.make(made)
    lab.unmake(made, made)
    assert lab.run("a", "ip", "xfrm", "state").strip() == ""


@pytest.mark.needs("esp", "xfrm-interface")
def test_cleartext_from_outside_is_discarded_and_the_tunnel_goes_on(wan: Lab) -> None:
    tunnel(wan, "aes256-gcm")
    wan.route("wan", "10.2.0.0/24", via=str(GWB))
    inner = wan.tap("b", "eth0")
    inject(wan)
    assert wan.ping("b", "10.2.0.1", count=1) == 1
    assert any(b"injected" in packet for packet in inner.packets()), "the control: without a policy it arrives"
    wan.make(XfrmPolicy("gwb", "fwd", ANY, IPv4Network("10.2.0.0/24"), "discard"))
    inject(wan)
    assert not any(b"injected" in packet for packet in inner.packets())
    assert wan.ping("a", "10.2.0.2") == 3
    inner.close()


def inject(wan: Lab) -> None:
    """A cleartext datagram for b from the transit network, as if it came from a."""
    source, destination = IPv4Address("10.1.0.2"), IPv4Address("10.2.0.2")
    datagram = struct.pack("!HHHH", 9, 9, 16, 0) + b"injected"
    # The kernel fills in length, identification and checksum.
    header = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, 17, 0) + source.packed + destination.packed
    with netns.enter(wan.paths.namespace("wan")):
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with sender:
        sender.sendto(header + datagram, (str(destination), 0))


@pytest.mark.needs("esp")
def test_an_association_that_exists_is_refused_without_telling_its_key(lab: Lab) -> None:
    lab.nodes("a")
    lab.keys |= keys.generate({"k": "aes256-gcm"})
    made = XfrmState("a", GWA, GWB, 0x1001, "aes256-gcm", "k", 7)
    with pytest.raises(KernelError, match="SPI 0x1001 in a") as caught:
        lab.make(made, made)
    assert caught.value.errno == errno.EEXIST
    assert caught.value.subject == made
    assert lab.keys["k"].hex() not in repr(caught.value) + repr(caught.value.__dict__)


def test_a_key_that_is_not_in_the_ring_is_named(lab: Lab) -> None:
    lab.nodes("a")
    with pytest.raises(StateError, match="no key of-nobody"):
        lab.make(XfrmState("a", GWA, GWB, 0x1001, "aes256-gcm", "of-nobody", 7))


def test_a_kernel_without_esp_says_so(lab: Lab) -> None:
    """Either the association is made, or the message names what is missing."""
    lab.nodes("a")
    lab.keys |= keys.generate({"k": "aes256-gcm"})
    try:
        lab.make(XfrmState("a", GWA, GWB, 0x1001, "aes256-gcm", "k", 7))
    except KernelError as error:
        assert "ESP with aes256-gcm" in error.hint or "IPsec (xfrm)" in error.hint


@pytest.mark.needs("esp", "xfrm-interface")
def test_everything_of_a_tunnel_can_be_deleted(wan: Lab) -> None:
    objects = tunnel(wan, "aes128-cbc-sha1")
    wan.steps(*map(Delete, reversed(objects)))
    assert wan.run("gwa", "ip", "xfrm", "policy").strip() == ""
    assert wan.run("gwa", "ip", "-br", "link", "show", "type", "xfrm").strip() == ""


@pytest.mark.needs("esp", "xfrm-interface")
def test_two_tunnels_with_one_peer_are_kept_apart_by_their_if_id(wan: Lab) -> None:
    tunnel(wan, "aes256-gcm")
    wan.keys |= keys.generate({"x": "aes256-gcm"})
    second: list[KernelObject] = [
        XfrmState("gwa", GWA, GWB, 0x2001, "aes256-gcm", "x", 17),
        XfrmPolicy("gwa", "out", ANY, ANY, "protect", 17, (GWA, GWB)),
        XfrmInterface("gwa", "ipsec2", 17, "wan", 1400),
        address("gwa", "ipsec2", "169.254.0.1/30"),
    ]
    wan.make(*second)
    tap = wan.tap("wan", "wa")
    wan.ping("gwa", "169.254.0.2", count=1)
    assert {packet[20:24] for packet in tap.packets()} == {b"\0\0\x20\x01"}
    assert wan.ping("a", "10.2.0.2") == 3
    assert {packet[20:24] for packet in tap.packets()} == {b"\0\0\x10\x01", b"\0\0\x10\x02"}
    tap.close()
    wan.unmake(*reversed(second))
