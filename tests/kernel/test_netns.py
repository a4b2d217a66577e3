"""Namespaces appear under their names, change nobody else's, and go without a trace."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from kernel_lab import Lab

from labctl.errors import StateError
from labctl.kernel import netns
from labctl.kernel.execute import execute
from labctl.kernel.making import Making
from labctl.kernel.nursery import Nursery
from labctl.kernel.paths import Paths
from labctl.plan.objects import Create, Namespace


def mine() -> str:
    return str(Path("/proc/thread-self/ns/net").readlink())


def create(paths: Paths, nodes: list[str]) -> None:
    with Nursery() as nursery:
        Making(nursery, paths, [Namespace(node) for node in nodes]).finish()


def mounts_under(place: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(place) in line]


def test_each_node_gets_a_namespace_of_its_own_and_the_caller_stays_where_it_is(paths: Paths) -> None:
    before = mine()
    create(paths, ["a", "b"])
    inside = []
    for node in ("a", "b"):
        with netns.enter(paths.namespace(node)):
            inside.append(mine())
    assert mine() == before
    assert len({before, *inside}) == 3


def test_entering_concerns_only_the_calling_thread(paths: Paths) -> None:
    create(paths, ["a"])
    entered, done, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        with netns.enter(paths.namespace("a")):
            entered.set()
            done.wait(5)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(5)
    seen.append(mine())
    done.set()
    thread.join()
    assert seen == [mine()]


def test_leaving_happens_also_after_an_error(paths: Paths) -> None:
    create(paths, ["a"])
    before = mine()
    with pytest.raises(ZeroDivisionError), netns.enter(paths.namespace("a")):
        raise ZeroDivisionError
    assert mine() == before


def test_a_name_leads_to_the_namespace(paths: Paths) -> None:
    create(paths, ["a"])
    assert (paths.netns / "t-a").readlink() == paths.namespace("a")
    with netns.enter(paths.netns / "t-a"):
        by_name = mine()
    with netns.enter(paths.namespace("a")):
        assert mine() == by_name


def test_ip_netns_exec_works_under_the_name() -> None:
    paths = Paths(f"t{os.getpid()}", run=Path("/run/labctl-test"))
    create(paths, ["a"])
    try:
        words = subprocess.run(["ip", "netns", "exec", f"{paths.lab}-a", "ip", "-br", "link"], capture_output=True)
        assert words.stdout.split()[0] == b"lo", words
    finally:
        netns.destroy(paths)
        paths.root.rmdir()
        paths.run.rmdir()
    assert not paths.link("a").is_symlink()


def test_nodes_can_be_added_to_a_lab(paths: Paths) -> None:
    create(paths, ["a"])
    create(paths, ["b"])
    assert netns.exists(paths, "a")
    assert netns.exists(paths, "b")
    assert len(mounts_under(paths.namespaces)) == 3


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_foreign_name_in_the_way_is_named_and_nothing_is_made(paths: Paths, kind: str) -> None:
    paths.netns.mkdir()
    foreign = paths.netns / "t-b"
    if kind == "file":
        foreign.touch()
    else:
        foreign.symlink_to("/run/elsewhere/b")
    with pytest.raises(StateError, match=str(foreign)):
        create(paths, ["a", "b"])
    assert not paths.root.exists()
    assert [each.name for each in paths.netns.iterdir()] == ["t-b"]


def test_a_namespace_that_exists_is_refused(paths: Paths) -> None:
    create(paths, ["a"])
    with pytest.raises(StateError, match="t-a exists already"):
        create(paths, ["a"])


def test_destroy_leaves_nothing_of_the_lab_and_everything_of_others(paths: Paths) -> None:
    other = Paths("other", run=paths.run, netns=paths.netns)
    create(paths, ["a", "b"])
    create(other, ["a"])
    (paths.netns / "t-foreign").touch()
    netns.destroy(paths)
    try:
        assert sorted(each.name for each in paths.netns.iterdir()) == ["other-a", "t-foreign"]
        assert not paths.namespaces.exists()
        assert mounts_under(paths.root) == []
        assert netns.exists(other, "a")
    finally:
        netns.destroy(other)


def test_destroy_works_twice_and_on_nothing(paths: Paths) -> None:
    netns.destroy(paths)
    create(paths, ["a"])
    netns.destroy(paths)
    netns.destroy(paths)


def test_destroy_works_after_a_crash_at_any_instant(paths: Paths) -> None:
    create(paths, ["a", "b"])
    subprocess.run(["umount", paths.namespace("a")], check=True)  # the file is there, the namespace is not
    paths.link("b").unlink()  # the namespace is there, its name is not
    paths.namespace("c").touch()  # killed before the namespace was bound
    subprocess.run(["mount", "-t", "tmpfs", "twice", paths.namespaces], check=True)
    netns.destroy(paths)
    assert list(paths.netns.iterdir()) == []
    assert mounts_under(paths.root) == []
    assert not paths.namespaces.exists()


def test_creating_goes_on_where_a_crash_left_off(paths: Paths) -> None:
    create(paths, ["a"])
    paths.namespace("b").touch()
    paths.netns.joinpath("t-c").symlink_to(paths.namespace("c"))
    create(paths, ["b", "c"])
    assert all(netns.exists(paths, node) for node in "abc")


def test_a_namespace_ends_although_a_process_with_its_own_mounts_goes_on(paths: Paths) -> None:
    create(paths, ["a", "b"])
    # What `ip netns exec` does: a private copy of every mount.
    shell = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "slave", "sh", "-c", "echo ready; cat /proc/self/mountinfo; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert shell.stdout
    assert shell.stdout.readline() == b"ready\n"
    netns.destroy(paths)
    left = Path(f"/proc/{shell.pid}/mountinfo").read_text()
    shell.communicate()
    assert " nsfs " not in "\n".join(line for line in left.splitlines() if str(paths.namespaces) in line)


def test_removing_one_node_leaves_the_others(paths: Paths) -> None:
    create(paths, ["a", "b"])
    netns.remove(paths, ["a"])
    netns.remove(paths, ["a", "never"])
    assert [each.name for each in paths.netns.iterdir()] == ["t-b"]
    assert [each.name for each in paths.namespaces.iterdir()] == ["b"]
    assert netns.exists(paths, "b")


def test_entering_what_is_not_there_is_a_state_error(paths: Paths) -> None:
    with pytest.raises(StateError, match="there is no namespace"), netns.enter(paths.namespace("a")):
        pass


def test_entering_what_is_no_namespace_is_a_state_error(paths: Paths) -> None:
    create(paths, [])
    paths.namespace("a").touch()
    with pytest.raises(StateError, match="is not a network namespace"), netns.enter(paths.namespace("a")):
        pass


STAR = """
import sys
from ipaddress import IPv4Interface
from pathlib import Path
from labctl.kernel.execute import execute
from labctl.kernel.paths import Paths
from labctl.plan.objects import Address, Create, End, Namespace, Veth

