"""A guest gives back what its job did, shows what was asked for, and leaves nothing on the host however it ends."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import labctl
from labctl import guest
from labctl.errors import GuestError, HostError
from labctl.guest.uml import kernel as uml_kernel

pytestmark = pytest.mark.e2e

PYTHON = sys.executable
SOURCE = Path(labctl.__file__).parent
# A process in the background of a shell that does not control jobs ignores SIGINT, and so would the job.
LONG_JOB = """
import signal
from labctl import guest
signal.signal(signal.SIGINT, signal.default_int_handler)
guest.run('uml', ['sh', '-c', 'echo up; sleep 60'], timeout=60)
"""


def usable(name: str) -> str:
    found = guest.available(name)
    if not found.ok:
        pytest.skip(f"{name}: {found.detail}; {found.remedy}")
    return name


@pytest.fixture
def uml() -> str:
    return usable("uml")


@pytest.fixture(params=["uml", "kvm", "tcg"])
def engine(request: pytest.FixtureRequest) -> str:
    return usable(request.param)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory directly in /tmp, which a guest covers with its own."""
    with tempfile.TemporaryDirectory(prefix="guest test, ", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture(autouse=True)
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files of this test alone; afterwards no guest may have left anything."""
    with tempfile.TemporaryDirectory(prefix="guest-ground-", dir="/tmp") as directory:
        monkeypatch.setenv("TMPDIR", directory)
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)
        assert not list(Path(directory).iterdir())
        assert not processes_of(directory)


def processes_of(directory: str) -> list[str]:
    """The processes that have `directory` on their command line, as every guest has its own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if directory.encode() in entry.read_bytes():
                found.append(entry.parent.name)
    return found


@dataclass
class Stream(io.BytesIO):
    """Bytes as they arrive, each piece with its time."""

    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    def write(self, data: object) -> int:
        assert isinstance(data, bytes)
        self.pieces.append((time.monotonic(), data))
        return len(data)

    @property
    def text(self) -> str:
        return b"".join(piece for _, piece in self.pieces).decode()


SCENE = """
import os, sys
from pathlib import Path
print("uid", os.getuid(), "cwd", os.getcwd(), "mark", os.environ["MARK"])
print("wrong", file=sys.stderr)
Path("results/answer").write_text(Path(sys.argv[1]).read_text() * 2)
try:
    Path("forbidden").write_text("")
except OSError as fault:
    print(fault.strerror)
print(sorted(path.name for path in Path("/tmp").iterdir()))
sys.exit(7)
"""


def test_a_job_has_its_status_streams_directory_environment_and_files(
    engine: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "results").mkdir()
    (place / "inner").mkdir()
    (place / "inner" / "file").touch()
    out, err = Stream(), Stream()
    monkeypatch.chdir(place)
    with tempfile.NamedTemporaryFile("w", dir="/tmp", prefix="guest-file-") as single:
        single.write("21")
        single.flush()
        status = guest.run(
            engine,
            [PYTHON, "-c", SCENE, single.name],
            writable=[Path("results")],
            readable=[Path(single.name), place / "inner" / "file"],
            environment={"MARK": "a b"},
            timeout=300,
            stdout=out,
            stderr=err,
        )
    assert (status, err.text) == (7, "wrong\n")
    first, refused, listing = out.text.splitlines()
    assert first == f"uid 0 cwd {place} mark a b"
    assert refused == "Read-only file system"
    assert place.name in listing
    assert (place / "results" / "answer").read_text() == "2121"
    assert not (place / "forbidden").exists()


def test_a_guest_has_its_own_kernel_root_and_namespaces(engine: str) -> None:
    out, err = Stream(), Stream()
    script = "ip netns add guest-test && ip -n guest-test link add name g0 type gre remote 192.0.2.1 && ip netns"
    assert guest.run(engine, ["sh", "-c", script], timeout=300, stdout=out, stderr=err) == 0, err.text
    assert out.text.split() == ["guest-test"]
    assert not Path("/run/netns/guest-test").exists()


def test_success_is_zero_and_takes_less_than_a_second(uml: str) -> None:
    begun = time.monotonic()
    assert guest.run(uml, ["true"], timeout=30) == 0
    assert time.monotonic() - begun < 1.0


def test_a_signal_in_the_guest_is_128_and_its_number(uml: str) -> None:
    assert guest.run(uml, ["sh", "-c", "kill -9 $$"], timeout=30) == 137


def test_an_absent_program_is_127_and_named(uml: str) -> None:
    err = Stream()
    assert guest.run(uml, ["no-such-program"], timeout=30, stderr=err) == 127
    assert err.text == "no-such-program: No such file or directory\n"


def test_output_streams_while_the_job_runs(uml: str) -> None:
    out = Stream()
    script = "import time\nfor n in range(3):\n    print(n)\n    time.sleep(0.3)"
    assert guest.run(uml, [PYTHON, "-c", script], timeout=30, stdout=out) == 0
    assert out.text == "0\n1\n2\n"
    assert out.pieces[-1][0] - out.pieces[0][0] > 0.5


def test_input_comes_in_pieces_and_ends(engine: str) -> None:
    heard, told = os.pipe()
    out = Stream()

    def tell() -> None:
        os.write(told, b"one\n")
        deadline = time.monotonic() + 250
        while "one" not in out.text and time.monotonic() < deadline:
            time.sleep(0.01)
        os.write(told, b"two")
        os.close(told)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        assert guest.run(engine, ["cat"], timeout=300, stdout=out, stdin=heard) == 0
    finally:
        teller.join()
        os.close(heard)
    assert [data for _, data in out.pieces] == [b"one\n", b"two"]


def test_without_input_there_is_an_end_of_file_at_once(uml: str) -> None:
    assert guest.run(uml, ["cat"], timeout=30) == 0


def test_labctl_itself_runs_inside(uml: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    out = Stream()
    assert guest.run(uml, [PYTHON, "-c", "import labctl; print(labctl.__file__)"], timeout=30, stdout=out) == 0
    assert out.text.strip() == labctl.__file__


def test_a_timeout_ends_the_guest(engine: str) -> None:
    begun = time.monotonic()
    with pytest.raises(GuestError, match="ran out of its 2 s"):
        guest.run(engine, ["sleep", "60"], timeout=2)
    assert time.monotonic() - begun < 10


def test_a_guest_that_dies_is_an_error_and_not_a_status(uml: str) -> None:
    script = "import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)"
    with pytest.raises(GuestError, match=r"the uml guest died after (.|\n)*Power down"):
        guest.run(uml, [PYTHON, "-c", script], timeout=30)


def test_a_guest_that_cannot_be_set_up_says_why(uml: str) -> None:
    here = Path("/proc/self/task").resolve()  # our own process: nothing that the guest's /proc could have
    with pytest.raises(GuestError, match=rf"cannot be set up: .*{here.parent}"):
        guest.run(uml, ["true"], writable=[here], timeout=30)


def test_a_working_directory_that_has_gone_is_an_error(uml: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    place.rename(gone := place.with_name("gone"))
    gone.rmdir()
    try:
        with pytest.raises(GuestError, match=r"cannot be prepared: .*No such file"):
            guest.run(uml, ["true"], timeout=30)
    finally:
        place.mkdir()


def test_a_kernel_that_does_not_boot_is_an_error_with_its_last_words(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = place / "kernel"
    broken.write_text("#!/bin/sh\necho 6.0.0\n[ $# = 1 ] || { echo 'Kernel panic: no luck'; exit 3; }\n")
    broken.chmod(0o755)
    monkeypatch.setenv("LABCTL_UML_KERNEL", str(broken))
    with pytest.raises(GuestError, match=r"did not boot after(.|\n)*no luck"):
        guest.run("uml", ["true"], timeout=30)


def test_a_directory_to_be_written_must_be_there(uml: str, place: Path) -> None:
    with pytest.raises(GuestError, match="is no directory"):
        guest.run(uml, ["true"], writable=[place / "absent"], timeout=30)


def test_an_engine_that_cannot_be_had_is_the_hosts_fault(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABCTL_UML_KERNEL", str(place / "absent"))
    with pytest.raises(HostError, match="does not run: No such file"):
        guest.run("uml", ["true"], timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(uml: str, number: signal.Signals) -> None:
    command = [PYTHON, "-c", LONG_JOB]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        assert process.wait(5) == -number


def test_a_killed_labctl_takes_its_guest_with_it(uml: str, ground: Path) -> None:
    with subprocess.Popen([PYTHON, "-c", LONG_JOB], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert processes_of(str(ground))
        process.kill()
    deadline = time.monotonic() + 5
    while processes_of(str(ground)):
        assert time.monotonic() < deadline, "the guest goes on"
        time.sleep(0.02)
    for directory in ground.iterdir():  # a process that is killed cannot tidy up
        shutil.rmtree(directory)


def test_an_ordinary_user_needs_no_root(uml: str, place: Path) -> None:
    python = Path("/usr/bin/python3")
    if os.getuid() != 0 or not python.exists():
        pytest.skip("this test is root and becomes an ordinary user, with the distribution's python3")
    kernel = place / "linux"
    shutil.copy(str(uml_kernel()), kernel)
    shutil.copytree(SOURCE, place / "labctl", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "results").mkdir()
    os.chown(place / "results", 1000, 1000)
    place.chmod(0o755)
    script = (
        "import sys; from pathlib import Path; from labctl import guest\n"
        "sys.exit(guest.run('uml', ['sh', '-c', 'id -u > results/uid && ip netns add n'],"
        " writable=[Path('results')], timeout=30))"
    )
    command = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", str(python), "-B", "-c", script]
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(place), "LABCTL_UML_KERNEL": str(kernel)}
    done = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    written = place / "results" / "uid"
    assert (written.read_text(), written.stat().st_uid) == ("0\n", 1000)
