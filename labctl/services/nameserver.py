"""The DNS server's sockets around `Resolution`: one loop, UDP and TCP port 53 of each address it listens at.

One socket per address: an answer leaves from the address that was asked.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Hashable
from ipaddress import IPv4Address
from typing import assert_never

from labctl.model.services import Resolver
from labctl.resolver.exchanges import Close, Effect, Reply, Send
from labctl.resolver.resolution import NoAnswer, Resolution
from labctl.resolver.wire import Transport
from labctl.services.datagrams import Client, Datagrams
from labctl.services.sockets import every, tcp, udp
from labctl.services.streams import Stream
from labctl.services.upstreams import PORT, Upstreams

Report = Callable[[str, dict[str, str]], None]

IDLE_S = 10.0
"""A TCP connection without a whole query for so long is closed (RFC 7766 section 6.2.3)."""
_CONNECTIONS = 200


class NameServer:
    """A DNS server, listening from its construction on. It tells the state of each zone that it copies from elsewhere:
    "copying", "current", or "missing". KernelError where an address cannot be had.
    """

    def __init__(self, config: Resolver, report: Report) -> None:
        self._report = report
        self._told: dict[str, str] = {}
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[tuple[Transport, IPv4Address], socket.socket] = {}
        self._streams: dict[Stream, None] = {}  # in the order of their last use
        self._later: list[Callable[[], None]] = []
        self._datagrams = Datagrams()
        self._resolution = Resolution(functools.partial(secrets.randbits, 16), int(time.time()))
        self._exchanges = self._resolution.exchanges
        self._upstreams = Upstreams(self._selector, self._exchanges, time.monotonic)
        self.reconfigure(config)

    def reconfigure(self, config: Resolver) -> None:
        """Answer as `config` says from the next query on, also on connections that are open.

        DescriptionError, KernelError: nothing has changed.
        """
        plan = self._resolution.plan(config)
        wanted: dict[tuple[Transport, IPv4Address], Callable[[], socket.socket]] = {}
        for address in config.listen:
            wanted["udp", address] = functools.partial(udp, address, PORT)
            wanted["tcp", address] = functools.partial(tcp, address, PORT)
        opened = every({key: make for key, make in wanted.items() if key not in self._sockets})
        self._upstreams.source = config.upstream_source
        self._resolution.adopt(plan, time.monotonic())
        for key in self._sockets.keys() - wanted.keys():
            gone = self._sockets.pop(key)
            self._selector.unregister(gone)
            gone.close()
        for key, made in opened.items():
            self._sockets[key] = made
            act = self._accept if key[0] == "tcp" else self._serve_datagrams
            self._selector.register(made, selectors.EVENT_READ, act)
        self._tell()

    def run(self) -> None:
        """Serve for ever."""
        self._tend()
        while True:
            for key, events in self._selector.select(self._rest()):
                key.data(key.fileobj, events)
            while self._later:
                self._later.pop()()
            if self._streams or self._exchanges.has_work():
                self._tend()

    def _tend(self) -> None:
        """What is to be done but answering at once."""
        now = time.monotonic()
        self._exchanges.pass_time(now)
        self._carry_out()
        self._close_idle(now - IDLE_S)
        self._tell()

    def _tell(self) -> None:
        copies = self._resolution.copies()
        if copies != self._told:
            self._told = copies
            self._report("", copies)

    def also(self, source: int, act: Callable[[], None]) -> None:
        """`run` calls `act` when `source` can be read, once all else that was ready has had its turn."""
        self._selector.register(source, selectors.EVENT_READ, lambda *_: self._later.append(act))

    def _rest(self) -> float | None:
        """Seconds until there is something to do without anything coming; None: for ever."""
        due = self._exchanges.due()
        if due is None:
            return IDLE_S if self._streams else None
        rest = max(due - time.monotonic(), 0.0)
        return min(rest, IDLE_S) if self._streams else rest

    def _carry_out(self) -> None:
        """Do what the answers ask for, and what comes of doing it."""
        while effects := self._exchanges.take():
            for effect in effects:
                self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._upstreams.send(effect)
            case Close(exchange):
                self._upstreams.close(exchange)
            case Reply(client, messages):
                self._reply(client, messages)
            case never:
                assert_never(never)

    def _reply(self, client: Hashable, messages: tuple[bytes, ...]) -> None:
        if isinstance(client, Stream):
            if client in self._streams:
                self._go_on(client, lambda: client.reply(messages))
        elif isinstance(client, tuple):
            opened, address = client
            for message in messages:
                with contextlib.suppress(OSError):  # no way back, or closed: as good as a lost datagram
                    opened.sendto(message, address)

    # -- clients

    def _serve_datagrams(self, opened: socket.socket, _: int) -> None:
        now = time.monotonic()

        def ask(query: bytes, client: Client) -> bytes | NoAnswer:
            return self._resolution.ask(query, client[0], "udp", (opened, client), now)

        self._datagrams.serve(opened, self._resolution.datagrams, ask, now)

    def _accept(self, listener: socket.socket, _: int) -> None:
        try:
            connection, client = listener.accept()
        except OSError:
            return  # the client has gone already
        if len(self._streams) >= _CONNECTIONS:
            self._close(next(iter(self._streams)))
        connection.setblocking(False)
        stream = Stream(connection, functools.partial(self._answer, client[0]))
        self._streams[stream] = None
        self._wait_for(stream, selectors.EVENT_READ)

    def _answer(self, source: str, query: bytes, stream: Stream) -> bytes | NoAnswer:
        return self._resolution.ask(query, source, "tcp", stream, time.monotonic())

    def _serve_stream(self, stream: Stream, _: socket.socket, events: int) -> None:
        if stream in self._streams:  # not closed for another client since the selector named it
            self._go_on(stream, lambda: stream.turn(events))

    def _go_on(self, stream: Stream, act: Callable[[], int]) -> None:
        self._streams[stream] = self._streams.pop(stream)
        try:
            wanted = act()
        except OSError:
            self._close(stream)
            return
        if stream.done:
            self._close(stream)
        else:
            self._wait_for(stream, wanted)

    def _wait_for(self, stream: Stream, events: int) -> None:
        known = self._selector.get_map().get(stream.connection)
        if known is not None and known.events != events:
            self._selector.unregister(stream.connection)
            known = None
        if known is None and events:
            self._selector.register(stream.connection, events, functools.partial(self._serve_stream, stream))

    def _close_idle(self, before: float) -> None:
        while self._streams and (oldest := next(iter(self._streams))).used < before:
            self._close(oldest)

    def _close(self, stream: Stream) -> None:
        del self._streams[stream]
        self._wait_for(stream, 0)
        stream.connection.close()
