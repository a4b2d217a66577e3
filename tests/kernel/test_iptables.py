"""A ruleset is the whole of a namespace's rules, and takes effect at once or not at all."""

from __future__ import annotations

import pytest
from kernel_lab import Lab

from labctl.errors import KernelError
from labctl.plan.objects import Ruleset

pytestmark = pytest.mark.needs("iptables")

DROP = Ruleset("right", (("filter", (":INPUT DROP [0:0]", "-A INPUT -p udp -j ACCEPT")),))


def rules(lab: Lab, node: str) -> str:
    return lab.run(node, "iptables-save")


def test_a_masqueraded_packet_bears_the_gateways_address(wan: Lab) -> None:
    wan.make(Ruleset("gwa", (("nat", ("-A POSTROUTING -s 10.1.0.0/24 -o wan -j MASQUERADE",)),)))
    tap = wan.tap("wan", "wa")
    assert wan.ping("a", "203.0.113.2") == 3
    assert {packet[12:16] for packet in tap.packets()} == {bytes([198, 51, 100, 2]), bytes([203, 0, 113, 2])}
    tap.close()


def test_a_policy_and_a_rule_are_in_force_and_both_go(pair: Lab) -> None:
    pair.make(DROP)
    assert pair.ping("left", "10.0.0.2", count=1) == 0
    pair.unmake(DROP)
    assert pair.ping("left", "10.0.0.2", count=1) == 1
    assert "-A " not in rules(pair, "right")
    assert "DROP" not in rules(pair, "right")


def test_a_change_empties_the_tables_that_are_no_longer_named(pair: Lab) -> None:
    both = Ruleset("right", (*DROP.tables, ("nat", (":mine - [0:0]", "-A mine -j RETURN"))))
    pair.make(both)
    new = Ruleset("right", (("filter", ("-A INPUT -p tcp -j DROP",)),))
    pair.change(both, new)
    assert [line for line in rules(pair, "right").splitlines() if line[:2] == "-A"] == ["-A INPUT -p tcp -j DROP"]
    assert ":INPUT ACCEPT" in rules(pair, "right")
    assert ":mine" not in rules(pair, "right")
    assert pair.ping("left", "10.0.0.2", count=1) == 1


def test_a_line_that_is_refused_is_quoted_and_nothing_changes(pair: Lab) -> None:
    pair.make(DROP)
    before = [line for line in rules(pair, "right").splitlines() if line[0] != "#"]
    bad = Ruleset("right", (("filter", ("-A INPUT -j ACCEPT", "-A INPUT --no-such-option")),))
    with pytest.raises(KernelError, match=r"iptables rules in right: .*-A INPUT --no-such-option") as caught:
        pair.change(DROP, bad)
    assert caught.value.subject == bad
    after = [line for line in rules(pair, "right").splitlines() if line[0] != "#"]
    assert [each.split("[")[0] for each in after] == [each.split("[")[0] for each in before]


def test_the_rules_of_a_node_are_its_own(pair: Lab) -> None:
    pair.make(DROP)
    assert "-A" not in rules(pair, "left")


def test_deleting_is_idempotent(pair: Lab) -> None:
    pair.make(DROP)
    pair.unmake(DROP, DROP)
