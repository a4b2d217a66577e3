"""The programs under their supervisor, in real namespaces."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal

import pytest
from dnslib import DNSRecord
from kernel_lab import Lab

from labctl.errors import KernelError, StateError
from labctl.kernel.netns import enter
from labctl.kernel.paths import Paths
from labctl.model.services import Listen, PathWatcher, Record, Resolver, Server, WatchedPath, Zone
from labctl.plan.objects import Process
from labctl.services import processes
from labctl.services.control import ServiceStatus, roster_file
from labctl.services.supervisor import Keeper, start

LEFT, RIGHT = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
ZONE = Zone(
    "lab.test",
    (
        Record("www.lab.test", "A", "192.0.2.10"),
        *(Record("many.lab.test", "A", f"10.9.{n // 250}.{n % 250}") for n in range(500)),
    ),
)
DNS = Process("right", "dns", Resolver((RIGHT,), (ZONE,)))
BANNER = Process("right", "banner", Server("banner", (Listen("tcp", 8080), Listen("udp", 8081))))


@pytest.fixture
def keeper(paths: Paths) -> Iterator[Keeper]:
    """A running supervisor of the lab `t`."""
    paths.root.mkdir(parents=True, exist_ok=True)
    start(paths)
    keeper = Keeper(paths)
    yield keeper
    keeper.shutdown()


def eventually(holds: Callable[[], object], seconds: float = 5.0) -> float:
    """Seconds until `holds`; fails after `seconds`."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it never came true"
        time.sleep(0.005)
    return time.monotonic() - began


def opened(lab: Lab, node: str, kind: socket.SocketKind) -> socket.socket:
    with enter(lab.paths.namespace(node)):
        made = socket.socket(socket.AF_INET, kind)
    made.settimeout(10.0)
    return made


def connected(lab: Lab, port: int) -> socket.socket:
    made = opened(lab, "left", socket.SOCK_STREAM)
    made.connect((str(RIGHT), port))
    return made


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def ask(lab: Lab, name: str, to: IPv4Address = RIGHT) -> DNSRecord:
    with opened(lab, "left", socket.SOCK_DGRAM) as client:
        client.sendto(bytes(DNSRecord.question(name).pack()), (str(to), 53))
        reply, sender = client.recvfrom(4096)
    assert sender == (str(to), 53)
    return DNSRecord.parse(reply)


def status(keeper: Keeper, name: str) -> ServiceStatus:
    return next(each for each in keeper.status() if each.name == name)


def is_gone(pid: int) -> bool:
    return processes.identify(pid) is None


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# --- resolver ---------------------------------------------------------------------------------------------------


