"""netem delays what leaves, by as much as it was told, until it is removed."""

from __future__ import annotations

import re

import pytest
from kernel_lab import Lab

from labctl.errors import KernelError
from labctl.plan.objects import Shaper

pytestmark = pytest.mark.needs("netem")


def round_trip_ms(lab: Lab) -> float:
    found = re.search(r"= [\d.]+/([\d.]+)/", lab.run("left", "ping", "-n", "-c5", "-i0.05", "10.0.0.2"))
    assert found
    return float(found[1])


def test_a_delay_is_added_changed_and_removed(pair: Lab) -> None:
    pair.ping("left", "10.0.0.2", count=1)
    assert round_trip_ms(pair) < 10
    first, second = Shaper("left", "eth0", 30.0), Shaper("left", "eth0", 60.0, 5.0)
    pair.make(first)
    assert 30 <= round_trip_ms(pair) < 50
    pair.change(first, second)
    assert 50 <= round_trip_ms(pair) < 80
    pair.unmake(second, second)
    assert round_trip_ms(pair) < 10


def test_delay_and_jitter_read_back_as_written(pair: Lab) -> None:
    pair.make(Shaper("left", "eth0", 12.5, 2.25))
    words = pair.run("left", "tc", "qdisc", "show", "dev", "eth0")
    assert "netem" in words
    assert re.search(r"delay 12\.5ms +2\.25ms", words), words


def test_a_device_that_is_not_there_is_named(pair: Lab) -> None:
    with pytest.raises(KernelError, match="netem on eth9 in left: there is no device eth9"):
        pair.make(Shaper("left", "eth9", 10.0))
