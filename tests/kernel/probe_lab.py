"""A small routed lab for the prober's tests, with servers that speak labctl's protocol or break it on purpose."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from dnslib import AAAA, CNAME, MX, NS, PTR, QTYPE, RCODE, RD, RR, SOA, TXT, A, DNSRecord
from kernel_lab import Lab, address, route

from labctl.kernel import netns
from labctl.plan.objects import Namespace, Ruleset, Sysctl
from labctl.probes.wire import Action, Probe, Tap

MARKER = "labctl-probe-5f3a9c"
SERVER = IPv4Address("10.2.0.2")
GOOD, WRONG, RUDE, MUTE, RESET, CLOSED = 8080, 8081, 8082, 8083, 8084, 9
SLOW, SLOW_S = 8085, 0.4
ADMIN, RST, DROP = 7001, 7002, 7003

RECORDS: dict[str, tuple[RD, ...]] = {
    "MX": (MX("mail.test", 10), MX("mail2.test", 20)),
    "TXT": (TXT("v=spf1 -all"),),
    "AAAA": (AAAA("2001:db8::1"),),
    "SOA": (SOA("ns.test", "admin.test", (1, 2, 3, 4, 5)),),
    "NS": (NS("ns1.test"), NS("ns2.test")),
    "PTR": (PTR("web.test"),),
}
"""What `mx.test`, `txt.test`... are."""

SEVERAL = {
    "second": ("10.9.3.1", "10.2.0.2"),
    "third": ("10.2.0.1", "10.9.3.1", "10.2.0.2"),
    "none": ("10.9.3.1", "10.9.3.2"),
}
"""Names of several addresses, of which the last may serve, 10.2.0.1 refuses and the others are silent."""

TRANSIT = (Tap("near", "r", "c", "in"), Tap("far", "s", "eth0", "in"))


def build(lab: Lab) -> None:
    """`c` 10.1.0.2 - 10.1.0.1 `r` 10.2.0.1 - 10.2.0.2 `s`, the far link with an MTU of 1400 bytes."""
    lab.make(Namespace("c"), Namespace("r", True), Namespace("s"), Sysctl("r", "net.ipv4.icmp_ratelimit", "0"))
    lab.make(Sysctl("s", "net.ipv4.icmp_ratelimit", "0"))
    lab.wire("c", "eth0", "10.1.0.2/24", "r", "c", "10.1.0.1/24")
    far = lab.veth("r", "s", "s", "eth0", mtu=1400)
    lab.make(far, address("r", "s", "10.2.0.1/24"), address("s", "eth0", "10.2.0.2/24"))
    lab.route("c", "10.0.0.0/8", via="10.1.0.1")
    lab.route("s", "10.0.0.0/8", via="10.2.0.1")
    # A router tells each sender of unreachable routes 5 times, then once a second (ip_rt_error_burst, not to be set in
    # a namespace): so only some of the errors come from routes, the others from rules.
    lab.make(route("r", "10.9.7.0/24", type="unreachable"), route("r", "10.9.3.0/24", type="blackhole"))
    lab.run("r", "ip", "route", "add", "prohibit", "10.9.8.0/24")
    lab.route("r", "10.9.1.0/24", via="10.2.0.2")
    lab.route("r", "10.9.4.0/24", via="10.2.0.2")
    lab.make(route("c", "10.9.5.0/24", type="blackhole"))
    lab.run("c", "ip", "route", "add", "prohibit", "10.9.6.0/24")
    unreachable = ("-A FORWARD -d 10.9.1.0/24 -j REJECT --reject-with icmp-host-unreachable",)
    prohibited = ("-A FORWARD -d 10.9.4.0/24 -j REJECT --reject-with icmp-admin-prohibited",)
    reject = ("-A FORWARD -p tcp --dport 7001 -j REJECT --reject-with icmp-admin-prohibited",)
    reset = ("-A FORWARD -p tcp --dport 7002 -j REJECT --reject-with tcp-reset",)
    drop = (
        "-A FORWARD -p tcp --dport 7003 -j DROP",
        "-A FORWARD -p icmp --icmp-type 8 -m length --length 1000 -j DROP",
    )
    lab.make(Ruleset("r", (("filter", unreachable + prohibited + reject + reset + drop),)))


def probe(action: Action, *taps: Tap, timeout_ms: int = 2000, node: str = "c", **more: Any) -> Probe:
    return Probe(node, action, taps or TRANSIT, MARKER, timeout_ms, **more)


def serve(lab: Lab, node: str) -> None:
    """Every server of the tests in `node`, a thread each; their sockets keep them there."""
    for port, dialogue in ((GOOD, good), (WRONG, wrong), (RUDE, rude), (MUTE, mute), (RESET, reset)):
        _spawn(_accept, _open(lab, node, socket.SOCK_STREAM, port), dialogue)
    _spawn(_datagrams, _open(lab, node, socket.SOCK_DGRAM, GOOD), echo)
    _spawn(_datagrams, _open(lab, node, socket.SOCK_DGRAM, WRONG), lambda data, peer: b"labctl x y 1\nother")
    _spawn(_datagrams, _open(lab, node, socket.SOCK_DGRAM, MUTE), lambda data, peer: b"")
    _spawn(_datagrams, _open(lab, node, socket.SOCK_DGRAM, SLOW), slow_echo)
    names = Names()
    _spawn(_datagrams, _open(lab, node, socket.SOCK_DGRAM, 53), names.udp)
    _spawn(_accept, _open(lab, node, socket.SOCK_STREAM, 53), names.tcp)


def good(client: socket.socket, peer: tuple[str, int]) -> None:
    client.sendall(f"labctl srv {peer[0]} {peer[1]}\n".encode())
    digest, count = hashlib.sha256(), 0
    while data := client.recv(1 << 16):
        digest.update(data)
        count += len(data)
    client.sendall(json.dumps({"bytes": count, "sha256": digest.hexdigest()}).encode() + b"\n")


def wrong(client: socket.socket, peer: tuple[str, int]) -> None:
    client.sendall(b"labctl srv 1.2.3.4 5\n")
    while client.recv(1 << 16):
        pass
    client.sendall(b'{"bytes": 64, "sha256": "00"}\n')


def rude(client: socket.socket, peer: tuple[str, int]) -> None:
    client.sendall(b"220 mail ready\n")


def mute(client: socket.socket, peer: tuple[str, int]) -> None:
    threading.Event().wait(5)


def reset(client: socket.socket, peer: tuple[str, int]) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def echo(data: bytes, peer: tuple[str, int]) -> bytes:
    return f"labctl srv {peer[0]} {peer[1]}\n".encode() + data


def slow_echo(data: bytes, peer: tuple[str, int]) -> bytes:
    time.sleep(SLOW_S)
    return echo(data, peer)


class Names:
    """A DNS server whose answers are in the names; `late` answers the second time it is asked."""

    def __init__(self) -> None:
        self._late = 0

    def udp(self, data: bytes, peer: tuple[str, int]) -> bytes:
        query = DNSRecord.parse(data)
        if str(query.q.qname).startswith("big"):
            reply = query.reply()
            reply.header.tc = 1
            return bytes(reply.pack())
        return self._answer(data)

    def tcp(self, client: socket.socket, peer: tuple[str, int]) -> None:
        data = client.recv(1 << 16)
        answer = self._answer(data[2:])
        client.sendall(len(answer).to_bytes(2, "big") + answer)

    def _answer(self, data: bytes) -> bytes:
        query = DNSRecord.parse(data)
        name = str(query.q.qname).split(".")[0]
        if name == "late":
            self._late += 1
        if name == "silent" or (name == "late" and self._late < 2):
            return b""
        reply = query.reply(aa=int(name != "foreign"))
        reply.header.rcode = {"nx": RCODE.NXDOMAIN, "fail": RCODE.SERVFAIL, "no": RCODE.REFUSED}.get(name, 0)
        if name == "alias":
            reply.add_answer(RR("alias.test", 5, rdata=CNAME("web.test"), ttl=60))
        if name == "else":
            return bytes(DNSRecord.question("web.test").reply().pack())
        for data in RECORDS.get(name.upper(), ()):
            reply.add_answer(RR(query.q.qname, getattr(QTYPE, name.upper()), rdata=data, ttl=60))
        if query.q.qtype in (QTYPE.A, QTYPE.ANY) and name in ("web", "alias", "foreign", "late", "big"):
            owner = "web.test" if name == "alias" else str(query.q.qname)
            reply.add_answer(RR(owner, 1, rdata=A("10.2.0.2"), ttl=60))
            reply.add_answer(RR(owner, 1, rdata=A("10.2.0.1"), ttl=60))
        for text in SEVERAL.get(name, ()):
            reply.add_answer(RR(query.q.qname, 1, rdata=A(text), ttl=60))
        return bytes(reply.pack())


def _open(lab: Lab, node: str, kind: int, port: int) -> socket.socket:
    with netns.enter(lab.paths.namespace(node)):
        opened = socket.socket(socket.AF_INET, kind)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("", port))
    if kind == socket.SOCK_STREAM:
        opened.listen(16)
    return opened


def _spawn(work: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def _accept(listener: socket.socket, dialogue: Callable[[socket.socket, tuple[str, int]], None]) -> None:
    while True:
        client, peer = listener.accept()
        _spawn(_dialogue, client, peer, dialogue)


def _dialogue(client: socket.socket, peer: tuple[str, int], dialogue: Callable[..., None]) -> None:
    with client:
        dialogue(client, peer)


def _datagrams(opened: socket.socket, answer: Callable[[bytes, tuple[str, int]], bytes]) -> None:
    while True:
        data, peer = opened.recvfrom(1 << 16)
        reply = answer(data, peer)
        if reply:
            opened.sendto(reply, peer)
