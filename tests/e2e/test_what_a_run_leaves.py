"""What a run leaves for people and programs: reports, evidence of what did not pass, a lab to look around in."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from labctl import guest
from labctl.cli.files import read
from labctl.cli.where import lacking

pytestmark = pytest.mark.e2e

LABCTL = [sys.executable, "-m", "labctl"]
PCAP = (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\xa1\xb2\x3c\x4d")
"""How a pcap file begins, in microseconds and in nanoseconds, in either order of bytes."""

LAB = """
lab: clue
resources:
  vpc1: {kind: vpc, subnets: {web: {zone: a, prefix: 10.0.1.0/24}}}
  web1: {kind: instance, subnet: vpc1.web, address: 10.0.1.10}
  web2: {kind: instance, subnet: vpc1.web, address: 10.0.1.20, serves: [tcp/80]}
checks:
  - {id: P1, from: web1, do: {tcp: {to: web2, port: 80}}, expect: ok, path: [web1, web2]}
  - id: F1
    about: nobody listens there
    from: web1
    do: {tcp: {to: web2, port: 81}}
    expect: ok
    path: [web1, web2]
    with: {set: {web2.serves: [tcp/8080]}}
  - {id: P2, from: web1, do: {ping: {to: web2}}, expect: ok}
"""

TUNNEL = """
import sys, subprocess
from pathlib import Path
from labctl.kernel import keys
from labctl.kernel.paths import Paths
labctl = [sys.executable, "-m", "labctl"]
file, kept = sys.argv[1:]
subprocess.run([*labctl, "up", file], check=True)
print(subprocess.run([*labctl, "verify", "vpn-dc-failover", "--only", "P2", "--evidence", kept]).returncode)
ring = keys.load(Paths("vpn-dc-failover"))
texts = {each: each.read_bytes() for each in Path(kept).rglob("*") if each.is_file()}
for name, key in ring.items():
    # The kernel's tools print a key in one piece or in groups, a program of ours in one piece.
    pieces = {key, *(key.hex()[i : i + 16].encode() for i in range(0, len(key.hex()), 16))}
    print("key", name, [str(file) for file, text in texts.items() if any(each in text.lower() for each in pieces)])
"""


def labctl(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LABCTL, *arguments], capture_output=True, text=True, timeout=300, cwd=cwd)


def labs() -> set[str]:
    done = subprocess.run([*LABCTL, "list", "--json"], capture_output=True, text=True, check=True)
    return {each["lab"] for each in json.loads(done.stdout)["labs"]}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the file lab.yaml, in which one check of three is wrong."""
    (tmp_path / "lab.yaml").write_text(LAB)
    return tmp_path


@pytest.fixture
def host(place: Path) -> Iterator[Path]:
    """The same, on a machine that can carry the lab itself, and is rid of it afterwards."""
    if missing := lacking(read(str(place / "lab.yaml"))):
        pytest.skip(f"this machine lacks {', '.join(missing)}")
    yield place
    subprocess.run([*LABCTL, "down", "clue"], capture_output=True, check=True)


@pytest.fixture
def uml() -> str:
    found = guest.available("uml")
    if not found.ok:
        pytest.skip(f"uml: {found.detail}; {found.remedy}")
    return "uml"


def bundle_of(results: dict[str, Any], word: str = "F1") -> Path:
    [verdict] = [each for each in results["checks"] if each["id"] == word]
    assert verdict["evidence"], verdict
    return Path(verdict["evidence"])


def check_bundle(bundle: Path) -> None:
    assert {"README.txt", "PROGRAMS.txt", "supervisor.log", "verdict.json", "web1.txt", "web2.txt"} <= {
        each.name for each in bundle.iterdir()
    }
    assert "10.0.1.10/24" in (bundle / "web1.txt").read_text()
    # The lab still was as the check wanted it, whether its tools are installed or not.
    sockets = (bundle / "web2.txt").read_text()
    assert ":8080 " in sockets or "(ss is not installed)" in sockets
    packets = list(bundle.glob("*.pcap"))
    assert packets
    assert all(each.read_bytes()[:4] in PCAP for each in packets)
    assert any(b"\x0a\x00\x01\x0a\x0a\x00\x01\x14" in each.read_bytes() for each in packets)
    assert "labctl run " in (bundle / "README.txt").read_text()
    assert json.loads((bundle / "verdict.json").read_text())["verdict"] == "fail"


def check_reports(place: Path, bundle: Path) -> None:
    suites = ElementTree.parse(place / "out.xml").getroot()
    assert (suites.get("tests"), suites.get("failures"), suites.get("errors")) == ("3", "1", "0")
    assert any(str(bundle) in (each.text or "") for each in suites.iter("failure"))
    page = (place / "out.html").read_text()
    assert page.startswith("<!doctype html>") and "nobody listens there" in page


