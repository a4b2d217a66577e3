"""One BFD session, single hop, asynchronous mode, without authentication (RFC 5880, RFC 5881): no sockets, no clock.

Feed it `receive` and `carrier_lost`, then ask `poll` what to send, what changed and when to come back. Instants and
intervals are milliseconds, on the wire microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from labctl.services.bfdpacket import Control, Diagnostic, State, decode, encode

PORT = 3784
"""UDP destination port (RFC 5881 section 4)."""
TTL = 255
"""TTL of every packet, and the only one accepted: it came from a neighbour (RFC 5881 section 5, RFC 5082)."""
SLOW_MS = 1000.0
"""Least transmit interval of a session that is not up (RFC 5880 section 6.8.3)."""

Event = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What `Session.poll` answers: packets to send now, what happened since the last time, when to call again."""

    packets: tuple[bytes, ...]
    events: tuple[Event, ...]
    deadline: float


class Session:
    """A session (RFC 5880 section 6.8). `jitter` returns chance numbers in [0, 1)."""

    def __init__(
        self, discriminator: int, interval_ms: int, count: int, now: float, jitter: Callable[[], float]
    ) -> None:
        """Down, with its first packet due at `now`. `interval_ms` is meant for both directions, `count` too."""
        self.state = State.DOWN
        self.diagnostic = Diagnostic.NONE
        self._discriminator = discriminator
        self._interval = self._sending = self._listening = float(interval_ms)
        self._count = count
        self._jitter = jitter
        self._events: list[Event] = []
        self._remote_discriminator = 0
        self._remote_min_rx = 0.001  # section 6.8.1: 1 us until the neighbour says more
        self._silent_at = float("inf")  # end of the detection time
        self._send_at = now
        self._polling = False
        self._final_due = False

    def receive(self, packet: bytes, ttl: int, now: float) -> None:
        """Take a packet that arrived at `now` with `ttl`; one that section 6.8.6 rejects changes nothing."""
        control = decode(packet)
        if control is None or ttl != TTL or not self._is_mine(control):
            return
        self._remote_discriminator = control.my_discriminator
        self._remote_min_rx = control.required_min_rx / 1000
        if control.final:
            self._polling = False
            self._sending = self._listening = self._interval
        self._silent_at = now + control.detect_mult * max(self._listening, control.desired_min_tx / 1000)
        if self.state is State.ADMIN_DOWN:
            return
        self._advance(control.state, now)
        self._final_due = self._final_due or control.poll

    def poll(self, now: float) -> Turn:
        """The packets due at `now`, the events since the last call, and the next instant at which something is due."""
        if now >= self._silent_at:
            self._silent_at = float("inf")
            self._remote_discriminator = 0
            if self.state in (State.INIT, State.UP):
                self._enter(State.DOWN, Diagnostic.TIME_EXPIRED, now)
        packets = []
        if self._final_due:
            self._final_due = False
            packets.append(self._packet(final=True))
        if now >= self._send_at:
            self._schedule(now)
            # A neighbour whose required interval is zero wants no periodic packets (section 6.8.7).
            if self._remote_min_rx > 0:
                packets.append(self._packet(final=False))
        events, self._events = tuple(self._events), []
        return Turn(tuple(packets), events, min(self._send_at, self._silent_at))

    def retime(self, interval_ms: int, count: int, now: float) -> None:
        """Go on with another interval and count.

        While the session is up the neighbour is polled: until it confirms, packets leave as often as before or oftener,
        and are waited for as long as before or longer, so that neither end takes the other for dead (section 6.8.3).
        """
        self._count = count
        if self._interval == interval_ms:
            return
        self._interval = float(interval_ms)
        if self.state is State.UP:
            self._sending = min(self._sending, self._interval)
            self._listening = max(self._listening, self._interval)
            self._polling = True
            self._send_at = now
        else:
            self._sending = self._listening = self._interval

    def carrier_lost(self, now: float) -> None:
        """The link below is gone: down at once instead of after the detection time."""
        if self.state in (State.INIT, State.UP):
            self._enter(State.DOWN, Diagnostic.PATH_DOWN, now)

    def disable(self, now: float) -> None:
        """Administratively down for good: the neighbour learns it from the next packet and need not wait."""
        self._enter(State.ADMIN_DOWN, Diagnostic.ADMINISTRATIVELY_DOWN, now)

    def _is_mine(self, control: Control) -> bool:
        if control.your_discriminator == 0:
            return control.state in (State.DOWN, State.ADMIN_DOWN)
        return control.your_discriminator == self._discriminator

    def _advance(self, remote: State, now: float) -> None:
        """The state machine of section 6.2, as section 6.8.6 writes it down."""
        match self.state, remote:
            case State.INIT | State.UP, State.ADMIN_DOWN:
                self._enter(State.DOWN, Diagnostic.NEIGHBOUR_DOWN, now)
            case State.DOWN, State.DOWN:
                self._enter(State.INIT, self.diagnostic, now)
            case (State.DOWN, State.INIT) | (State.INIT, State.INIT | State.UP):
                self._enter(State.UP, Diagnostic.NONE, now)
            case State.UP, State.DOWN:
                self._enter(State.DOWN, Diagnostic.NEIGHBOUR_DOWN, now)
            case _:
                pass

    def _enter(self, state: State, diagnostic: Diagnostic, now: float) -> None:
        if State.UP in (state, self.state) and state is not self.state:
            self._events.append("up" if state is State.UP else "down")
        self.state = state
        self.diagnostic = diagnostic
        # Up, the transmit interval falls below the slow one: the neighbour must confirm that (section 6.8.3).
        self._polling = state is State.UP and self._interval < SLOW_MS
        self._sending = self._listening = self._interval
        self._send_at = now  # tell the neighbour without waiting (section 6.8.7)

    def _pace(self, interval: float) -> float:
        return interval if self.state is State.UP else max(interval, SLOW_MS)

    def _schedule(self, now: float) -> None:
        """The next packet: 75 to 100 % of the interval from now, to 90 % where a single loss counts (6.8.7)."""
        widest = 0.9 if self._count == 1 else 1.0
        share = 0.75 + (widest - 0.75) * self._jitter()
        self._send_at = now + share * max(self._pace(self._sending), self._remote_min_rx)

    def _packet(self, *, final: bool) -> bytes:
        return encode(
            Control(
                state=self.state,
                diagnostic=self.diagnostic,
                poll=self._polling and not final,
                final=final,
                detect_mult=self._count,
                my_discriminator=self._discriminator,
                your_discriminator=self._remote_discriminator,
                desired_min_tx=round(self._pace(self._interval) * 1000),
                required_min_rx=round(self._interval * 1000),
            )
        )
