"""A node's tables as text: what is in force is in it, no key is, and what cannot be read is said."""

from __future__ import annotations

import re

import pytest
from kernel_lab import Lab
from test_xfrm import tunnel

from labctl.kernel import tables
from labctl.plan.ciphers import CIPHERS
from labctl.plan.objects import Ruleset


def part(text: str, heading: str) -> str:
    """What stands under a heading."""
    [found] = [each for each in re.split(r"(?m)^# (?=.*\n\$ )", text) if each.startswith(heading)]
    return found


def test_addresses_routes_neighbours_and_sockets_are_those_of_the_node(pair: Lab) -> None:
    assert pair.ping("left", "10.0.0.2", count=1) == 1
    pair.route("left", "10.9.0.0/16", via="10.0.0.2")
    text = tables.read(pair.paths, "left")
    assert "10.0.0.1/24" in part(text, "addresses")
    assert "10.0.0.2/24" not in text
    assert "RX:" in part(text, "addresses")
    assert "10.9.0.0/16 via 10.0.0.2" in part(text, "routes of all tables")
    assert "table local" in part(text, "routes of all tables")
    assert "lookup main" in part(text, "rules\n")
    assert "10.0.0.2 dev eth0 lladdr" in part(text, "neighbours")
    assert "qdisc noqueue" in part(text, "queues")


@pytest.mark.needs("iptables")
def test_rules_are_shown_with_what_they_counted(pair: Lab) -> None:
    pair.make(Ruleset("right", (("filter", ("-A INPUT -p icmp -j DROP",)),)))
    assert pair.ping("left", "10.0.0.2", count=1) == 0
    assert "[1:84] -A INPUT -p icmp -j DROP" in part(tables.read(pair.paths, "right"), "rules of iptables")


def test_filters_are_shown_for_each_device_that_has_a_place_for_them(pair: Lab) -> None:
    try:
        pair.run("left", "tc", "qdisc", "add", "dev", "eth0", "clsact")
        pair.run(
            "left", "tc", "filter", "add", "dev", "eth0", "ingress", "protocol", "ip", "u32", "match", "u32", "0", "0"
        )
    except AssertionError as error:
        pytest.skip(f"this machine cannot filter: {error}")
    text = tables.read(pair.paths, "left")
    assert "u32" in part(text, "filters at eth0, ingress")
    assert "filters at lo" not in text


@pytest.mark.needs("esp", "xfrm-interface")
@pytest.mark.parametrize("cipher", sorted(CIPHERS))
def test_states_of_ipsec_are_shown_and_no_key_is(wan: Lab, cipher: str) -> None:
    tunnel(wan, cipher)
    text = tables.read(wan.paths, "gwa")
    assert "spi 0x00001001" in part(text, "IPsec states")
    assert "dir out" in part(text, "IPsec policies")
    plain = text.lower()
    for key in wan.keys.values():
        words = [key.hex()[i : i + 16] for i in range(0, len(key.hex()), 16)]
        assert [word for word in words if word in plain] == []


def test_a_tool_that_is_missing_is_said_by_its_name(pair: Lab) -> None:
    text = tables.read(pair.paths, "left", (("a wish", ("no-such-tool", "--all")),))
    assert part(text, "a wish") == "a wish\n$ no-such-tool --all\n(no-such-tool is not installed)\n\n"


def test_a_tool_that_complains_is_quoted_with_its_status(pair: Lab) -> None:
    text = tables.read(pair.paths, "left", (("a wish", ("ip", "link", "show", "dev", "nowhere")),))
    assert part(text, "a wish").splitlines()[2:4] == ['Device "nowhere" does not exist.', "(ip ended with status 1)"]


def test_a_node_that_is_not_there_is_said_to_be_absent(pair: Lab) -> None:
    assert tables.read(pair.paths, "gone").startswith("nothing can be read: there is no namespace")
