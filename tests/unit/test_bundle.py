"""A bundle of evidence: a directory of its own for every run and every verdict, whatever can be read or not."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from labctl import state
from labctl.claims.results import StreamVerdict
from labctl.claims.verdicts import Verdict
from labctl.codec import encode
from labctl.errors import HostError, ProbeError
from labctl.kernel.paths import Paths
from labctl.plan.objects import Plan
from labctl.probes.wire import Saved
from labctl.prove.bundle import Bundles
from labctl.services.control import Roster, roster_file
from labctl.services.processes import Identity, boot_id

FAILED = Verdict("P1", "the web server is reached", "fail", "ok", "filtered", "expected ok, got filtered")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths("demo", run=tmp_path / "run", netns=tmp_path / "netns")
    source = "my labs/demo.yaml"
    state.create(found, Plan("demo", ()), "lab: demo\n", source=source, time_scale=1, where="host", created_at="now")
    return found


def save(folder: Path) -> Saved:
    (folder / "wan-gw-eth0.pcap").write_bytes(b"frames")
    return Saved(("wan-gw-eth0.pcap",), cut=("wan-gw-eth0.pcap",))


def no_packets(folder: Path) -> Saved:
    raise ProbeError("the prober died (signal 9, SIGKILL)")


def test_a_bundle_holds_packets_tables_logs_and_the_verdict(tmp_path: Path, paths: Paths) -> None:
    paths.log.write_text("resolver: started\n")
    place = Path(Bundles(paths, tmp_path / "kept", "demo").keep(FAILED, ["web1", "gw"], save))
    assert re.fullmatch(r"demo-\d{8}-\d{6}", place.parent.name)
    assert place.parent.parent == tmp_path / "kept"
    assert {each.name for each in place.iterdir()} == {
        *("README.txt", "verdict.json", "PROGRAMS.txt", "supervisor.log"),
        *("web1.txt", "gw.txt", "wan-gw-eth0.pcap"),
    }
    assert (place / "supervisor.log").read_text() == "resolver: started\n"
    found = json.loads((place / "verdict.json").read_text())
    assert (found["id"], found["verdict"], found["evidence"]) == ("P1", "fail", str(place))


def test_its_guide_names_every_file_and_the_command_that_shows_it_again(tmp_path: Path, paths: Paths) -> None:
    place = Path(Bundles(paths, tmp_path / "kept", "demo").keep(FAILED, ["web1"], save))
    guide = (place / "README.txt").read_text()
    assert guide.startswith("P1 of the lab demo: the web server is reached\nfail: expected ok, got filtered\n")
    for each in place.iterdir():
        assert f"{each.name}: " in guide or each.name == "README.txt"
    assert "wan-gw-eth0.pcap is not complete" in guide
    assert shlex.split(guide.splitlines()[-1])[-5:] == ["labctl", "run", "my labs/demo.yaml", "--only", "P1"]


def test_what_cannot_be_read_is_said_and_the_rest_is_kept(tmp_path: Path, paths: Paths) -> None:
    roster = Roster(Identity(1, 1), boot=boot_id())
    roster_file(paths).write_text(json.dumps(encode(roster)))
    place = Path(Bundles(paths, tmp_path / "kept", "demo").keep(FAILED, ["web1"], no_packets))
    assert "No packets: the prober died (signal 9, SIGKILL)" in (place / "README.txt").read_text()
    assert "there is no namespace" in (place / "web1.txt").read_text()
    assert "the supervisor of lab demo does not run" in (place / "PROGRAMS.txt").read_text()
    assert (place / "supervisor.log").read_text() == "nothing can be read: No such file or directory\n"


def test_drills_are_kept_too(tmp_path: Path, paths: Paths) -> None:
    drill = StreamVerdict("D1", "", "drill", "link_down wan", "inconclusive", "nothing was sent")
    place = Path(Bundles(paths, tmp_path / "kept", "demo").keep(drill, [], save))
    assert json.loads((place / "verdict.json").read_text())["what"] == "link_down wan"


def test_no_run_and_no_verdict_writes_over_another(tmp_path: Path, paths: Paths) -> None:
    runs = [Bundles(paths, tmp_path / "kept", "demo") for _ in range(3)]
    places = [Path(run.keep(FAILED, [], save)) for run in runs for _ in range(2)]
    assert len(set(places)) == 6
    assert [place.name for place in places] == ["P1", "P1-2"] * 3
    assert len({place.parent for place in places}) == 3


def test_nothing_is_made_before_something_is_kept(tmp_path: Path, paths: Paths) -> None:
    Bundles(paths, tmp_path / "kept", "demo")
    assert not (tmp_path / "kept").exists()


def test_a_place_that_cannot_be_written_is_told_by_its_name(tmp_path: Path, paths: Paths) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(HostError, match=r"no evidence can be kept in .*kept: File exists"):
        Bundles(paths, tmp_path / "kept", "demo").keep(FAILED, [], save)