REPORTS = ("--junit", "out.xml", "--html", "out.html", "--json")


def test_what_fails_leaves_evidence_and_a_rerun_leaves_more(host: Path) -> None:
    done = labctl("run", "lab.yaml", "--on", "host", *REPORTS, cwd=host)
    assert done.returncode == 1, done.stderr
    bundle = bundle_of(json.loads(done.stdout))
    assert bundle.parent.parent == host / "labctl-evidence"
    assert re.fullmatch(r"clue-\d{8}-\d{6}(-\d+)?", bundle.parent.name)
    assert [each.name for each in bundle.parent.iterdir()] == ["F1"]
    check_bundle(bundle)
    check_reports(host, bundle)
    before = {each: each.read_bytes() for each in bundle.iterdir()}
    done = labctl("run", "lab.yaml", "--on", "host", "--only", "F1", "--json", cwd=host)
    assert bundle_of(json.loads(done.stdout)).parent != bundle.parent
    assert {each: each.read_bytes() for each in bundle.iterdir()} == before


def test_what_passes_leaves_its_reports_alone(host: Path) -> None:
    done = labctl("run", "lab.yaml", "--on", "host", "--only", "P1", *REPORTS, "--evidence", "kept", cwd=host)
    assert done.returncode == 0, done.stderr
    assert {each.name for each in host.iterdir()} == {"lab.yaml", "out.xml", "out.html"}


def test_a_lab_that_is_up_is_verified_with_reports_and_evidence(host: Path) -> None:
    assert labctl("up", "lab.yaml", cwd=host).returncode == 0
    done = labctl("verify", "clue", *REPORTS, "--evidence", "kept", cwd=host)
    assert done.returncode == 1, done.stderr
    bundle = bundle_of(json.loads(done.stdout))
    assert bundle.parent.parent == host / "kept"
    check_reports(host, bundle)


