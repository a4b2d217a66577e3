"""The prober: `python -m labctl.probes.prober LAB [RUN NETNS]`, requests on standard input, answers on standard output.

It keeps its packet sockets and what it knows of the nodes from probe to probe. It ends with its standard input, and
with the thread that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from labctl.codec import decode, encode
from labctl.errors import LabError
from labctl.kernel.paths import Paths
from labctl.probes.capture import Captures
from labctl.probes.outlets import Outlets
from labctl.probes.streams import RecordStream, Stream
from labctl.probes.tries import carry_out
from labctl.probes.wire import (
    Inject,
    Lookup,
    Probe,
    Reply,
    Request,
    Response,
    SaveFrames,
    StartRecords,
    StartStream,
    StopStream,
    Tap,
)

SOURCE = "source"
"""The name of the taps that the prober adds on every device of the sender, to see the probe leave."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Prober:
    """Carries out requests, one after the other; a stream goes on between them."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._captures = Captures(paths)
        self._outlets = Outlets(paths)
        self._stream: Stream | RecordStream | None = None

    def close(self) -> None:
        """End the stream, if one runs, and every listener."""
        if self._stream is not None:
            self._stream.close()
        self._captures.close()
        self._outlets.close()

    def answer(self, request: Request) -> Response:
        """What came of `request`. LabError and OSError pass through."""
        match request:
            case Probe():
                return self._probe(request)
            case StartStream() | StartRecords():
                return self._start(request)
            case StopStream():
                return self._stop(request)
            case SaveFrames():
                return self._captures.save(Path(request.directory))
            case _:
                assert_never(request)

    def _probe(self, probe: Probe) -> Reply:
        source = tuple(Tap(SOURCE, probe.node, device) for device in self._outlets.of(probe.node))
        recording = self._captures.record((*probe.taps, *source), probe.marker.encode())
        try:
            reply, attempts = carry_out(self._paths.namespace(probe.node), probe)
            due = attempts[0].due() if _needs_all_the_time(probe, reply) else 0.0
            time.sleep(max(probe.linger_ms / 1000, due))
        finally:
            evidence = recording.stop()
        own = frozenset().union(*(attempt.own for attempt in attempts))
        if isinstance(probe.action, Lookup):
            own |= evidence.asked(probe.action.servers, SOURCE)
        return replace(
            reply,
            ready=not evidence.fault,
            reason="; ".join(filter(None, (reply.reason, evidence.fault))),
            sent=evidence.sent(own, SOURCE),
            flows=evidence.parts(own)[0],
        )

    def _start(self, request: StartStream | StartRecords) -> Reply:
        if self._stream is not None:
            return Reply("error", "a stream is running already")
        if isinstance(request, StartRecords):
            self._stream = RecordStream.start(self._paths, self._captures, request)
        else:
            self._stream = Stream.start(self._paths, self._captures, request)
        return Reply("ok", "the first packet is on its way", ready=True)

    def _stop(self, request: StopStream) -> Response:
        if self._stream is None:
            return Reply("error", "no stream is running")
        stream, self._stream = self._stream, None
        return stream.stop(request)


def _needs_all_the_time(probe: Probe, reply: Reply) -> bool:
    """Whether the taps must go on after the action: nobody answers a forged packet, so that none tells it has arrived.

    An answer tells that what led to it has passed the taps: a frame is captured before it goes on.
    """
    return probe.expect_silence or (isinstance(probe.action, Inject) and reply.outcome == "ok")


def serve(prober: Prober, lines: Iterable[str], write: Callable[[str], None]) -> None:
    """Answer line by line until there are no more."""
    for line in lines:
        write(json.dumps(encode(_answer(prober, line))))


def _answer(prober: Prober, line: str) -> Response:
    try:
        request = decode(Request, json.loads(line))
        return prober.answer(request)
    except LabError as error:
        return Reply("error", error.message)
    except Exception as error:  # whatever went wrong in one probe, it proves nothing, and the others go on
        return Reply("error", f"{type(error).__name__}: {error}")


def main(arguments: Sequence[str]) -> None:
    """Serve the lab that the arguments name until standard input ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with contextlib.suppress(OSError):  # not as root of a user namespace
        # On a busy machine too packets leave on time and are read on time (sched(7)); it sleeps nearly always.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a tap each for hundreds of links
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started it, who then closes standard input
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints goes to standard error: answers alone go out
    lab, *places = arguments
    prober = Prober(Paths(lab, *map(Path, places)))

    def write(line: str) -> None:
        answers.write(line + "\n")

    write(json.dumps({"ready": True}))
    serve(prober, sys.stdin, write)
    prober.close()


if __name__ == "__main__":
    main(sys.argv[1:])
