"""One action, begun again and again: a packet lost by chance is no silence, and a lost forgery was not kept out."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from labctl.probes.actions import perform
from labctl.probes.attempt import Attempt
from labctl.probes.wire import Probe, Reply


def carry_out(namespace: Path, probe: Probe) -> tuple[Reply, Sequence[Attempt]]:
    """Do the action of `probe` as often as it wants, at even distances in the first half of its time, and all end with
    it. What came is the first try that met more than silence, or silence.
    """
    gap_ms = probe.timeout_ms // 2 // probe.tries
    marker = probe.marker.encode()
    attempts = [Attempt(namespace, marker, probe.timeout_ms - i * gap_ms, probe.late_ms) for i in range(probe.tries)]
    if len(attempts) == 1:
        return perform(attempts[0], probe.action), attempts
    tries = [_Try(attempt, probe) for attempt in attempts]
    for each in tries:
        each.start()
        time.sleep(gap_ms / 1000)
    for each in tries:
        each.join()
    replies = [each.outcome() for each in tries]
    heard = next((each for each in replies if each.outcome != "filtered"), None)
    return heard or replace(replies[0], reason=f"{replies[0].reason}, {len(replies)} times"), attempts


class _Try(threading.Thread):
    """One of several: a thread, since each waits for its own answer, and namespaces are entered by threads."""

    def __init__(self, attempt: Attempt, probe: Probe) -> None:
        super().__init__(daemon=True)
        self._attempt = attempt
        self._probe = probe
        self._came: Reply | Exception | None = None

    def run(self) -> None:
        try:
            self._came = perform(self._attempt, self._probe.action)
        except Exception as error:  # to be raised again by the thread that asks for the outcome
            self._came = error

    def outcome(self) -> Reply:
        """What came of it, after its end; raises what it raised."""
        if isinstance(self._came, Exception):
            raise self._came
        assert self._came is not None
        return self._came
