"""Which story each action tells."""

from __future__ import annotations

from typing import assert_never

from labctl.probes.actions_raw import inject, ping
from labctl.probes.actions_transport import dns, tcp, udp
from labctl.probes.attempt import Attempt
from labctl.probes.wire import Action, Dns, Inject, Ping, Reply, Tcp, Udp


def perform(attempt: Attempt, action: Action) -> Reply:
    """Do `action` to its end. The reply lacks what only the taps know: `ready`, `sent` and the flows."""
    match action:
        case Dns():
            return dns(attempt, action)
        case Tcp():
            return tcp(attempt, action)
        case Udp():
            return udp(attempt, action)
        case Ping():
            return ping(attempt, action)
        case Inject():
            return inject(attempt, action)
        case _:
            assert_never(action)
