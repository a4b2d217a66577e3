"""A lab in a guest that stays: every command finds it by its name, and works as it does on the host."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labctl import guest
from labctl.guest import record
from labctl.guest.record import Place
from labctl.services import processes

pytestmark = pytest.mark.e2e

LAB = "guest-stays"
TEXT = f"""
lab: {LAB}
resources:
  vpc1:
    kind: vpc
    subnets:
      web: {{zone: a, prefix: 10.0.1.0/24}}
      db: {{zone: b, prefix: 10.0.2.0/24}}
  web1: {{kind: instance, subnet: vpc1.web, address: 10.0.1.10}}
  db1: {{kind: instance, subnet: vpc1.db, address: 10.0.2.10, serves: [tcp/5432]}}
checks:
  - id: P1
    about: the far end is reached
    from: web1
    do: {{tcp: {{to: db1, port: 5432}}}}
    expect: {{ok: {{}}}}
  - id: F1
    about: nobody serves this port
    from: web1
    do: {{tcp: {{to: db1, port: 5433}}}}
    expect: {{ok: {{}}}}
"""
LIMIT = 120.0


@dataclass(frozen=True)
class Labctl:
    """The command line, in a directory that holds the description."""

    folder: Path

    def __call__(self, *words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        return subprocess.run([*COMMAND, *words], cwd=self.folder, capture_output=True, timeout=LIMIT, **given)  # type: ignore[call-overload, no-any-return]

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


COMMAND = [sys.executable, "-m", "labctl"]


@pytest.fixture(scope="module")
def labctl(tmp_path_factory: pytest.TempPathFactory) -> Labctl:
    found = guest.available("uml")
    if not found.ok:
        pytest.skip(f"uml: {found.detail}; {found.remedy}")
    folder = tmp_path_factory.mktemp("stays")
    (folder / "lab.yaml").write_text(TEXT)
    return Labctl(folder)


@pytest.fixture
def up(labctl: Labctl) -> Iterator[Labctl]:
    """The lab is up, in a guest that other tests used as well; a test may leave it dead."""
    if LAB not in [each.lab for each in record.labs() if each.state == "up"]:
        labctl("down", LAB)
        done = labctl("up", "lab.yaml", "--on", "uml")
        assert done.returncode == 0, done.stderr.decode()
    yield labctl


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(labctl: Labctl) -> Iterator[None]:
    yield
    labctl("down", LAB)
    assert not os.path.lexists(Place(LAB).root)
    assert not processes_of(LAB)


def processes_of(lab: str) -> list[str]:
    """The processes whose command lines name the record, as those of a guest and its monitor do."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = entry.read_bytes()
            if f"{Place(lab).root}/".encode() in line or f"guest.monitor\0{lab}\0".encode() in line:
                found.append(entry.parent.name)
    return found


def listed(labctl: Labctl) -> dict[str, dict[str, object]]:
    return {each["lab"]: each for each in json.loads(labctl("list", "--json").stdout)["labs"]}


def test_up_says_where_and_why_and_the_lab_is_listed(labctl: Labctl) -> None:
    labctl("down", LAB)
    done = labctl("up", "lab.yaml", "--on", "uml")
    assert done.returncode == 0
    assert done.stderr.decode().splitlines()[0] == f"{LAB}: uml: as asked"
    assert f"{LAB} is up" in done.stderr.decode()
    found = listed(labctl)[LAB]
    assert (found["status"], found["where"], found["source"], found["namespaces"]) == ("up", "uml", "lab.yaml", 5)


def test_a_second_lab_of_that_name_is_refused_anywhere(up: Labctl) -> None:
    for where in ("uml", "host"):
        done = up("up", "lab.yaml", "--on", where)
        assert (done.returncode, b"is there already, in a guest" in done.stderr) == (3, True)
    assert listed(up)[LAB]["status"] == "up"


def test_exec_has_its_status_and_both_streams_apart(up: Labctl) -> None:
    done = up("exec", LAB, "web1", "--", "sh", "-c", "echo out; echo err >&2; hostname -I; exit 7")
    assert (done.returncode, done.stderr) == (7, b"err\n")
    assert done.stdout.split() == [b"out", b"10.0.1.10"]


def test_exec_of_what_is_not_there_is_refused_in_the_guest(up: Labctl) -> None:
    assert up("exec", LAB, "nobody", "--", "true").returncode == 2
    assert b"No such file" in up("exec", LAB, "web1", "--", "no-such-program").stderr


