"""The command's side of the prober: it starts one, asks and waits with deadlines. Imports no scapy.

Whatever keeps an answer from coming is a ProbeError: nothing was proved.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import labctl
from labctl.codec import decode, encode
from labctl.errors import ProbeError
from labctl.kernel.paths import Paths
from labctl.probes.wire import (
    Probe,
    Reply,
    Request,
    Saved,
    SaveFrames,
    StartRecords,
    StartStream,
    StopStream,
    StreamReport,
)

_START_S = 90.0  # on an emulated processor imports take many times what they usually do
_SLACK_S = 40.0  # beyond the time that a request itself takes; the first that needs scapy imports it, in up to 16 s
_LEAVE_S = 2.0


class Session:
    """A prober for the lab at `paths`, from `with` to its end. Not for use by several threads at once.

    The prober dies with the thread that entered the session.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._received = b""

    def __enter__(self) -> Session:
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "labctl.probes.prober"),
                    *(self._paths.lab, str(self._paths.run), str(self._paths.netns)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env=environment(),
            )
        except OSError as error:
            raise ProbeError(f"the prober could not be started: {error.strerror}") from error
        try:
            if self._answer(_START_S) != {"ready": True}:
                raise self._lost("the prober did not say that it is ready")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None and self._process is not None:
            self._process.kill()  # it may be in the middle of a long probe, whose result nobody wants any more
        self.close()

    @property
    def pid(self) -> int:
        """The prober's process id. ProbeError: it is not running."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Whether the prober runs."""
        return self._process is not None and self._process.poll() is None

    def probe(self, probe: Probe) -> Reply:
        """What `probe` found. ProbeError: the prober died, is late or answers nonsense."""
        return self._reply(probe, (probe.timeout_ms + probe.late_ms + probe.linger_ms) / 1000)

    def start_stream(self, request: StartStream | StartRecords) -> None:
        """Start a stream; on return both ends and the taps listen and the first packet was sent. ProbeError as above,
        and where the stream cannot be opened.
        """
        reply = self._reply(request, 0.0)
        if reply.outcome != "ok":
            raise ProbeError(f"the stream could not be started: {reply.reason}")

    def stop_stream(self, request: StopStream) -> StreamReport:
        """End the stream and say what became of it. ProbeError as above, and where no stream runs."""
        data = self._ask(request, (request.drain_ms + request.tcp_drain_ms) / 1000)
        answer = self._decoded(Reply | StreamReport, data)
        if isinstance(answer, StreamReport):
            return answer
        raise ProbeError(f"the stream could not be reported: {answer.reason}")

    def save(self, directory: Path) -> Saved:
        """Write what the last probe or stream captured to `directory`. ProbeError as above, and where it cannot be."""
        answer = self._decoded(Reply | Saved, self._ask(SaveFrames(str(directory.absolute())), 0.0))
        if isinstance(answer, Saved):
            return answer
        raise ProbeError(answer.reason)

    def close(self) -> None:
        """End the prober; safe to call twice."""
        process, self._process = self._process, None
        self._complaints.close()
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdout.close()
        try:
            process.stdin.close()
            process.wait(_LEAVE_S)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()

    def _reply(self, request: Request, seconds: float) -> Reply:
        reply: Reply = self._decoded(Reply, self._ask(request, seconds))
        return reply

    def _decoded(self, kind: Any, data: Any) -> Any:
        try:
            return decode(kind, data)
        except (ValueError, TypeError, KeyError) as error:
            raise self._lost(f"the prober answered nonsense: {error}") from error

    def _ask(self, request: Request, seconds: float) -> Any:
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(encode(request)).encode() + b"\n")
            process.stdin.flush()
        except OSError as error:
            raise self._died() from error
        return self._answer(seconds + _SLACK_S)

    def _answer(self, seconds: float) -> Any:
        line = self._line(time.monotonic() + seconds)
        try:
            return json.loads(line)
        except ValueError as error:
            raise self._lost(f"the prober answered nonsense: {line[:80]!r}") from error

    def _line(self, deadline: float) -> bytes:
        process = self._running()
        assert process.stdout is not None
        pieces = [self._received]
        while b"\n" not in pieces[-1]:
            left = deadline - time.monotonic()
            if not select.select([process.stdout], [], [], max(0.0, left))[0]:
                raise self._lost("the prober is late with its answer")
            piece = os.read(process.stdout.fileno(), 1 << 16)
            if not piece:
                raise self._died()
            pieces.append(piece)
        line, _, self._received = b"".join(pieces).partition(b"\n")
        return line

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ProbeError("the prober is not running")
        return self._process

    def _died(self) -> ProbeError:
        try:
            status = self._running().wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            return self._lost("the prober closed its output")
        how = f"signal {-status}, {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return self._lost(f"the prober died ({how})")

    def _lost(self, message: str) -> ProbeError:
        """The error to raise, with the prober's last words; there is no going on with a prober like this."""
        self._complaints.seek(0)
        words = self._complaints.read().decode(errors="replace").strip().splitlines()
        self._running().kill()
        return ProbeError(f"{message}: {words[-1]}" if words else message)


def environment() -> dict[str, str]:
    """The prober finds the very same labctl, installed or not, and nothing of the current directory (`-P`)."""
    root = str(Path(labctl.__file__).parent.parent)
    inherited = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, inherited)))}