def test_the_resolver_answers_a_query_of_another_node(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    assert [str(rr.rdata) for rr in ask(pair, "www.lab.test").rr] == ["192.0.2.10"]


def test_the_resolver_answers_from_the_address_that_was_asked(pair: Lab, keeper: Keeper) -> None:
    pair.run("right", "ip", "addr", "add", "10.0.0.3/24", "dev", "eth0")
    second = IPv4Address("10.0.0.3")
    keeper.start(Process("right", "dns", Resolver((RIGHT, second), (ZONE,))))
    assert ask(pair, "www.lab.test", second).rr
    assert ask(pair, "www.lab.test", RIGHT).rr


def test_the_resolver_answers_several_queries_on_one_connection_however_they_are_cut(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    query = bytes(DNSRecord.question("many.lab.test").pack())
    stream = (struct.pack("!H", len(query)) + query) * 3
    with connected(pair, 53) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in (stream[:1], stream[1:40], stream[40:]):
            client.sendall(cut)
            time.sleep(0.02)
        client.shutdown(socket.SHUT_WR)
        answers = read_all(client)
    size = struct.unpack_from("!H", answers)[0]
    assert len(answers) == 3 * (size + 2)
    assert len(DNSRecord.parse(answers[2 : 2 + size]).rr) == 500


def test_the_resolver_survives_rude_clients(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    idle = [connected(pair, 53) for _ in range(250)]
    for client in idle[::2]:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    with opened(pair, "left", socket.SOCK_DGRAM) as client:
        for size in (0, 1, 11, 12, 60_000):
            client.sendto(b"\x01" * size, (str(RIGHT), 53))
    assert ask(pair, "www.lab.test").rr
    for client in idle[1::2]:
        client.close()
    assert status(keeper, "dns").state == "running"


# --- test server ------------------------------------------------------------------------------------------------


def test_the_server_says_whom_it_sees_and_what_it_received(pair: Lab, keeper: Keeper) -> None:
    keeper.start(BANNER)
    payload = os.urandom(10_000_000)
    with connected(pair, 8080) as client:
        port = client.getsockname()[1]
        client.sendall(payload)
        client.shutdown(socket.SHUT_WR)
        greeting, verdict, rest = read_all(client).split(b"\n")
    assert greeting == f"labctl banner {LEFT} {port}".encode()
    assert json.loads(verdict) == {"bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
    assert rest == b""


def test_the_server_greets_before_the_client_says_anything_and_many_at_once(pair: Lab, keeper: Keeper) -> None:
    keeper.start(BANNER)
    clients = [connected(pair, 8080) for _ in range(50)]
    for client in reversed(clients):
        with closing(client):
            assert client.recv(100).startswith(b"labctl banner 10.0.0.1 ")
            client.shutdown(socket.SHUT_WR)
            assert json.loads(read_all(client))["bytes"] == 0


def test_the_server_survives_resets(pair: Lab, keeper: Keeper) -> None:
    keeper.start(BANNER)
    for _ in range(30):
        client = connected(pair, 8080)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    with connected(pair, 8080) as client:
        assert client.recv(100).startswith(b"labctl banner")
    assert pair.paths.log.read_text() == ""


def test_the_server_returns_datagrams_from_the_address_they_were_sent_to(pair: Lab, keeper: Keeper) -> None:
    pair.run("right", "ip", "addr", "add", "10.0.0.3/24", "dev", "eth0")
    keeper.start(BANNER)
    for target in ("10.0.0.3", "10.0.0.2"):
        with opened(pair, "left", socket.SOCK_DGRAM) as client:
            client.bind((str(LEFT), 0))
            client.sendto(b"hello", (target, 8081))
            reply, sender = client.recvfrom(2000)
            assert sender == (target, 8081)
            assert reply == f"labctl banner {LEFT} {client.getsockname()[1]}\n".encode() + b"hello"


# --- supervisor -------------------------------------------------------------------------------------------------


def test_a_program_is_a_named_process_in_its_namespace(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    pid = status(keeper, "dns").pid
    assert Path(f"/proc/{pid}/comm").read_text() == "resolver:right\n"
    assert Path(f"/proc/{pid}/ns/net").stat().st_ino == pair.paths.namespace("right").stat().st_ino


def test_the_supervisor_outlives_and_holds_nothing_of_its_starter(paths: Paths) -> None:
    paths.root.mkdir(parents=True)
    held, other = os.pipe()
    os.set_inheritable(other, True)
    try:
        pid = start(paths)
        os.close(other)
        assert os.read(held, 1) == b""  # nobody else has the other end
        assert start(paths) == pid
        assert os.getsid(pid) != os.getsid(0)
        assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
        assert paths.control.stat().st_mode & 0o777 == 0o600
        assert parent_of(pid) != os.getpid()
    finally:
        os.close(held)
        Keeper(paths).shutdown()
    assert is_gone(pid)


def test_an_address_in_use_is_told_with_its_reason(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    again = Process("right", "dns2", DNS.program)
    with pytest.raises(KernelError, match=r"10\.0\.0\.2:53/udp: Address already in use") as caught:
        keeper.start(again)
    assert caught.value.subject == again
    assert status(keeper, "dns2").state == "exited"
    assert ask(pair, "www.lab.test").rr


def test_a_missing_namespace_and_a_second_start_are_told(pair: Lab, keeper: Keeper) -> None:
    with pytest.raises(StateError, match="nowhere"):
        keeper.start(Process("nowhere", "dns", DNS.program))
    keeper.start(DNS)
    with pytest.raises(StateError, match="runs already"):
        keeper.start(DNS)


def test_a_killed_program_is_shown_as_exited_and_can_be_started_again(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    os.kill(status(keeper, "dns").pid, signal.SIGKILL)
    eventually(lambda: status(keeper, "dns").state == "exited")
    assert status(keeper, "dns").detail == "killed by SIGKILL"
    keeper.start(DNS)
    assert ask(pair, "www.lab.test").rr


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("name", ["dns", "paths"])
def test_a_stopped_program_is_gone_and_forgotten_even_a_frozen_one(
    pair: Lab, keeper: Keeper, name: str, freeze: bool
) -> None:
    process = {"dns": DNS, "paths": watcher("right")}[name]
    keeper.start(process)
    pid = status(keeper, name).pid
    if freeze:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    keeper.stop(process)
    assert time.monotonic() - began < 2.0
    assert is_gone(pid)
    assert keeper.status() == ()
    keeper.stop(process)


def test_nonsense_on_the_control_socket_is_refused_and_survived(pair: Lab, keeper: Keeper) -> None:
    for nonsense in (b"\n", b"[]\n", b'{"do":"fly"}\n', b'{"do":"start","process":{"is":"Process"}}\n', b"\xff\n"):
        with socket.socket(socket.AF_UNIX) as client:
            directory = os.open(pair.paths.root, os.O_PATH)
            client.connect(f"/proc/self/fd/{directory}/supervisor.sock")
            os.close(directory)
            client.sendall(nonsense)
            assert json.loads(client.makefile().readline())["ok"] is False
    assert keeper.status() == ()


def test_shutdown_leaves_no_process_and_no_file_and_may_be_repeated(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    keeper.start(BANNER)
    pids = [each.pid for each in keeper.status()] + [start(pair.paths)]
    for _ in range(2):
        keeper.shutdown()
        assert all(map(is_gone, pids))
        assert not pair.paths.control.exists()
        assert not roster_file(pair.paths).exists()
    assert keeper.status() == ()


def test_the_first_program_brings_its_supervisor_along(pair: Lab) -> None:
    keeper = Keeper(pair.paths)
    pair.paths.root.mkdir(parents=True, exist_ok=True)
    keeper.start(DNS)
    try:
        assert status(keeper, "dns").state == "running"
    finally:
        keeper.shutdown()


def test_a_supervisor_that_was_asked_to_end_by_nobody_of_ours_is_missed(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    pid = start(pair.paths)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: is_gone(pid), 5.0)
    with pytest.raises(StateError, match="does not run"):
        keeper.status()
    keeper.start(BANNER)
    assert [each.name for each in keeper.status()] == [BANNER.name]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_the_end_of_the_supervisor_is_that_of_its_programs(pair: Lab, keeper: Keeper, number: signal.Signals) -> None:
    keeper.start(DNS)
    keeper.start(BANNER)
    pids = [each.pid for each in keeper.status()]
    os.kill(start(pair.paths), number)
    began = time.monotonic()
    keeper.shutdown()
    assert time.monotonic() - began < 4.5
    assert all(map(is_gone, pids))
    start(pair.paths)
    assert keeper.status() == ()


def test_programs_end_with_a_killed_supervisor_without_anybody_s_doing(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    keeper.start(BANNER)
    pids = [each.pid for each in keeper.status()]
    os.kill(start(pair.paths), signal.SIGKILL)
    eventually(lambda: all(map(is_gone, pids)), 1.0)


def test_shutdown_spares_a_process_that_bears_a_recycled_pid(paths: Paths, keeper: Keeper) -> None:
    bystander = os.fork()
    if bystander == 0:
        signal.pause()
    roster = json.loads(roster_file(paths).read_text())
    keeper.shutdown()
    roster["supervisor"] = {"is": "Identity", "pid": bystander, "started": 1}
    roster["children"] = [roster["supervisor"]]
    roster_file(paths).write_text(json.dumps(roster))
    keeper.shutdown()
    try:
        assert os.waitpid(bystander, os.WNOHANG) == (0, 0)
    finally:
        os.kill(bystander, signal.SIGKILL)
        os.waitpid(bystander, 0)


# --- change -----------------------------------------------------------------------------------------------------


def server(*listens: tuple[Literal["tcp", "udp", "http"], int], name: str = "banner") -> Process:
    return Process("right", "banner", Server(name, tuple(Listen(*each) for each in listens)))


def resolver(*names: str, listen: tuple[IPv4Address, ...] = (RIGHT,)) -> Process:
    records = tuple(Record(f"{name}.lab.test", "A", "192.0.2.7") for name in names)
    return Process("right", "dns", Resolver(listen, (Zone("lab.test", records),)))


def asked(connection: socket.socket, name: str) -> int:
    """The response code to a query for `name` on an open TCP connection."""
    query = bytes(DNSRecord.question(name).pack())
    connection.sendall(struct.pack("!H", len(query)) + query)
    size = struct.unpack("!H", connection.recv(2))[0]
    return int(DNSRecord.parse(connection.recv(size)).header.rcode)


def test_a_changed_resolver_answers_from_its_new_zones_at_once_also_on_open_connections(
    pair: Lab, keeper: Keeper
) -> None:
    keeper.start(resolver("old", "both"))
    pid = status(keeper, "dns").pid
    with connected(pair, 53) as client:
        assert [asked(client, f"{name}.lab.test") for name in ("old", "new")] == [0, 3]
        keeper.change(resolver("old", "both"), resolver("both", "new"))
        assert [asked(client, f"{name}.lab.test") for name in ("old", "new", "both")] == [3, 0, 0]
    assert ask(pair, "new.lab.test").rr
    assert not ask(pair, "old.lab.test").rr
    assert status(keeper, "dns").pid == pid


def test_a_changed_resolver_listens_where_it_is_told_to(pair: Lab, keeper: Keeper) -> None:
    second = IPv4Address("10.0.0.3")
    pair.run("right", "ip", "addr", "add", f"{second}/24", "dev", "eth0")
    keeper.start(resolver("a", listen=(RIGHT,)))
    keeper.change(resolver("a"), resolver("a", listen=(RIGHT, second)))
    assert ask(pair, "a.lab.test", second).rr
    keeper.change(resolver("a", listen=(RIGHT, second)), resolver("a", listen=(second,)))
    assert ask(pair, "a.lab.test", second).rr
    with pytest.raises(ConnectionRefusedError):
        connected(pair, 53)


def test_a_changed_server_opens_and_closes_ports_while_its_connections_live_on(pair: Lab, keeper: Keeper) -> None:
    keeper.start(server(("tcp", 80), ("udp", 81)))
    with connected(pair, 80) as client:
        assert client.recv(100).startswith(b"labctl banner")
        client.sendall(b"before")
        keeper.change(server(("tcp", 80), ("udp", 81)), server(("tcp", 82), ("udp", 83), name="renamed"))
        with pytest.raises(ConnectionRefusedError):
            connected(pair, 80)
        with connected(pair, 82) as other:
            assert other.recv(100).startswith(b"labctl renamed")
        client.sendall(b" and after")
        client.shutdown(socket.SHUT_WR)
        assert json.loads(read_all(client))["sha256"] == hashlib.sha256(b"before and after").hexdigest()
    with opened(pair, "left", socket.SOCK_DGRAM) as client:
        client.sendto(b"x", (str(RIGHT), 83))
        assert client.recv(100).startswith(b"labctl renamed")


def test_a_port_may_change_what_it_serves(pair: Lab, keeper: Keeper) -> None:
    keeper.start(server(("tcp", 80)))
    keeper.change(server(("tcp", 80)), server(("http", 80)))
    with connected(pair, 80) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 200")


def test_a_program_that_cannot_have_what_it_shall_become_goes_on_as_it_was(pair: Lab, keeper: Keeper) -> None:
    taken = opened(pair, "right", socket.SOCK_STREAM)
    taken.bind(("0.0.0.0", 82))
    taken.listen()
    old, new = server(("tcp", 80)), server(("tcp", 81), ("tcp", 82), name="other")
    keeper.start(old)
    with pytest.raises(KernelError, match="82/tcp: Address already in use") as caught:
        keeper.change(old, new)
    assert caught.value.subject == new
    with connected(pair, 80) as client:
        assert client.recv(100).startswith(b"labctl banner")
    with pytest.raises(ConnectionRefusedError):
        connected(pair, 81)
    taken.close()
    keeper.change(old, new)
    assert connected(pair, 82).recv(100).startswith(b"labctl other")


def test_a_program_that_does_not_run_is_started_by_a_change(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    os.kill(status(keeper, "dns").pid, signal.SIGKILL)
    eventually(lambda: status(keeper, "dns").state == "exited")
    keeper.change(DNS, resolver("new"))
    assert ask(pair, "new.lab.test").rr


def test_a_program_that_ends_over_a_change_is_told_with_its_last_words(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    os.kill(status(keeper, "dns").pid, signal.SIGSTOP)

    def kill() -> None:
        time.sleep(0.2)
        os.kill(status(keeper, "dns").pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(StateError, match="dns in right did not change: killed by SIGKILL"):
        keeper.change(DNS, resolver("new"))
    killer.join()


def test_a_program_is_asked_for_one_thing_at_a_time(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    pid = status(keeper, "dns").pid
    os.kill(pid, signal.SIGSTOP)
    ends: dict[str, str] = {}

    def change(name: str) -> None:
        try:
            keeper.change(DNS, resolver(name))
            ends[name] = "done"
        except StateError as error:
            ends[name] = error.message

    threads = [threading.Thread(target=change, args=(name,)) for name in ("first", "second")]
    for each in threads:
        each.start()
    eventually(lambda: ends)
    os.kill(pid, signal.SIGCONT)
    for each in threads:
        each.join()
    assert sorted(ends.values()) == ["dns in right is busy: it was asked to change", "done"]
    [done] = [name for name, end in ends.items() if end == "done"]
    assert ask(pair, f"{done}.lab.test").rr


def test_a_configuration_larger_than_a_pipe_arrives_whole(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    many = [f"host-{number}" for number in range(5000)]
    keeper.change(DNS, resolver(*many))
    assert ask(pair, "host-4999.lab.test").rr


def test_a_program_of_another_kind_is_stopped_and_started(pair: Lab, keeper: Keeper) -> None:
    keeper.start(DNS)
    other = Process("right", "dns", Server("other", (Listen("tcp", 80),)))
    keeper.change(DNS, other)
    assert connected(pair, 80).recv(100).startswith(b"labctl other")


# --- path watcher -----------------------------------------------------------------------------------------------

INTERVAL, COUNT = 100, 3
LEFT_NET, RIGHT_NET = IPv4Network("172.16.1.0/24"), IPv4Network("172.16.2.0/24")
ROUTE = {"dst": str(RIGHT_NET), "dev": "eth0", "metric": 10, "prefsrc": "10.0.0.1", "scope": "link"}


def watcher(node: str, device: str = "eth0") -> Process:
    local, remote, net, source = (LEFT, RIGHT, RIGHT_NET, LEFT) if node == "left" else (RIGHT, LEFT, LEFT_NET, None)
    path = WatchedPath("main", device, device, local, remote, INTERVAL, COUNT, (net,), 10, source)
    return Process(node, "paths", PathWatcher((path,)))


@pytest.fixture
def pair(lab: Lab) -> Lab:
    """Two nodes, `left` 10.0.0.1/24 and `right` 10.0.0.2/24, joined by the veth `eth0` with an index of its own at
    each end: where they are equal the kernel takes the link for one without a lower device, and a loss of carrier
    for nothing urgent (net/core/link_watch.c), announced up to a second late.
    """
    lab.nodes("left", "right")
    lab.run("right", "ip", "link", "add", "name", "spare0", "type", "veth", "peer", "name", "spare1")
    lab.wire("left", "eth0", "10.0.0.1/24", "right", "eth0", "10.0.0.2/24")
    return lab


@pytest.fixture
def watched(pair: Lab, keeper: Keeper) -> Lab:
    """`pair` with a path watcher at each end, both up."""
    began = time.monotonic()
    keeper.start(watcher("left"))
    keeper.start(watcher("right"))
    eventually(lambda: routed(pair, "left") and routed(pair, "right"), 5.0)
    assert time.monotonic() - began < 3.5
    return pair


def routed(lab: Lab, node: str) -> bool:
    return "172.16." in lab.run(node, "ip", "route")


def moment_of_route_loss(lab: Lab, node: str, act: Callable[[], object]) -> float:
    """Milliseconds from `act` to the kernel's own word that the route is gone (RTM_DELROUTE)."""
    with enter(lab.paths.namespace(node)):
        watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    with watch:
        watch.bind((0, 0x40))  # RTMGRP_IPV4_ROUTE
        watch.settimeout(5.0)
        act()
        began = time.monotonic()
        while True:
            data = watch.recv(65536)
            if struct.unpack_from("=H", data, 4)[0] == 25 and RIGHT_NET.network_address.packed in data:
                return (time.monotonic() - began) * 1000


def test_watched_paths_come_up_with_exactly_their_routes(watched: Lab, keeper: Keeper) -> None:
    (found,) = [each for each in watched.json("left", "ip", "route") if each["dst"].startswith("172.")]
    assert {key: found.get(key) for key in ROUTE} == ROUTE
    left = next(each for each in keeper.status() if each.namespace == "left")
    assert left.paths == {"main": "up"}
    assert "main up since " in left.detail
    assert "1 transitions" in left.detail


def test_loss_of_carrier_removes_the_routes_at_once(watched: Lab, keeper: Keeper) -> None:
    with enter(watched.paths.namespace("right")):
        control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def down() -> None:
        fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"eth0", 0))  # SIOCSIFFLAGS, no IFF_UP

    with control:
        assert moment_of_route_loss(watched, "left", down) < 50.0
    eventually(lambda: all(each.paths == {"main": "down"} for each in keeper.status()))
    watched.run("right", "ip", "link", "set", "dev", "eth0", "up")
    eventually(lambda: routed(watched, "left") and routed(watched, "right"))


def test_a_silent_drop_removes_the_routes_within_the_detection_time(watched: Lab, keeper: Keeper) -> None:
    time.sleep(1.0)
    frozen = next(each.pid for each in keeper.status() if each.namespace == "right")
    elapsed = moment_of_route_loss(watched, "left", lambda: os.kill(frozen, signal.SIGSTOP))
    assert (COUNT - 1) * INTERVAL - 5.0 <= elapsed <= COUNT * INTERVAL + 60.0
    os.kill(frozen, signal.SIGCONT)
    eventually(lambda: routed(watched, "left") and routed(watched, "right"))


def test_a_stopped_watcher_removes_its_routes_and_tells_its_neighbour(watched: Lab, keeper: Keeper) -> None:
    elapsed = moment_of_route_loss(watched, "left", lambda: keeper.stop(watcher("right")))
    assert elapsed < (COUNT - 1) * INTERVAL
    assert not routed(watched, "right")


def test_a_watcher_that_was_killed_leaves_nothing_to_its_successor(watched: Lab, keeper: Keeper) -> None:
    for each in keeper.status():
        os.kill(each.pid, signal.SIGKILL)
    eventually(lambda: all(each.state == "exited" for each in keeper.status()))
    assert routed(watched, "left")
    keeper.start(watcher("left"))
    assert not routed(watched, "left")


def process(node: str, *paths: WatchedPath) -> Process:
    return Process(node, "paths", PathWatcher(paths))


def events_of_routes(lab: Lab, node: str, act: Callable[[], object]) -> list[tuple[int, str]]:
    """What the kernel says of 172.16.x.0/24 in its main table while `act` runs: (RTM_NEWROUTE 24, RTM_DELROUTE 25)."""
    with enter(lab.paths.namespace(node)):
        watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    with watch:
        watch.bind((0, 0x40))  # RTMGRP_IPV4_ROUTE
        act()
        watch.settimeout(0.3)
        found: list[tuple[int, str]] = []
        with contextlib.suppress(TimeoutError):
            while data := watch.recv(65536):
                for net in (LEFT_NET, RIGHT_NET, OTHER_NET):
                    if net.network_address.packed in data:
                        found.append((struct.unpack_from("=H", data, 4)[0], str(net)))
        return found


OTHER_NET = IPv4Network("172.16.3.0/24")
NEW, GONE = 24, 25


def test_a_change_of_metric_replaces_the_route_before_the_old_one_goes_and_the_session_stays_up(
    watched: Lab, keeper: Keeper
) -> None:
    old = path_of(watcher("left"))
    said = status_of(keeper, "left").detail
    new = replace(old, metric=20, prefixes=(RIGHT_NET, OTHER_NET))
    told = events_of_routes(watched, "left", lambda: keeper.change(process("left", old), process("left", new)))
    assert told == [(NEW, str(RIGHT_NET)), (NEW, str(OTHER_NET)), (GONE, str(RIGHT_NET))]
    found = {each["dst"]: each["metric"] for each in watched.json("left", "ip", "route") if "metric" in each}
    assert found == {str(RIGHT_NET): 20, str(OTHER_NET): 20}
    assert status_of(keeper, "left").detail == said


def test_two_paths_that_change_places_leave_no_instant_without_a_route(watched: Lab, keeper: Keeper) -> None:
    watched.wire("left", "eth1", "10.0.1.1/24", "right", "eth1", "10.0.1.2/24")
    second = {
        node: replace(
            path_of(watcher(node)),
            name="second",
            device="eth1",
            carrier="eth1",
            local=ends[0],
            remote=ends[1],
            metric=20,
        )
        for node, ends in (
            ("left", (IPv4Address("10.0.1.1"), IPv4Address("10.0.1.2"))),
            ("right", (IPv4Address("10.0.1.2"), IPv4Address("10.0.1.1"))),
        )
    }
    both = {node: process(node, path_of(watcher(node)), replace(each, source=None)) for node, each in second.items()}
    for node in ("left", "right"):
        keeper.change(watcher(node), both[node])
    eventually(lambda: all(each.paths == {"main": "up", "second": "up"} for each in keeper.status()))
    said = [each.detail for each in keeper.status()]
    program = both["left"].program
    assert isinstance(program, PathWatcher)
    swapped = process("left", *(replace(path, metric=30 - path.metric) for path in program.paths))
    told = events_of_routes(watched, "left", lambda: keeper.change(both["left"], swapped))
    assert [event for event, _ in told] == [NEW, NEW]
    routes = [each for each in watched.json("left", "ip", "route") if each["dst"] == str(RIGHT_NET)]
    assert [(each["dev"], each["metric"]) for each in routes] == [("eth1", 10), ("eth0", 20)]
    assert [each.detail for each in keeper.status()] == said
    keeper.change(swapped, process("left", *program.paths[1:]))
    eventually(lambda: status_of(keeper, "right").paths == {"main": "down", "second": "up"})
    assert status_of(keeper, "left").paths == {"second": "up"}


def test_a_changed_interval_counts_from_then_on_and_the_session_stays_up(watched: Lab, keeper: Keeper) -> None:
    said = [each.detail for each in keeper.status()]
    for node in ("left", "right"):
        keeper.change(watcher(node), process(node, replace(path_of(watcher(node)), interval_ms=300)))
    time.sleep(1.5)
    assert [each.detail for each in keeper.status()] == said
    frozen = status_of(keeper, "right").pid
    elapsed = moment_of_route_loss(watched, "left", lambda: os.kill(frozen, signal.SIGSTOP))
    os.kill(frozen, signal.SIGCONT)
    assert (COUNT - 1) * 300 - 5.0 <= elapsed <= COUNT * 300 + 60.0


def test_a_path_with_other_ends_begins_anew_and_a_watcher_that_cannot_change_goes_on(
    watched: Lab, keeper: Keeper
) -> None:
    old = path_of(watcher("left"))
    with pytest.raises(KernelError, match="no device eth7"):
        keeper.change(watcher("left"), process("left", replace(old, metric=20), replace(old, name="x", device="eth7")))
    assert {key: watched.json("left", "ip", "route", "show", str(RIGHT_NET))[0].get(key) for key in ROUTE} == ROUTE
    keeper.change(watcher("left"), process("left", replace(old, remote=IPv4Address("10.0.0.9"))))
    assert status_of(keeper, "left").paths == {"main": "down"}
    assert not routed(watched, "left")
    eventually(lambda: status_of(keeper, "right").paths == {"main": "down"}, 1.0)
    keeper.change(process("left", replace(old, remote=IPv4Address("10.0.0.9"))), watcher("left"))
    eventually(lambda: routed(watched, "left") and routed(watched, "right"))


def path_of(watching: Process) -> WatchedPath:
    assert isinstance(watching.program, PathWatcher)
    return watching.program.paths[0]


def status_of(keeper: Keeper, node: str) -> ServiceStatus:
    return next(each for each in keeper.status() if each.namespace == node)


def test_a_watcher_of_a_missing_device_is_refused(pair: Lab, keeper: Keeper) -> None:
    with pytest.raises(KernelError, match="no device eth7"):
        keeper.start(watcher("left", "eth7"))
