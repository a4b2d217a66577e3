"""The state of a resolver of several locations: each is asked by itself, all of them at once."""

from __future__ import annotations

import threading
from ipaddress import IPv4Address

from labctl.probes.actions_dns import sign_of_life
from labctl.probes.attempt import Attempt
from labctl.probes.wire import Health, Outcome, Reply

_SHARE = 0.9  # of the time, so that the answer of those that are silent comes in time


def health(attempt: Attempt, action: Health) -> Reply:
    """Ask all of them. "ok", with the state: an answer of any kind is a sign of life."""
    asked = [_Asked(attempt, server) for server in action.servers]
    for each in asked:
        each.start()
    for each in asked:
        each.join()
    outcomes = [each.outcome() for each in asked]
    alive = [outcome == "ok" for outcome in outcomes]
    state = "healthy" if all(alive) else "degraded" if any(alive) else "critical"
    told = ", ".join(f"{each.server} {_words(outcome)}" for each, outcome in zip(asked, outcomes, strict=True))
    return attempt.reply("ok", told, state=state, said=told)


def _words(outcome: Outcome) -> str:
    match outcome:
        case "ok":
            return "answers"
        case "refused":
            return "refuses"
        case "filtered":
            return "gives no answer"
        case _:
            return f"is not reached ({outcome})"


class _Asked(threading.Thread):
    """One location: a thread, since each waits for its own answer, and namespaces are entered by threads."""

    def __init__(self, attempt: Attempt, server: IPv4Address) -> None:
        super().__init__(daemon=True)
        self.server = server
        self._part = attempt.part(attempt.due() * _SHARE)
        self._came: Outcome | Exception = "error"

    def run(self) -> None:
        try:
            self._came = sign_of_life(self._part, self.server)
        except Exception as error:  # to be raised again by the thread that asks for the outcome
            self._came = error

    def outcome(self) -> Outcome:
        """What became of the question, after the end; raises what was raised."""
        if isinstance(self._came, Exception):
            raise self._came
        return self._came
