"""What a guest is told: which files it is shown, and with which commands it is booted."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import labctl
from labctl.errors import GuestError, UsageError
from labctl.guest import engines, inside, stock, uml
from labctl.guest.job import Job, Request, Share, Workspace, directories, environment, hidden, outer_first


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    root = tmp_path / "work"
    root.mkdir()
    return Workspace(root)


def test_only_what_a_cover_would_hide_is_shown_again(tmp_path: Path) -> None:
    inner, outer = tmp_path / "covered" / "file", tmp_path / "open"
    inner.parent.mkdir()
    inner.touch()
    outer.touch()
    assert hidden([inner, outer, tmp_path / "covered", tmp_path / "absent"], [str(tmp_path / "covered")]) == [inner]


def test_what_lies_in_a_shown_directory_is_not_shown_apart(tmp_path: Path) -> None:
    outer, other = tmp_path / "a", tmp_path / "ab"
    for directory in (outer / "b", other):
        directory.mkdir(parents=True)
    assert hidden([outer / "b", outer, other], [str(tmp_path)]) == [outer, other]


def test_our_own_interpreter_and_source_are_shown_where_they_would_be_hidden() -> None:
    shown = hidden([], ["/"])
    for path in (Path(sys.prefix), Path(labctl.__file__).parent, Path.cwd()):
        assert any(each == path or each in path.parents for each in shown)


def test_an_outer_share_comes_before_what_lies_in_it() -> None:
    paths = ["/tmp/a/b/c", "/tmp/a", "/run/x", "/tmp/a/b"]
    order = [share.path for share in outer_first(Share(path, path) for path in paths)]
    assert order.index("/tmp/a") < order.index("/tmp/a/b") < order.index("/tmp/a/b/c")


def test_written_directories_are_resolved_and_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    assert directories([Path("results")]) == [tmp_path.resolve() / "results"]
    with pytest.raises(GuestError, match="absent is to be written by the guest, but is no directory"):
        directories([tmp_path / "absent"])


def test_the_environment_is_plain_but_for_what_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    made = environment({"LABCTL_WHERE": "uml", "LANG": "C"})
    assert (made["LABCTL_WHERE"], made["LANG"], made["PYTHONPATH"]) == ("uml", "C", "/somewhere")
    assert "SECRET" not in made


def test_a_workspace_holds_the_job_and_what_carries_it_out(work: Workspace) -> None:
    job = Job(["true"], "/", {"A": "b"}, ["/tmp"], [Share("/tmp/x", "/tmp/x")])
    work.fill(job)
    read = json.loads((work.root / "job.json").read_text())
    assert (read["argv"], read["shares"]) == (["true"], [{"path": "/tmp/x", "source": "/tmp/x", "fstype": ""}])
    asked = subprocess.run([work.root / "python", "-I", "-S", "-c", "import json, ctypes"], check=False)
    assert asked.returncode == 0
    assert work.stdout.exists()
    assert (work.started, work.status()) == (False, None)


def test_a_status_appears_only_when_it_is_whole(work: Workspace) -> None:
    (work.root / "status.part").write_text("1")
    assert work.status() is None
    inside.finish(work.root, "status", "12")
    assert work.status() == 12


def test_inside_imports_the_standard_library_alone() -> None:
    script = f"import runpy; runpy.run_path({inside.__file__!r})"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", script], check=False).returncode == 0


def test_uml_mounts_what_is_written_and_keeps_what_is_read(
    work: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setattr(uml, "COVERS", (str(tmp_path),))
    results, source = tmp_path / "source" / "results", tmp_path / "source"
    results.mkdir(parents=True)
    launch = uml.prepare(work, Request(["true"], [results], [source, results], {}))
    if launch.claim is not None:
        launch.claim.close()
    found = {share.path: share.fstype for share in launch.job.shares}
    assert found == {str(work.root): "hostfs", str(source): "", str(results): "hostfs"}
    assert len(launch.processors) == 1


def test_two_guests_claim_two_processors_while_there_are_some() -> None:
    first, claim = uml.claim_processor()
    second, other = uml.claim_processor()
    for held in (claim, other):
        if held is not None:
            held.close()
    assert {first, second} <= os.sched_getaffinity(0)
    assert claim is None or other is None or first != second


def test_uml_is_not_there_before_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABCTL_UML_KERNEL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = engines.available("uml")
    assert (found.ok, found.detail) == (False, "no kernel is built yet")
    assert Path(shlex.split(found.remedy)[0]).exists()


def test_the_newest_kernel_of_the_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABCTL_UML_KERNEL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "labctl").mkdir()
    for version in ("6.8", "6.12", "6.9"):
        (tmp_path / "labctl" / f"linux-uml-{version}").touch()
    assert uml.kernel() == tmp_path / "labctl" / "linux-uml-6.12"


def test_a_named_kernel_that_does_not_run_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "linux"
    broken.write_text("no program")
    monkeypatch.setenv("LABCTL_UML_KERNEL", str(broken))
    found = engines.available("uml")
    assert not found.ok
    assert found.detail == f"{broken} does not run: Permission denied"


def test_an_unknown_engine_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no guest engine is called host"):
        engines.available("host")


@pytest.fixture
def boot(tmp_path: Path) -> tuple[Path, Path]:
    """A /boot and a /lib/modules with four kernels, of which the newest two cannot be booted."""
    for name, has_9p in (("6.1.0-9-amd64", True), ("6.1.0-10-amd64", True), ("6.9.0-cloud-amd64", False)):
        (tmp_path / "boot").mkdir(exist_ok=True)
        (tmp_path / "boot" / f"vmlinuz-{name}").touch()
        (tmp_path / "modules" / name / "kernel/fs/9p").mkdir(parents=True)
        if has_9p:
            (tmp_path / "modules" / name / "kernel/fs/9p/9p.ko").touch()
    (tmp_path / "boot" / "vmlinuz-6.10.0-amd64").touch()
    return tmp_path / "boot", tmp_path / "modules"


def test_the_stock_kernel_is_the_newest_that_has_9p(boot: tuple[Path, Path]) -> None:
    found = stock.kernel([boot[0]], boot[1])
    assert found is not None
    assert found.name == "vmlinuz-6.1.0-10-amd64"


def test_without_a_stock_kernel_there_is_none(tmp_path: Path) -> None:
    assert stock.kernel([tmp_path], tmp_path) is None


NOTHING = stock.Tools(None, None, None, None, None)
EVERYTHING = stock.Tools("/v/virtme-run", "/q/qemu", "/b/busybox", "/s/modprobe", Path("/boot/vmlinuz-6.1.0"))


def test_what_is_missing_for_a_stock_kernel_is_named_with_what_installs_it() -> None:
    words, commands = stock.lacking(NOTHING, ubuntu=False)
    assert words == ["qemu-system-x86_64", "a stock kernel with 9p in /boot", "busybox", "modprobe", "virtme-ng"]
    assert commands[0] == "sudo apt-get install qemu-system-x86 linux-image-amd64 busybox-static kmod"
    assert commands[1].endswith("-m pip install 'labctl[guest]'")
    assert stock.lacking(EVERYTHING, ubuntu=False) == ([], [])


def test_ubuntu_calls_its_kernel_otherwise() -> None:
    _, commands = stock.lacking(replace(EVERYTHING, kernel=None), ubuntu=True)
    assert commands == ["sudo apt-get install linux-image-generic"]


def test_tcg_is_told_not_to_use_the_processor_and_kvm_not_to_do_without() -> None:
    emulated, real = (stock.command(name, EVERYTHING, []) for name in ("tcg", "kvm"))
    assert "--disable-kvm" in emulated
    assert emulated[-2:] == ["-cpu", "Nehalem"]
    assert "--disable-kvm" not in real
    assert real[-4:] == ["-cpu", "host", "-machine", "accel=kvm"]


def test_a_directory_with_any_name_can_be_exported(work: Workspace, tmp_path: Path) -> None:
    odd = tmp_path / "a, b=c"
    odd.mkdir()
    option = stock.Export(odd, f"{stock.SHARED}/share-1", True).option(work)
    assert option == f"--rwdir=/run/labctl-guest/share-1={work.root}/share-1"
    assert (work.root / "share-1").resolve() == odd


@pytest.mark.parametrize("name", ["uml", "tcg"])
def test_a_guest_that_stays_inherits_its_byte_stream(
    name: str, work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = theirs.fileno()
        launch = engines.prepare(name, work, Request(["true"], (), (), {}, channel=number))
        with launch.claim or contextlib.nullcontext():
            assert launch.passed == (number,)
            assert any(word.endswith((f"fd:{number}", f"fd={number}")) for word in launch.command)
