"""A program that makes life hard for a lab, in one way of `ADVERSITIES`, in a machine of its own: see `isolated`.

`adversities.py NAME`; status 1 and what went wrong if anything did.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from survivor import ISOLATION, own_run

from labctl import lab, state
from labctl.cli.terminal import Terminal
from labctl.describe import describe
from labctl.kernel import fingerprint
from labctl.kernel.paths import Paths
from labctl.plan.objects import Process
from labctl.services.keeper import Keeper
from labctl.services.processes import identify

LAB = """
lab: {name}
resources:
  vpc1: {{kind: vpc, subnets: {{web: {{zone: a, prefix: 10.0.1.0/24}}, db: {{zone: b, prefix: 10.0.2.0/24}}}}}}
  web1: {{kind: instance, subnet: vpc1.web, address: 10.0.1.10}}
  db1: {{kind: instance, subnet: vpc1.db, address: 10.0.2.10, serves: [tcp/5432]}}
checks:
  - {{id: P1, from: web1, do: {{tcp: {{to: db1, port: 5432}}}}, expect: ok, path: [web1, vpc1, db1]}}
"""
FOLDER = Path("/run/adversities")
ROOT = Path("/run/labctl/sv")
NETNS = Path("/run/netns")
STANDING = {"file /run/labctl", "file /run/netns"}
OTHERS = ("file /run/mount", "file /run/blkid", "file /run/labctl/filler", "file /run/labctl/.filler")
LABCTL = [sys.executable, "-m", "labctl"]


@dataclass(frozen=True)
class Done:
    """What a command of labctl came to."""

    status: int
    out: str
    said: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


def described(name: str = "sv") -> str:
    file = FOLDER / f"{name}.yaml"
    file.write_text(LAB.format(name=name))
    return str(file)


def labctl(*words: str, expect: int | None = 0) -> Done:
    done = finished(begun(*words))
    assert expect is None or done.status == expect, f"{words}: {done}"
    return done


def begun(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*LABCTL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=FOLDER)


def finished(command: subprocess.Popen[str]) -> Done:
    out, said = command.communicate(timeout=120)
    assert "Traceback" not in said, said
    return Done(command.returncode, out, said)


def up(name: str = "sv") -> None:
    labctl("up", described(name))


def works(name: str = "sv") -> None:
    labctl("verify", name, "--only", "P1")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def umount(place: Path) -> None:
    subprocess.run(["umount", place], check=True)


def status(name: str = "sv") -> str:
    labs = {each["lab"]: each["status"] for each in labctl("list", "--json").data["labs"]}
    return str(labs.get(name, "absent"))


def supervisor() -> int:
    return int(json.loads((ROOT / "supervisor.json").read_text())["supervisor"]["pid"])


def programs() -> list[int]:
    return [each["pid"] for each in json.loads((ROOT / "supervisor.json").read_text())["children"]]


def left() -> set[str]:
    """Processes, mounts and files, but for our own and empty directories that stay."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    found = {
        f"process {each.name}" for each in Path("/proc").iterdir() if each.name.isdigit() and identify(int(each.name))
    }
    found |= {f"mount {each}" for each in fingerprint.sections.mounts()}
    found |= {f"file {each}" for each in Path("/run").rglob("*") if FOLDER not in (each, *each.parents)}
    return {each for each in found if not each.startswith(OTHERS)} - STANDING


def as_before(before: set[str]) -> None:
    deadline = time.monotonic() + 10
    while (now := left()) != before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert now == before, f"left {sorted(now - before)}, gone {sorted(before - now)}"


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


# -- the disk


def full(options: str, fill: Callable[[int], None], steps: range) -> None:
    """`up` with less and less in its way: it fails without a trace until it has enough, and `down` needs nothing."""
    run = Path("/run/labctl")
    run.mkdir()
    before = None
    file = described()
    for free in steps:
        mount("-t", "tmpfs", "-o", options, "tmpfs", run)
        fill(free)
        before = left()
        done = labctl("up", file, expect=None)
        if done.status == 0:
            works()
            fill(0)
            labctl("down", "sv")
            as_before(before)
            umount(run)
            assert free != steps.start, "it was never full"
            return
        assert (done.status, "No space left on device" in done.said) == (3, True), (free, done)
        as_before(before)
        umount(run)
    raise AssertionError("it was always full")


