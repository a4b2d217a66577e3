"""From a target to a connection: its name asked of the node's DNS servers, its addresses tried in the answer's order.

A server that is silent or cannot answer gives way to the next, as does an address that cannot be connected to; the last
of either has all the time that is left.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import NamedTuple

from labctl.probes.actions_dns import dns
from labctl.probes.actions_transport import connect
from labctl.probes.attempt import Attempt
from labctl.probes.wire import Dns, Named, Reply

_FINAL = ("ok", "nxdomain", "nodata", "error")
"""What one DNS server says that no other one is asked about."""


class Dialled(NamedTuple):
    """A connection, and the addresses of its name that were tried, the one it leads to last; none for an address."""

    socket: socket.socket
    tried: tuple[str, ...]


def dial(attempt: Attempt, to: IPv4Address | None, named: Named | None, port: int) -> Dialled | Reply:
    """A connection to the target, or why there is none."""
    addresses = resolve(attempt, to, named)
    if isinstance(addresses, Reply):
        return addresses
    failed: list[Reply] = []
    for i, address in enumerate(addresses):
        left = len(addresses) - i
        connected = connect(attempt if left == 1 else attempt.part(attempt.due() / left), address, port)
        if not isinstance(connected, Reply):
            return Dialled(connected, tuple(map(str, addresses[: i + 1])) if named else ())
        failed.append(connected)
    if named is None:
        return failed[-1]
    reason = "; ".join(f"{address}: {each.reason}" for address, each in zip(addresses, failed, strict=True))
    tried = tuple(map(str, addresses))
    return replace(failed[-1], reason=reason, tried=tried, elapsed_ms=attempt.reply("ok", "").elapsed_ms)


def resolve(attempt: Attempt, to: IPv4Address | None, named: Named | None) -> Sequence[IPv4Address] | Reply:
    """`to`, or the addresses of `named`, of which there is one at least; or why there is none."""
    if named is None or not named.servers:
        return (to,) if to else attempt.reply("error", "neither an address nor a name with its server")
    for i, server in enumerate(named.servers):
        last = i == len(named.servers) - 1
        part = attempt if last else attempt.part(min(named.patience_ms / 1000, attempt.left()))
        found = dns(part, Dns(server, named.name))
        if found.outcome in _FINAL:
            break
    if found.outcome != "ok":
        elapsed = attempt.reply("ok", "").elapsed_ms
        return replace(found, lookup=True, reason=f"the lookup of {named.name}: {found.reason}", elapsed_ms=elapsed)
    attempt.own.clear()  # the lookup was a means: from here on what follows alone is the probe
    return [IPv4Address(answer) for answer in found.answers]
