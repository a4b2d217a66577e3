"""The hops of the way there: packets that die after one hop, after two..., and who says so (RFC 1812 section 5.3.1).

A hop is waited for as long as its share of the time is. An answer that comes later still counts, and a hop that stays
silent is asked again: the kernel's usual limits (icmp_ratelimit, error_burst) let an error pass but once a second.
"""

from __future__ import annotations

import select
import time
from contextlib import ExitStack, closing
from dataclasses import replace

from labctl.kernel.netns import enter
from labctl.probes.actions_dialogue import Greeting
from labctl.probes.askers import Asker, asker
from labctl.probes.attempt import UNREACHABLE, Attempt, Complaint, IcmpListener, as_complaint
from labctl.probes.wire import Reply, Trace

_TIME_EXCEEDED = 11  # RFC 792
_BY_A_HOST = (2, 3)  # codes of type 3: a protocol, a port that nobody serves
_PATIENCE_S = (0.3, 0.9, 0.3)  # after each further asking, once the last hop is known
_PATIENCE_WITHOUT_END_S = 0.5  # doubled each time


def trace(attempt: Attempt, action: Trace) -> Reply:
    """Ask hop by hop. "ok": the target itself answered; an ICMP error that forbids to go on is the outcome."""
    with ExitStack() as undo:
        with enter(attempt.namespace):
            listener = undo.enter_context(closing(IcmpListener()))
            asking = undo.enter_context(closing(asker(attempt, action)))
        return _Run(attempt, action, asking, listener).carry_out()


class _Run:
    """A trace under way: what is known of each TTL."""

    def __init__(self, attempt: Attempt, action: Trace, asking: Asker, listener: IcmpListener) -> None:
        self._attempt, self._most, self._to = attempt, action.most, str(action.to)
        self._asking, self._listener = asking, listener
        self._crossed: dict[int, str] = {}
        self._refusals: dict[int, Complaint] = {}
        self._reached: dict[int, Greeting | None] = {}

    def carry_out(self) -> Reply:
        """Every hop once, then the silent ones again."""
        self._attempt.begin()
        for ttl in range(1, self._most + 1):
            code = self._asking.ask(ttl)
            if code:
                return replace(self._attempt.local(code), hops=self._hops(ttl))
            self._listen(self._attempt.due() / (self._most - ttl + 2), [ttl])
            if self._last():
                break
        self._insist()
        return self._reply()

    def _last(self) -> int:
        """The smallest TTL that led to the target or to a refusal, or one more than may be tried; 0: not known yet."""
        beyond = (self._most + 1,) if self._most in self._crossed else ()
        return min((*self._reached, *self._refusals, *beyond), default=0)

    def _silent(self) -> list[int]:
        """The TTLs that nothing is known of, as far as they matter."""
        end = self._last() or self._most + 1
        return [ttl for ttl in range(1, end) if ttl not in self._crossed]

    def _insist(self) -> None:
        tries = ended = 0
        while self._attempt.left():
            silent = self._silent()
            if self._last() and (not silent or ended == len(_PATIENCE_S)):
                return
            for ttl in silent:
                self._asking.ask(ttl)
            self._listen(_PATIENCE_S[ended] if self._last() else _PATIENCE_WITHOUT_END_S * 2**tries, silent)
            tries += 1
            ended += bool(self._last())

    def _listen(self, seconds: float, ttls: list[int]) -> None:
        """Take what comes until all of `ttls` are told, or the first end is, for `seconds` at most."""
        until, ended, left = time.monotonic() + min(seconds, self._attempt.left()), self._last(), seconds
        while left and set(ttls) & set(self._silent()) and self._last() == ended:
            left = max(0.0, until - time.monotonic())
            poll = select.poll()
            poll.register(self._listener.socket, select.POLLIN)
            for sock, events in self._asking.waiting():
                poll.register(sock, events)
            poll.poll(int(left * 1000) + 1)
            self._take()

    def _take(self) -> None:
        """The ICMP messages first: of the errors that they tell a socket only knows that there was one."""
        for source, message in self._listener.messages():
            said = as_complaint(source, message)
            if said is not None:
                self._hear(said, self._asking.about(said))
            elif ttl := self._asking.echo(source, message):
                self._reached.setdefault(ttl, None)
        for ttl, greeting in self._asking.arrived():
            self._reached[ttl] = greeting

    def _hear(self, said: Complaint, ttl: int) -> None:
        if not ttl:
            return
        if said.type == _TIME_EXCEEDED:
            self._crossed.setdefault(ttl, said.reporter)
        elif said.type == UNREACHABLE and said.code in _BY_A_HOST and said.reporter == self._to:
            self._reached.setdefault(ttl, None)
        else:
            self._refusals.setdefault(ttl, said)

    def _hops(self, end: int) -> tuple[str, ...]:
        """Who was crossed before the TTL `end`."""
        return tuple(self._crossed.get(ttl, "*") for ttl in range(1, end))

    def _reply(self) -> Reply:
        last = self._last()
        if last in self._reached:
            return self._arrived(last, self._reached[last])
        if last > self._most:
            reporter, words = self._crossed[self._most], f"{self._to} is further than {self._most} hops"
            return self._attempt.reply("no_route", words, reporter=reporter, hops=self._hops(last))
        if last:
            said = self._refusals[last]
            hops = self._hops(last)
            hops += (said.reporter,) if hops[-1:] != (said.reporter,) else ()
            return replace(self._attempt.complaint(said), hops=hops)
        furthest = max(self._crossed, default=0)
        words = f"the last to answer was {self._crossed[furthest]}" if furthest else "nobody answered"
        return replace(self._attempt.silence(f"{self._to} did not answer; {words}"), hops=self._hops(furthest + 1))

    def _arrived(self, last: int, greeting: Greeting | None) -> Reply:
        told = greeting._asdict() if greeting else {}
        return self._attempt.reply("ok", f"{self._to} is hop {last}", hops=(*self._hops(last), self._to), **told)
