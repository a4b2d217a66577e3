import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, get_args

import pytest

from labctl.kernel import scratch
from labctl.kernel.doctor import missing, probe
from labctl.kernel.host import kernel
from labctl.plan.needs import Mechanism

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

T = TypeVar("T")
ALL: tuple[Mechanism, ...] = get_args(Mechanism)
UML = "User Mode Linux" in Path("/proc/cpuinfo").read_text()
# Each stands and falls with one option, so that the kernel's own configuration tells whether the verdict is true.
DECISIVE: dict[Mechanism, str] = {
    "veth": "CONFIG_VETH",
    "bridge": "CONFIG_BRIDGE",
    "gre": "CONFIG_NET_IPGRE",
    "geneve": "CONFIG_GENEVE",
    "policy-routing": "CONFIG_IP_MULTIPLE_TABLES",
    "xfrm-interface": "CONFIG_XFRM_INTERFACE",
    "esp-aes128-gcm": "CONFIG_INET_ESP",
    "netem": "CONFIG_NET_SCH_NETEM",
    "tbf": "CONFIG_NET_SCH_TBF",
    "clsact-u32": "CONFIG_NET_ACT_GACT",
    "clsact-bpf": "CONFIG_NET_CLS_BPF",
}


def host_state() -> tuple[object, ...]:
    netns = Path("/run/netns")
    return (
        Path("/proc/self/mountinfo").read_text(),
        Path("/proc/net/dev").read_text().count("\n"),
        sorted(netns.iterdir()) if netns.is_dir() else [],
        Path("/run/xtables.lock").exists(),
    )


def network_namespaces() -> dict[int, str]:
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                found[int(process.name)] = str((process / "ns/net").readlink())
            except OSError:
                continue
    return found


@pytest.mark.skipif(not UML, reason="a guest kernel made for labs has everything")
def test_the_guest_kernel_has_everything() -> None:
    assert missing(ALL) == ()


@pytest.mark.parametrize("mechanism", DECISIVE)
def test_a_verdict_agrees_with_the_kernels_configuration(mechanism: Mechanism) -> None:
    config = kernel().config
    if config is None or config.get(DECISIVE[mechanism]) == "m":
        pytest.skip("this kernel does not tell, or has it as a module")
    (finding,) = probe([mechanism])
    assert finding.ok == (config.get(DECISIVE[mechanism]) == "y"), finding
    assert finding.ok or DECISIVE[mechanism] in finding.remedy


def test_what_is_missing_says_what_to_do() -> None:
    findings = probe(ALL)
    assert [finding.mechanism for finding in findings] == list(ALL)
    assert all(finding.detail for finding in findings)
    assert all(bool(finding.remedy) != finding.ok for finding in findings)


def test_trying_everything_is_quick_and_leaves_nothing() -> None:
    before = host_state()
    started = time.monotonic()
    probe(ALL)
    assert time.monotonic() - started < 5  # 0.11 s on an idle machine
    assert host_state() == before


def test_a_failing_trial_does_not_spoil_the_next() -> None:
    trials = {
        "bad": [(["ip", "link", "add", "name", "x1", "type", "nonsense"], "")],
        "made": [(["ip", "link", "add", "name", "x1", "type", "veth"], "")],
        "again": [(["ip", "link", "add", "name", "x1", "type", "veth"], "")],
        "absent": [(["labctl-no-such-program"], "")],
    }
    outcomes = run_scratch(trials)
    assert "nknown device type" in outcomes.pop("bad")
    assert outcomes == {"made": "", "again": "", "absent": "labctl-no-such-program: No such file or directory"}


def run_scratch(trials: object) -> dict[str, str]:
    command = [sys.executable, "-I", scratch.__file__]
    done = subprocess.run(command, input=json.dumps(trials), capture_output=True, text=True, check=True, timeout=30)
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


def test_a_killed_trial_leaves_neither_process_nor_namespace() -> None:
    ours = set(network_namespaces().values())
    child = subprocess.Popen([sys.executable, "-I", scratch.__file__], stdin=subprocess.PIPE, text=True)
    assert child.stdin is not None
    child.stdin.write(json.dumps({"slow": [(["sleep", "4"], "")]}))
    child.stdin.close()
    mine = wait_for(
        lambda: [pid for pid, ns in network_namespaces().items() if ns not in ours and parent(pid) == child.pid]
    )
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() and state(pid) != "Z" for pid in mine))


def parent(pid: int) -> int:
    return int(stat_fields(pid)[1])


def state(pid: int) -> str:
    return stat_fields(pid)[0]


def stat_fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["Z", "0"]


def wait_for(condition: Callable[[], T]) -> T:
    deadline = time.monotonic() + 3
    while not (found := condition()):
        assert time.monotonic() < deadline, "did not come about in 3 s"
        time.sleep(0.02)
    return found