def test_input_and_output_are_any_bytes_and_end(up: Labctl) -> None:
    data = os.urandom(700_000)
    done = up("exec", LAB, "web1", "--", "cat", stdin=data)
    assert (done.returncode, done.stdout == data) == (0, True)
    assert up("exec", LAB, "web1", "--", "wc", "-c", stdin=b"").stdout.strip() == b"0"


def test_input_that_nobody_reads_holds_nothing_up(up: Labctl) -> None:
    assert up("exec", LAB, "web1", "--", "true", stdin=bytes(2_000_000)).returncode == 0


def test_two_commands_at_once_do_not_wait_for_each_other(up: Labctl) -> None:
    slow = up.begin("exec", LAB, "web1", "--", "sh", "-c", "echo begun; sleep 100")
    assert slow.stdout is not None
    assert slow.stdout.readline() == b"begun\n"
    assert up("exec", LAB, "db1", "--", "echo", "meanwhile").stdout == b"meanwhile\n"
    assert slow.poll() is None
    slow.send_signal(signal.SIGINT)
    assert slow.wait(LIMIT) == 130


def test_output_that_nobody_takes_holds_up_its_own_command_alone(up: Labctl) -> None:
    full = up.begin("exec", LAB, "web1", "--", "yes")
    assert full.stdout is not None
    assert full.stdout.read(2) == b"y\n"
    assert up("exec", LAB, "db1", "--", "echo", "meanwhile").stdout == b"meanwhile\n"
    full.stdout.close()
    full.wait(LIMIT)


def test_what_a_killed_command_began_is_hung_up(up: Labctl) -> None:
    slow = up.begin("exec", LAB, "web1", "--", "sh", "-c", "echo begun; exec sleep 4321")
    assert slow.stdout is not None
    assert slow.stdout.readline() == b"begun\n"
    slow.kill()
    slow.wait()
    deadline = time.monotonic() + 20
    while up("exec", LAB, "web1", "--", "pgrep", "-f", "^sleep 4321").returncode == 0:
        assert time.monotonic() < deadline, "it goes on"


def test_inspect_speaks_of_the_guest(up: Labctl) -> None:
    found = json.loads(up("inspect", LAB, "--json").stdout)
    assert (found["lab"], "web1" in found["nodes"]) == (LAB, True)


def test_verify_leaves_its_reports_and_evidence_here(up: Labctl) -> None:
    done = up("verify", LAB, "--junit", "out.xml", "--html", "out.html", "--evidence", "kept", "--json")
    report = json.loads(done.stdout)
    verdicts = {each["id"]: each for each in report["checks"]}
    assert (done.returncode, report["where"]) == (1, "uml")
    assert {name: each["verdict"] for name, each in verdicts.items()} == {"P1": "pass", "F1": "fail"}
    assert "<testsuite" in (up.folder / "out.xml").read_text()
    assert (up.folder / "out.html").read_text().startswith("<!doctype html>")
    assert (Path(verdicts["F1"]["evidence"]) / "README.txt").exists()
    assert Path(verdicts["F1"]["evidence"]).is_relative_to(up.folder / "kept")
    assert not list(Place(LAB).work.glob("files-*"))


def test_a_verify_that_passes_leaves_nothing(up: Labctl) -> None:
    assert up("verify", LAB, "--only", "P1").returncode == 0
    assert not (up.folder / "labctl-evidence").exists()


def test_apply_and_drift_speak_of_the_guest(up: Labctl) -> None:
    (up.folder / "lab.yaml").write_text(TEXT.replace("10.0.1.10", "10.0.1.11"))
    try:
        assert up("plan", "lab.yaml").stdout.strip()
        assert up("apply", "lab.yaml").returncode == 0
        assert up("exec", LAB, "web1", "--", "hostname", "-I").stdout.split() == [b"10.0.1.11"]
        assert up("inspect", LAB, "--drift").returncode == 0
        assert up("exec", LAB, "web1", "--", "ip", "route", "del", "default").returncode == 0
        assert up("inspect", LAB, "--drift").returncode == 1
    finally:
        (up.folder / "lab.yaml").write_text(TEXT)
    assert up("apply", "lab.yaml").returncode == 0
    assert up("exec", LAB, "web1", "--", "hostname", "-I").stdout.split() == [b"10.0.1.10"]