def full_disk() -> None:
    def fill(pages: int) -> None:
        place = Path("/run/labctl/filler")
        with place.open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        os.truncate(place, (place.stat().st_size // 4096 - pages) * 4096)

    full("size=400k", fill, range(0, 60, 6))


def out_of_inodes() -> None:
    def fill(inodes: int) -> None:
        folder = Path("/run/labctl/.filler")
        folder.mkdir(exist_ok=True)
        made = []
        with suppress(OSError):
            for number in range(1000):
                (folder / f"{time.monotonic_ns()}-{number}").touch()
                made.append(number)
        for each in sorted(folder.iterdir())[: inodes or 2]:
            each.unlink()  # a lock needs one for itself, and one for the directory of the locks

    full("size=1m,nr_inodes=60", fill, range(2, 40, 4))


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """By a second mount: the first has files that are open for writing."""
    mount("--rbind", place, place)
    mount("-o", "remount,bind,ro", place)
    yield
    subprocess.run(["umount", "--recursive", place], check=True)


def read_only_disk() -> None:
    run = Path("/run/labctl")
    run.mkdir()
    mount("-t", "tmpfs", "tmpfs", run)
    before = left()
    with read_only(run):
        assert "Read-only file system" in labctl("up", described(), expect=3).said
    as_before(before)
    up()
    with read_only(run):
        assert "Read-only file system" in labctl("down", "sv", expect=3).said
    works()
    labctl("down", "sv")
    as_before(before)


# -- what others do


def namespace_removed_by_hand() -> None:
    before = left()
    for remove in (lambda: ip("netns", "del", "sv-web1"), lambda: umount(ROOT / "ns" / "web1")):
        up()
        remove()
        assert "web1" in labctl("inspect", "sv").out
        assert labctl("verify", "sv", "--only", "P1", expect=None).status != 0
        labctl("down", "sv")
        as_before(before)
    up()
    umount(ROOT / "ns" / "web1")
    (ROOT / "ns" / "web1").unlink()
    (NETNS / "sv-web1").unlink()
    labctl("down", "--all")
    as_before(before)


def foreign_names() -> None:
    def link() -> None:
        (NETNS / "sv-web1").symlink_to("/etc")

    def file() -> None:
        (NETNS / "sv-web1").write_text("mine")

    NETNS.mkdir()
    for make in (link, file, (NETNS / "sv-web1").mkdir, lambda: ip("netns", "add", "sv-web1")):
        make()
        before = left()
        done = labctl("up", described(), expect=3)
        assert "/run/netns/sv-web1" in done.said and "in the way" in done.said, done
        labctl("down", "--all")
        as_before(before)
        if os.path.ismount(NETNS / "sv-web1"):
            ip("netns", "del", "sv-web1")
        elif (NETNS / "sv-web1").is_dir() and not (NETNS / "sv-web1").is_symlink():
            (NETNS / "sv-web1").rmdir()
        else:
            (NETNS / "sv-web1").unlink()
    up()
    works()


def foreign_places() -> None:
    elsewhere = FOLDER / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    Path("/run/labctl").mkdir()
    for name in ("sv", ".new-sv"):
        place = Path("/run/labctl") / name
        for make in (place.touch, lambda place=place: place.symlink_to(elsewhere)):
            make()
            before = left()
            for words in (("up", described()), ("down", "sv")):
                done = labctl(*words, expect=3)
                assert str(place) in done.said, done
            as_before(before)
            place.unlink()
    ROOT.mkdir()
    (ROOT / "precious").write_text("x")
    before = left()
    assert "owner mark" in labctl("up", described(), expect=3).said
    labctl("down", "sv", expect=3)
    labctl("down", "--all")
    as_before(before)
    assert (elsewhere / "precious").exists()


def foreign_mounts() -> None:
    elsewhere = FOLDER / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    before = left()
    up()
    mount("-t", "tmpfs", "tmpfs", ROOT)
    for words in (("down", "sv"), ("up", described()), ("verify", "sv")):
        done = labctl(*words, expect=3)
        assert f"mounted over {ROOT}" in done.said and f"umount {ROOT}" in done.said, done
    umount(ROOT)
    (ROOT / "theirs").mkdir()
    mount("--bind", elsewhere, ROOT / "theirs")
    assert str(ROOT / "theirs") in labctl("down", "sv", expect=3).said
    assert (elsewhere / "precious").exists()
    assert status() != "absent"
    umount(ROOT / "theirs")
    labctl("down", "sv")
    as_before(before)


# -- processes


def supervisor_killed() -> None:
    before = left()
    for number in (signal.SIGKILL, signal.SIGTERM):
        up()
        pids = [supervisor(), *programs()]
        os.kill(pids[0], number)
        eventually(lambda pids=pids: not any(map(identify, pids)))
        assert status() == "broken"
        assert "supervisor" in labctl("inspect", "sv").out
        assert "supervisor" in labctl("verify", "sv", expect=3).said
        assert "labctl down sv" in labctl("up", described(), expect=3).said
        labctl("down", "sv")
        as_before(before)


def supervisor_stopped() -> None:
    before = left()
    up()
    os.kill(supervisor(), signal.SIGSTOP)
    labctl("down", "sv")
    as_before(before)


def roster_damaged() -> None:
    before = left()
    for text in ("", "[", '{"is": "Roster"}'):
        up()
        (ROOT / "supervisor.json").write_text(text)
        labctl("down", "sv")
        as_before(before)


def program_killed() -> None:
    before = left()
    up()
    [pid] = programs()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not identify(pid))
    assert labctl("verify", "sv", "--only", "P1", expect=None).status != 0
    assert "exited" in labctl("inspect", "sv").out
    labctl("down", "sv")
    as_before(before)


@contextmanager
def guest(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody's program in a node."""
    process = subprocess.Popen(command)
    home, there = (Path(f"/proc/{pid}/ns/net") for pid in ("self", process.pid))
    eventually(lambda: there.stat().st_ino != home.stat().st_ino)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def shell_left() -> None:
    before = left()
    for command in (
        ["ip", "netns", "exec", "sv-web1", "sleep", "60"],
        [*LABCTL, "exec", "sv", "web1", "--", "sleep", "60"],
    ):
        up()
        with guest(*command) as shell:
            eventually(lambda shell=shell: b"sleep" in Path(f"/proc/{shell.pid}/cmdline").read_bytes()[:6])
            done = labctl("down", "sv", "--verify", "--json", expect=1)
            [difference] = done.data["differences"]["sv"]
            assert difference["section"] == "processes" and f"sleep (pid {shell.pid})" in done.said, done
            assert status() == "absent"
        as_before(before)


def restarted() -> None:
    before = left()
    up()
    labctl("exec", "sv", "web1", "--", "true")
    os.kill(supervisor(), signal.SIGKILL)
    bystander = subprocess.Popen(["sleep", "60"])
    mine = identify(bystander.pid)
    assert mine
    for file in ("journal.json", "supervisor.json"):
        data = json.loads((ROOT / file).read_text())
        data["boot_id" if file == "journal.json" else "boot"] = "another"
        if file == "supervisor.json":
            data["supervisor"] |= {"pid": mine.pid, "started": mine.started}
        (ROOT / file).write_text(json.dumps(data))
    assert status() == "stale"
    assert "restarted" in labctl("up", described(), expect=3).said
    labctl("down", "sv")
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    as_before(before)


# -- at once


def two_at_once() -> None:
    before = left()
    file = described()
    for _ in range(2):
        both = [finished(each) for each in [begun("up", file), begun("up", file)]]
        assert sorted(each.status for each in both) == [0, 3], both
        [loser] = [each for each in both if each.status == 3]
        assert "labctl up (pid " in loser.said or "is already up" in loser.said, loser
        works()
        several = [finished(each) for each in [begun("down", "sv"), begun("down", "sv"), begun("verify", "sv")]]
        assert all(each.status in (0, 3) for each in several), several
        assert status() == "absent"
        as_before(before)
    for _ in range(2):
        both = [finished(each) for each in [begun("up", file), begun("down", "sv")]]
        assert all(each.status in (0, 3) for each in both), both
        labctl("down", "sv")
        as_before(before)


def ten_at_once() -> None:
    before = left()
    names = [f"sv{number}" for number in range(10)]
    for each in [begun("up", described(name)) for name in names]:
        done = finished(each)
        assert done.status == 0, done
    for name in names:
        works(name)
    for each in [begun("down", name) for name in names]:
        done = finished(each)
        assert done.status == 0, done
    as_before(before)


# -- the proof


def proof() -> None:
    up()
    assert labctl("down", "sv", "--verify", "--json").data["differences"] == {"sv": []}
    up()
    ip("link", "add", "theirs0", "type", "bridge")
    done = labctl("down", "sv", "--verify", expect=4)
    assert "+ links: theirs0" in done.said and "(not of this lab)" in done.said and "(of this lab)" not in done.said
    ip("link", "del", "theirs0")
    for damage, words in ((Path.unlink, "did not come so far"), (lambda file: file.write_text("{"), "cannot be read")):
        up()
        damage(ROOT / "fingerprint.json")
        done = labctl("down", "sv", "--verify", "--json", expect=4)
        assert words in done.data["unproved"]["sv"], done
    assert "no lab" in labctl("down", "sv", "--verify").said


def proof_beside_other_labs() -> None:
    before = left()
    for name in ("sv1", "sv2", "sv3"):
        up(name)
    labctl("down", "sv1")
    up("sv4")
    done = labctl("down", "sv2", "--verify", "--json")
    assert done.data["differences"] == {"sv2": []}
    done = labctl("down", "--all", "--verify", "--json")
    assert done.data["differences"] == {"sv3": [], "sv4": []}
    as_before(before)


# -- leaks


def cycles() -> None:
    """Many times up and down, each by commands, and as many within one process."""
    before, times = left(), []
    file, count = described(), int(os.environ.get("LABCTL_TEST_CYCLES", "8"))
    labctl("up", file)
    labctl("down", "sv")
    kernel = memory()
    for _ in range(count):
        began = time.monotonic()
        labctl("up", file)
        labctl("down", "sv")
        times.append(time.monotonic() - began)
    as_before(before)
    grown = memory() - kernel
    print(f"{count} cycles: {sum(times) / count:.2f} s each, the kernel's memory grew by {grown} kB", flush=True)
    if os.environ["LABCTL_WHERE"] != "host":  # nobody else makes namespaces there
        assert grown < 2_000 + 40 * count, "a namespace that leaks holds more than 100 kB"
    tenth = max(1, count // 10)
    assert sum(sorted(times[-tenth:])) < 3 * sum(sorted(times[:tenth])), times
    within(file, count)
    as_before(before)


def within(file: str, count: int) -> None:
    """The same process makes a lab and takes it away: what it has open, and what it remembers, does not grow."""
    described = describe(Path(file).read_bytes(), file)
    paths, terminal = Paths("sv"), Terminal(quiet=True)
    seen = []
    for _ in range(max(count // 2, 6)):
        lab.up(described, paths, terminal)
        lab.down(paths, terminal)
        gc.collect()
        seen.append((len(list(Path("/proc/self/fd").iterdir())), len(gc.get_objects())))
    assert seen[-1][0] == seen[1][0], seen
    assert seen[-1][1] - seen[1][1] < 20 * len(seen), seen


def programs_come_and_go() -> None:
    """The supervisor is the one process that lives long: it keeps nothing of programs that have ended."""
    up()
    plan = state.load(Paths("sv")).plan
    [program] = [each for each in plan.objects if isinstance(each, Process)]
    keeper, pid = Keeper(Paths("sv")), supervisor()
    before = open_files(pid)
    for _ in range(30):
        keeper.stop(program)
        keeper.start(program)
    eventually(lambda: open_files(pid) <= before)  # an answered question may still be open for a moment
    works()


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def memory() -> int:
    """What the kernel holds for itself and cannot let go of, in kB."""
    time.sleep(1.0)  # namespaces are taken apart by a worker
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(facts[name].split()[0]) for name in ("SUnreclaim", "Percpu", "KernelStack") if name in facts)


ADVERSITIES: dict[str, Callable[[], None]] = {
    act.__name__: act
    for act in (
        full_disk,
        out_of_inodes,
        read_only_disk,
        namespace_removed_by_hand,
        foreign_names,
        foreign_places,
        foreign_mounts,
        supervisor_killed,
        supervisor_stopped,
        roster_damaged,
        program_killed,
        shell_left,
        restarted,
        two_at_once,
        ten_at_once,
        cycles,
        programs_come_and_go,
        proof,
        proof_beside_other_labs,
    )
}


def endure(name: str) -> int:
    own_run()
    FOLDER.mkdir()
    try:
        ADVERSITIES[name]()
    except (AssertionError, OSError, subprocess.SubprocessError):
        traceback.print_exc()
        return 1
    return 0


def isolated(name: str) -> list[str]:
    """The command that tries one of them in a machine of its own."""
    return [*ISOLATION, sys.executable, str(Path(__file__).resolve()), name]


if __name__ == "__main__":
    sys.exit(endure(sys.argv[1]))
