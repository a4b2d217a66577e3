"""Which story each action tells."""

from __future__ import annotations

from typing import assert_never

from labctl.probes.actions_connect import connect_many
from labctl.probes.actions_dialogue import tcp, udp
from labctl.probes.actions_dns import dns
from labctl.probes.actions_flows import flows
from labctl.probes.actions_health import health
from labctl.probes.actions_http import http
from labctl.probes.actions_lookup import lookup
from labctl.probes.actions_rate import rate
from labctl.probes.actions_raw import inject, ping
from labctl.probes.actions_trace import trace
from labctl.probes.attempt import Attempt
from labctl.probes.wire import (
    Action,
    Connect,
    Dns,
    Flows,
    Health,
    Http,
    Inject,
    Lookup,
    Ping,
    Rate,
    Reply,
    Tcp,
    Trace,
    Udp,
)


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
        case Http():
            return http(attempt, action)
        case Trace():
            return trace(attempt, action)
        case Rate():
            return rate(attempt, action)
        case Flows():
            return flows(attempt, action)
        case Connect():
            return connect_many(attempt, action)
        case Lookup():
            return lookup(attempt, action)
        case Health():
            return health(attempt, action)
        case Inject():
            return inject(attempt, action)
        case _:
            assert_never(action)
