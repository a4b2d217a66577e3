"""The same rules, written in another way, mean the same; and rules that differ do not."""

from __future__ import annotations

import pytest

from labctl.plan.objects import Ruleset
from labctl.plan.rulesets import beyond, canonical, meaning

SAME = [
    ("-A FORWARD -s 10.0.0.1 -j ACCEPT", "-A FORWARD -s 10.0.0.1/32 -j ACCEPT"),
    ("-A FORWARD -p tcp --dport 80 -j DROP", "-A FORWARD -p tcp -m tcp --dport 80 -j DROP"),
    ("-A FORWARD -i a -d 10.0.0.0/8 -j DROP", "-A FORWARD -d 10.0.0.0/8 -i a -j DROP"),
    ("-A INPUT -j REJECT", "-A INPUT -j REJECT --reject-with icmp-port-unreachable"),
    ("-A INPUT --source 10.0.0.1 --jump DROP", "-A INPUT -s 10.0.0.1/32 -j DROP"),
    ("-A X -m conntrack --ctorigdst 10.0.0.1 -j DROP", "-A X -m conntrack --ctorigdst 10.0.0.1/32 -j DROP"),
]
OTHER = [
    ("-A FORWARD -s 10.0.0.1 -j ACCEPT", "-A FORWARD -s 10.0.0.1 -j DROP"),
    ("-A FORWARD ! -s 10.0.0.1 -j ACCEPT", "-A FORWARD -s 10.0.0.1 -j ACCEPT"),
    ("-A FORWARD -s 10.0.0.1 -j ACCEPT", "-A INPUT -s 10.0.0.1 -j ACCEPT"),
    ("-A FORWARD -s 10.0.0.1 -j ACCEPT", "-A FORWARD -d 10.0.0.1 -j ACCEPT"),
    ("-A INPUT -j REJECT --reject-with tcp-reset", "-A INPUT -j REJECT"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_rule_written_in_two_ways_is_one(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_two_rules_are_two(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


def test_the_order_of_rules_counts_and_that_of_policies_does_not() -> None:
    rules = ("-A INPUT -s 10.0.0.1 -j DROP", "-A INPUT -j ACCEPT")
    policies = (":INPUT DROP [0:0]", ":FORWARD DROP [7:900]")
    assert meaning([("filter", rules)]) != meaning([("filter", rules[::-1])])
    assert meaning([("filter", policies)]) == meaning([("filter", (":FORWARD DROP [0:0]", ":INPUT DROP [0:0]"))])


def test_between_chains_there_is_no_order() -> None:
    rules = ("-A OUTPUT -j ACCEPT", "-A INPUT -s 10.0.0.1 -j DROP", "-A OUTPUT -j DROP")
    assert meaning([("filter", rules)]) == meaning([("filter", (rules[1], rules[0], rules[2]))])
    assert meaning([("filter", rules)]) != meaning([("filter", (rules[1], rules[2], rules[0]))])


def test_a_table_that_accepts_everything_is_none() -> None:
    assert meaning([("filter", (":INPUT ACCEPT [0:0]",)), ("nat", ())]) == {}


def test_what_one_has_beyond_the_other() -> None:
    one = Ruleset(
        "n", (("filter", (":INPUT DROP [0:0]", "-A INPUT -s 10.0.0.1 -j DROP")), ("nat", ("-A OUTPUT -j DNAT",)))
    )
    other = Ruleset("n", (("filter", ("-A INPUT -s 10.0.0.1/32 -j DROP",)),))
    assert beyond(one, other) == ("filter :INPUT DROP [0:0]", "nat -A OUTPUT -j DNAT")
    assert beyond(other, one) == ()