@pytest.mark.parametrize("option", ["--junit", "--html", "--evidence"])
@pytest.mark.parametrize("engine", ["host", "uml"])
def test_what_cannot_be_written_is_refused_before_anything_is_made(place: Path, option: str, engine: str) -> None:
    done = labctl("run", "lab.yaml", "--on", engine, option, "lab.yaml/x", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{option} " in done.stderr and "cannot be written" in done.stderr and "Not a directory" in done.stderr
    assert "clue" not in labs()


def test_evidence_that_cannot_be_kept_is_said_and_the_verdict_stands(host: Path) -> None:
    (host / "labctl-evidence").touch()
    done = labctl("run", "lab.yaml", "--on", "host", "--json", cwd=host)
    found = {each["id"]: (each["verdict"], each["evidence"]) for each in json.loads(done.stdout)["checks"]}
    assert (done.returncode, found["F1"]) == (1, ("fail", ""))
    assert "F1: no evidence can be kept in" in done.stderr


# -- pausing


def test_without_a_terminal_the_lab_is_left_exactly_as_it_stood(host: Path) -> None:
    done = labctl("run", "lab.yaml", "--on", "host", "--pause-on-fail", "--junit", "out.xml", cwd=host)
    assert done.returncode == 1
    assert "labctl down clue" in done.stderr
    assert "clue" in labs()
    assert "P2" not in done.stdout
    assert ElementTree.parse(host / "out.xml").getroot().get("tests") == "2"
    listening = labctl("exec", "clue", "web2", "--", "cat", "/proc/net/tcp", cwd=host).stdout
    assert f":{8080:04X} 00000000:0000 0A" in listening
    done = labctl("down", "clue", cwd=host)
    assert (done.returncode, "clue" in labs()) == (0, False), done.stdout + done.stderr


class Person:
    """Somebody at a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], line: int) -> None:
        self.process = process
        self._line = line
        self.shown = ""
        self._read = 0

    def reads(self, text: str, seconds: float = 60) -> None:
        """Wait until `text` is shown, after all that was read before."""
        deadline = time.monotonic() + seconds
        while text not in self.shown[self._read :]:
            assert self._more(deadline), self.shown
        self._read = self.shown.index(text, self._read) + len(text)

    def types(self, text: str) -> None:
        os.write(self._line, text.encode())

    def waits(self) -> int:
        """Read to the end; the exit status."""
        while self._more(time.monotonic() + 60):
            pass
        return self.process.wait(60)

    def _more(self, deadline: float) -> bool:
        if not select.select([self._line], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._line, 65536)
        except OSError:  # EIO: nobody holds the other end any more
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


@contextmanager
def person(*arguments: str, cwd: Path) -> Iterator[Person]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*LABCTL, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Person(process, ours)
    finally:
        process.terminate()
        process.wait(30)
        os.close(ours)


QUESTION = "a command is run: "


def test_at_a_terminal_enter_goes_on(host: Path) -> None:
    with person("run", "lab.yaml", "--on", "host", "--pause-on-fail", cwd=host) as someone:
        someone.reads(QUESTION)
        assert "ip netns exec clue-web1 tcpdump" in someone.shown
        assert str(host / "labctl-evidence") in someone.shown
        assert "clue" in labs()
        someone.types("labctl exec clue web2 -- cat /proc/net/tcp\n")
        someone.reads(f":{8080:04X} 00000000:0000 0A")
        someone.reads(QUESTION)
        someone.types("no-such-command\n")
        someone.reads("No such file or directory")
        someone.reads(QUESTION)
        someone.types("\n")
        assert someone.waits() == 1
    assert "P2" in someone.shown
    assert "clue" not in labs()


def test_at_a_terminal_q_takes_the_lab_down(host: Path) -> None:
    with person("run", "lab.yaml", "--on", "host", "--pause-on-fail", cwd=host) as someone:
        someone.reads(QUESTION)
        someone.types("q\n")
        assert someone.waits() == 1
    assert "P2" not in someone.shown
    assert "clue" not in labs()


def test_q_ends_the_proof_of_a_lab_that_was_up_before_and_leaves_it_up(host: Path) -> None:
    assert labctl("up", "lab.yaml", cwd=host).returncode == 0
    with person("verify", "clue", "--pause-on-fail", cwd=host) as someone:
        someone.reads(QUESTION)
        someone.types("q\n")
        assert someone.waits() == 1
    assert "clue" in labs()
    assert labctl("verify", "clue", "--only", "P1", cwd=host).returncode == 0


# -- in a guest


def test_a_guest_leaves_the_same_on_the_host(place: Path, uml: str) -> None:
    done = labctl("run", "lab.yaml", "--on", uml, *REPORTS, cwd=place)
    assert done.returncode == 1, done.stderr
    bundle = bundle_of(json.loads(done.stdout))
    check_bundle(bundle)
    check_reports(place, bundle)
    assert {each.stat().st_uid for each in place.rglob("*")} == {os.getuid()}
    done = labctl("run", "lab.yaml", "--on", uml, "--only", "P1", "--evidence", "kept", cwd=place)
    assert done.returncode == 0, done.stderr
    assert {each.name for each in place.iterdir()} == {"lab.yaml", "out.xml", "out.html", "labctl-evidence"}


def test_a_guest_pauses_for_somebody_at_a_terminal_alone(place: Path, uml: str) -> None:
    done = labctl("run", "lab.yaml", "--on", uml, "--pause-on-fail", cwd=place)
    assert (done.returncode, "--on host" in done.stderr) == (2, True)
    with person("run", "lab.yaml", "--on", uml, "--pause-on-fail", cwd=place) as someone:
        someone.reads(QUESTION)
        someone.types("labctl exec clue web2 -- cat /proc/net/tcp\n")
        someone.reads(f":{8080:04X} 00000000:0000 0A")
        someone.reads(QUESTION)
        someone.types("labctl shell clue web1\n")
        someone.types("echo $((6 * 7)) at $(cat /sys/class/net/vpc1-web/mtu); exit\n")
        someone.reads("42 at 1500")
        someone.types("\n")
        assert someone.waits() == 1
    assert "P2" in someone.shown


def test_no_key_is_in_the_evidence(place: Path, uml: str) -> None:
    text = (Path(__file__).parents[2] / "topologies" / "vpn-dc-failover.yaml").read_text()
    sound = "see: [{on: isp1, proto: esp, longer: 1000}]"
    assert sound in text
    (place / "vpn.yaml").write_text(text.replace(sound, "see: [{on: isp2, proto: esp, longer: 1000}]"))
    (place / "kept").mkdir()
    command = [sys.executable, "-c", TUNNEL, str(place / "vpn.yaml"), str(place / "kept")]
    with (place / "out").open("w+b") as out:
        assert guest.run(uml, command, timeout=120, writable=[place / "kept"], readable=[place], stdout=out) == 0
    lines = (place / "out").read_text().splitlines()
    assert "1" in lines
    keys = [line for line in lines if line.startswith("key ")]
    assert keys and all(line.endswith(" []") for line in keys), keys
    shown = "".join(each.read_text() for each in (place / "kept").rglob("gw.txt"))
    assert "proto esp spi" in shown and "aead rfc4106(gcm(aes))" in shown
