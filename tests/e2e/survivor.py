"""A program that stops `labctl` at chosen instants, in a machine of its own, and looks at what is left.

`survivor.py MODE VERB HOW_MANY SEED FILE [OTHER]`, as process 1 of fresh namespaces: see `isolated`.
MODE is `kill` (SIGKILL at lines of code), `random` (SIGKILL after random times), `once` or `twice` (SIGINT, SIGTERM or
SIGHUP at lines of code); FILE is a description whose first check is P1, OTHER what `apply` makes of it.
It prints what went wrong, and ends with status 1 if anything did.

Commands are forks of this process, which has loaded all modules. An instant is a line of labctl's code in the command's
own process, the first or the last time that it is reached: between any two effects on the machine there is one.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import labctl
from labctl import state
from labctl.cli import app, main, proving, taking_down
from labctl.describe import describe
from labctl.kernel import fingerprint
from labctl.kernel.fingerprint import Fingerprint, differences
from labctl.kernel.paths import Paths

LOADED = (app, proving, taking_down)
"""Before the first fork."""

TOP = str(Path(labctl.__file__).parent)
STOPPED = ("lab.py", "interrupts.py", "state/", "kernel/", "services/")
"""Where an instant may lie: all that changes the machine."""
FROM_NOTHING = ("up", "run")
"""Verbs that start without a lab."""
PATIENCE_S = 10.0
STANDING = {"file /run/labctl", "file /run/netns"}
"""Empty directories that stay."""
OWN = Path("/run/survivor")
"""Where commands are started; a run that is killed may leave an empty directory of evidence there."""
Place = tuple[str, int]


@dataclass(frozen=True)
class Instant:
    """The `turn`-th time that a line is about to be executed."""

    place: Place
    turn: int

    def __str__(self) -> str:
        return f"{self.place[0]}:{self.place[1]} ({self.turn})"


class Tracer:
    """Counts the lines that this process reaches, and calls `act` for each."""

    def __init__(self, act: Callable[[Place, int], None]) -> None:
        self.seen: Counter[Place] = Counter()
        self._act = act
        self._pid = os.getpid()

    def start(self) -> None:
        threading.settrace(self._call)
        sys.settrace(self._call)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        within = name.startswith(TOP) and name[len(TOP) + 1 :].startswith(STOPPED)
        return self._line if within and os.getpid() == self._pid else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            place = (frame.f_code.co_filename[len(TOP) + 1 :], frame.f_lineno)
            self.seen[place] += 1
            self._act(place, self.seen[place])
        return self._line


def command(*words: str, prepare: Callable[[], None] | None = None) -> int:
    """Start `labctl words` as a fork of this process; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        out = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = ["labctl", *words]
        if prepare:
            prepare()
        main()
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(99)


OUTPUT = OWN / "output"


