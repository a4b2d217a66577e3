"""The commands as users and programs meet them: exit statuses, messages, JSON, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl.cli.files import read
from labctl.cli.where import lacking

pytestmark = pytest.mark.e2e

LABCTL = [sys.executable, "-m", "labctl"]
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def labctl(*arguments: str, before: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*before, *LABCTL, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=300)


def data(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object on standard output."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# -- without a lab


def test_a_bad_file_is_refused_with_every_fault_and_status_2(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("lab: bad\nresources:\n  a: {kind: nat_gatway}\n  b: {kind: vpc, subnetz: {}}\n")
    done = labctl("run", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}:3:" in done.stderr and f"{file}:4:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_program_gets_the_faults_as_objects(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("lab: bad\nresources: {a: {kind: vpcc}}\n")
    done = labctl("validate", str(file), "--json")
    [fault] = data(done)["faults"]
    assert done.returncode == 2
    assert (fault["file"], fault["line"], fault["path"], fault["value"]) == (str(file), 2, "resources.a.kind", "vpcc")
    assert fault["hint"] == "did you mean `vpc`?"


def test_without_privileges_the_host_is_refused_with_the_way_out() -> None:
    done = labctl("run", "vpe-subnet", "--on", "host", before=tuple(POWERLESS))
    assert done.returncode == 3
    assert "it lacks" in done.stderr and "netns" in done.stderr and "--on uml" in done.stderr


def test_without_a_kernel_for_a_guest_the_command_that_gets_one_is_named(tmp_path: Path) -> None:
    done = labctl("run", "vpe-subnet", "--on", "uml", LABCTL_UML_KERNEL="", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 3
    assert "scripts/build-uml" in done.stderr


def test_a_lab_in_a_guest_kernel_cannot_be_kept() -> None:
    done = labctl("run", "pvs-ipsec-gre-byoip", "--on", "tcg", "--keep")
    assert (done.returncode in (2, 3), "Traceback" in done.stderr) == (True, False)


@pytest.mark.parametrize("command", ["verify", "inspect", "exec", "shell"])
def test_a_lab_that_is_not_there_is_said_to_be_absent(command: str) -> None:
    words = {"exec": ["node", "--", "true"], "shell": ["node"]}.get(command, [])
    done = labctl(command, "no-such-lab", *words)
    assert (done.returncode, "there is no lab no-such-lab" in done.stderr) == (3, True)


def test_taking_down_what_is_not_there_is_no_failure() -> None:
    done = labctl("down", "no-such-lab")
    assert (done.returncode, done.stderr) == (0, "there is no lab no-such-lab\n")


def test_a_plan_is_printed_and_nothing_is_created() -> None:
    assert "gre byoip 172.16.3.1 to 10.148.252.83" in labctl("plan", "pvs-ipsec-gre-byoip").stdout
    assert data(labctl("plan", "pvs-ipsec-gre-byoip", "--json"))["lab"] == "pvs-ipsec-gre-byoip"


def test_the_doctor_answers_for_a_topology_and_for_everything() -> None:
    found = data(labctl("doctor", "--json"))
    assert {"netns", "gre", "netem"} <= {each["mechanism"] for each in found["mechanisms"]}
    assert {each["name"] for each in found["engines"]} == {"kvm", "uml", "tcg"}
    assert all(each["ok"] or each["remedy"] for each in [*found["mechanisms"], *found["engines"]])
    narrow = data(labctl("doctor", "vpe-subnet", "--json"))
    assert "gre" not in {each["mechanism"] for each in narrow["mechanisms"]}


# -- a run on this machine

SMALL = """
lab: small
resources:
  vpc1: {kind: vpc, subnets: {web: {zone: a, prefix: 10.0.1.0/24}}}
  web1: {kind: instance, subnet: vpc1.web, address: 10.0.1.10}
  web2: {kind: instance, subnet: vpc1.web, address: 10.0.1.20, serves: [tcp/80]}
checks:
  - {id: N1, from: web1, do: {tcp: {to: web2, port: 81}}, expect: refused, control: P1}
  - {id: P1, from: web1, do: {tcp: {to: web2, port: %s}}, expect: ok}
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # where evidence is kept of what does not pass
    file = tmp_path / "small.yaml"
    file.write_text(SMALL % 80)
    if missing := lacking(read(str(file))):
        pytest.skip(f"this machine lacks {', '.join(missing)}")
    return file


