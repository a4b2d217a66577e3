"""What users feel during a fault: a numbered UDP stream at a constant rate with a TCP byte stream beside it, or
numbered records in one TCP connection.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TypeVar

from labctl.errors import ProbeError
from labctl.kernel.paths import Paths
from labctl.probes.bytestream import Bytes
from labctl.probes.capture import Captures, Numbered, Recording
from labctl.probes.evidence import Evidence
from labctl.probes.numbers import Numbers
from labctl.probes.records import Records
from labctl.probes.ways import ways
from labctl.probes.wire import StartRecords, StartStream, StopStream, StreamReport, Way

_FIRST_S = 2.0

T = TypeVar("T")


class Stream:
    """A running stream, from `start` to `stop` or `close`."""

    def __init__(self, recording: Recording, numbers: Numbers, flow: Bytes | None) -> None:
        self._recording = recording
        self._numbers = numbers
        self._bytes = flow

    @classmethod
    def start(cls, paths: Paths, captures: Captures, request: StartStream) -> Stream:
        """The sockets of the numbers, the taps, which know their port, then everything else, the senders last.

        ProbeError: an end cannot be opened, or nothing leaves.
        """
        marker = request.marker.encode()
        ends = paths.namespace(request.node), paths.namespace(request.target_node), request.target
        with contextlib.ExitStack() as undo:
            numbers = _failing(lambda: Numbers(*ends, request.rate, marker))
            undo.callback(numbers.close)
            stream = Numbered(request.track, request.target, numbers.port)
            recording = captures.record(request.taps, marker, stream)
            undo.callback(recording.stop)
            flow = None
            if request.tcp:
                flow = _failing(lambda: Bytes(*ends, request.tcp_rate, marker))
                undo.callback(flow.close)
            for each in (numbers, flow):
                if each is not None:
                    each.start()
                    if not each.began.wait(_FIRST_S):
                        raise ProbeError("the stream sent nothing")
            undo.pop_all()
        return cls(recording, numbers, flow)

    def stop(self, request: StopStream) -> StreamReport:
        """Stop sending, let what is under way arrive, and report."""
        self._numbers.finish()
        drained = time.monotonic() + request.drain_ms / 1000
        if self._bytes is not None:
            self._bytes.close(request.tcp_drain_ms / 1000)
        time.sleep(max(0.0, drained - time.monotonic()))
        fault = self._numbers.close()
        evidence = self._recording.stop()
        own = frozenset() if self._bytes is None else frozenset({self._bytes.own})
        faults = [each for each in (fault, evidence.fault) if each]
        return StreamReport(
            ready=not faults,
            sent=tuple(self._numbers.sent),
            received=tuple(self._numbers.received),
            tcp=None if self._bytes is None else self._bytes.report(),
            parts=evidence.parts(own, request.marks_ms),
            ways=self._ways(evidence),
            reason="; ".join(filter(None, (*faults, evidence.track_fault))),
        )

    def close(self) -> None:
        """End it without a report."""
        self.stop(StopStream((), drain_ms=0, tcp_drain_ms=0))

    def _ways(self, evidence: Evidence) -> tuple[Way, ...]:
        """None at all where a tap may have missed a packet, since then nobody knows which ways are whole."""
        if not evidence.tracks or evidence.fault or evidence.track_fault:
            return ()
        return ways(evidence.tracks, (int(number) for number, _ in self._numbers.received))


class RecordStream:
    """Numbered records in a TCP connection, from `start` to `stop` or `close`."""

    def __init__(self, recording: Recording, records: Records) -> None:
        self._recording = recording
        self._records = records

    @classmethod
    def start(cls, paths: Paths, captures: Captures, request: StartRecords) -> RecordStream:
        """The connection, then the taps, then the sender. ProbeError: there is no connection, or nothing leaves."""
        with contextlib.ExitStack() as undo:
            records = _failing(lambda: Records(paths.namespace(request.node), request))
            undo.callback(records.close, 0.0)
            recording = captures.record(request.taps, request.marker.encode())
            undo.callback(recording.stop)
            records.start()
            if not records.began.wait(_FIRST_S):
                raise ProbeError("the stream sent nothing")
            undo.pop_all()
        return cls(recording, records)

    def stop(self, request: StopStream) -> StreamReport:
        """Stop sending, let what is under way be acknowledged, and report."""
        self._records.close(request.tcp_drain_ms / 1000)
        evidence = self._recording.stop()
        faults = [each for each in (self._records.fault, evidence.fault) if each]
        return StreamReport(
            ready=not faults,
            sent=tuple(self._records.sent),
            received=tuple(self._records.received),
            tcp=self._records.report(),
            parts=evidence.parts(frozenset({self._records.own}), request.marks_ms),
            reason="; ".join(faults),
            records=True,
        )

    def close(self) -> None:
        """End it without a report."""
        self.stop(StopStream((), drain_ms=0, tcp_drain_ms=0))


def _failing(make: Callable[[], T]) -> T:
    try:
        return make()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ProbeError(f"the stream cannot be opened: {reason}") from error
