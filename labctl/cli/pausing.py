"""`--pause-on-fail`: the lab stays as it stood when something did not pass, and people are told how to look around."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from labctl.claims.results import StreamVerdict
from labctl.claims.verdicts import Verdict
from labctl.cli.terminal import Terminal
from labctl.cli.where import ATTENDED, here
from labctl.describe import Described
from labctl.errors import UsageError
from labctl.kernel.paths import Paths
from labctl.prove.prover import After

MOST = 3
"""So many files of packets are named; the others lie beside them."""


def attended() -> bool:
    """Whether somebody can read a question and answer it."""
    return ATTENDED in os.environ or (sys.stdin.isatty() and sys.stderr.isatty())


def refuse_unattended(engine: str) -> None:
    """UsageError where a lab in a guest could only be left up, and nobody is there to look at it before that ends."""
    if not attended():
        message = "--pause-on-fail: without a terminal the lab is left up, and a guest kernel ends with the command"
        raise UsageError(f"{message} ({engine})", hint="--on host, or from a terminal")


class Pausing(Terminal):
    """A terminal that stops at everything that does not pass. `ending`: the lab is to be taken down in the end."""

    def __init__(self, described: Described, *, quiet: bool, ending: bool) -> None:
        super().__init__(quiet=quiet)
        self._described = described
        self._ending = ending

    def stopped(self, verdict: Verdict | StreamVerdict) -> After:
        """Tell how to look around; at a terminal wait for an answer, elsewhere end and leave the lab as it stands."""
        with self.resting():
            self.say("\n".join(self._ways(verdict)))
            if attended():
                return self._answer()
            name = self._described.name
            self.say(f"{name} is left as it stands: `labctl down {name}` takes it down")
            return "leave"

    def _ways(self, verdict: Verdict | StreamVerdict) -> Iterator[str]:
        lab, node = self._described.name, self._node(verdict.id)
        within = Paths(lab).link(node).name
        yield f"{verdict.id}: {verdict.verdict}: {verdict.reason}"
        place = "at the question below" if here() != "host" else "in another terminal"
        yield f"{lab} stands as it did then. To look around, {place}:"
        yield f"  labctl inspect {lab}"
        yield f"  labctl exec {lab} {node} -- ip route"
        yield f"  labctl shell {lab} {node}"
        yield f"  ip netns exec {within} tcpdump -ni any"
        if verdict.evidence:
            yield f"  ls {shlex.quote(verdict.evidence)}"
            files = sorted(Path(verdict.evidence).glob("*.pcap"))
            yield from (f"  tcpdump -nr {shlex.quote(str(each))}" for each in files[:MOST])

    def _node(self, word: str) -> str:
        """Where it is best to begin: where the packets come from."""
        nodes = {check.id: check.node for check in self._described.checks}
        nodes |= {drill.id: drill.traffic.node for drill in self._described.drills}
        nodes |= {change.id: change.traffic.node for change in self._described.changes}
        return nodes[word]

    def _answer(self) -> After:
        end = "takes the lab down and ends" if self._ending else "ends"
        while True:
            print(f"Enter goes on, q {end}, a command is run: ", end="", file=sys.stderr, flush=True)
            match _line():
                case None | "q":
                    return "end"
                case "":
                    return "go on"
                case line:
                    _run(line)


def _line() -> str | None:
    """The next line of standard input, None at its end; not a byte more, for the rest may be a command's to read."""
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            return None
        data += piece
    return data.decode(errors="replace").strip()


def _run(line: str) -> None:
    """Run a command; what becomes of it is its own concern, and Ctrl-C ends it alone."""
    # A handler, unlike SIG_IGN, is not handed on to the command (execve(2)).
    usual = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        words = shlex.split(line)
        done = subprocess.run(_command(words), stdout=sys.stderr)
    except (OSError, ValueError) as error:
        print(f"labctl: {error}", file=sys.stderr)
        return
    finally:
        signal.signal(signal.SIGINT, usual)
    if done.returncode:
        print(f"(status {done.returncode})", file=sys.stderr)


def _command(words: Sequence[str]) -> Sequence[str]:
    """labctl may not be on the search path, above all in a guest."""
    return [sys.executable, "-m", "labctl", *words[1:]] if words[0] == "labctl" else words