def test_a_check_whose_control_fails_is_told_to_be_inconclusive(small: Path) -> None:
    small.write_text(SMALL % 82)
    done = labctl("run", str(small), "--on", "host")
    assert done.returncode == 1
    lines = [line.split()[:2] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert lines[-2:] == [["inconclusive", "N1"], ["fail:", "lab"]]
    assert "proves nothing without its control: P1 did not pass" in done.stdout


def test_output_that_nobody_reads_does_not_change_the_verdict(small: Path) -> None:
    command = [*LABCTL, "run", str(small), "--on", "host"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert (process.wait(60), "Traceback" in process.stderr.read()) == (0, False)


def test_output_that_cannot_be_written_is_an_error_without_a_traceback(small: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [*LABCTL, "run", str(small), "--on", "host"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "the output cannot be written: No space left on device" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_nothing(small: Path, number: signal.Signals) -> None:
    small.write_text(SMALL % 80 + "  - {id: N2, from: web1, do: {ping: {to: web2}}, expect: filtered, control: P1}\n")
    command = [sys.executable, "-c", INTERRUPTIBLE, "run", str(small), "--on", "host"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline()
        process.send_signal(number)
        assert process.wait(60) == 130
    assert "small" not in {each["lab"] for each in data(labctl("list", "--json"))["labs"]}
    assert not list(Path("/run/netns").glob("small-*"))


INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from labctl.cli import main
main()
"""


# -- with a lab on this machine


@pytest.fixture(scope="module")
def lab() -> Iterator[str]:
    missing = lacking(read("vpe-subnet"))
    if missing:
        pytest.skip(f"this machine lacks {', '.join(missing)}")
    done = labctl("up", "vpe-subnet")
    assert done.returncode == 0, done.stderr
    yield "vpe-subnet"
    done = labctl("down", "vpe-subnet", "--verify", "--json")
    assert (done.returncode, data(done)["differences"]) == (0, {"vpe-subnet": []}), done.stdout


def test_a_lab_that_is_up_is_not_made_twice(lab: str) -> None:
    done = labctl("up", lab)
    assert (done.returncode, f"labctl down {lab}" in done.stderr) == (3, True)


def test_a_lab_that_is_up_is_listed(lab: str) -> None:
    [found] = [each for each in data(labctl("list", "--json"))["labs"] if each["lab"] == lab]
    assert (found["status"], found["where"]) == ("up", "host")


def test_one_check_is_proved_with_its_controls(lab: str) -> None:
    found = data(labctl("verify", lab, "--only", "N1", "--json"))
    verdicts = {each["id"]: each["verdict"] for each in found["checks"]}
    assert verdicts == dict.fromkeys(["P2", "N1", "N1-control"], "pass")


def test_a_command_runs_in_a_node_and_names_resolve_as_there(lab: str) -> None:
    done = labctl("exec", lab, "vsi1", "--", "getent", "ahostsv4", "kms-a.private.us-south.example.com")
    assert (done.returncode, done.stdout.split()[0]) == (0, "10.240.0.9")
    assert labctl("exec", lab, "vsi2", "--", "getent", "ahostsv4", "kms-a.private.us-south.example.com").returncode == 2
    assert labctl("exec", lab, "vsi1", "--", "sh", "-c", "exit 7").returncode == 7


def test_a_node_has_a_resolv_conf_of_its_own_and_the_host_keeps_its_one(lab: str) -> None:
    before = Path("/etc/resolv.conf").read_bytes()
    done = labctl("exec", lab, "vsi1", "--", "cat", "/etc/resolv.conf")
    assert done.stdout == "nameserver 161.26.0.7\nnameserver 161.26.0.8\noptions timeout:1 attempts:1\n"
    assert Path("/etc/resolv.conf").read_bytes() == before


def test_a_node_is_entered_by_ip_netns_too(lab: str) -> None:
    done = subprocess.run(["ip", "netns", "exec", f"{lab}-vsi1", "ip", "-br", "addr"], capture_output=True, text=True)
    assert "10.240.0.4/24" in done.stdout


def test_a_node_that_is_not_there_is_refused_with_a_hint(lab: str) -> None:
    done = labctl("exec", lab, "vsi9", "--", "true")
    assert (done.returncode, "did you mean `vsi" in done.stderr) == (2, True)


def test_inspection_shows_the_kernels_own_view(lab: str) -> None:
    found = data(labctl("inspect", lab, "--json"))
    assert found["nodes"]["vsi1"]["vpc1-app"] == {"state": "up", "mtu": 1500, "addresses": ["10.240.0.4/24"]}
    assert "166.9.20.10/32" in found["nodes"]["kms-a"]["lo"]["addresses"]
    assert {each["state"] for each in found["programs"]} == {"running"}
    assert found["states"]["vpegw-a"] == ["z1 10.240.0.9 bound"]
