"""Echo requests: the same bytes as scapy makes."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP
from scapy.packet import Raw

from labctl.probes.echo import request


@pytest.mark.parametrize("data", [b"", b"\xff", b"odd", b"even", bytes(1472), b"\xff" * 65507])
@pytest.mark.parametrize(("identifier", "sequence"), [(0, 0), (1, 1), (65535, 65535), (0xF7FF, 0)])
def test_a_request_is_what_scapy_makes_of_it(identifier: int, sequence: int, data: bytes) -> None:
    assert request(identifier, sequence, data) == bytes(ICMP(type=8, id=identifier, seq=sequence) / Raw(data))
