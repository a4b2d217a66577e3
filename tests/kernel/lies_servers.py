"""Servers for the lies: an honest one for names, and for each way to answer wrongly one that does."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from dnslib import CNAME, RCODE, RR, A, DNSRecord
from kernel_lab import Lab

from labctl.kernel import netns

Peer = tuple[str, int]
Dialogue = Callable[[socket.socket, Peer], None]
Names = Callable[[DNSRecord], DNSRecord | None]
LATE_S = 0.7
"""How late the slow ones answer: beyond what a claim allows, within what it is waited for."""


def greeting(name: str, peer: Peer) -> bytes:
    return f"labctl {name} {peer[0]} {peer[1]}\n".encode()


def digest(client: socket.socket) -> bytes:
    found, count = hashlib.sha256(), 0
    while data := client.recv(1 << 16):
        found.update(data)
        count += len(data)
    return json.dumps({"bytes": count, "sha256": found.hexdigest()}).encode() + b"\n"


def impostor(client: socket.socket, peer: Peer) -> None:
    """All that it says is right, but it is not `s`."""
    client.sendall(greeting("s", peer))
    client.sendall(digest(client))


def slow(client: socket.socket, peer: Peer) -> None:
    time.sleep(LATE_S)
    impostor(client, peer)


def mangler(client: socket.socket, peer: Peer) -> None:
    client.sendall(greeting("s", peer))
    digest(client)
    client.sendall(json.dumps({"bytes": 64, "sha256": "0" * 64}).encode() + b"\n")


def cutter(client: socket.socket, peer: Peer) -> None:
    """It read less than was sent, and is honest about that."""
    client.sendall(greeting("s", peer))
    client.sendall(json.dumps({"bytes": 1, "sha256": hashlib.sha256(client.recv(1)).hexdigest()}).encode() + b"\n")


def mute(client: socket.socket, peer: Peer) -> None:
    time.sleep(3)


def quitter(client: socket.socket, peer: Peer) -> None:
    """It greets, and has gone."""
    client.sendall(greeting("s", peer))


def stranger(client: socket.socket, peer: Peer) -> None:
    client.sendall(b"220 mail.example.com ready\r\n")


def web(status: str, body: str, server: str = "s", header: str = "") -> Dialogue:
    """A web server that answers everything in the same way, whoever it is."""

    def answer(client: socket.socket, peer: Peer) -> None:
        client.recv(1 << 16)
        head = f"HTTP/1.1 {status}\r\nX-Labctl-Server: {server}\r\nX-Labctl-Peer: {peer[0]} {peer[1]}\r\n{header}"
        client.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())

    return answer


def slow_web(client: socket.socket, peer: Peer) -> None:
    time.sleep(LATE_S)
    web("200 OK", "labctl s GET /hello")(client, peer)


DIALOGUES: dict[str, tuple[int, Dialogue]] = {
    "impostor": (81, impostor),
    "slow": (82, slow),
    "mangler": (83, mangler),
    "cutter": (84, cutter),
    "mute": (85, mute),
    "stranger": (86, stranger),
    "quitter": (87, quitter),
    "web-impostor": (8081, web("200 OK", "labctl s 10.1.0.2 1\nGET /hello HTTP/1.1\n")),
    "web-missing": (8082, web("404 Not Found", "labctl s")),
    "web-other-body": (8083, web("200 OK", "nothing of it")),
    "web-other-header": (8084, web("200 OK", "labctl s", server="x")),
    "web-slow": (8086, slow_web),
    "web-garbage": (8085, lambda client, peer: client.sendall(b"\0" * 64)),
}
"""By name, the port on `x` and what is said there."""

ECHOES: dict[str, tuple[int, Callable[[bytes, Peer], bytes]]] = {
    "impostor": (81, lambda data, peer: greeting("s", peer) + data),
    "mangler": (83, lambda data, peer: greeting("s", peer) + data[::-1]),
    "cutter": (84, lambda data, peer: greeting("s", peer) + data[:10]),
    "stranger": (86, lambda data, peer: data),
    "slow": (82, lambda data, peer: time.sleep(LATE_S) or greeting("s", peer) + data),  # type: ignore[func-returns-value]
}


def honest(query: DNSRecord) -> DNSRecord:
    """What the names of `test` are: two addresses, nothing, no such name, a failure, a refusal."""
    word = str(query.q.qname).split(".")[0]
    reply = query.reply(aa=1)
    reply.header.rcode = {"absent": RCODE.NXDOMAIN, "broken": RCODE.SERVFAIL, "closed": RCODE.REFUSED}.get(word, 0)
    if word == "web":
        _add(reply, "web.test", "10.2.0.2", "10.2.1.2")
    return reply


def _add(reply: DNSRecord, name: str, *addresses: str) -> None:
    for each in addresses:
        reply.add_answer(RR(name, 1, rdata=A(each), ttl=60))


def _coded(code: int) -> Names:
    def answer(query: DNSRecord) -> DNSRecord:
        reply = query.reply(aa=1)
        reply.header.rcode = code
        return reply

    return answer


def _with(*addresses: str, aa: int = 1) -> Names:
    def answer(query: DNSRecord) -> DNSRecord:
        reply = query.reply(aa=aa)
        _add(reply, str(query.q.qname), *addresses)
        return reply

    return answer


def _of_another_name(query: DNSRecord) -> DNSRecord:
    reply = query.reply(aa=1)
    _add(reply, "mail.test", "10.2.0.2", "10.2.1.2")
    return reply


def _aside(query: DNSRecord) -> DNSRecord:
    """An alias leads elsewhere, and the address is not of where it leads."""
    reply = query.reply(aa=1)
    reply.add_answer(RR(str(query.q.qname), 5, rdata=CNAME("elsewhere.test"), ttl=60))
    _add(reply, "mail.test", "10.2.0.2", "10.2.1.2")
    return reply


def _of_another_question(query: DNSRecord) -> DNSRecord:
    reply = honest(query)
    reply.header.id = (query.header.id + 1) % 65536
    return reply


def _slow(query: DNSRecord) -> DNSRecord:
    time.sleep(LATE_S)
    return honest(query)


NAMES: dict[str, tuple[int, Names]] = {
    "same": (5300, honest),
    "other address": (5301, _with("10.2.0.3", "10.2.1.2")),
    "one of two": (5302, _with("10.2.0.2")),
    "one more": (5303, _with("10.2.0.2", "10.2.1.2", "10.2.0.9")),
    "other order": (5304, _with("10.2.1.2", "10.2.0.2")),
    "not authoritative": (5305, _with("10.2.0.2", "10.2.1.2", aa=0)),
    "another name": (5306, _of_another_name),
    "another alias": (5307, _aside),
    "another question": (5308, _of_another_question),
    "slow": (5309, _slow),
    "nxdomain": (5310, _coded(RCODE.NXDOMAIN)),
    "nodata": (5311, _coded(RCODE.NOERROR)),
    "servfail": (5312, _coded(RCODE.SERVFAIL)),
    "refused": (5313, _coded(RCODE.REFUSED)),
    "notimp": (5314, _coded(RCODE.NOTIMP)),
    "ok": (5315, _with("10.2.0.2", "10.2.1.2")),
    "mute": (5316, lambda query: None),
}
"""By name, the port on `x` and how names are answered there."""


def by_udp(names: Names) -> Callable[[bytes, Peer], bytes]:
    """Answers datagrams."""

    def answer(data: bytes, peer: Peer) -> bytes:
        reply = names(DNSRecord.parse(data))
        return b"" if reply is None else bytes(reply.pack())

    return answer


def by_tcp(names: Names) -> Dialogue:
    """Answers the first question of a connection."""
    ask = by_udp(names)

    def answer(client: socket.socket, peer: Peer) -> None:
        data = client.recv(1 << 16)
        reply = ask(data[2:], peer)
        client.sendall(len(reply).to_bytes(2, "big") + reply if reply else b"")

    return answer


def listen(lab: Lab, node: str, kind: socket.SocketKind, port: int, at: str = "") -> socket.socket:
    """A socket at `port` of `node`."""
    with netns.enter(lab.paths.namespace(node)):
        opened = socket.socket(socket.AF_INET, kind)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((at, port))
    if kind == socket.SOCK_STREAM:
        opened.listen(64)
    return opened


def spawn(work: Callable[..., Any], *arguments: Any) -> threading.Thread:
    """Do `work` in a thread that nobody waits for."""
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def accept(listener: socket.socket, dialogue: Dialogue) -> None:
    """Serve every connection, a thread each."""
    while True:
        client, peer = listener.accept()
        spawn(_converse, client, peer, dialogue)


def _converse(client: socket.socket, peer: Peer, dialogue: Dialogue) -> None:
    try:
        with client:
            dialogue(client, peer)
    except OSError:
        pass  # the client had enough


def answer(opened: socket.socket, reply: Callable[[bytes, Peer], bytes]) -> None:
    """Serve every datagram, a thread each."""
    while True:
        data, peer = opened.recvfrom(1 << 16)
        spawn(_answer, opened, data, peer, reply)


def _answer(opened: socket.socket, data: bytes, peer: Peer, reply: Callable[[bytes, Peer], bytes]) -> None:
    said = reply(data, peer)
    if said:
        with contextlib.suppress(OSError):  # a late answer may find its lab gone
            opened.sendto(said, peer)
