"""Name servers that talk to each other without a network: their messages take a while, and the clock is ours."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from itertools import count
from typing import Any

from dnslib import QTYPE, RCODE, DNSRecord

from labctl.model.services import Resolver
from labctl.resolver.exchanges import Close, Reply, Send
from labctl.resolver.resolution import NoAnswer, Resolution
from labctl.resolver.wire import Transport

LATENCY = 0.01
EPOCH = 1_800_000_000
STUB = "10.9.9.9"


@dataclass(frozen=True)
class Packet:
    """A message between servers, or between a client and one."""

    at: float
    source: str
    target: str
    transport: Transport
    message: bytes

    @property
    def text(self) -> str:
        """Who asks whom about what, or what the answer is."""
        read = DNSRecord.parse(self.message)
        kind = RCODE.get(read.header.rcode) if read.header.qr else "?"
        return f"{self.source}>{self.target} {read.q.qname} {QTYPE.get(read.q.qtype)} {kind} {self.transport}"


@dataclass
class World:
    """The servers by their addresses. `dead` ones are silent, at `closed` ones nobody listens."""

    now: float = 0.0
    servers: dict[str, Resolution] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    sent: list[Send] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    replies: dict[Hashable, tuple[float, bytes]] = field(default_factory=dict)
    mangle: Callable[[Packet], bytes] = lambda packet: packet.message
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _open: set[tuple[str, int]] = field(default_factory=set)

    def serve(self, address: str, **config: Any) -> Resolution:
        """A server at `address`, or another configuration for the one that is there."""
        if address not in self.servers:
            self.servers[address] = Resolution(lambda: next(self._numbers) * 7919 % 65536, EPOCH + int(self.now))
        server = self.servers[address]
        server.adopt(server.plan(Resolver(**{"listen": (IPv4Address(address),), "zones": (), **config})), self.now)
        self._carry_out(address)
        return server

    def restart(self, address: str, **config: Any) -> Resolution:
        """The server at `address` as a new process."""
        del self.servers[address]
        return self.serve(address, **config)

    def send(self, query: bytes, to: str, source: str = STUB, transport: Transport = "udp") -> int:
        """A client's query; its number, by which `replies` has the answer."""
        number = next(self._numbers)
        self._arrive(Packet(self.now, source, to, transport, query), number)
        return number

    def ask(self, name: str, to: str, qtype: str = "A", source: str = STUB, transport: Transport = "udp") -> DNSRecord:
        """The answer to a question, after as long as it takes, ten seconds at most."""
        number = self.send(bytes(DNSRecord.question(name, qtype).pack()), to, source, transport)
        end = self.now + 10
        while number not in self.replies:
            assert self.step(end), f"{to} never answered"
        return DNSRecord.parse(self.replies[number][1])

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.step(end):
            pass
        self.now = end

    def step(self, end: float) -> bool:
        """The next thing that happens, if it does before `end`."""
        times = {address: server.exchanges.due() for address, server in self.servers.items()}
        first = min((when for when in times.values() if when is not None), default=end + 1)
        if self._queue and self._queue[0][0] <= min(first, end):
            self.now, _, act = heapq.heappop(self._queue)
            act()
            return True
        if first > end:
            return False
        self.now = max(self.now, first)
        for address, server in self.servers.items():
            server.exchanges.pass_time(self.now)
            self._carry_out(address)
        return True

    def queries(self, to: str) -> list[str]:
        """The queries that reached a server from other servers."""
        return [each.text for each in self.packets if each.target == to and not each.message[2] & 0x80]

    def _later(self, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + LATENCY, next(self._numbers), act))

    def _carry_out(self, address: str) -> None:
        server = self.servers[address]
        for effect in server.exchanges.take():
            match effect:
                case Send():
                    self.sent.append(effect)
                    self._open.add((address, effect.exchange))
                    self._transmit(address, effect)
                case Close(exchange):
                    self._open.discard((address, exchange))
                case Reply(client, messages):
                    for message in messages:
                        self._return(address, client, message)

    def _transmit(self, source: str, order: Send) -> None:
        packet = Packet(self.now, source, str(order.server), order.transport, order.message)
        client = (source, order.exchange)
        if packet.target in self.closed:
            self._later(lambda: self._fail(*client))
        elif packet.target in self.servers:
            self._later(lambda: self._arrive(packet, client))

    def _arrive(self, packet: Packet, client: Hashable) -> None:
        if packet.target in self.dead or packet.source in self.dead:
            return
        self.packets.append(packet)
        server = self.servers[packet.target]
        answer = server.ask(packet.message, packet.source, packet.transport, (packet, client), self.now)
        if isinstance(answer, bytes):
            self._return(packet.target, (packet, client), answer)
        else:
            assert isinstance(answer, NoAnswer)
        self._carry_out(packet.target)

    def _return(self, address: str, client: Any, message: bytes) -> None:
        asked, number = client
        packet = Packet(self.now, address, asked.source, asked.transport, message)
        if isinstance(number, int):
            self.packets.append(packet)
            self.replies[number] = self.now, message
        else:
            back = replace(packet, message=self.mangle(packet))
            here, exchange = number
            self._later(lambda: self.hear(here, exchange, back))

    def hear(self, address: str, exchange: int, packet: Packet) -> None:
        """An answer, of whomever, reaches the socket of an exchange."""
        if packet.source in self.dead or (address, exchange) not in self._open:
            return
        self.packets.append(packet)
        self.servers[address].exchanges.heard(exchange, packet.message, self.now)
        self._carry_out(address)

    def _fail(self, address: str, exchange: int) -> None:
        self.servers[address].exchanges.failed(exchange, self.now)
        self._carry_out(address)


def data(reply: DNSRecord) -> list[str]:
    """The data of the answers."""
    return [str(rr.rdata) for rr in reply.rr]


def rcode(reply: DNSRecord) -> str:
    """The response code by its name."""
    return str(RCODE.get(reply.header.rcode))
