"""Name servers that ask each other over real sockets, in namespaces: what comes back, and what goes over the wire."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from dnslib import QTYPE, RCODE, DNSRecord
from kernel_lab import Lab, Tap

from labctl.kernel.netns import enter
from labctl.kernel.paths import Paths
from labctl.model.services import Forward, Record, Resolver, Secondary, Zone
from labctl.plan.objects import Process
from labctl.resolver.visibility import Kept
from labctl.services.datagrams import Datagrams
from labctl.services.streams import whole
from labctl.services.supervisor import Keeper, start

LEFT, RIGHT, SPARE, NOBODY = (IPv4Address(f"10.0.0.{n}") for n in (1, 2, 3, 9))
NAME = "onprem.example.com"
MANY = tuple(Record(f"many.{NAME}", "A", f"10.9.{n // 250}.{n % 250}") for n in range(400))


def site(*hosts: int, **options: Any) -> Zone:
    return Zone(NAME, (*(Record(f"w{n}.{NAME}", "A", f"192.168.4.{n}") for n in hosts), *MANY), **options)


@pytest.fixture
def keeper(paths: Paths) -> Iterator[Keeper]:
    """A running supervisor of the lab."""
    paths.root.mkdir(parents=True, exist_ok=True)
    start(paths)
    keeper = Keeper(paths)
    yield keeper
    keeper.shutdown()


@pytest.fixture
def wire(pair: Lab) -> Iterator[Tap]:
    """All that goes between left and right; right has a second address."""
    pair.run("right", "ip", "addr", "add", f"{SPARE}/24", "dev", "eth0")
    tap = Tap(pair, "left", "eth0")
    yield tap
    tap.close()


def resolver(**options: Any) -> Process:
    """The one on the left, that forwards."""
    return Process("left", "left", Resolver(**{"listen": (LEFT,), "zones": (), **options}))


def origin(*zones: Zone, listen: tuple[IPv4Address, ...] = (RIGHT,), **options: Any) -> Process:
    """The one on the right, that knows."""
    return Process("right", "right", Resolver(listen, zones, **options))


def ask(lab: Lab, name: str, qtype: str = "A", to: IPv4Address = LEFT, node: str = "left") -> DNSRecord:
    """The answer by UDP, to a client on the left itself if not said otherwise: its packets are not on the wire."""
    with enter(lab.paths.namespace(node)):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(5)
        client.sendto(bytes(DNSRecord.question(name, qtype).pack()), (str(to), 53))
        return DNSRecord.parse(client.recv(4096))


def by_tcp(lab: Lab, name: str, qtype: str = "A", to: IPv4Address = LEFT, node: str = "left") -> DNSRecord:
    """The answer by TCP, of all its messages, to a client that ends its side once it has asked."""
    query = bytes(DNSRecord.question(name, qtype).pack())
    with enter(lab.paths.namespace(node)):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with client:
        client.settimeout(5)
        client.connect((str(to), 53))
        client.sendall(struct.pack("!H", len(query)) + query)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    messages = [DNSRecord.parse(each) for each in whole(bytearray(answer))]
    for each in messages[1:]:
        messages[0].rr += each.rr
    return messages[0]


def said(reply: DNSRecord) -> list[str] | str:
    return [str(rr.rdata) for rr in reply.rr] if not reply.header.rcode else str(RCODE.get(reply.header.rcode))


def eventually(holds: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def dns(packets: list[bytes]) -> list[bytes]:
    """The UDP packets from or to port 53."""
    return [each for each in packets if each[9] == 17 and b"\0\x35" in (each[20:22], each[22:24])]


def test_a_question_is_forwarded_once_and_then_answered_from_what_is_known(
    pair: Lab, keeper: Keeper, wire: Tap
) -> None:
    keeper.start(origin(site(1)))
    keeper.start(resolver(forwards=(Forward(NAME, (RIGHT,)),)))
    wire.packets()
    assert said(ask(pair, f"w1.{NAME}")) == ["192.168.4.1"]
    assert len(dns(wire.packets())) == 2
    assert said(ask(pair, f"w1.{NAME}")) == ["192.168.4.1"]
    assert said(by_tcp(pair, f"w1.{NAME}")) == ["192.168.4.1"]
    assert dns(wire.packets()) == []


def test_each_question_leaves_from_another_port_with_another_number_and_the_address_configured(
    pair: Lab, keeper: Keeper, wire: Tap
) -> None:
    pair.run("left", "ip", "addr", "add", "10.0.0.7/24", "dev", "eth0")
    keeper.start(origin(site(1)))
    keeper.start(resolver(forwards=(Forward("", (RIGHT,)),), upstream_source=IPv4Address("10.0.0.7")))
    for n in range(8):
        ask(pair, f"n{n}.{NAME}")
    asked = [each for each in dns(wire.packets()) if each[22:24] == b"\0\x35"]
    assert {each[12:16] for each in asked} == {IPv4Address("10.0.0.7").packed}
    assert len({each[20:22] for each in asked}) > 6
    assert len({each[28:30] for each in asked}) > 6


@pytest.mark.parametrize("first", [NOBODY, SPARE], ids=["no such host", "nobody listens"])
def test_the_second_server_is_asked_where_the_first_is_dead(
    pair: Lab, keeper: Keeper, wire: Tap, first: IPv4Address
) -> None:
    keeper.start(origin(site(1)))
    keeper.start(resolver(forwards=(Forward(NAME, (first, RIGHT)),)))
    assert said(ask(pair, f"w1.{NAME}")) == ["192.168.4.1"]


def test_servfail_where_no_server_answers(pair: Lab, keeper: Keeper) -> None:
    keeper.start(resolver(forwards=(Forward(NAME, (NOBODY,)),), attempt_ms=50, patience_ms=200))
    assert said(ask(pair, f"w1.{NAME}")) == "SERVFAIL"
    assert said(by_tcp(pair, f"w1.{NAME}")) == "SERVFAIL"


def test_what_does_not_fit_a_datagram_is_fetched_by_tcp(pair: Lab, keeper: Keeper, wire: Tap) -> None:
    keeper.start(origin(site(1)))
    keeper.start(resolver(forwards=(Forward(NAME, (RIGHT,)),)))
    reply = ask(pair, f"many.{NAME}")
    assert (reply.header.tc, reply.rr) == (1, [])
    assert 6 in {each[9] for each in wire.packets()}
    assert len(by_tcp(pair, f"many.{NAME}").rr) == 400


def test_a_loop_between_two_is_cut(pair: Lab, keeper: Keeper, wire: Tap) -> None:
    keeper.start(origin(forwards=(Forward("loop.test", (LEFT,)),)))
    keeper.start(resolver(forwards=(Forward("loop.test", (RIGHT,)),)))
    wire.packets()
    began = time.monotonic()
    assert said(ask(pair, "x.loop.test")) == "SERVFAIL"
    assert time.monotonic() - began < 2
    assert 0 < len(dns(wire.packets())) < 20


def test_a_zone_is_copied_followed_and_answered_when_its_primary_is_gone(pair: Lab, keeper: Keeper) -> None:
    before, after = (origin(site(*hosts, transfer_to=(LEFT,))) for hosts in ((1,), (1, 2)))
    keeper.start(before)
    keeper.start(resolver(secondaries=(Secondary(NAME, (RIGHT,)),)))
    eventually(lambda: said(ask(pair, f"w1.{NAME}")) == ["192.168.4.1"])
    keeper.change(before, after)
    eventually(lambda: said(ask(pair, f"w2.{NAME}")) == ["192.168.4.2"])
    keeper.stop(after)
    assert said(ask(pair, f"w2.{NAME}")) == ["192.168.4.2"]
    assert len(by_tcp(pair, f"many.{NAME}").rr) == 400


def test_a_zone_is_transferred_to_those_who_may_have_it_alone(pair: Lab, keeper: Keeper) -> None:
    keeper.start(origin(site(1, transfer_to=(LEFT,))))
    zone = by_tcp(pair, NAME, "AXFR", to=RIGHT)
    assert [rr.rtype for rr in (zone.rr[0], zone.rr[-1])] == [QTYPE.SOA] * 2
    assert len(zone.rr) == 404
    assert said(by_tcp(pair, NAME, "AXFR", to=RIGHT, node="right")) == "REFUSED"


def test_what_is_known_and_who_waits_outlive_another_configuration(pair: Lab, keeper: Keeper, wire: Tap) -> None:
    first = resolver(forwards=(Forward(NAME, (RIGHT,)), Forward("dead.test", (NOBODY,))), patience_ms=1000)
    keeper.start(origin(site(1)))
    keeper.start(first)
    ask(pair, f"w1.{NAME}")
    with ExitStack() as stack:
        with enter(pair.paths.namespace("left")):
            client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        client.settimeout(5)
        client.connect((str(LEFT), 53))
        query = bytes(DNSRecord.question("x.dead.test").pack())
        client.sendall(struct.pack("!H", len(query)) + query)
        wire.packets()
        assert isinstance(first.program, Resolver)
        keeper.change(first, replace(first, program=replace(first.program, forwards=first.program.forwards[:1])))
        assert said(ask(pair, f"w1.{NAME}")) == ["192.168.4.1"]
        assert dns(wire.packets()) == []
        answer = client.recv(4096)
    assert DNSRecord.parse(answer[2:]).header.rcode == RCODE.SERVFAIL


def test_datagrams_are_answered_each_by_its_own_whatever_stands_between_them() -> None:
    """What is kept, what is asked for, what is never answered, and what is long, mixed in every batch."""
    seen: list[bytes] = []

    def asked(query: bytes, client: tuple[str, int]) -> bytes | None:
        assert client == here.getsockname()
        seen.append(query)
        return query[:2] + b"asked" if query[2:5] == b"ask" else None

    known = {socket.inet_aton("127.0.0.1"): {b"known": Kept(b"kept" * 5, 9.0, 9.0), b"stale": Kept(b"x", 1.0, 9.0)}}
    kinds = [b"known", b"ask", b"never", b"stale", b"ask" + b"long" * 100, b"known"]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
    ):
        server.bind(("127.0.0.1", 0))
        here.connect(server.getsockname())
        here.settimeout(5)
        datagrams = Datagrams()
        sent = [number.to_bytes(2, "big") + kinds[number % 6 if number < 70 else 4] for number in range(100)]
        for each in (b"", b"1", *sent):
            here.send(each)
        for _ in range(4):
            datagrams.serve(server, known, asked, 2.0)
        answers = {each: b"kept" * 5 if each[2:] == b"known" else b"asked" for each in sent if each[2:3] in b"ak"}
        received = [here.recv(4096) for _ in answers]
    assert sorted(received) == sorted(each[:2] + answer for each, answer in answers.items())
    assert seen == [b"", b"1", *(each for each in sent if each[2:] != b"known")]


def test_a_rude_server_does_no_harm_and_its_sockets_are_given_back(pair: Lab, keeper: Keeper) -> None:
    keeper.start(resolver(forwards=(Forward("", (RIGHT,)),), attempt_ms=20, patience_ms=100))
    pid = next(each.pid for each in keeper.status() if each.name == "left")
    assert pid is not None
    with enter(pair.paths.namespace("right")):
        rude = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(rude):
        rude.bind((str(RIGHT), 53))
        rude.settimeout(5)
        for n in range(50):
            with enter(pair.paths.namespace("left")), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(5)
                client.sendto(bytes(DNSRecord.question(f"n{n}.test").pack()), (str(LEFT), 53))
                query, resolver_at = rude.recvfrom(4096)
                junk = [query, query[:2] + b"\x80" + os.urandom(n * 20), query[:2] + b"\x84\0" + query[4:-n] * 9]
                for each in junk:
                    rude.sendto(each, resolver_at)
                assert DNSRecord.parse(client.recv(4096)).header.rcode == RCODE.SERVFAIL
    eventually(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 20)  # noqa: PTH208