class Keeper:
    start = stop = change = None

paths, leaves = Paths("t", Path(sys.argv[1]), Path(sys.argv[2])), range(1, 200)
items = [Namespace("hub"), *(Namespace(f"n{i}") for i in leaves)]
for i in leaves:
    items.append(Veth(End("hub", f"e{i}", f"02:00:00:00:{i:02x}:01"), End(f"n{i}", "up", f"02:00:00:00:{i:02x}:02")))
    items.append(Address(f"n{i}", "up", IPv4Interface(f"10.0.{i}.2/30")))
    items.append(Address("hub", f"e{i}", IPv4Interface(f"10.0.{i}.1/30")))
execute([Create(item) for item in items], paths, {}, Keeper(), lambda step: None)
"""


def test_a_lab_may_have_more_nodes_than_a_process_open_files(lab: Lab) -> None:
    """Each end is where it belongs, although namespaces are closed and opened again meanwhile."""
    command = ["prlimit", "--nofile=400:400", sys.executable, "-c", STAR, lab.paths.run, lab.paths.netns]
    subprocess.run(command, check=True)
    for node in ("n1", "n50", "n100", "n199"):
        assert lab.ping(node, f"10.0.{node[1:]}.1", count=1) == 1
    assert len(lab.json("hub", "ip", "link", "show", "type", "veth")) == 199


def test_many_nodes_need_few_file_descriptors(lab: Lab) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    counts: list[int] = []
    steps = [Create(Namespace(f"n{i}")) for i in range(200)]
    execute(steps, lab.paths, {}, lab.keeper, lambda step: counts.append(len(list(Path("/proc/self/fd").iterdir()))))
    assert max(counts) < before + 500
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert lab.device("n199", "lo")["flags"] == ["LOOPBACK", "UP", "LOWER_UP"]
