"""Two routers between a client and a test server, with translations on the way, for the tests of the actions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

from kernel_lab import Lab

from labctl.kernel import netns
from labctl.model.services import Listen, Server
from labctl.plan.objects import Ruleset
from labctl.probes.wire import Action, Probe, Reply, Tap
from labctl.services.server import BannerServer

MARKER = "labctl-action-1d9b27"
SERVER = IPv4Address("10.2.0.2")
PUBLIC = IPv4Address("198.51.100.10")
HIDDEN = IPv4Address("198.51.100.11")
TCP, UDP, WEB = 8080, 8081, 80
SEEN_AS = "192.0.2.1"
HOPS = ("10.1.0.1", "192.0.2.2", "10.2.0.2")

TAPS = (Tap("near", "r1", "c", "in"), Tap("middle", "r2", "r1", "in"), Tap("far", "s", "eth0", "in"))


def build(lab: Lab) -> None:
    """`c` 10.1.0.2 - 10.1.0.1 `r1` 192.0.2.1 - 192.0.2.2 `r2` 10.2.0.1 - 10.2.0.2 `s`.

    To `s` as 198.51.100.10 r1 translates the destination, and as 198.51.100.11 the source too.
    """
    lab.nodes("c", "s")
    lab.nodes("r1", "r2", forwarding=True)
    lab.wire("c", "eth0", "10.1.0.2/24", "r1", "c", "10.1.0.1/24")
    lab.wire("r1", "r2", "192.0.2.1/30", "r2", "r1", "192.0.2.2/30")
    lab.wire("r2", "s", "10.2.0.1/24", "s", "eth0", "10.2.0.2/24")
    for node, via in (("c", "10.1.0.1"), ("s", "10.2.0.1"), ("r1", "192.0.2.2"), ("r2", "192.0.2.1")):
        lab.route(node, "0.0.0.0/0", via=via)


def translate(lab: Lab) -> None:
    """The translations of r1."""
    rules = (
        f"-A PREROUTING -d {PUBLIC} -j DNAT --to-destination {SERVER}",
        f"-A PREROUTING -d {HIDDEN} -j DNAT --to-destination {SERVER}",
        f"-A POSTROUTING -d {SERVER} -m conntrack --ctorigdst {HIDDEN} -j SNAT --to-source {SEEN_AS}",
    )
    lab.make(Ruleset("r1", (("nat", rules),)))


def serve(lab: Lab, node: str, name: str = "srv") -> None:
    """labctl's own test server in `node`; its sockets stay there."""
    listens = (Listen("tcp", TCP), Listen("udp", UDP), Listen("http", WEB))
    with netns.enter(lab.paths.namespace(node)):
        server = BannerServer(Server(name, listens))
    threading.Thread(target=server.run, daemon=True).start()


@contextmanager
def rule(lab: Lab, node: str, *words: str) -> Iterator[None]:
    """A rule of the filter table, for a while."""
    lab.run(node, "iptables", "-A", *words)
    try:
        yield
    finally:
        lab.run(node, "iptables", "-D", *words)


def probe(action: Action, *taps: Tap, timeout_ms: int = 3000) -> Probe:
    return Probe("c", action, taps or TAPS, MARKER, timeout_ms)


def marked(reply: Reply, tap: str) -> int:
    return sum(flow.marked for flow in reply.flows if flow.tap == tap)