def ended(pid: int) -> int:
    """The exit status of a command, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Machine:
    """What must not change, and what is wrong with it."""

    def __init__(self, file: str, other: str) -> None:
        self.file, self.other = file, other
        described = describe(Path(file).read_bytes(), file)
        self.lab = described.name
        self.faults: list[str] = []
        self.before = self._look()
        self.fingerprint: Fingerprint = fingerprint.take()

    def verb(self, verb: str) -> tuple[str, ...]:
        run = ("run", self.file, "--on", "host", "--only", "P1")
        return {"up": ("up", self.file), "down": ("down", self.lab), "apply": ("apply", self.other), "run": run}[verb]

    def run(self, what: str, *words: str, expect: Sequence[int] = (0,)) -> int:
        status = ended(command(*words))
        if status not in expect:
            self.fault(what, f"{' '.join(words)} ended with {status}: {OUTPUT.read_text().strip()[-600:]}")
        return status

    def fault(self, what: str, reason: str) -> None:
        self.faults.append(f"{what}: {reason}"[:1500])
        print(self.faults[-1], flush=True)

    def clear(self, what: str) -> None:
        """`down --all` leaves nothing."""
        self.run(what, "down", "--all")
        self.untouched(what)

    def untouched(self, what: str) -> None:
        """The machine is as it was at first, at the latest in a moment."""
        deadline = time.monotonic() + PATIENCE_S
        while (now := self._look()) != self.before and time.monotonic() < deadline:
            time.sleep(0.01)
        if now != self.before:
            left = [*(now - self.before), *(f"gone: {each}" for each in self.before - now)]
            self.fault(what, f"left: {sorted(left)}")
            self._force()
        elif found := differences(self.fingerprint, fingerprint.take()):
            self.fault(what, f"the host differs: {found}")

    def works(self, what: str) -> None:
        self.run(what, "verify", self.lab, "--only", "P1")

    def _look(self) -> set[str]:
        """Processes, mounts, and files of /run."""
        while True:  # process 1 inherits the orphans
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        pids = {f"process {each.name} {title(each)}" for each in Path("/proc").iterdir() if each.name.isdigit()}
        mounts = {f"mount {each}" for each in fingerprint.sections.mounts()}
        files = {f"file {each}" for each in Path("/run").rglob("*") if OWN not in (each, *each.parents)} - STANDING
        return pids | mounts | files

    def _force(self) -> None:
        """Once something was left, start anew, so that it is told once."""
        for each in Path("/proc").iterdir():
            if each.name.isdigit() and each.name != "1":
                os.kill(int(each.name), signal.SIGKILL)
        time.sleep(0.2)
        subprocess.run(["umount", "--lazy", "/run"], check=True)
        own_run()
        OWN.mkdir()
        os.chdir(OWN)
        self.before = self._look()


def title(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


# -- what is done to a command


def watched(machine: Machine, verb: str) -> list[Instant]:
    """Every line that the verb reaches, the first time and the last."""
    heard, told = os.pipe()

    def prepare() -> None:
        tracer = Tracer(lambda place, turn: None)

        tracer.start()
        pid, end = os.getpid(), os._exit

        def last(status: int) -> None:
            sys.settrace(None)
            if os.getpid() == pid:
                os.write(told, json.dumps([[*place, most] for place, most in tracer.seen.items()]).encode())
            end(status)

        os._exit = last  # type: ignore[assignment]

    pid = command(*machine.verb(verb), prepare=prepare)
    os.close(told)
    with os.fdopen(heard) as source:
        seen = {(name, line): most for name, line, most in json.load(source)}
    if ended(pid):
        machine.fault(f"watching {verb}", OUTPUT.read_text())
    turns = ((place, {1, most}) for place, most in seen.items())
    return sorted((Instant(place, turn) for place, each in turns for turn in each), key=str)


def killed(instant: Instant) -> Callable[[], None]:
    def act(place: Place, turn: int) -> None:
        if (place, turn) == (instant.place, instant.turn):
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: Tracer(act).start()


def signalled(instant: Instant, number: int, again: int = -1) -> Callable[[], None]:
    """`number` at the instant, and a SIGINT the `again`-th line after it."""
    after = itertools.count()
    begun = False

    def act(place: Place, turn: int) -> None:
        nonlocal begun
        if begun:
            if next(after) == again:
                os.kill(os.getpid(), signal.SIGINT)
        elif (place, turn) == (instant.place, instant.turn):
            begun = True
            os.kill(os.getpid(), number)

    return lambda: Tracer(act).start()


# -- the modes


def prepared(machine: Machine, verb: str, what: str) -> None:
    """The state that a verb starts from."""
    if verb not in FROM_NOTHING:
        machine.run(what, "up", machine.file)


def kill(machine: Machine, verb: str, instants: Sequence[Instant], chance: random.Random) -> None:
    for number, instant in enumerate(instants):
        what = f"SIGKILL in {verb} at {instant}"
        prepared(machine, verb, what)
        ended(command(*machine.verb(verb), prepare=killed(instant)))
        follow(machine, verb, what, number)


def follow(machine: Machine, verb: str, what: str, number: int) -> None:
    """What must be possible once a verb was killed: `down`, and then `up`; or `apply`, and it goes on."""
    if verb == "apply" and number % 2:
        machine.run(what, *machine.verb(verb))
        machine.works(what)
    machine.clear(what)
    if verb == "up":
        machine.run(what, "up", machine.file)
        if number % 8 == 0:
            machine.works(what)
        machine.clear(what)


def at_random(machine: Machine, verb: str, many: int, chance: random.Random) -> None:
    prepared(machine, verb, "trial")
    begun = time.monotonic()
    machine.run("trial", *machine.verb(verb))
    took = time.monotonic() - begun
    machine.clear("trial")
    for number in range(many):
        delay = chance.uniform(0, took)
        what = f"SIGKILL in {verb} after {delay * 1000:.1f} ms"
        prepared(machine, verb, what)
        pid = command(*machine.verb(verb))
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        ended(pid)
        follow(machine, verb, what, number)


def once(machine: Machine, verb: str, instants: Sequence[Instant], chance: random.Random) -> None:
    for instant in instants:
        number = chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        what = f"{number.name} in {verb} at {instant}"
        prepared(machine, verb, what)
        status = ended(command(*machine.verb(verb), prepare=signalled(instant, number)))
        said = OUTPUT.read_text()
        labs = {each.lab: each.status for each in state.labs()}
        if status == -number:  # before the command could do anything about it
            machine.untouched(what) if verb in FROM_NOTHING else machine.works(what)
        elif "Traceback" in said or status not in (0, 130):
            machine.fault(what, f"status {status}: {said[-800:]}")
        elif (status == 130 and verb in FROM_NOTHING) or (verb in ("down", "run") and not labs):
            machine.untouched(what)
        elif labs != {machine.lab: "up"}:
            machine.fault(what, f"status {status}, labs {labs}")
        else:
            machine.works(what)
            machine.run(what, "inspect", machine.lab, "--drift")
            wanted = machine.other if verb == "apply" and status == 0 else machine.file
            if state.load(Paths(machine.lab)).description != Path(wanted).read_text():
                machine.fault(what, f"status {status}, and it is not the lab of {wanted}")
        machine.clear(what)


def twice(machine: Machine, verb: str, instants: Sequence[Instant], chance: random.Random) -> None:
    for instant in instants:
        later = int(chance.expovariate(1 / 60))
        what = f"SIGINT in {verb} at {instant}, again {later} lines later"
        prepared(machine, verb, what)
        status = ended(command(*machine.verb(verb), prepare=signalled(instant, signal.SIGINT, later)))
        said = OUTPUT.read_text()
        if "Traceback" in said or status not in (0, 130, -signal.SIGINT):
            machine.fault(what, f"status {status}: {said[-800:]}")
        if any(each.status == "unreadable" for each in state.labs()):
            machine.fault(what, "the journal cannot be read")
        machine.clear(what)


MODES: dict[str, Callable[[Machine, str, Sequence[Instant], random.Random], None]] = {
    "kill": kill,
    "once": once,
    "twice": twice,
}


def chosen(machine: Machine, verb: str, many: int, chance: random.Random) -> Iterator[Instant]:
    prepared(machine, verb, "watching")
    instants = watched(machine, verb)
    machine.clear("watching")
    print(f"{verb}: {len(instants)} instants", flush=True)
    yield from chance.sample(instants, min(many, len(instants)))


def own_run() -> None:
    """An empty /run; labs that the machine has may go meanwhile, and are let go of: some have gone by now."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    lent = [line[4] for line in lines if line[4].startswith("/run/") or {"nsfs", "labctl"} & set(line[-3:-1])]
    if lent:
        subprocess.run(["umount", "--lazy", *reversed(lent)], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)


def survive(mode: str, verb: str, many: int, seed: int, file: str, other: str = "") -> int:
    own_run()
    OWN.mkdir()
    os.chdir(OWN)
    machine, chance = Machine(file, other), random.Random(seed)
    begun = time.monotonic()
    if mode == "random":
        at_random(machine, verb, many, chance)
    else:
        MODES[mode](machine, verb, list(chosen(machine, verb, many, chance)), chance)
    print(f"{mode} {verb}: {many} in {time.monotonic() - begun:.0f} s, {len(machine.faults)} faults", flush=True)
    return 1 if machine.faults else 0


ISOLATION = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


def isolated(*arguments: str) -> list[str]:
    """The command that runs this program in a machine of its own."""
    return [*ISOLATION, sys.executable, str(Path(__file__).resolve()), *arguments]


if __name__ == "__main__":
    mode, verb, many, seed, *files = sys.argv[1:]
    sys.exit(survive(mode, verb, int(many), int(seed), *files))
