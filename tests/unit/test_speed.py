"""The speed of a link is kept in each direction, once."""

from __future__ import annotations

from core_lab import POWER, VPE, VPN, network_of, plan_of

from labctl.plan.diff import diff
from labctl.plan.objects import Change, Shaper
from labctl.plan.render import describe


def shapers(resources: str) -> set[Shaper]:
    return {each for each in plan_of(resources).objects if isinstance(each, Shaper)}


def test_a_circuit_is_shaped_once_in_each_direction_behind_the_place_of_capture() -> None:
    resources = POWER.replace("peering:", "speed: 10mbit, peering:")
    rate = 10_000_000
    assert shapers(resources) == {Shaper("dl", "classic", rate_bit=rate), Shaper("dl", "power", rate_bit=rate)}


def test_an_access_to_the_internet_is_shaped_in_both_directions_and_keeps_its_delay() -> None:
    found = shapers(VPN.replace("delay: 10ms", "delay: 10ms, speed: 2mbit"))
    assert found == {
        *(Shaper("isp1.0", node, 10, rate_bit=2_000_000) for node in ("gw", "cgw")),
        *(Shaper(node, "isp1-0", rate_bit=2_000_000) for node in ("gw", "cgw")),
    }


def test_without_a_speed_nothing_is_shaped() -> None:
    assert shapers(POWER) == set()


def test_a_speed_is_told_with_what_else_is_done() -> None:
    assert describe(Shaper("a", "eth0", 10, rate_bit=2_500_000)) == "delay 10 ms, rate 2.5 mbit on eth0"
    assert (
        describe(Shaper("a", "eth0", 10, 2, loss_percent=5))
        == "delay 10 ms and up to 2 ms more or less, loss 5 % on eth0"
    )
    assert describe(Shaper("a", "eth0", rate_bit=10_000_000_000)) == "rate 10000 mbit on eth0"


def test_another_speed_is_put_in_place_without_losing_what_waits() -> None:
    slow, fast = (plan_of(POWER.replace("peering:", f"speed: {each}, peering:")) for each in ("1mbit", "10mbit"))
    steps = diff(slow, fast)
    assert len(steps) == 2
    assert all(isinstance(step, Change) and isinstance(step.new, Shaper) for step in steps)


def test_a_subnet_is_in_its_zone_and_a_link_in_none() -> None:
    zones = {each.name: each.zone for each in network_of(VPE).segments.values()}
    assert (zones["vpc1.app"], zones["vpc1.db"]) == ("z1", "z2")
    assert {each.zone for each in network_of(POWER).segments.values()} == {""}
