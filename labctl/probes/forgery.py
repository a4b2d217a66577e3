"""A forged TCP segment, down to its Ethernet header, built by scapy."""

from __future__ import annotations

import random

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from labctl.probes.wire import Inject


def frame(action: Inject, port: int, marker: bytes, macs: tuple[str, str]) -> bytes:
    """The SYN that `action` wants, from the source port `port`, between two MAC addresses."""
    segment = TCP(sport=port, dport=action.port, flags="S", seq=random.randrange(1 << 32)) / Raw(marker)
    source, target = macs
    return bytes(Ether(src=source, dst=target) / IP(src=str(action.source), dst=str(action.to), ttl=64) / segment)
