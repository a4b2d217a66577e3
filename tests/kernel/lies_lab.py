"""The lab in which the prover is lied to: two ways between a client and two servers, and servers that lie.

        upper
    c -- r ==== w -- s      c 10.1.0.2; r 10.1.0.1, 10.3.0.1, 10.4.0.1; w 10.3.0.2, 10.4.0.2, 10.2.0.1, 10.2.1.1;
        lower    \\          s 10.2.0.2, 10.8.0.1, 10.9.N.1; x 10.2.1.2. All goes by `upper`, a bridge `sw` in its
                  x         middle; the link of s has an MTU of 1400 bytes.

What stands between c and the addresses 10.9.N.1 are rules of w: of N = 1 it says "host unreachable", of 2 nothing, of 3
"prohibited", of 4 "refused". So each claim that something does not work is true because of one rule, and false without.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

import lies_servers as servers
from kernel_lab import Lab, address

from labctl.kernel import netns
from labctl.model.services import Listen, Server
from labctl.plan.objects import Bridge, Ruleset, Sysctl, Veth
from labctl.probes.wire import Tap
from labctl.services.server import BannerServer

S, X, W = IPv4Address("10.2.0.2"), IPv4Address("10.2.1.2"), IPv4Address("10.3.0.2")
BEHIND = {
    "ok": IPv4Address("10.2.0.2"),
    "no_route": IPv4Address("10.9.1.1"),
    "filtered": IPv4Address("10.9.2.1"),
    "prohibited": IPv4Address("10.9.3.1"),
    "refused": IPv4Address("10.9.4.1"),
}
"""What becomes of a probe to each address of `s`."""

W_ADDRESSES = tuple(map(IPv4Address, ("10.3.0.2", "10.4.0.2", "10.2.0.1", "10.2.1.1")))
R_ADDRESSES = tuple(map(IPv4Address, ("10.1.0.1", "10.3.0.1", "10.4.0.1")))
SHARED = IPv4Address("10.8.0.1")
"""One more address of `s`, to which `r` spreads flows over both links."""
BOTH = "nexthop via 10.3.0.2 nexthop via 10.4.0.2"
PORT, WEB = 80, 8080

SAYS = {
    "no_route": "REJECT --reject-with icmp-host-unreachable",
    "filtered": "DROP",
    "prohibited": "REJECT --reject-with icmp-admin-prohibited",
    "refused": "REJECT --reject-with icmp-port-unreachable",
}
"""The rule by which it does."""

DEVICES = {
    "c": ("eth0",),
    "r": ("c", "upper", "lower"),
    "w": ("upper", "lower", "s", "x"),
    "s": ("eth0",),
    "x": ("eth0",),
}
LINKS = {
    "near": ("r", "c"),
    "upper": ("w", "upper"),
    "lower": ("w", "lower"),
    "far": ("w", "s"),
    "spare": ("w", "spare"),
}


def taps(name: str) -> tuple[Tap, ...]:
    """The taps of a link, or, as `@NODE`, those on all devices of a node."""
    if name.startswith("@"):
        return tuple(Tap(name, name[1:], device) for device in DEVICES[name[1:]])
    return (Tap(name, *LINKS[name]),)


def build(lab: Lab) -> None:
    """Make the lab; its servers answer when this returns."""
    lab.nodes("c", "s", "x", "sw")
    lab.nodes("r", "w", forwarding=True)
    for node in ("r", "w", "s", "x"):
        lab.make(Sysctl(node, "net.ipv4.icmp_ratelimit", "0"))
    lab.wire("c", "eth0", "10.1.0.2/24", "r", "c", "10.1.0.1/24")
    lab.make(Bridge("sw", "br"))
    for node, end, own in (("r", "a", "10.3.0.1/24"), ("w", "b", "10.3.0.2/24")):
        lab.make(lab.veth(node, "upper", "sw", end, b_master="br"), address(node, "upper", own))
    lab.wire("r", "lower", "10.4.0.1/24", "w", "lower", "10.4.0.2/24")
    lab.make(
        lab.veth("w", "s", "s", "eth0", mtu=1400), address("w", "s", "10.2.0.1/24"), address("s", "eth0", f"{S}/24")
    )
    lab.wire("w", "x", "10.2.1.1/24", "x", "eth0", "10.2.1.2/24")
    lab.make(spare(lab))
    for node, via in (("c", "10.1.0.1"), ("s", "10.2.0.1"), ("x", "10.2.1.1")):
        lab.route(node, "10.0.0.0/8", via=via)
    for net in ("10.2.0.0/16", "10.9.0.0/16"):
        lab.route("r", net, via="10.3.0.2")
    lab.route("w", "10.1.0.0/24", via="10.3.0.1")
    lab.make(Sysctl("r", "net.ipv4.fib_multipath_hash_policy", "1"), address("s", "eth0", f"{SHARED}/32"))
    lab.run("r", "ip", "route", "add", str(SHARED), *BOTH.split())
    for net in ("10.8.0.0/16", "10.9.0.0/16"):
        lab.route("w", net, via=str(S))
    for word, to in BEHIND.items():
        if word != "ok":
            lab.make(address("s", "eth0", f"{to}/32"))
    rules = [f"-A FORWARD -d {BEHIND[word]} -j {said}" for word, said in SAYS.items()]
    lab.make(Ruleset("w", (("filter", (*rules, "-A FORWARD -s 203.0.113.0/24 -j DROP")),)))
    _serve(lab)


def spare(lab: Lab) -> Veth:
    """A cable between w and x that nothing uses."""
    return lab.veth("w", "spare", "x", "spare")


def _serve(lab: Lab) -> None:
    listens = (Listen("tcp", PORT), Listen("udp", PORT), Listen("http", WEB))
    for node in ("s", "x"):
        with netns.enter(lab.paths.namespace(node)):
            server = BannerServer(Server(node, listens))
        servers.spawn(server.run)
    at_filtered = str(BEHIND["filtered"])
    servers.spawn(
        servers.answer, servers.listen(lab, "s", socket.SOCK_DGRAM, 53, at_filtered), servers.by_udp(servers.honest)
    )
    for node, port, names in (("s", 53, servers.honest), *(("x", *each) for each in servers.NAMES.values())):
        servers.spawn(servers.answer, servers.listen(lab, node, socket.SOCK_DGRAM, port), servers.by_udp(names))
        servers.spawn(servers.accept, servers.listen(lab, node, socket.SOCK_STREAM, port), servers.by_tcp(names))
    for port, dialogue in servers.DIALOGUES.values():
        servers.spawn(servers.accept, servers.listen(lab, "x", socket.SOCK_STREAM, port), dialogue)
    for port, echo in servers.ECHOES.values():
        servers.spawn(servers.answer, servers.listen(lab, "x", socket.SOCK_DGRAM, port), echo)
