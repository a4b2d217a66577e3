"""Ways to make a lab lie: each is put in when its block begins and taken out when it ends."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from ipaddress import IPv4Address

import lies_servers as servers
from dnslib import RR, A, DNSRecord
from kernel_lab import Lab
from lies_lab import SAYS, S, X

from labctl.kernel import conntrack, netns

Way = Callable[[Lab], AbstractContextManager[object]]


def honest() -> Way:
    """No lie: for what is false because of what is claimed."""
    return lambda lab: contextlib.nullcontext()


def rule(node: str, text: str, table: str = "filter") -> Way:
    """The rule `text` comes first in its chain: `FORWARD -d 10.2.0.2 -j DROP`."""
    chain, *words = text.split()

    @contextlib.contextmanager
    def way(lab: Lab) -> Iterator[None]:
        lab.run(node, "iptables", "-w", "-t", table, "-I", chain, *words)
        try:
            yield
        finally:
            lab.run(node, "iptables", "-w", "-t", table, "-D", chain, *words)

    return way


def commands(node: str, do: str, undo: str) -> Way:
    """One command and its contrary."""

    @contextlib.contextmanager
    def way(lab: Lab) -> Iterator[None]:
        lab.run(node, *do.split())
        try:
            yield
        finally:
            lab.run(node, *undo.split())

    return way


def several(*ways: Way) -> Way:
    """All of them at once."""

    @contextlib.contextmanager
    def way(lab: Lab) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for each in ways:
                stack.enter_context(each(lab))
            yield

    return way


def becomes(outcome: str, to: IPv4Address, node: str = "w") -> Way:
    """What is sent to an address behind `node` has another fate than usual."""
    return rule(node, f"FORWARD -d {to} -j {SAYS.get(outcome, 'ACCEPT')}")


def answered_by_x(proto: str, port: int, there: int) -> Way:
    """`w` hands what is for a port of `s` to a port of `x`, and makes its answers those of `s`.

    It forgets its connections first: one from a port that is used again would go where it went before.
    """
    answered = rule("w", f"PREROUTING -d {S} -p {proto} --dport {port} -j DNAT --to-destination {X}:{there}", "nat")

    @contextlib.contextmanager
    def way(lab: Lab) -> Iterator[None]:
        conntrack.forget(lab.paths.namespace("w"), "w")
        with answered(lab):
            yield

    return way


def by_lower(node: str) -> Way:
    """`r` sends towards the servers by the lower way, or `w` back to the client."""
    to, upper, lower = {
        "r": ("10.2.0.0/16", "10.3.0.2", "10.4.0.2"),
        "w": ("10.1.0.0/24", "10.3.0.1", "10.4.0.1"),
    }[node]
    return commands(node, f"ip route replace {to} via {lower}", f"ip route replace {to} via {upper}")


def lossy(to: str, how: str = "--mode random --probability 0.2") -> Way:
    """`w` passes what is for and from `to`, but for a fifth of it."""
    lost = [rule("w", f"FORWARD {side} {to} -m statistic {how} -j DROP") for side in ("-d", "-s")]
    return several(rule("w", f"FORWARD -d {to} -j ACCEPT"), *lost)


def first_lost(to: str) -> Way:
    """`w` passes what is for `to`, but for the first packet of every five."""
    how = "-m statistic --mode nth --every 5 --packet 0"
    return several(rule("w", f"FORWARD -d {to} -j ACCEPT"), rule("w", f"FORWARD -d {to} {how} -j DROP"))


def forged(node: str, device: str, forge: Callable[[bytes], bytes | None]) -> Way:
    """For each IP packet that arrives at a device of `node`, what `forge` makes of it is sent from that node."""

    @contextlib.contextmanager
    def way(lab: Lab) -> Iterator[None]:
        with netns.enter(lab.paths.namespace(node)):
            ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x0800))
            mouth = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        ears.bind((device, 0x0800))
        ears.settimeout(0.02)
        over = threading.Event()
        thread = servers.spawn(_forge, ears, mouth, forge, over)
        try:
            yield
        finally:
            over.set()
            thread.join()
            ears.close()
            mouth.close()

    return way


def _forge(
    ears: socket.socket, mouth: socket.socket, forge: Callable[[bytes], bytes | None], over: threading.Event
) -> None:
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            frame, address = ears.recvfrom(65536)
            made = forge(frame[14:]) if address[2] != socket.PACKET_OUTGOING else None
            if made:
                mouth.sendto(made, (socket.inet_ntoa(made[16:20]), 0))


def unreachable(source: str, to: IPv4Address) -> Callable[[bytes], bytes | None]:
    """An ICMP host unreachable (RFC 792) from `source` about every packet to `to`."""

    def forge(packet: bytes) -> bytes | None:
        if packet[16:20] != to.packed:
            return None
        message = b"\3\1\0\0\0\0\0\0" + packet[:28]
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        return header(source, socket.inet_ntoa(packet[12:16]), socket.IPPROTO_ICMP, message)

    return forge


def spoofed_name(address: str, *, right: bool) -> Callable[[bytes], bytes | None]:
    """An answer to every DNS query, in the name of the server asked, with the `right` id or another."""

    def forge(packet: bytes) -> bytes | None:
        at = (packet[0] & 15) * 4
        if packet[9] != socket.IPPROTO_UDP or packet[at + 2 : at + 4] != b"\0\x35":
            return None
        query = DNSRecord.parse(packet[at + 8 :])
        reply = query.reply(aa=1)
        reply.header.id = query.header.id if right else (query.header.id + 1) % 65536
        reply.add_answer(RR(str(query.q.qname), 1, rdata=A(address), ttl=60))
        data = bytes(reply.pack())
        ports = packet[at + 2 : at + 4] + packet[at : at + 2]
        message = ports + struct.pack("!HH", len(data) + 8, 0) + data
        return header(socket.inet_ntoa(packet[16:20]), socket.inet_ntoa(packet[12:16]), socket.IPPROTO_UDP, message)

    return forge


def header(source: str, to: str, protocol: int, body: bytes) -> bytes:
    """An IPv4 packet (RFC 791); the kernel fills in its checksum."""
    fixed = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0)
    return fixed + socket.inet_aton(source) + socket.inet_aton(to) + body


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data + b"\0" * (len(data) % 2) if len(data) % 2 else data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def meanwhile(seconds: float, act: Callable[[Lab], object]) -> Way:
    """`act` happens so long after the block has begun; before it ends in any case."""

    @contextlib.contextmanager
    def way(lab: Lab) -> Iterator[None]:
        timer = threading.Timer(seconds, act, (lab,))
        timer.start()
        try:
            yield
        finally:
            timer.join()

    return way


def doubled() -> Way:
    """Every UDP packet that w has from `upper` reaches `s` twice."""

    @contextlib.contextmanager
    def way(lab: Lab) -> Iterator[None]:
        with netns.enter(lab.paths.namespace("w")):
            ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x0800))
            mouth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        ears.bind(("upper", 0x0800))
        mouth.bind(("s", 0))
        ears.settimeout(0.02)
        over = threading.Event()
        thread = servers.spawn(_double, ears, mouth, over)
        try:
            yield
        finally:
            over.set()
            thread.join()
            ears.close()
            mouth.close()

    return way


def _double(ears: socket.socket, mouth: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            frame, address = ears.recvfrom(65536)
            if address[2] != socket.PACKET_OUTGOING and frame[23] == socket.IPPROTO_UDP:
                mouth.send(b"\xff" * 6 + frame[6:])