class Terminal:
    """A command at a terminal of its own, as a person has it."""

    def __init__(self, labctl: Labctl, *words: str) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(labctl.folder)
            os.environ["SHELL"] = "/bin/sh"
            os.execv(COMMAND[0], [*COMMAND, *words])
        self.seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def until(self, text: bytes) -> None:
        """Read until `text` has come, and forget all up to it."""
        deadline = time.monotonic() + 30
        while text not in self.seen:
            assert select.select([self.master], [], [], deadline - time.monotonic())[0], self.seen
            self.seen += os.read(self.master, 1 << 16)
        self.seen = self.seen.partition(text)[2]

    def end(self) -> int:
        """Its exit status."""
        with contextlib.suppress(OSError):
            while os.read(self.master, 1 << 16):
                pass
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_shell_has_a_terminal(up: Labctl) -> None:
    terminal = Terminal(up, "shell", LAB, "web1")
    terminal.until(b"# ")
    terminal.type(b"tty && echo on''line\r")
    terminal.until(b"/dev/pts/")
    terminal.until(b"online")
    fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    terminal.type(b"until stty size | grep '^33 '; do sleep 0.1; done\r")
    terminal.until(b"33 101")
    terminal.type(b"echo g''o; sleep 500\r")
    terminal.until(b"go\r\n")
    terminal.type(b"\x03")
    terminal.type(b"echo is$?\r")
    terminal.until(b"is130")
    terminal.type(b"\x04")
    assert terminal.end() == 0


def test_a_command_at_a_terminal_is_at_one_in_the_guest(up: Labctl) -> None:
    terminal = Terminal(up, "exec", LAB, "web1", "--", "sh", "-c", "test -t 0 && test -t 2 && exit 9")
    assert terminal.end() == 9


@pytest.mark.parametrize("instant", ["booting", "raising the lab"])
def test_an_interrupted_up_leaves_nothing(labctl: Labctl, instant: str) -> None:
    (labctl.folder / "cut.yaml").write_text(TEXT.replace(LAB, "guest-stays-cut"))
    place = Place("guest-stays-cut")
    begun = labctl.begin("up", "cut.yaml", "--on", "uml")
    deadline = time.monotonic() + 60
    while record.process(place, "guest") is None or (instant != "booting" and not (place.work / "started").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    begun.send_signal(signal.SIGINT)
    assert begun.wait(LIMIT) == 130
    assert not os.path.lexists(place.root)
    assert not processes_of(place.lab)


def test_an_up_that_is_killed_leaves_nothing(labctl: Labctl) -> None:
    (labctl.folder / "killed.yaml").write_text(TEXT.replace(LAB, "guest-stays-killed"))
    place = Place("guest-stays-killed")
    begun = labctl.begin("up", "killed.yaml", "--on", "uml")
    deadline = time.monotonic() + 30
    while record.process(place, "guest") is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    begun.kill()
    begun.wait()
    while os.path.lexists(place.root) or processes_of(place.lab):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("role", ["guest", "monitor"])
def test_a_guest_that_is_killed_is_dead_and_can_be_taken_down(up: Labctl, role: str) -> None:
    place = Place(LAB)
    waiting = up.begin("exec", LAB, "web1", "--", "sh", "-c", "echo begun; sleep 100")
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == b"begun\n"
    victim = record.process(place, role)
    assert victim is not None
    processes.kill(victim)
    assert waiting.wait(LIMIT) == 3
    while record.process(place, "monitor"):
        time.sleep(0.02)
    assert listed(up)[LAB]["status"] == "dead"
    done = up("exec", LAB, "web1", "--", "true")
    assert done.returncode == 3
    assert b"labctl down" in done.stderr
    assert b"in a guest" in up("up", "lab.yaml", "--on", "uml").stderr
    assert up("down", LAB).returncode == 0
    assert not os.path.lexists(place.root)
    deadline = time.monotonic() + 5
    while processes_of(LAB):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_down_proves_that_the_guest_was_as_before_and_leaves_nothing(up: Labctl) -> None:
    done = up("down", LAB, "--verify", "--json")
    assert (done.returncode, json.loads(done.stdout)["down"]) == (0, [LAB])
    assert not os.path.lexists(Place(LAB).root)
    assert not processes_of(LAB)
    assert LAB not in listed(up)
