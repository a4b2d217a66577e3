"""What the connections of one gateway may have between them: so many, and to every address one way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labctl.kinds.base import Lab

if TYPE_CHECKING:
    from labctl.kinds.ipsec_connection import IpsecConnection

MOST_PREFIXES = 5
MOST_CONNECTIONS = 10
"""What a VPN gateway takes ("VPN Gateway: limits")."""


def refuse_rivals(me: str, connection: IpsecConnection, lab: Lab) -> None:
    """Report what the gateways of `connection` cannot take of it beside those that are written before it."""
    selectors = connection.selectors
    for side, prefixes in (("local", selectors.local), ("remote", selectors.remote)):
        if len(prefixes) > MOST_PREFIXES:
            rule = f"a connection has at most {MOST_PREFIXES} prefixes on each side"
            lab.fault((me, "selectors", side), rule, "one shorter prefix may hold several", f"{len(prefixes)} prefixes")
    for gateway in sorted(connection.gateways()):
        every = [(name, each) for name, each in lab.all(type(connection)) if gateway in each.gateways()]
        earlier = every[: [name for name, _ in every].index(me)]
        if len(earlier) == MOST_CONNECTIONS:
            rule = f"{gateway} has {MOST_CONNECTIONS} connections already, the most that a gateway takes"
            lab.fault((me,), rule, value="")
        for name, other in earlier:
            if other.gateways() != connection.gateways():
                _refuse_shared(me, connection, lab, gateway, name, other)


def _refuse_shared(
    me: str, connection: IpsecConnection, lab: Lab, gateway: str, name: str, other: IpsecConnection
) -> None:
    side, prefixes = connection.beyond(gateway)
    there, taken = other.beyond(gateway)
    for i, prefix in enumerate(prefixes):
        for j, each in enumerate(taken):
            if prefix.overlaps(each):
                rule = f"{gateway} would have two ways to it: {each} is beyond {name} already"
                lab.fault((me, "selectors", side, i), rule, value=str(prefix), other=(name, "selectors", there, j))
