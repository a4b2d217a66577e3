"""The text given to iptables-restore says everything about each table that it names."""

from __future__ import annotations

from labctl.kernel.iptables import render
from labctl.plan.objects import Ruleset

NAT = ("nat", ("-A POSTROUTING -j MASQUERADE",))


def test_a_table_has_a_policy_for_every_chain_and_the_written_ones_win() -> None:
    assert render(Ruleset("a", (("filter", (":FORWARD DROP [0:0]", "-A FORWARD -p tcp -j ACCEPT")),))) == (
        "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n-A FORWARD -p tcp -j ACCEPT\nCOMMIT\n"
    )


def test_a_table_of_the_old_ruleset_is_emptied() -> None:
    words = render(Ruleset("a", (NAT,)), Ruleset("a", (("raw", ("-A PREROUTING -j DROP",)), NAT)))
    assert words.count("COMMIT") == 2
    assert "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n" in words


def test_nothing_is_said_about_no_tables() -> None:
    assert render(Ruleset("a", ())) == ""
